"""Files of graded answers of one LLM: CSV or JSON Lines with `prompt_id` or `prompt`, and `label` in [0, 1]."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection
from pathlib import Path

from .._errors import InputError, UnknownName
from ..bank.question_bank import QuestionBank
from ..data.rows import Row, read_rows


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
    text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    found = next(csv.reader(io.StringIO(text)), [])
    if found and not {"prompt_id", "label"} <= set(found):
        raise InputError(f"{path}: has columns {', '.join(found)}, to add answers it needs `prompt_id` and `label`.")
    return found or ["prompt_id", "label"]


def _check_columns(where: str, columns: Collection[str]) -> None:
    if not {"prompt_id", "prompt"}.intersection(columns) or "label" not in columns:
        found = ", ".join(columns)
        raise InputError(f"{where}: has columns {found}, expected `prompt_id` or `prompt`, and `label`.")


def _key(row: Row) -> str | int:
    """The question of a row: its id, else its text."""
    id_, text = row.cells.get("prompt_id"), row.cells.get("prompt")
    if id_ not in (None, ""):
        try:
            number = int(id_) if isinstance(id_, float) and id_.is_integer() else int(str(id_))
        except ValueError:
            number = -1
        if number < 0 or isinstance(id_, bool):
            raise InputError(f"{row.where}: `prompt_id` is {id_!r}, expected a whole number from 0 on.")
        return number
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{row.where}: has neither a `prompt_id` nor a `prompt`.")
    return text


def _label(row: Row) -> float:
    value = row.cells.get("label", "")  # a short row ends before it
    try:
        label = float(value if isinstance(value, bool) else str(value))
    except ValueError:
        label = float("nan")
    if not 0 <= label <= 1:
        raise InputError(f"{row.where}: `label` is {value!r}, expected a grade in [0, 1], 1 for right.")
    return label


def _question(key: str | int, bank: QuestionBank | None, row: Row) -> object:
    """What makes two rows the same question: its row among the known ones, else its key."""
    if bank is None:
        return key
    if isinstance(key, str):
        known = int(bank.rows_of_texts([key])[0])
        return key if known < 0 else known
    known = int(bank.rows_of_ids([key])[0])
    if known < 0:
        raise UnknownName(
            f"{row.where}: unknown `prompt_id` {key}; the model knows {len(bank):,} questions. Give the `prompt`."
        )
    return known
