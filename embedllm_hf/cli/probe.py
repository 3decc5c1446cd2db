"""`embedllm probe`: the next questions worth asking an LLM, as a list or one after the other."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .._checks import brief
from .._errors import InputError, visible
from ..bank.item_parameters import STRATEGIES
from ..logs.commands import COMMANDS
from ._answers import ANSWERS_HELP, read_llm_answers
from ._options import add_shared_options, beginning, print_json

if TYPE_CHECKING:
    from ..modeling_embedllm import EmbedLLM
    from ..new_llms.probing import Probes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model")
    parser.add_argument("--llm", help="name of the LLM, of the pool or a new one (default: the one that a log is of)")
    parser.add_argument("--answers", help=f"its answers so far: {ANSWERS_HELP}")
    parser.add_argument(
        "--benchmark", action="append", help="the score to know, repeatable (default: all benchmarks, counting alike)"
    )
    add_shared_options(parser, "known_only")
    parser.add_argument("--against", help="another LLM: ask what tells which of the two scores higher")
    parser.add_argument(
        "--against_answers", help="its answers so far, if it is not one of the pool: a file as --answers"
    )
    parser.add_argument("-n", type=int, default=10, help="how many questions, at most (default: 10)")
    parser.add_argument("--until_width", type=float, help="ask no more once the 90%% interval is narrower, 0.05 say")
    parser.add_argument("--strategy", choices=STRATEGIES, default="adaptive", help="how to choose (default: adaptive)")
    parser.add_argument("--seed", type=int, default=0, help="of the random and stratified choice (default: 0)")
    parser.add_argument("--dataset", help="Hub id or folder that the questions' texts are read from")
    parser.add_argument(
        "--command",
        choices=tuple(COMMANDS),
        help="print the harness's own call for these questions, by the ids that --dataset has, or its logs",
    )
    parser.add_argument(
        "--for_drift",
        action="store_true",
        help="an LLM of the pool: ask again what tells whether it has changed; --answers are its fresh ones",
    )
    parser.add_argument("--interactive", action="store_true", help="ask here, and add each answer to --answers")
    add_shared_options(parser, "json")


def main(options: argparse.Namespace) -> int:
    """Print the next questions, or ask them."""
    from ..modeling_embedllm import EmbedLLM
    from ..new_llms.answers import read_answers
    from ..new_llms.probing import probe

    _check(options)
    if options.for_drift:
        return list_for_drift(options)
    model = EmbedLLM.from_pretrained(options.model)
    answers: dict[str | int, float] = {}
    if options.answers is not None and (Path(options.answers).exists() or not options.interactive):
        options.llm, answers, _ = read_llm_answers(options.answers, options.llm, model.bank)
    choice = {"benchmark": options.benchmark, "strategy": options.strategy, "seed": options.seed}
    choice |= {"against": options.against, "known_only": options.known_only}
    if options.against_answers is not None:
        choice["against_answers"] = read_answers(options.against_answers, model.bank)
    n = min(options.n, 1) if options.interactive else options.n  # `ask` chooses the rest, one by one
    plan = probe(model, options.llm, answers, n=n, **choice)
    texts = {} if options.dataset is None else read_texts(options.dataset)
    if options.interactive:
        return ask(model, options, answers, choice, texts)
    if options.json:
        print_json(plan.to_dict())
        return 0
    print_plan(plan, options, calls_for(model, plan.question_ids, options), texts)
    return 0


def print_plan(plan: Probes, options: argparse.Namespace, calls: Sequence[str], texts: Mapping[int, str]) -> None:
    """What is known of the LLM, the next questions, and what they will tell."""
    from ..new_llms.probing import is_known

    print(_known(options.llm, plan))
    if is_known(plan, options.until_width):
        print("no more questions are needed")
        return
    if not plan.question_ids:
        print("it has answered all questions that the model knows")
        return
    _print_questions(plan.question_ids, plan.benchmarks, texts)
    later = plan.expected_width if plan.lead is None else plan.lead.expected_width
    print(f"with these {len(plan.question_ids)} the interval's width becomes about {later:.3f}")
    for call in calls:
        print(call)


def _check(options: argparse.Namespace) -> None:
    """Refuse options that lack another one, before anything is loaded."""
    if options.interactive and (options.answers is None or options.dataset is None):
        raise InputError("--interactive needs --answers, the file to add to, and --dataset, to show the questions.")
    if options.command is not None and options.dataset is None:
        raise InputError("--command needs --dataset: a data set that `embedllm collect` made, or the logs themselves.")
    if options.llm is None and options.answers is None:
        raise InputError("--llm is missing: the name of the LLM, of the pool or a new one.")
    if options.until_width is not None and not 0 < options.until_width < 1:
        raise InputError(f"--until_width is {options.until_width:g}, expected a width in (0, 1).")


def calls_for(model: EmbedLLM, question_ids: Sequence[int], options: argparse.Namespace) -> list[str]:
    """The harness's calls that ask some questions, if they are wanted."""
    if options.command is None:
        return []
    from ..data.sources import load_question_names
    from ..inference.base import bank_of
    from ..logs.commands import commands

    bank, names = bank_of(model), load_question_names(options.dataset)
    keys = bank.keys[bank.rows_of_ids(question_ids)].tolist()
    return commands(options.command, [names.get(key, []) for key in keys], options.llm)


