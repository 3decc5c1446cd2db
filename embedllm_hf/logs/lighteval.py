"""Details of lighteval, 0.6 on: Parquet, a row a question, in `details/<organisation>/<model>/<time>/`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .._checks import brief
from .._errors import InputError
from .records import Metric, Run, Runs, read_json, utc
from .texts import LETTERS, texts_of_fields

HARNESS = "lighteval"
_NAME = re.compile(r"details_(.+)_(\d{4}-\d\d-\d\dT.+)$")
_BATCH = 1024


def is_details(columns: Iterable[str]) -> bool:
    """Whether a table with these columns is one."""
    found = set(columns)
    return {"doc", "metric"} <= found or {"example", "metrics"} <= found


def read(path: Path, runs: Runs) -> None:
    """Read the answers of one file into `runs`.

    Raises:
        ValueError: If it is damaged.
    """
    named = _NAME.search(path.stem)
    task, time = (named[1], named[2]) if named else (path.stem, "")
    results = _results_of(path, time)
    config = results.get("config_general") or {}
    llm = (config.get("model_config") or {}).get("model_name") or config.get("model_name") or _folder_name(path)
    if llm is None:
        runs.left_out.append((str(path), "neither its folders nor a results file name the LLM"))
        return
    parts = task.split("|")  # `task|shots`, before `suite|task|shots`
    benchmark = parts[-2] if len(parts) > 1 else task
    scores = (results.get("results") or {}).get(task) or {}
    run = Run(
        str(path), HARNESS, llm, benchmark, benchmark, utc(time),
        {Metric(name): float(value) for name, value in scores.items() if isinstance(value, (int, float))},
        chosen="first" if config.get("max_samples") else "all",
    )  # fmt: skip
    try:
        for row in _rows(path):
            _add(run, row, runs)
    except (pa.ArrowException, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({brief(str(error), 100)}). Fetch it again.") from error
    runs.runs.append(run)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        wanted = [
            name for name in file.schema_arrow.names if name in ("doc", "metric", "example", "choices", "metrics")
        ]
        for batch in file.iter_batches(_BATCH, columns=wanted):
            yield from batch.to_pylist()


def _add(run: Run, row: dict[str, Any], runs: Runs) -> None:
    """One row: the question without few-shots, and each score."""
    doc = row.get("doc") or {"query": row.get("example"), "choices": _plain(row.get("choices"))}
    query = str(doc.get("query") or "")
    number = runs.questions.number(run.task, query, str(doc.get("id", "")), lambda: _texts(query, doc))
    scores = _plain(row.get("metric") if "metric" in row else row.get("metrics"))
    if not isinstance(scores, Mapping):
        run.not_scored["no score"] += 1
        return
    for name, value in scores.items():
        run.add(number, Metric(str(name)), value)


def _texts(query: str, doc: Mapping[str, Any]) -> dict[str, str]:
    """The query; with its options only if they are not in it already."""
    choices = [str(choice).strip() for choice in doc.get("choices") or ()]
    bare = set(choices) <= set(LETTERS) or all(choice in query for choice in choices) or len(choices) < 2
    return {"query": query} if bare else {"query": query} | texts_of_fields({"query": query, "choices": choices})


def _plain(value: object) -> object:
    """Up to 0.7 each cell is the text of a Python value."""
    return ast.literal_eval(value) if isinstance(value, str) else value


def _results_of(path: Path, time: str) -> dict[str, Any]:
    """The results file of the same run, if it is there."""
    for folder in path.parents:
        if folder.name == "details":
            inside = path.parent.relative_to(folder).parent
            found = folder.parent / "results" / inside / f"results_{time}.json"
            return read_json(found) if found.is_file() else {}
    return {}


def _folder_name(path: Path) -> str | None:
    """The LLM as `details/<organisation>/<model>/<time>/` has it."""
    parts = path.parent.parts
    return "/".join(parts[parts.index("details") + 1 : -1]) or None if "details" in parts[:-1] else None
