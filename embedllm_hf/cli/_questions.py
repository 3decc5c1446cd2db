"""Questions from a file or from standard input, for the verbs that take them."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .._errors import InputError, MissingFile

STANDARD_INPUT = "-"
QUESTIONS_HELP = "file of questions: .txt (one a line), .jsonl or .csv; - is standard input"
_FIELDS = ("question", "prompt", "text")
_LARGEST_CELL = 10_000_000  # characters; the csv module's own limit is 131,072


def read_questions(path: str) -> list[str]:
    """Texts of a file; blank lines are left out.

    Args:
        path (`str`): `.jsonl`: a JSON object a line, with the text in `question` or `prompt`; `.csv`: a column of that
            name; any other file, and `-` (standard input): one text a line.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is not UTF-8 or cannot be read, or there is no text; with the number of the line.
    """
    if path == STANDARD_INPUT:
        name, content = "standard input", sys.stdin.buffer.read()
    else:
        file = Path(path)
        if not file.is_file():
            raise MissingFile(f"`--questions`: there is no file {path}.")
        name, content = path, file.read_bytes()
    lines = _decode(name, content)
    kind = Path(path).suffix.lower()
    if kind in (".jsonl", ".ndjson"):
        questions = [_from_json(name, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    elif kind == ".csv":
        questions = _from_csv(name, lines)
    else:
        questions = [line.strip() for line in lines if line.strip()]
    if not questions:
        raise InputError(f"{name}: holds no text, expected one question a line.")
    return questions


def _decode(name: str, content: bytes) -> list[str]:
    """Lines as text; those of a CSV cell too."""
    lines = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            lines.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(f"{name}, line {number}: not UTF-8 ({error.reason}). Save the file as UTF-8.") from error
    return lines


def _from_json(name: str, number: int, line: str) -> str:
    try:
        item = json.loads(line)
    except ValueError as error:
        raise InputError(f"{name}, line {number}: not JSON ({error}). Write one JSON object a line.") from error
    if isinstance(item, str):
        return _checked(name, number, item)
    found = sorted(item) if isinstance(item, dict) else type(item).__name__
    field = next((field for field in _FIELDS if isinstance(item, dict) and isinstance(item.get(field), str)), None)
    if field is None:
        raise InputError(f"{name}, line {number}: expected a text in `question` or `prompt`, found {found}.")
    return _checked(name, number, item[field])


def _from_csv(name: str, lines: Sequence[str]) -> list[str]:
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.DictReader(io.StringIO("\n".join(lines), newline=""), strict=True)
    try:
        field = next((field for field in _FIELDS if field in (reader.fieldnames or ())), None)
        if field is None:
            raise InputError(f"{name}: expected a column `question` or `prompt`, found {reader.fieldnames}.")
        return [_checked(name, reader.line_num, row[field] or "") for row in reader]
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: cannot be read as CSV ({error}).") from error


def _checked(name: str, number: int, text: str) -> str:
    if not text.strip():
        raise InputError(f"{name}, line {number}: the question is empty. Remove the line, or fill it in.")
    return text.strip()
