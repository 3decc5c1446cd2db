"""One LLM's graded answers, from a table of the user's own or from evaluation logs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .._errors import InputError

if TYPE_CHECKING:
    from ..bank.question_bank import QuestionBank

ANSWERS_HELP = (
    ".csv or .jsonl with `prompt_id` or `prompt`, and `label`; or an evaluation log, a file or a folder, of lm-eval, "
    "Inspect, lighteval, promptfoo and others"
)


class Answers(NamedTuple):
    """Whose answers, which, and how their questions were chosen, as far as that is known."""

    llm: str
    answers: dict[str | int, float]
    strategy: str | None


def read_llm_answers(source: str, llm: str | None, bank: QuestionBank | None) -> Answers:
    """One LLM's answers; a log names the LLM itself. What was read of a log is said on standard error.

    Raises:
        ValueError: If a table is given without the LLM's name, or as `read_answers` and `read_logs` have it.
    """
    from ..data.evaluation_logs import read_logs
    from ..logs.formats import reader_of
    from ..new_llms.answers import read_answers

    path = Path(source)
    if bank is None or not (path.is_dir() or (path.is_file() and reader_of(path) is not None)):
        answers = read_answers(path, bank)
        if llm is None:
            raise InputError("--llm is missing: a table of answers does not name the LLM.")
        return Answers(llm, answers, None)
    logs = read_logs(path)
    found = logs.answers(bank, llm)
    for line in (*found.report, *logs.remarks()):
        print(line, file=sys.stderr)
    return Answers(llm or found.llm, {**found.answers}, "adaptive" if found.is_adaptive else None)
