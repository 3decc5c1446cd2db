"""`embedllm leaderboard`: the pool ranked on one's own questions, none of them answered yet."""

from __future__ import annotations

import argparse

from ._options import print_json
from ._questions import read_questions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--model", required=True, help="Hub id or folder of a trained model")
    parser.add_argument(
        "--questions", required=True, help="file of questions: .txt (one a line), .jsonl or .csv; - is standard input"
    )
    parser.add_argument("--llms", help="rank these LLMs only, with commas")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> int:
    """Print a line an LLM, the best first."""
    questions = read_questions(options.questions)

    from ..leaderboard import Leaderboard

    llms = None if options.llms is None else [name.strip() for name in options.llms.split(",") if name.strip()]
    rows = Leaderboard.from_pretrained(options.model)(questions, llms=llms)
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