def list_for_drift(options: argparse.Namespace) -> int:
    """Print the next questions that tell whether an LLM of the pool has changed."""
    from ..modeling_embedllm import EmbedLLM
    from ..new_llms.drift_probes import drift_probes

    for name in ("against", "against_answers", "until_width", "interactive"):
        if getattr(options, name) not in (None, False):
            raise InputError(f"--{name} does not go with --for_drift. Leave one of them out.")
    model = EmbedLLM.from_pretrained(options.model)
    answers: dict[str | int, float] = {}
    if options.answers is not None:
        options.llm, answers, _ = read_llm_answers(options.answers, options.llm, model.bank)
    choice = {"n": options.n, "benchmark": options.benchmark, "strategy": options.strategy, "seed": options.seed}
    plan = drift_probes(model, options.llm, answers, **choice)
    if options.json:
        print_json(plan.to_dict())
        return 0
    calls = calls_for(model, plan.question_ids, options)
    _print_questions(
        plan.question_ids, plan.benchmarks, {} if options.dataset is None else read_texts(options.dataset)
    )
    print(f"{len(plan.question_ids)} of {plan.n_left:,} that are left; see what they tell with `embedllm drift`")
    for call in calls:
        print(call)
    return 0


def ask(
    model: EmbedLLM,
    options: argparse.Namespace,
    answers: dict[str | int, float],
    choice: dict,
    texts: Mapping[int, str],
) -> int:
    """Show one question after the other and read its grade, until the score is known, `-n` are asked or input ends."""
    from ..new_llms.answers import append_answer
    from ..new_llms.probing import is_known, probe

    for number in range(options.n + 1):
        plan = probe(model, options.llm, answers, n=1, **choice)
        print(_known(options.llm, plan))
        if is_known(plan, options.until_width) or not plan.question_ids or number == options.n:
            break
        id_ = plan.question_ids[0]
        text = visible_lines(texts.get(id_, "(not in this data set)"))
        print(f"\nQuestion {id_} ({brief(plan.benchmarks[0])}):\n{text}\n")
        grade = read_grade()
        if grade is None:
            break
        append_answer(options.answers, id_, grade)
        answers[id_] = grade
    command = f"embedllm onboard --strategy {options.strategy}"
    print(f"{len(answers):,} answers in {visible(options.answers)}; place the LLM with `{command}`")
    return 0


def read_grade() -> float | None:
    """A grade from standard input: y, n, or a number in [0, 1]; None for q or the end of the input."""
    while True:
        print("Was its answer right? [y/n, a grade in [0, 1], q to end] ", end="", flush=True)
        line = sys.stdin.readline()
        text = line.strip().lower()
        if not line or text == "q":
            print()
            return None
        if text in ("y", "n"):
            return float(text == "y")
        try:
            grade = float(text)
        except ValueError:
            continue
        if 0 <= grade <= 1:
            return grade


def visible_lines(text: str) -> str:
    """A text as it may be shown whole: its line breaks stay."""
    return "\n".join(map(visible, text.splitlines()))


def read_texts(dataset: str) -> dict[int, str]:
    """The text of each `prompt_id` of a data set, from all its splits."""
    from ..data.sources import load_questions

    ids, texts = load_questions(dataset)
    return dict(zip(ids.tolist(), texts, strict=True))


def _print_questions(question_ids: Sequence[int], benchmarks: Sequence[str], texts: Mapping[int, str]) -> None:
    """A line a question: its id, its benchmark, and how its text begins."""
    for id_, benchmark in zip(question_ids, benchmarks, strict=True):
        print(f"{id_}\t{brief(benchmark)}\t{beginning(texts.get(id_, ''), 100)}".rstrip())


def _known(llm: str, plan: Probes) -> str:
    """One line: the LLM's score, and a second one with its lead over the other LLM, if there is one."""
    own = f"{plan.accuracy:.3f}, 90% interval [{plan.low:.3f}, {plan.high:.3f}], width {plan.width:.3f}"
    line = f"{visible(llm)}: {own}, from {plan.n_answers} answers"
    if plan.lead is None:
        return line
    lead = plan.lead
    other = visible(lead.against)
    verdict = f"{visible(llm) if lead.difference > 0 else other} is better" if lead.decided else "not decided"
    gap = f"{lead.difference:+.3f}, 90% interval [{lead.low:+.3f}, {lead.high:+.3f}], width {lead.width:.3f}"
    return f"{line}\nminus {other}: {gap}: {verdict}"
