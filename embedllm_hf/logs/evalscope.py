"""Reviews of EvalScope: JSON Lines in `reviews/<model>/<dataset>_<subset>.jsonl`, a row an answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .records import Metric, Run, Runs, json_lines

HARNESS = "evalscope"


def is_review(row: Mapping[str, Any]) -> bool:
    """Whether an object is a row of such a file."""
    return {"sample_score", "messages"} <= row.keys()


def read(path: Path, runs: Runs) -> None:
    """Read the answers of one file into `runs`."""
    run = None
    for row in json_lines(path, runs):
        if run is None:
            run = Run(str(path), HARNESS, _llm(row) or path.parent.name, path.stem, path.stem)
        _add(run, row, runs)
    if run is not None:
        runs.runs.append(run)


def _add(run: Run, row: dict[str, Any], runs: Runs) -> None:
    """One row: its question, and its score by the metric that the row names as the main one."""
    scored = row["sample_score"]
    score, asked = scored.get("score") or {}, [one for one in row["messages"] if one.get("role") == "user"]
    text = str(asked[0].get("content") or "") if asked else ""
    number = runs.questions.number(
        run.task, text, str(scored.get("group_id", row.get("index"))), lambda: {"messages[0]": text}
    )
    if score.get("status", "success") != "success":
        run.not_scored[f"status {score['status']}"] += 1
        return
    main = score.get("main_score_name")
    if run.primary is None and main:
        run.primary = Metric(main)
    for name, value in (score.get("value") or {}).items():
        run.add(number, Metric(name), value)
    answer = next((one for one in reversed(row["messages"]) if one.get("perf_metrics")), None)
    if answer is not None:
        used = answer["perf_metrics"]
        run.use(
            number,
            input_tokens=used.get("input_tokens"),
            output_tokens=used.get("output_tokens"),
            seconds=used.get("latency"),
        )


def _llm(row: Mapping[str, Any]) -> str | None:
    """The LLM with its organisation, which the folder drops."""
    return next((one["model"] for one in row["messages"] if one.get("model")), None)
