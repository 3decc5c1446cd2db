"""Any table of graded answers, with its columns named by the user: CSV, JSON, JSON Lines or Parquet.

A name with dots goes into objects (`scores.correct`); one that begins with `=` is the value itself (`=lab/new`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .._checks import brief, shorten, shown
from .._errors import InputError, visible
from ..logs.formats import Reader
from ..logs.records import Metric, Run, Runs, as_score, json_lines, read_json
from .rows import read_rows

HARNESS = "table"
COLUMNS = ("prompt", "label", "model_name", "benchmark", "prompt_id")
_NEEDED = COLUMNS[:3]
_WORDS = {"true": 1.0, "false": 0.0, "pass": 1.0, "fail": 0.0, "passed": 1.0, "failed": 0.0}


def table_reader(columns: Mapping[str, str]) -> Reader:
    """What reads a table whose columns are named, as `logs.formats.read_runs` takes it.

    Raises:
        ValueError: If a mapping names too little, or what is not used.
    """
    unknown, missing = set(columns) - set(COLUMNS), [name for name in _NEEDED if not columns.get(name)]
    if unknown or missing:
        raise InputError(
            f"`columns` has {shorten(columns) or 'nothing'}, expected {', '.join(_NEEDED)}, and optionally "
            f"{', '.join(COLUMNS[3:])}: prompt=input label=scores.correct model_name=model, say."
        )

    def read_table(path: Path, runs: Runs) -> None:
        read(path, runs, columns)

    return read_table


def read(path: Path, runs: Runs, columns: Mapping[str, str]) -> None:
    """Read the answers of one file into `runs`, a run for each LLM and benchmark in it.

    Raises:
        ValueError: If it is of another kind or damaged, or a row lacks what is named; the message names the row.
    """
    found: dict[tuple[str, str], Run] = {}
    label = columns["label"]
    metric = Metric(label)
    for where, row in _rows(path, runs):
        llm, text = _cell(row, columns["model_name"], where), _cell(row, columns["prompt"], where)
        benchmark = _cell(row, columns["benchmark"], where) if "benchmark" in columns else path.stem
        if not isinstance(text, str) or not text.strip() or not isinstance(llm, str):
            raise InputError(f"{where}: the prompt is {shown(text)} and the LLM {shown(llm)}, expected two texts.")
        run = found.get((llm, str(benchmark)))
        if run is None:
            run = Run(str(path), HARNESS, llm, str(benchmark), str(benchmark), primary=metric)
            found[llm, str(benchmark)] = run
        source = _cell(row, columns["prompt_id"], where) if "prompt_id" in columns else where.rpartition(" ")[2]
        number = runs.questions.number(run.task, text, str(source), partial(dict, prompt=text))
        run.add(number, metric, _number(_cell(row, label, where), where))
    if not found:
        runs.left_out.append((str(path), "it holds no rows"))
    runs.runs += found.values()


def _rows(path: Path, runs: Runs) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a file, and where each stands."""
    name, kind = visible(str(path)), path.suffix.lower()
    try:
        if kind == ".parquet":
            with pq.ParquetFile(path) as file:
                rows = (row for batch in file.iter_batches(1024) for row in batch.to_pylist())
                yield from ((f"{name}, row {place}", row) for place, row in enumerate(rows, start=1))
        elif kind in (".jsonl", ".ndjson"):
            yield from ((f"{name}, line {place}", row) for place, row in enumerate(json_lines(path, runs), start=1))
        elif kind == ".json":
            yield from ((f"{name}, item {place}", row) for place, row in enumerate(_list_of(path), start=1))
        elif kind == ".csv":
            yield from ((f"{name}, row {place}", row.cells) for place, row in enumerate(read_rows(path), start=1))
        else:
            raise InputError(
                f"{name}: a file of the kind `{kind}` is not read, expected CSV, JSON, JSON Lines or Parquet."
            )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"{name}: cannot be read ({brief(str(error), 100)}). Fetch or write it again.") from error


def _list_of(path: Path) -> list[Mapping[str, Any]]:
    """The list of objects that a JSON file is, or the only one that it holds."""
    content = read_json(path)
    lists = [content] if isinstance(content, list) else []
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list) and value]
    if len(lists) != 1 or not all(isinstance(row, dict) for row in lists[0]):
        raise InputError(f"{path}: expected a list of objects, or an object that holds one such list.")
    return lists[0]


def _cell(row: Mapping[str, Any], name: str, where: str) -> Any:
    """A cell by its name, in objects by names with dots between."""
    if name.startswith("="):
        return name[1:]
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            names = list(map(str, value)) if isinstance(value, Mapping) else []
            raise InputError(
                f"{where}: no `{name}`; there is {shorten(names, 20) or shown(value)}. Name one of these."
            )
        value = value[part]
    return value


def _number(value: object, where: str) -> float | None:
    """A grade in [0, 1], also as a text or a word; nothing where the cell is empty."""
    score = as_score(value)
    if isinstance(value, str):
        text = value.strip().lower()
        try:
            score = None if not text else _WORDS[text] if text in _WORDS else as_score(float(text))
        except ValueError:
            score = -1.0
    if score is not None and not 0 <= score <= 1:
        raise InputError(f"{where}: the label is {shown(value)}, expected a grade in [0, 1], 1 for right.")
    return score
