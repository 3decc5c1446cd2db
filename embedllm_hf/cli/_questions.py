"""Questions from a file or from standard input, for the verbs that take them."""

from __future__ import annotations

import sys
from pathlib import Path

from .._checks import check_text, shorten
from .._errors import InputError
from ..data.rows import Row, decode, read_rows, read_text

STANDARD_INPUT = "-"
QUESTIONS_HELP = "file of questions: .txt (one a line), .jsonl or .csv; - is standard input"
_FIELDS = ("question", "prompt", "text")


def read_questions(path: str) -> list[str]:
    """Texts of a file; blank lines are left out.

    Args:
        path (`str`): `.csv` or `.jsonl` with the text in `question`, `prompt` or `text`; `.txt`, a file without an
            ending, or `-` (standard input): one text a line.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is not UTF-8 or cannot be read, the file is of another kind, or there is no text.
    """
    missing, name = "`--questions`: there is no file", path
    if path == STANDARD_INPUT:
        name = "standard input"
        if sys.stdin is None:
            raise InputError("`--questions -`: standard input is closed. Pipe the questions in, or give a file.")
        lines = decode(sys.stdin.buffer.read(), name).split("\n")
    elif Path(path).suffix.lower() in ("", ".txt"):
        lines = read_text(path, missing).split("\n")
    else:
        lines = [_text(row) for row in read_rows(path, missing)]
    questions = [line.strip() for line in lines if line.strip()]
    if not questions:
        raise InputError(f"{name}: holds no text, expected one question a line.")
    return questions


def _text(row: Row) -> str:
    """The question of a row."""
    text = next((row.cells[field] for field in _FIELDS if isinstance(row.cells.get(field), str)), None)
    if not isinstance(text, str):
        found = shorten(row.cells)
        raise InputError(f"{row.where}: expected a column `question` or `prompt` with a text, found {found}.")
    if not text.strip():
        raise InputError(f"{row.where}: the question is empty. Remove the line, or fill it in.")
    check_text(f"{row.where}: the question", text)
    return text
