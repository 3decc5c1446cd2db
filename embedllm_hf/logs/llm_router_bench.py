"""Results of LLMRouterBench: `results/bench/<dataset>/<split>/<model>/<time>.json`, with what each answer cost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .records import Metric, Run, Runs, read_json, utc

HARNESS = "llm-router-bench"
_SCORE = Metric("score")


def is_results(content: Mapping[str, Any]) -> bool:
    """Whether an object is a file of results."""
    records = content.get("records")
    first = records[0] if isinstance(records, list) and records else None
    return isinstance(first, Mapping) and {"origin_query", "score"} <= first.keys()


def read(path: Path, runs: Runs) -> None:
    """Read the answers of one file into `runs`."""
    content = read_json(path)
    model, dataset = path.parent.name, path.parent.parent.parent.name
    llm = content.get("model_name") or model
    run = Run(
        str(path), HARNESS, llm, dataset, dataset, utc(content.get("timestamp") or path.stem[-15:]), primary=_SCORE
    )
    for row in content["records"]:
        text = str(row["origin_query"])
        number = runs.questions.number(dataset, text, str(row.get("index")), partial(dict, origin_query=text))
        run.add(number, _SCORE, row["score"])
        run.use(
            number,
            input_tokens=row.get("prompt_tokens"),
            output_tokens=row.get("completion_tokens"),
            cost=row.get("cost"),
        )
    runs.runs.append(run)
