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
    from ..inference.similar import similar_llms
    from ..modeling_embedllm import EmbedLLM

    model, exclude = EmbedLLM.from_pretrained(options.model), split_names(options.exclude) or ()
    found = similar_llms(model, options.llm, options.n, exclude=exclude)
    if options.json:
        print_json([other.to_dict() for other in found])
        return 0
    width = max(len("llm"), *(len(other.llm) for other in found)) if found else 3
    print(f"{'llm':<{width}}  agreement  distance  shared questions: same")
    for other in found:
        same = "-" if other.shared_agreement is None else f"{other.shared_agreement:.3f}"
        print(f"{other.llm:<{width}}  {other.agreement:9.3f}  {other.distance:8.3f}  {other.n_shared:16,}: {same}")
    return 0
