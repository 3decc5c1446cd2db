"""`embedllm forecast`: an LLM's expected score on a known benchmark, or on one's own questions."""

from __future__ import annotations

import argparse

from ._options import print_json
from ._questions import read_questions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--model", required=True, help="Hub id or folder of a trained model")
    parser.add_argument("--llm", required=True, help="name of an LLM of the pool")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--benchmark", help="a benchmark, or one of its categories, that the model knows")
    target.add_argument("--questions", help="one's own: .txt (one a line), .jsonl or .csv; - is standard input")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> int:
    """Print the expected share of right answers with its 90% interval."""
    from ..forecasting import Forecaster

    forecaster = Forecaster.from_pretrained(options.model)
    if options.benchmark is not None:
        forecast, target = forecaster.benchmark(options.llm, options.benchmark), options.benchmark
    else:
        forecast, target = forecaster.questions(options.llm, read_questions(options.questions)), options.questions
    if options.json:
        print_json(forecast.to_dict())
        return 0
    print(
        f"{forecast.llm} on {target}: {forecast.accuracy:.3f}, 90% interval [{forecast.low:.3f}, {forecast.high:.3f}] "
        f"({forecast.n_observed} of {forecast.n_questions} questions observed)"
    )
    return 0
