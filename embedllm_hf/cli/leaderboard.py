"""`embedllm leaderboard`: the pool ranked on one's own questions, none of them answered yet, or on a benchmark."""

from __future__ import annotations

import argparse

from ._options import add_shared_options, print_json, read_size, split_names, told_size
from ._questions import QUESTIONS_HELP, read_questions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--questions", help=QUESTIONS_HELP)
    target.add_argument("--benchmark", help="a benchmark, or one of its categories, that the model knows")
    add_shared_options(parser, "known_only", "benchmark_size")
    parser.add_argument("--llms", help="rank these LLMs only, with commas")
    add_shared_options(parser, "json")


def main(options: argparse.Namespace) -> int:
    """Print a line an LLM, the best first."""
    size = read_size(options)
    questions = None if options.questions is None else read_questions(options.questions)

    from .._checks import shorten
    from .._tables import format_table
    from ..inference.leaderboard import Leaderboard

    llms = split_names(options.llms)
    board = Leaderboard.from_pretrained(options.model)
    if questions is None:
        rows = board.benchmark(options.benchmark, llms=llms, **size)
    else:
        rows = board(questions, llms=llms)
    if options.json:
        print_json([row.to_dict() for row in rows])
        return 0
    cells = [
        [
            f"- {row.llm}" if row.without_answers else f"{row.rank}. {row.llm}",
            f"{row.accuracy:.3f}",
            f"[{row.low:.3f}, {row.high:.3f}]",
            "" if row.beats_next is None else f"{row.beats_next:.2f}",
            "" if row.only_one is None else f"{row.only_one:.3f}",
        ]
        for row in rows
    ]
    print(format_table(["llm", "accuracy", "90% interval", "beats next", "alone right"], cells))
    if questions is None:
        print(f"interval and comparison are for {told_size(options)}")
    unknown = [row.llm for row in rows if row.without_answers]
    if unknown:
        print(f"not ranked, since no answers of them are known: {shorten(unknown)}")
    return 0
