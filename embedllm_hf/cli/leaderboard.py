"""`embedllm leaderboard`: the pool ranked on one's own questions, none of them answered yet, or on a benchmark."""

from __future__ import annotations

import argparse

from ._options import add_shared_options, print_json, split_names
from ._questions import QUESTIONS_HELP, read_questions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--questions", help=QUESTIONS_HELP)
    target.add_argument("--benchmark", help="a benchmark, or one of its categories, that the model knows")
    parser.add_argument("--llms", help="rank these LLMs only, with commas")
    add_shared_options(parser, "json")


def main(options: argparse.Namespace) -> int:
    """Print a line an LLM, the best first."""
    questions = None if options.questions is None else read_questions(options.questions)

    from ..inference.leaderboard import Leaderboard

    llms = split_names(options.llms)
    board = Leaderboard.from_pretrained(options.model)
    rows = board.benchmark(options.benchmark, llms=llms) if questions is None else board(questions, llms=llms)
    if options.json:
        print_json([row.to_dict() for row in rows])
        return 0
    width = max(len(row.llm) for row in rows)
    print(f"{'':>3}  {'':<{width}}  accuracy  90% interval    beats next  alone right")
    for row in rows:
        beats = "" if row.beats_next is None else f"{row.beats_next:.2f}"
        interval = f"[{row.low:.3f}, {row.high:.3f}]"
        print(f"{row.rank:>3}  {row.llm:<{width}}  {row.accuracy:8.3f}  {interval}  {beats:>10}  {row.only_one:11.3f}")
    return 0
