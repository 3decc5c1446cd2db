"""Checks that more than one module needs: texts, names, choices, optional packages.

Nothing here knows about models or responses; it is the bottom layer of the package.
"""

from __future__ import annotations

import difflib
import importlib
import math
import numbers
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from types import ModuleType
from typing import Any

from ._errors import InputError, InputTypeError, MissingExtra, UnknownName, visible

_LONGEST_NAME = 500


def brief(text: str, limit: int = 200) -> str:
    """`visible`, and cut to a length that a line or a cell can take."""
    return visible(text) if len(text) <= limit else f"{visible(text[:limit])}…"


def shorten(values: Iterable[object], limit: int = 5) -> str:
    """Join the first few of `values`, sorted, for an error message."""
    names = sorted(brief(str(value)) for value in values)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"`{name}`" for name in names[:limit]) + more


def closest_names(name: str, known: Sequence[str]) -> str:
    """Say which names are close to one that is not in `known`."""
    by_folded_name = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower()[:_LONGEST_NAME], list(by_folded_name), n=3, cutoff=0.4)
    closest = " or ".join(f"`{brief(by_folded_name[match])}`" for match in near)
    return f"did you mean {closest}?" if near else f"known are {shorten(known)}."


def unknown_name(kind: str, name: object, known: Sequence[str]) -> Exception:
    """Build the error for a name that is not in `known`, with the closest names there are, or for what is no name."""
    if not isinstance(name, str):
        return InputTypeError(f"the name of the {kind} is {shown(name)}, expected a text.")
    return UnknownName(f"unknown {kind} `{brief(name)}` (of {len(known)} known): {closest_names(name, known)}")


def index_of(kind: str, name: str, known: Sequence[str]) -> int:
    """Position of `name` in `known`, or a `KeyError` that offers the closest names."""
    try:
        return list(known).index(name)
    except ValueError:
        raise unknown_name(kind, name, known) from None


