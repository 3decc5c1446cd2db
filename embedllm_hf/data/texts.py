"""What tells texts apart: a hash of their normal form.

Ids are unique in a table at most, so wherever texts of different tables, splits or files meet, they meet by these.
Where a text is not at hand or not to be shared, `sha256:` and the first 16 digits of its hash stand for it: it is
withheld, and equal to the text itself wherever texts are told apart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from .._checks import normal_text
from .._errors import InputError

_WITHHELD = "sha256:"
_ID_BITS = 53  # what a float, and so JSON in most languages, holds exactly


def text_key(text: str) -> bytes:
    """SHA-256 of a text in its normal form."""
    return hashlib.sha256(normal_text(text).encode("utf-8", "surrogatepass")).digest()


def question_keys(questions: Sequence[str] | np.ndarray) -> np.ndarray:
    """The first 8 bytes of each text's key, as int64, `(n_questions,)`."""
    return np.frombuffer(b"".join(_short_key(text) for text in questions), "<i8")


def text_id(text: str) -> int:
    """The id of a question whose table has none: it is the same in every split, file and stream."""
    return int.from_bytes(_short_key(text), "big") >> (64 - _ID_BITS)


def withheld_texts(keys: np.ndarray) -> np.ndarray:
    """What stands for texts of which only the `question_keys` `(n,)` are known, as objects."""
    return np.array([f"{_WITHHELD}{int(key).to_bytes(8, 'little', signed=True).hex()}" for key in keys], object)


def is_withheld(text: str) -> bool:
    """Whether this is no text, but what stands for one."""
    return text.startswith(_WITHHELD) and re.fullmatch("[0-9a-f]{16}", text[len(_WITHHELD) :]) is not None


def check_at_hand(argument: str, texts: Sequence[str] | np.ndarray) -> None:
    """Raise a `ValueError` where texts are needed themselves, and one only stands for its text."""
    for position, text in enumerate(texts):
        if is_withheld(text):
            raise InputError(
                f"`{argument}[{position}]` is {text}: the data set withholds this text. Give the text itself, or its "
                "vector."
            )


def _short_key(text: str) -> bytes:
    return bytes.fromhex(text[len(_WITHHELD) :]) if is_withheld(text) else text_key(text)[:8]
