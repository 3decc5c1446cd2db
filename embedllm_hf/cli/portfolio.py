"""`embedllm portfolio`: the few LLMs that answer most between them, under a number or a budget."""

from __future__ import annotations

import argparse

from ._options import COSTS_HELP, add_shared_options, print_json, read_fixed_costs
from ._questions import read_questions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model")
    parser.add_argument("--size", type=int, help="at most so many LLMs")
    parser.add_argument("--budget", type=float, help="at most so much summed cost")
    parser.add_argument("--costs", help=COSTS_HELP)
    parser.add_argument("--cost_column", help="another column of --costs, `params_billions` for instance")
    parser.add_argument(
        "--questions", help="file of questions that they will be asked; - is standard input (default: the known ones)"
    )
    add_shared_options(parser, "json")


def main(options: argparse.Namespace) -> int:
    """Print the LLMs in the order in which they add most."""
    from .._checks import shorten
    from .._tables import format_table
    from ..inference.portfolio import portfolio
    from ..modeling_embedllm import EmbedLLM

    questions = None if options.questions is None else read_questions(options.questions)
    model = EmbedLLM.from_pretrained(options.model)
    encoder, costs = model.encoder, None
    if options.costs is not None:
        costs = read_fixed_costs(options.costs, encoder, questions, column=options.cost_column)
    embeds = None if questions is None else encoder.encode(questions)
    chosen = portfolio(model, size=options.size, budget=options.budget, costs=costs, question_embeds=embeds)
    if options.json:
        print_json(chosen.to_dict())
        return 0
    for why, names in (("cost", chosen.without_cost), ("known answers", chosen.without_answers)):
        if names:
            print(f"left out, since they have no {why}: {shorten(names)}")
    steps = zip(chosen.llms, chosen.steps, strict=True)
    print(format_table(["llm", "accuracy up to here"], [[name, f"{accuracy:.3f}"] for name, accuracy in steps]))
    how = "best of all choices" if chosen.exact else "greedy choice"
    cost = "" if chosen.cost is None else f", cost {chosen.cost:g}"
    print(
        f"expected accuracy of routing: {chosen.expected_accuracy:.3f} with {len(chosen.llms)} LLMs{cost} ({how}), "
        f"{chosen.pool_accuracy:.3f} with all"
    )
    return 0
