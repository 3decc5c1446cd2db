"""`embedllm route`: the LLM for each question, the most probable one or the best under a cost."""

from __future__ import annotations

import argparse

from .._checks import brief
from .._errors import InputError
from ._options import COSTS_HELP, NO_ANSWERS, add_shared_options, beginning, print_json, print_json_line, split_names
from ._questions import QUESTIONS_HELP, read_questions

_WIDEST_NAME = 60  # of the column; a longer name moves its own line only
_BATCH = 1024  # questions that are routed, and then printed, together


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model")
    parser.add_argument(
        "--llms",
        help="choose among these LLMs only: names, patterns such as 'Qwen/*', facts such as license:mit, with commas",
    )
    parser.add_argument("--exclude", help="never choose these LLMs: the same")
    parser.add_argument(
        "--facts", help="CSV with `family`, `kind`, `license`, `params_billions` of the LLMs (default: --costs)"
    )
    for fact, many in (("family", "families"), ("kind", "kinds"), ("license", "licenses")):
        parser.add_argument(f"--{fact}", help=f"choose among LLMs of these {many}, or patterns of them, with commas")
    parser.add_argument("--max_params", type=float, help="choose among LLMs of at most so many billion parameters")
    parser.add_argument("--costs", help=COSTS_HELP)
    parser.add_argument(
        "--cost_weight", type=float, default=0.0, help="maximise probability - weight * cost (default: 0)"
    )
    parser.add_argument("--max_cost", type=float, help="choose among LLMs that cost at most so much")
    parser.add_argument(
        "--min_success",
        type=float,
        help="the cheapest LLM that reaches a threshold, so that this share of the unflagged answers is right",
    )
    parser.add_argument(
        "--strict", action="store_true", help="--min_success by each answer's own lower bound, which flags more"
    )
    parser.add_argument("--top_k", type=int, default=1, help="list so many LLMs a question (default: 1)")
    parser.add_argument("--explain", action="store_true", help="show the nearest known questions")
    parser.add_argument("--json", action="store_true", help="print JSON; for --questions an object a line")
    parser.add_argument("--questions", help=QUESTIONS_HELP)
    parser.add_argument("question", nargs="*", help="text of a question")


def main(options: argparse.Namespace) -> int:
    """Print one line, or one JSON object, a question."""
    if bool(options.question) == (options.questions is not None):
        raise InputError("expected questions as arguments or in a file (--questions), one of the two.")
    questions = options.question or read_questions(options.questions)

    from ..inference.policy import RoutingPolicy
    from ..inference.router import Router

    policy = RoutingPolicy(
        llms=split_names(options.llms),
        exclude=split_names(options.exclude) or (),
        family=split_names(options.family),
        kind=split_names(options.kind),
        license=split_names(options.license),
        max_params=options.max_params,
        costs=options.costs,
        facts=options.facts,
        cost_weight=options.cost_weight,
        max_cost=options.max_cost,
        min_success=options.min_success,
        strict=options.strict,
    )
    router = Router.from_pretrained(options.model, policy=policy)
    choice = {"top_k": options.top_k, "explain": options.explain}
    width = min(_WIDEST_NAME, max(len(brief(name)) for name in router.model.config.llm_names))
    printed = []
    for start in range(0, len(questions), _BATCH):
        block = questions[start : start + _BATCH]
        for question, decision in zip(block, router(block, **choice), strict=True):
            if not options.json:
                print(_line(question, decision, width))
            elif options.questions is not None:
                print_json_line(question, decision.to_dict())
            else:
                printed.append({"question": question, **decision.to_dict()})
    if printed:
        print_json(printed)
    return 0


def _line(question: str, decision, width: int) -> str:
    """The decision as text; ranking and evidence on lines of their own."""
    cost = "" if decision.cost is None else f"  cost {decision.cost:g}"
    flag = "  insufficient evidence" if decision.insufficient_evidence else ""
    flag += f"  {NO_ANSWERS}" if decision.without_answers else ""
    llm = brief(decision.llm)
    lines = [f"{llm:<{width}}  {decision.probability:.3f}{cost}{flag}  {beginning(question)}"]
    for place, other in enumerate(decision.ranking[1:], start=2):
        price = "" if other.cost is None else f"  cost {other.cost:g}"
        mark = f"  {NO_ANSWERS}" if other.without_answers else ""
        lines.append(f"  {place}. {brief(other.llm):<{width}}  {other.probability:.3f}{price}{mark}")
    lines += [
        f"  near: question {known.question_id} ({brief(known.category)}), similarity {known.similarity:.2f}, "
        f"{len(known.right)} of {len(known.right) + len(known.wrong)} LLMs right"
        for known in decision.evidence
    ]
    return "\n".join(lines)
