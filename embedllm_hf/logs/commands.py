"""The harness's own command for some questions of a log, so that they can be asked of another LLM."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence

from .._checks import check_choice, shorten
from .._errors import InputError

COMMANDS = {"lm_eval": "lm-eval", "inspect": "inspect"}  # what is called, and its name in the column `source`


def source_of(harness: str, task: str, id_: str) -> str:
    """What tables name a question by, in their column `source`: what asked it, of which task, and its id there."""
    return f"{harness}:{task}:{id_}"


def commands(command: str, sources: Iterable[Sequence[str]], llm: str) -> list[str]:
    """The calls that ask an LLM some questions, one for all tasks (lm-eval) or one a task (Inspect).

    Args:
        command (`str`): `"lm_eval"` or `"inspect"`.
        sources: For each question what it is named by, see `source_of`; those of other harnesses do not count.
        llm (`str`): The LLM, as its harness knows it.

    Raises:
        ValueError: If a question has no name of this harness.
    """
    check_choice("command", command, tuple(COMMANDS))
    ids: dict[str, list[str]] = {}
    for question, names in enumerate(sources):
        own = [name.split(":", 1)[1] for name in names if name.startswith(f"{COMMANDS[command]}:")]
        if not own:
            raise InputError(
                f"question {question + 1} of those to ask has no id of {command}, but {shorten(names) or 'none'}. "
                f"Give --dataset what `embedllm collect` made of logs of {command}, or these logs."
            )
        task, _, id_ = own[0].rpartition(":")
        ids.setdefault(task, []).append(id_)
    return _lm_eval(ids, llm) if command == "lm_eval" else [_inspect(task, found, llm) for task, found in ids.items()]


def _lm_eval(ids: Mapping[str, Sequence[str]], llm: str) -> list[str]:
    samples = json.dumps({task: sorted(map(int, found)) for task, found in ids.items()})
    asked = ["--tasks", ",".join(ids), "--samples", samples, "--log_samples", "--output_path", "runs/new"]
    return [shlex.join(["lm_eval", "--model", "hf", "--model_args", f"pretrained={llm}", *asked])]


def _inspect(task: str, ids: Sequence[str], llm: str) -> str:
    return shlex.join(["inspect", "eval", task, "--model", llm, "--sample-id", ",".join(ids)])
