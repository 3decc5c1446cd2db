"""What tells texts apart: a hash of their normal form.

Ids are unique in a table at most, so wherever texts of different tables, splits or files meet, they meet by these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from .._checks import normal_text

_ID_BITS = 53  # what a float, and so JSON in most languages, holds exactly


def text_key(text: str) -> bytes:
    """SHA-256 of a text in its normal form."""
    return hashlib.sha256(normal_text(text).encode("utf-8", "surrogatepass")).digest()


def question_keys(questions: Sequence[str] | np.ndarray) -> np.ndarray:
    """The first 8 bytes of each text's key, as int64, `(n_questions,)`."""
    return np.frombuffer(b"".join(text_key(text)[:8] for text in questions), "<i8")


def text_id(text: str) -> int:
    """The id of a question whose table has none: it is the same in every split, file and stream."""
    return int.from_bytes(text_key(text)[:8], "big") >> (64 - _ID_BITS)
