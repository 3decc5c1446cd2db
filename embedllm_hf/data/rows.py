"""Small tables that users write by hand: questions, graded answers, facts and costs of LLMs.

One reader for all of them: CSV with a header, or JSON Lines with an object a line. Every error names file and line.
Tables of responses, which may be large, are read by `files`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from .._checks import shorten
from .._errors import InputError, MissingFile

KINDS = (".csv", ".jsonl", ".ndjson")
_LARGEST_CELL = 10_000_000  # characters; the csv module's own limit is 131,072


@dataclass(frozen=True)
class Row:
    """One row: `where` it stands, for messages, and its cells by column; those of JSON may be of any type."""

    where: str
    cells: dict[str, object]


def read_text(path: str | Path, missing: str) -> str:
    """The content of a UTF-8 file, with plain line ends; `missing` begins the error where there is no such file."""
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"{missing} {path}.")
    return decode(path.read_bytes(), str(path))


def decode(content: bytes, name: str) -> str:
    """Bytes as text, with plain line ends, without a mark of the byte order; an error names the line."""
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{name}, line {line}: not UTF-8 ({error.reason}). Save the file as UTF-8.") from error


def read_rows(
    path: str | Path,
    missing: str = "there is no file",
    check: Callable[[str, Collection[str]], None] | None = None,
) -> Iterator[Row]:
    """The rows of a table, by its ending.

    `check` is called with where columns are named and with their names, to refuse them: for the header of a CSV, also
    where no row follows, or for each object of JSON Lines.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another kind, no UTF-8, or a row cannot be read.
    """
    kind, text = Path(path).suffix.lower(), read_text(path, missing)
    if kind not in KINDS:
        raise InputError(f"{path}: a file of the kind `{kind}` is not read here, expected {', '.join(KINDS)}.")
    rows = _csv_rows if kind == ".csv" else _json_rows
    return rows(str(path), text, check or (lambda where, columns: None))


def _csv_rows(name: str, text: str, check: Callable[[str, Collection[str]], None]) -> Iterator[Row]:
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = next(reader, [])
        repeated = {column for column in columns if columns.count(column) > 1}
        if repeated:
            raise InputError(f"{name}, line 1: column {shorten(repeated)} stands there more than once. Rename it.")
        if columns:
            check(f"{name}, line 1", columns)
        for cells in reader:
            if len(cells) > len(columns):
                raise InputError(
                    f"{name}, line {reader.line_num}: {len(cells)} cells, but the header has {len(columns)} columns. "
                    "Put a text that holds commas in quotation marks."
                )
            if cells:
                yield Row(f"{name}, line {reader.line_num}", dict(zip(columns, cells, strict=False)))
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: cannot be read as CSV ({error}).") from error


def _json_rows(name: str, text: str, check: Callable[[str, Collection[str]], None]) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name}, line {number}: not JSON ({error}). Write one JSON object a line.") from error
        if isinstance(item, str):
            item = {"prompt": item}
        if not isinstance(item, dict):
            raise InputError(f"{name}, line {number}: a JSON {type(item).__name__}, expected an object.")
        check(f"{name}, line {number}", item)
        yield Row(f"{name}, line {number}", item)
