"""`embedllm drift`: whether an LLM is still the one that the pool measured, from a file of fresh graded answers."""

from __future__ import annotations

import argparse

from ._answers import ANSWERS_HELP, read_llm_answers
from ._options import add_shared_options, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model")
    parser.add_argument("--llm", help="name of an LLM of the pool (default: the one that an evaluation log is of)")
    parser.add_argument("--answers", required=True, help=f"its fresh answers in their order: {ANSWERS_HELP}")
    parser.add_argument(
        "--level", type=float, default=0.05, help="chance of a false alarm, however often one looks (default: 0.05)"
    )
    add_shared_options(parser, "json")


def main(options: argparse.Namespace) -> int:
    """Print the verdict, the estimated change and the benchmarks that moved."""
    from ..modeling_embedllm import EmbedLLM
    from ..new_llms.drift import drift

    model = EmbedLLM.from_pretrained(options.model)
    llm, answers, _ = read_llm_answers(options.answers, options.llm, model.bank)
    report = drift(model, llm, answers, level=options.level)
    if options.json:
        print_json(report.to_dict())
    else:
        print(report)
    return 0
