"""Files of graded answers of one LLM: CSV or JSON Lines with `prompt_id` or `prompt`, and `label` in [0, 1]."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from .._errors import InputError, MissingFile, UnknownName
from ..bank.question_bank import QuestionBank

_FORM = "expected .csv or .jsonl with `prompt_id` or `prompt`, and `label`"


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
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"`answers`: there is no file {path}.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason}). Save the file as UTF-8.") from error
    answers: dict[str | int, float] = {}
    seen: dict[object, tuple[int, float]] = {}
    for line, row in _rows(path, text):
        where = f"{path}, line {line}"
        key, label = _key(row, where), _label(row, where)
        question = _question(key, bank, where)
        first_line, first_label = seen.setdefault(question, (line, label))
        if first_label != label:
            raise InputError(
                f"{where}: the answer {label:g} to {key!r} contradicts the answer {first_label:g} of line "
                f"{first_line}. Keep one."
            )
        if first_line == line:
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
    if _suffix(path) == ".jsonl":
        return None
    text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    found = next(csv.reader(io.StringIO(text)), [])
    if found and not {"prompt_id", "label"} <= set(found):
        raise InputError(f"{path}: has columns {', '.join(found)}, to add answers it needs `prompt_id` and `label`.")
    return found or ["prompt_id", "label"]


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".jsonl"):
        raise InputError(f"{path}: is of no form that is read, {_FORM}.")
    return suffix


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict]]:
    """Line number and fields of each row."""
    if _suffix(path) == ".jsonl":
        for line, content in enumerate(text.split("\n"), start=1):
            if content.strip():
                try:
                    row = json.loads(content)
                except ValueError as error:
                    raise InputError(f"{path}, line {line}: not JSON ({error}).") from error
                if not isinstance(row, dict):
                    raise InputError(f"{path}, line {line}: a JSON {type(row).__name__}, expected an object.")
                yield line, row
        return
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        columns = set(reader.fieldnames or ())
        if columns and ("label" not in columns or not columns & {"prompt_id", "prompt"}):
            raise InputError(f"{path}, line 1: has columns {', '.join(map(str, reader.fieldnames or ()))}, {_FORM}.")
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not CSV ({error}).") from error


def _key(row: dict, where: str) -> str | int:
    """The question of a row: its id, else its text."""
    id_, text = row.get("prompt_id"), row.get("prompt")
    if id_ not in (None, ""):
        try:
            number = int(id_)
        except (TypeError, ValueError):
            number = -1
        if number < 0 or isinstance(id_, bool) or (isinstance(id_, float) and id_ != number):
            raise InputError(f"{where}: `prompt_id` is {id_!r}, expected a whole number from 0 on.")
        return number
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: has neither a `prompt_id` nor a `prompt`.")
    return text


def _label(row: dict, where: str) -> float:
    try:
        label = float(row["label"])
    except (KeyError, TypeError, ValueError):
        label = float("nan")
    if not 0 <= label <= 1:
        raise InputError(f"{where}: `label` is {row.get('label')!r}, expected a grade in [0, 1], 1 for right.")
    return label


def _question(key: str | int, bank: QuestionBank | None, where: str) -> object:
    """What makes two rows the same question: its row among the known ones, else its key."""
    if bank is None:
        return key
    if isinstance(key, str):
        row = int(bank.rows_of_texts([key])[0])
        return key if row < 0 else row
    row = int(bank.rows_of_ids([key])[0])
    if row < 0:
        raise UnknownName(
            f"{where}: unknown `prompt_id` {key}; the model knows {len(bank):,} questions. Give the `prompt` instead."
        )
    return row
