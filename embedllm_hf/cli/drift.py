"""`embedllm drift`: whether an LLM is still the one that the pool measured, from a file of fresh graded answers."""

from __future__ import annotations

import argparse

from ._options import add_shared_options, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model", "llm")
    parser.add_argument(
        "--answers", required=True, help="its fresh answers in their order: .csv or .jsonl, as for `embedllm onboard`"
    )
    parser.add_argument(
        "--level", type=float, default=0.05, help="chance of a false alarm, however often one looks (default: 0.05)"
    )
    add_shared_options(parser, "json")


def main(options: argparse.Namespace) -> int:
    """Print the verdict, the estimated change and the benchmarks that moved."""
    from ..modeling_embedllm import EmbedLLM
    from ..new_llms.answers import read_answers
    from ..new_llms.drift import drift

    model = EmbedLLM.from_pretrained(options.model)
    report = drift(model, options.llm, read_answers(options.answers, model.bank), level=options.level)
    if options.json:
        print_json(report.to_dict())
    else:
        print(report)
    return 0
