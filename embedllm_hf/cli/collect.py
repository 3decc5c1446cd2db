"""`embedllm collect`: evaluation logs of several LLMs into a data set of responses, with a report to check before."""

from __future__ import annotations

import argparse
from pathlib import Path

from .._checks import brief
from .._errors import InputError
from ._options import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("logs", nargs="+", help="files, folders, or ids of Hub data sets of details")
    parser.add_argument("--output_dir", required=True, help="folder of the data set")
    parser.add_argument(
        "--metric",
        action="append",
        metavar="TASK=NAME",
        help="the score that counts, of a task or a pattern of tasks, repeatable: 'gsm8k*=exact_match,strict-match'",
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        metavar="COLUMN=NAME",
        help="for tables of another form: prompt=input label=scores.correct model_name=model (or model_name==lab/new)",
    )
    parser.add_argument("--rename", help="CSV with `name` and `new_name` of LLMs; two may become one")
    parser.add_argument(
        "--benchmarks", help="CSV with `task` and `benchmark`, where the harness's groups are not meant"
    )
    parser.add_argument("--push_to_hub", metavar="ID", help="upload the data set to this repository of the Hub")
    parser.add_argument("--private", action="store_true", help="make that a private one, if it is made")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def pairs_of(option: str, given: list[str] | None) -> dict[str, str] | None:
    """`name=value` of an option."""
    if given is None:
        return None
    pairs = [text.partition("=") for text in given]
    wrong = next((text for text, (name, sign, value) in zip(given, pairs, strict=True) if not name or not value), None)
    if wrong is not None:
        raise InputError(f"{option} {wrong}: expected a name, = and a value.")
    return {name: value for name, _, value in pairs}


def main(options: argparse.Namespace) -> int:
    """Read, save, print what was read."""
    from ..data.evaluation_logs import check_may_hold_collection, read_logs
    from ..data.sources import load_splits

    metrics, columns = pairs_of("--metric", options.metric), pairs_of("--columns", options.columns)
    named = {"metrics": metrics, "columns": columns, "rename": options.rename, "benchmarks": options.benchmarks}
    check_may_hold_collection(Path(options.output_dir))
    logs = read_logs(options.logs, **named)
    logs.save(options.output_dir)
    data = load_splits(options.output_dir)
    if options.json:
        print_json(logs.to_dict())
    else:
        print(logs.summary())
        for name, split in data.items():
            print(f"{name}: {split.n_questions:,} questions, {split.n_observed:,} responses")
        where = brief(options.output_dir)
        print(f"{len(data.llm_names):,} LLMs; saved to {where}: check the table above before training")
    if options.push_to_hub:
        print(f"pushed: {logs.push_to_hub(options.push_to_hub, private=options.private or None)}")
    return 0
