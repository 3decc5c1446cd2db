"""`embedllm forecast`: an LLM's chances with questions, or its score on a benchmark or on one's own questions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .._checks import brief
from .._errors import InputError
from ..bank.item_parameters import DEFAULT_STRATEGY
from ._answers import ANSWERS_HELP, read_llm_answers
from ._options import (
    NO_ANSWERS,
    add_shared_options,
    beginning,
    print_json,
    print_json_line,
    read_size,
    told_score,
    told_size,
)
from ._questions import QUESTIONS_HELP, read_questions

if TYPE_CHECKING:
    from ..inference.forecaster import Forecaster

_BATCH = 1024  # questions that are forecast, and then printed, together


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model")
    parser.add_argument("--llm", help="name of an LLM of the pool, or of the one that --answers are of")
    parser.add_argument(
        "--answers", help=f"answers to place a new LLM by, or to add to those of the pool's: {ANSWERS_HELP}"
    )
    parser.add_argument("--benchmark", help="a benchmark, or one of its categories, that the model knows")
    add_shared_options(parser, "known_only", "benchmark_size")
    parser.add_argument("--questions", help=f"one's own, {QUESTIONS_HELP}")
    parser.add_argument("--each", action="store_true", help="forecast each of --questions, not their mean")
    parser.add_argument("--json", action="store_true", help="print JSON; with --each an object a line")
    parser.add_argument("question", nargs="*", help="text of a question, each of which is forecast")


def main(options: argparse.Namespace) -> int:
    """Print the expected share of right answers, or each question's probability, with its 90% interval."""
    targets = [bool(options.question), options.benchmark is not None, options.questions is not None]
    if sum(targets) != 1:
        raise InputError("expected one of --benchmark, --questions, and questions as arguments.")
    if options.llm is None and options.answers is None:
        raise InputError("--llm is missing: the name of an LLM of the pool.")
    if options.each and options.questions is None:
        raise InputError("--each goes with --questions.")
    size = read_size(options)
    own = None if options.questions is None else read_questions(options.questions)

    from ..inference.forecaster import Forecaster

    forecaster = Forecaster.from_pretrained(options.model)
    if options.answers is not None:
        forecaster, options.llm = _with_answers(forecaster, options)
    if options.question or options.each:
        _print_each(forecaster, options.llm, options.question or own or [], as_json=options.json)
        return 0
    if own is None:
        forecast, target = forecaster.benchmark(options.llm, options.benchmark, **size), options.benchmark
    else:
        forecast, target = forecaster.questions(options.llm, own), options.questions
    if options.json:
        print_json(forecast.to_dict())
        return 0
    known, about = ("", "") if own is not None else (" that the model knows", f" for {told_size(options)}")
    observed = f"{forecast.n_observed} of {forecast.n_questions} questions{known} observed"
    unknown = f"; {NO_ANSWERS}" if forecast.without_answers else ""
    score = f"{told_score(forecast)}{about}"
    print(f"{brief(forecast.llm)} on {brief(target)}: {score} ({observed}{unknown})")
    return 0


def _with_answers(forecaster: Forecaster, options: argparse.Namespace) -> tuple[Forecaster, str]:
    """The forecaster of a model in which the LLM has these answers, too; the LLM's name."""
    from ..inference.forecaster import Forecaster
    from ..new_llms.onboarding import onboard, refine

    model = forecaster.model
    llm, answers, strategy = read_llm_answers(options.answers, options.llm, model.bank)
    if llm in model.config.llm_names:
        return Forecaster(refine(model, llm, answers, strategy=strategy)), llm
    return Forecaster(onboard(model, llm, answers, strategy=strategy or DEFAULT_STRATEGY)), llm


def _print_each(forecaster: Forecaster, llm: str, questions: list[str], *, as_json: bool) -> None:
    """A line, or a JSON object, a question, as soon as its batch is done."""
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        for question, forecast in zip(batch, forecaster.answers(llm, batch), strict=True):
            if as_json:
                print_json_line(question, forecast.to_dict())
            else:
                interval = f"90% interval [{forecast.low:.3f}, {forecast.high:.3f}]"
                flag = f"  {NO_ANSWERS}" if forecast.without_answers else ""
                print(f"{forecast.probability:.3f}  {interval}{flag}  {beginning(question)}")
