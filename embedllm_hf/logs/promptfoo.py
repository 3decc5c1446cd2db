"""Results of promptfoo (`promptfoo eval -o results.json`): one file holds a whole pool of providers.

Whether an answer passed counts: `score` is the mean of all assertions, whatever they are about. Rows that ended with
an error are missing, not wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .records import Metric, Run, Runs, read_json, utc
from .texts import texts_of_fields

HARNESS = "promptfoo"
_PASSED = Metric("success")
_ERROR = 2  # of failureReason: 0 none, 1 an assertion


def is_results(content: Mapping[str, Any]) -> bool:
    """Whether an object is a file of results."""
    return isinstance(content.get("results"), Mapping) and {"results", "prompts"} <= content["results"].keys()


def read(path: Path, runs: Runs) -> None:
    """Read the answers of one file into `runs`, a run for each provider and benchmark.

    Raises:
        ValueError: If it is no whole JSON.
    """
    content = read_json(path)
    results, found = content["results"], dict[tuple[str, str], Run]()
    time, default = utc(results.get("timestamp")), content.get("config", {}).get("description") or path.parent.name
    for row in results["results"]:
        _add(row, found, str(path), time, default or path.stem, runs)
    if not found:
        runs.left_out.append((str(path), "it holds no results; --no-write leaves them out"))
    runs.runs += found.values()


def _add(row: dict[str, Any], found: dict, path: str, time: str, default: str, runs: Runs) -> None:
    """One row: its run, its question, whether it passed."""
    provider, variables = row["provider"], row["vars"]
    llm = provider.get("label") or provider["id"]
    case = row.get("testCase") or {}
    metadata = {**(row.get("metadata") or {}), **(case.get("metadata") or {})}
    benchmark = str(metadata.get("benchmark") or default)
    run = found.get((llm, benchmark))
    if run is None:
        run = found[llm, benchmark] = Run(path, HARNESS, llm, benchmark, benchmark, time, primary=_PASSED)
    key = json.dumps(variables, sort_keys=True, ensure_ascii=False)
    source = str(case.get("description") or row.get("testIdx"))
    number = runs.questions.number(benchmark, key, source, lambda: _texts(variables, row))
    if row.get("failureReason") == _ERROR or not row.get("response"):
        run.not_scored["an error"] += 1
        return
    run.add(number, _PASSED, row["success"])
    for name, value in (row.get("namedScores") or {}).items():
        run.add(number, Metric(name), value)
    tokens = row["response"].get("tokenUsage") or {}
    latency = row.get("latencyMs")
    run.use(
        number,
        input_tokens=tokens.get("prompt"),
        output_tokens=tokens.get("completion"),
        cost=row.get("cost") or None,
        seconds=None if latency is None else latency / 1000,
    )


def _texts(variables: dict[str, Any], row: dict[str, Any]) -> dict[str, str]:
    """The question is a variable of the test; the prompt is what was made around it."""
    return texts_of_fields(variables) or {"prompt": str(row.get("prompt", {}).get("raw", ""))}
