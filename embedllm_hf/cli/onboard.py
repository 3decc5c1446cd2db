"""`embedllm onboard`: place a new LLM in a trained model from a file of graded answers."""

from __future__ import annotations

import argparse

from .._checks import brief
from ..bank.item_parameters import DEFAULT_STRATEGY, STRATEGIES
from ._answers import ANSWERS_HELP, read_llm_answers
from ._options import add_shared_options, told_score

_MOST_BENCHMARKS = 20  # that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model")
    parser.add_argument("--llm", help="name of the new LLM (default: the one that an evaluation log is of)")
    parser.add_argument("--answers", required=True, help=ANSWERS_HELP)
    parser.add_argument("--output_dir", required=True, help="folder of the model with the new LLM")
    parser.add_argument("--refine", action="store_true", help="the LLM is in the pool: add these answers to its own")
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        help=f"how the questions were chosen, which the intervals depend on (default: {DEFAULT_STRATEGY})",
    )
    parser.add_argument("--overwrite_output_dir", action="store_true", help="replace a model that the folder holds")


def main(options: argparse.Namespace) -> int:
    """Place, save, and print the LLM's expected scores."""
    from ..inference.base import bank_of
    from ..inference.forecaster import Forecaster
    from ..modeling_embedllm import EmbedLLM
    from ..new_llms.onboarding import onboard, refine
    from ..training.runs import check_output_dir

    check_output_dir(options.output_dir, may_hold_model=options.overwrite_output_dir)
    model = EmbedLLM.from_pretrained(options.model)
    llm, answers, strategy = read_llm_answers(options.answers, options.llm, model.bank)
    strategy = options.strategy or strategy
    if options.refine:
        model = refine(model, llm, answers, strategy=strategy)
    else:
        model = onboard(model, llm, answers, strategy=strategy or DEFAULT_STRATEGY)
    model.save_pretrained(options.output_dir)
    forecaster, benchmarks = Forecaster(model), list(bank_of(model).benchmarks)
    for benchmark in benchmarks[:_MOST_BENCHMARKS]:
        forecast = forecaster.benchmark(llm, benchmark)
        print(f"{brief(benchmark)}: {told_score(forecast)}")
    if len(benchmarks) > _MOST_BENCHMARKS:
        print(f"and {len(benchmarks) - _MOST_BENCHMARKS:,} more benchmarks; `embedllm forecast` tells each")
    named, folder = brief(llm), brief(options.output_dir)
    print(f"placed {named} from {len(answers):,} answers; saved to {folder}")
    return 0
