"""Small tables that users write by hand: questions, graded answers, facts and costs of LLMs.

One reader for all of them: CSV with a header, or JSON Lines with an object a line. Every error names file and line.
A CSV ends with a line break, as that of a table of responses does: of one that is cut off, the last number would be
another one. An object of JSON closes itself. Tables of responses, which may be large, are read by `files`.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import numbers
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from .._checks import check_llm_names, normal_text, shorten
from .._errors import InputError, MissingFile

KINDS = (".csv", ".jsonl", ".ndjson")
_AS_UTF8 = "Save the file as UTF-8."
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")  # no 1_0, which Python reads as 10
LARGEST_CELL = 10_000_000  # characters; the csv module's own limit is 131,072


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
        text = content.decode("utf-8-sig")
        position = text.find("\0")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{name}, line {line}: {not_utf8(content)} ({error.reason}). {_AS_UTF8}") from error
    if position >= 0:
        line = text.count("\n", 0, position) + 1
        raise InputError(f"{name}, line {line}: {not_utf8(content)} (a NUL). {_AS_UTF8}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def not_utf8(beginning: bytes) -> str:
    """What a file that is no UTF-8 seems to be, by its first bytes."""
    sample = beginning[:4096]
    wide = sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or 4 * sample.count(0) > len(sample)
    return "not UTF-8, but UTF-16 by its looks" if wide else "not UTF-8"


def cut_off(name: str, where: str = "a line") -> InputError:
    """Build the error for a table that ends within `where`."""
    return InputError(
        f"{name}: ends within {where}, expected a line break after the last row. Is the file cut off? "
        "Fetch it again, or end the last row if it is whole."
    )


def number_of(cell: object) -> float:
    """The number that a cell holds, a text or one of JSON's; NaN if it is none, written as people write numbers."""
    if isinstance(cell, str):
        return float(cell) if _NUMBER.fullmatch(cell.strip()) else math.nan
    if isinstance(cell, bool) or not isinstance(cell, numbers.Real | Decimal):
        return math.nan
    try:
        return float(cell)
    except OverflowError:
        return math.inf


def name_of(row: Row, column: str) -> str:
    """The LLM's name in a row, in its normal form.

    Raises:
        ValueError: If it is empty or no name.
    """
    cell = row.cells.get(column)
    name = normal_text(cell) if isinstance(cell, str) else cell
    check_llm_names(f"{row.where}: `{column}`", [name])  # type: ignore[list-item]  # refused if it is no text
    return str(name)


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
    if text and not text.endswith("\n"):
        raise cut_off(name)
    csv.field_size_limit(LARGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [column.strip() for column in next(reader, [])]
        _check_repeated(f"{name}, line 1", columns)
        if columns:
            check(f"{name}, line 1", columns)
        for cells in reader:
            if cells and len(cells) != len(columns):
                raise InputError(
                    f"{name}, line {reader.line_num}: {len(cells)} cells, but the header has {len(columns)} columns. "
                    "Put a text that holds commas in quotation marks, and leave a cell empty rather than out."
                )
            if cells:
                yield Row(f"{name}, line {reader.line_num}", dict(zip(columns, cells, strict=True)))
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: cannot be read as CSV ({error}).") from error


def _json_rows(name: str, text: str, check: Callable[[str, Collection[str]], None]) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            item = json.loads(line, object_pairs_hook=_Object)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not JSON ({error}). Write one JSON object a line.") from error
        if isinstance(item, str):
            item = {"prompt": item}
        if isinstance(item, _Object):
            _check_repeated(where, [column for column, _ in item])
            item = dict(item)
        if not isinstance(item, dict):
            raise InputError(f"{where}: a JSON {type(item).__name__}, expected an object.")
        check(where, item)
        yield Row(where, item)


class _Object(list):
    """The pairs of a JSON object, of which a `dict` would keep the last of a name alone."""


def _check_repeated(where: str, columns: Collection[str]) -> None:
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        raise InputError(f"{where}: column {shorten(repeated)} stands there more than once. Rename it.")