def check_shapes(owner: object, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a `ValueError` for the first attribute of `owner` that is an array of another shape; None is let pass."""
    for name, expected in shapes.items():
        value = getattr(owner, name)
        if value is not None and value.shape != expected:
            raise InputError(f"`{name}` has shape {value.shape}, expected {expected}")


def normal_text(text: str) -> str:
    """The one form in which texts and names are compared and kept: composed, lines end with LF only, stripped."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def check_text(where: str, text: object) -> None:
    """Refuse what is no text that can be encoded; `where` names its place.

    Raises:
        TypeError: If it is no `str`.
        ValueError: If it is empty or no Unicode: half of a surrogate pair, or a NUL, which is a file read amiss.
    """
    if not isinstance(text, str):
        raise InputTypeError(f"{where} is {shown(text)}, expected a text.")
    if not text.strip():
        raise InputError(f"{where} is {shown(text)}, expected a text that is not empty.")
    check_unicode(where, text)
    if "\0" in text:
        raise InputError(
            f"{where} is {shown(text)}, with a NUL at character {text.index(chr(0)) + 1}: was a file of another "
            "encoding read? Write the text again as UTF-8, or leave it out."
        )


def check_unicode(where: str, text: str) -> None:
    """Raise a `ValueError` for a text that cannot be encoded: it holds half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where} is {shown(text)}, which is no Unicode text: half of a surrogate pair at character "
            f"{error.start + 1}. Write the text again as UTF-8, or leave it out."
        ) from None


def shown(value: object, limit: int = 60) -> str:
    """A value as Python writes it, which escapes what does not print, cut to a length that a message can take."""
    text = visible(repr(value))
    return text if len(text) <= limit else f"{text[:limit]}..."


def check_llm_names(argument: str, names: Sequence[str]) -> None:
    """Raise for what is no name of an LLM, and for two names that readers would take for one.

    A name is a text in normal form (`normal_text`) of signs that print as themselves, so that it is safe wherever it
    is shown: no line break, no escape code, nothing invisible. Names that differ in upper and lower case only stay
    apart: leaderboards hold such pairs.

    Raises:
        TypeError: If a name is no `str`, or `names` is one.
        ValueError: If a name is empty or holds other signs, or two are the same or look it.
    """
    if isinstance(names, str):
        raise InputTypeError(f"{argument} is one name, {shown(names)}, expected a list of names. Pass [name].")
    if not isinstance(names, Sequence):
        raise InputTypeError(f"{argument} is {shown(names)}, expected a list of names.")
    for name in names:
        _check_llm_name(argument, name)
    check_distinct(argument, names)
    alike: dict[str, str] = {}
    for name in names:
        first = alike.setdefault(" ".join(unicodedata.normalize("NFKC", name).split()), name)
        if first != name:
            raise InputError(
                f"{argument}: {first!a} and {name!a} look the same. Give one LLM one name, and two LLMs "
                "names that can be told apart."
            )


def _check_llm_name(argument: str, name: object) -> None:
    """Refuse what is no name of an LLM; see `check_llm_names`."""
    if not isinstance(name, str):
        raise InputTypeError(f"{argument}: the LLM's name {shown(name)} is no text, expected one, `lab/llm` say.")
    if not name.strip():
        raise InputError(f"{argument}: the LLM's name {shown(name)} is empty, expected a text, `lab/llm` say.")
    if name != normal_text(name):
        raise InputError(f"{argument}: write the LLM's name {name!a} as {normal_text(name)!a}.")
    if len(name) > _LONGEST_NAME:
        raise InputError(
            f"{argument}: the LLM's name {shown(name)} has {len(name):,} signs, expected {_LONGEST_NAME} at most."
        )
    if not name.isprintable():
        raise InputError(
            f"{argument}: the LLM's name {name!a} holds a sign that does not print: a line break, an escape "
            "code or the like. Remove it."
        )


def check_distinct(argument: str, names: Sequence[str]) -> None:
    """Raise a `ValueError` if a name stands in `names` more than once."""
    repeated = {name for name, count in Counter(names).items() if count > 1}
    if repeated:
        raise InputError(f"{argument}: {shorten(repeated)} stands there more than once. Give each LLM one name.")


def require_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or raise an `ImportError` with the `pip install` line that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f'{purpose} needs the package `{module}`, which is not installed: pip install "embedllm_hf[{extra}]"'
        ) from error


def check_choice(argument: str, value: str, choices: Sequence[str]) -> None:
    """Raise a `ValueError` that lists `choices` unless `value` is one of them."""
    if value not in choices:
        raise InputError(f"`{argument}` is {value!r}, expected one of {', '.join(map(repr, choices))}.")


# --- arguments of the Python calls ---


def check_number(
    argument: str, value: Any, low: float = -math.inf, high: float = math.inf, *, expected: str | None = None
) -> float:
    """A finite number of Python, NumPy or torch in [low, high] as a `float`; a truth value and a text are none.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is out of the range; `expected` says what that is, in other words than `low` and `high`.
    """
    number = plain_number(value)
    wanted = expected or "a number" + f" of {low:g} or more" * (low > -math.inf) + f" up to {high:g}" * (
        high < math.inf
    )
    if number is None:
        raise InputTypeError(f"`{argument}` is {shown(value)}, expected {wanted}.")
    if not low <= number <= high or math.isinf(number):
        raise InputError(f"`{argument}` is {shown(value)}, expected {wanted}.")
    return float(number)


def check_count(argument: str, value: Any, least: int = 1) -> int:
    """A whole number of Python, NumPy or torch from `least` on as an `int`; a truth value and a text are none.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not whole, or less.
    """
    number = plain_number(value)
    if number is None or (isinstance(number, float) and not number.is_integer()) or number < least:
        kind = InputTypeError if number is None else InputError
        raise kind(f"`{argument}` is {shown(value)}, expected a whole number of {least} or more.")
    return int(number)


def plain_number(value: Any) -> int | float | None:
    """A number, or an array of no dimension, as Python's number; None for anything else."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # of NumPy or torch
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def check_names(argument: str, names: Any) -> list[str]:
    """A list of names: of any collection of texts, not of one text, whose letters would be taken for names.

    Raises:
        TypeError: If it is no collection, or something in it is no text.
    """
    if isinstance(names, str | bytes | Mapping) or not isinstance(names, Iterable):
        raise InputTypeError(f"`{argument}` is {shown(names)}, expected a list of names.")
    found = list(names)
    for name in found:
        if not isinstance(name, str):
            raise InputTypeError(f"`{argument}` holds {shown(name)}, expected names, which are texts.")
    return found


def check_texts(argument: str, texts: Any) -> list[str]:
    """A list of texts: of a list, a column of a table, an array or an iterator, in their order.

    Raises:
        TypeError: If it is one text, a whole table, a set, which has no order, or none of these.
        ValueError: If a text is empty or no Unicode.
    """
    if isinstance(texts, str):
        raise InputTypeError(f"`{argument}` is one text, expected a list of texts. Pass [text].")
    is_table = isinstance(texts, Mapping) or hasattr(texts, "columns") or hasattr(texts, "column_names")
    if is_table:
        name = type(texts).__name__
        raise InputTypeError(f'`{argument}` is a `{name}`, expected its texts. Pass a column: table["question"].')
    if isinstance(texts, bytes | Set) or not isinstance(texts, Iterable):
        raise InputTypeError(f"`{argument}` is {shown(texts)}, expected a list of texts.")
    found = texts.to_pylist() if hasattr(texts, "to_pylist") else list(texts)  # pyarrow has texts of its own kind
    for number, text in enumerate(found):
        check_text(f"`{argument}[{number}]`", text)
    return found
