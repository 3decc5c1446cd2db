"""`embedllm similar`: the LLMs that are right on the same questions as one, and so could stand in for it."""

from __future__ import annotations

import argparse

from ._options import add_shared_options, print_json, split_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model", "llm")
    parser.add_argument("-n", type=int, default=5, help="how many to list (default: 5)")
    parser.add_argument("--exclude", help="LLMs that are not there to stand in for it, with commas")
    add_shared_options(parser, "json")


def main(options: argparse.Namespace) -> int:
    """Print a line an LLM, the most alike first."""
    from .._tables import format_table
    from ..inference.similar import similar_llms
    from ..modeling_embedllm import EmbedLLM

    model, exclude = EmbedLLM.from_pretrained(options.model), split_names(options.exclude) or ()
    found = similar_llms(model, options.llm, options.n, exclude=exclude)
    if options.json:
        print_json([other.to_dict() for other in found])
        return 0
    cells = [
        [
            other.llm,
            f"{other.agreement:.3f}",
            f"{other.distance:.3f}",
            f"{other.n_shared:,}",
            "-" if other.shared_agreement is None else f"{other.shared_agreement:.3f}",
        ]
        for other in found
    ]
    print(format_table(["llm", "agreement", "distance", "shared questions", "same answers"], cells))
    return 0
