"""Files of graded answers of one LLM: CSV or JSON Lines with `prompt_id` or `prompt`, and `label` in [0, 1]."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection
from pathlib import Path

from .._checks import check_text, normal_text, shorten, shown
from .._errors import InputError, UnknownName
from ..bank.question_bank import QuestionBank, question_id_of
from ..data.rows import Row, number_of, read_rows, read_text


def read_answers(path: str | Path, bank: QuestionBank | None = None) -> dict[str | int, float]:
    """Read the answers of a file.

    Args:
        path (`str` or `Path`): `.csv` with a header, or `.jsonl` with one object a line. Where a row has both, the
            `prompt_id` counts.
        bank (`QuestionBank`, *optional*): To find unknown ids, and the same question given by id and by text.

    Returns:
        `dict[str | int, float]`: As `onboard` takes it; empty if the file holds no rows.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another form, a label is not in [0, 1], or two rows contradict each other.
        KeyError: If a `prompt_id` is not one of the known questions.
        The message names the line.
    """
    answers: dict[str | int, float] = {}
    seen: dict[object, tuple[Row, float]] = {}
    for row in read_rows(path, "`answers`: there is no file", _check_columns):
        key, label = _key(row), _label(row)
        first, first_label = seen.setdefault(_question(key, bank, row), (row, label))
        if first_label != label:
            raise InputError(
                f"{row.where}: the answer {label:g} to {key!r} contradicts the answer {first_label:g} of "
                f"{first.where.rpartition(', ')[2]}. Keep one."
            )
        if first is row:
            answers[key] = label
    return answers


def append_answer(path: str | Path, prompt_id: int, label: float) -> None:
    """Add one answer to a file, which is made if it is not there; what it holds stays as it is."""
    path = Path(path)
    columns = _header(path)
    whole = not path.is_file() or not path.stat().st_size or path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8", newline="") as file:
        if not whole:
            file.write("\n")
        row = {"prompt_id": prompt_id, "label": f"{label:g}"}
        if columns is None:
            file.write(json.dumps({"prompt_id": prompt_id, "label": label}) + "\n")
        else:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)


def _header(path: Path) -> list[str] | None:
    """Columns of a CSV file, those of a new one if it is empty; None for JSON Lines."""
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return None
    text = read_text(path, "there is no file") if path.is_file() else ""
    found = next(csv.reader(io.StringIO(text)), [])
    if found and not {"prompt_id", "label"} <= set(found):
        raise InputError(f"{path}: has columns {shorten(found)}, to add answers it needs `prompt_id` and `label`.")
    return found or ["prompt_id", "label"]


def _check_columns(where: str, columns: Collection[str]) -> None:
    if not {"prompt_id", "prompt"}.intersection(columns) or "label" not in columns:
        raise InputError(f"{where}: has columns {shorten(columns)}, expected `prompt_id` or `prompt`, and `label`.")


def _key(row: Row) -> str | int:
    """The question of a row: its id, else its text."""
    id_, text = row.cells.get("prompt_id"), row.cells.get("prompt")
    if id_ not in (None, ""):
        try:
            number = question_id_of(id_)
        except InputError:
            number = None
        if number is None or number < 0:
            raise InputError(f"{row.where}: `prompt_id` is {shown(id_)}, expected a whole number from 0 on.")
        return number
    if text in (None, ""):
        raise InputError(f"{row.where}: has neither a `prompt_id` nor a `prompt`.")
    check_text(f"{row.where}: `prompt`", text)
    if question_id_of(text) is not None:
        raise InputError(f"{row.where}: `prompt` is {shown(text)}, a number. If that is an id, name it `prompt_id`.")
    return str(text)


def _label(row: Row) -> float:
    value = row.cells.get("label")
    label = float(value) if isinstance(value, bool) else number_of(value)
    if not 0 <= label <= 1:
        raise InputError(f"{row.where}: `label` is {shown(value)}, expected a grade in [0, 1], 1 for right.")
    return label


def _question(key: str | int, bank: QuestionBank | None, row: Row) -> object:
    """What makes two rows the same question: its row among the known ones, else its key."""
    same = normal_text(key) if isinstance(key, str) else key
    if bank is None:
        return same
    try:
        known = int(bank.find([key])[0])
    except UnknownName as error:
        raise UnknownName(f"{row.where}: {error}") from error
    return same if known < 0 else ("known", known)
