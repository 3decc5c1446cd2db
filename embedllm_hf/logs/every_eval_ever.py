"""Samples of Every Eval Ever, schema 0.3: JSON Lines, a row a question and metric, beside an aggregate.

Rows without an `evaluation_result_id` were not measured, whatever score stands there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .records import NO_FILTER, Metric, Run, Runs, json_lines, read_json, utc
from .texts import options_of, with_options

HARNESS = "every-eval-ever"
_SUFFIX = "_samples"


def is_sample(row: Mapping[str, Any]) -> bool:
    """Whether an object is a row of such a file."""
    return {"schema_version", "model_id", "evaluation", "sample_id"} <= row.keys()


def read(path: Path, runs: Runs) -> None:
    """Read the answers of one file into `runs`, a run for each LLM and benchmark in it."""
    beside = path.with_name(f"{path.stem.removesuffix(_SUFFIX)}.json")
    content = read_json(beside) if beside.is_file() else {}
    described = {one.get("evaluation_result_id"): one for one in content.get("evaluation_results") or ()}
    found: dict[tuple[str, str], Run] = {}
    for row in json_lines(path, runs):
        result = row.get("evaluation_result_id")
        about = described.get(result) or {}
        named = (about.get("source_data") or {}).get("dataset_name") or row.get("evaluation_name") or path.parent.name
        benchmark = str(named) if about else str(named).partition("/")[0]
        run = found.get((row["model_id"], benchmark))
        if run is None:
            time = utc(_seconds(content.get("evaluation_timestamp")))
            run = found[row["model_id"], benchmark] = Run(
                str(path), HARNESS, row["model_id"], benchmark, benchmark, time
            )
        _add(run, row, about, runs)
    runs.runs += found.values()


def _add(run: Run, row: dict[str, Any], about: Mapping[str, Any], runs: Runs) -> None:
    """One row: its question, and its score if it was measured."""
    given = row.get("input") or {}
    raw = str(given.get("raw") or "")
    number = runs.questions.number(run.task, raw, str(row["sample_id"]), lambda: _texts(raw, given))
    result, evaluation = row.get("evaluation_result_id"), row.get("evaluation") or {}
    if result is None or row.get("error"):
        run.not_scored["an error" if row.get("error") else "not measured"] += 1
        return
    name, _, filter_ = str(result).partition(":")
    metric = Metric(name, filter_ or NO_FILTER)
    config = about.get("metric_config") or {}
    if config.get("lower_is_better"):
        run.lower_is_better.add(name)
    score = (about.get("score_details") or {}).get("score")
    if isinstance(score, (int, float)):
        run.aggregates[metric] = float(score)
    run.add(number, metric, evaluation.get("score"))
    tokens, performance = row.get("token_usage") or {}, row.get("performance") or {}
    run.use(number, input_tokens=tokens.get("input_tokens"), output_tokens=tokens.get("output_tokens"))
    if performance.get("latency_ms") is not None:
        run.use(number, seconds=performance["latency_ms"] / 1000)


def _texts(raw: str, given: Mapping[str, Any]) -> dict[str, str]:
    """What the LLM was given; with its options if they are not in it."""
    options = options_of(given)
    if options and not all(option in raw for option in options):
        return {"input.raw + choices": with_options(raw, options), "input.raw": raw}
    return {"input.raw": raw}


def _seconds(timestamp: object) -> object:
    """A time that stands there as a text of digits."""
    try:
        return float(str(timestamp))
    except ValueError:
        return timestamp
