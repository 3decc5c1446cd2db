"""`embedllm route`: the LLM that most probably answers each question correctly."""

from __future__ import annotations

import argparse

from ._options import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--model", required=True, help="Hub id or folder of a trained model")
    parser.add_argument("--llms", help="choose among these LLMs only, separated by commas")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("questions", nargs="+", metavar="question", help="text of a question")


def main(options: argparse.Namespace) -> int:
    """Print one line, or one JSON object, a question."""
    from ..routing import Router

    llms = None if options.llms is None else [name.strip() for name in options.llms.split(",") if name.strip()]
    decisions = Router.from_pretrained(options.model)(options.questions, llms=llms)
    if options.json:
        asked = zip(options.questions, decisions, strict=True)
        print_json([{"question": question, **decision.to_dict()} for question, decision in asked])
        return 0
    width = max(len(decision.llm) for decision in decisions)
    for question, decision in zip(options.questions, decisions, strict=True):
        print(f"{decision.llm:<{width}}  {decision.probability:.3f}  {' '.join(question.split())[:80]}")
    return 0
