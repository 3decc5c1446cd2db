"""Checks that more than one module needs: texts, names, choices, optional packages.

Nothing here knows about models or responses; it is the bottom layer of the package.
"""

from __future__ import annotations

import difflib
import importlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

from ._errors import InputError, InputTypeError, MissingExtra, UnknownName


def visible(text: str) -> str:
    """A stranger's text as it may be shown on a terminal: what does not print stands there as Python escapes it."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else f"{sign!a}"[1:-1] for sign in text)


def shorten(values: Iterable[object], limit: int = 5) -> str:
    """Join the first few of `values`, sorted, for an error message."""
    names = sorted(visible(str(value)) for value in values)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"`{name}`" for name in names[:limit]) + more


def closest_names(name: str, known: Sequence[str]) -> str:
    """Say which names are close to one that is not in `known`."""
    by_folded_name = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), list(by_folded_name), n=3, cutoff=0.4)
    closest = " or ".join(f"`{by_folded_name[match]}`" for match in near)
    return f"did you mean {closest}?" if near else f"known are {shorten(known)}."


def unknown_name(kind: str, name: str, known: Sequence[str]) -> KeyError:
    """Build the error for a name that is not in `known`, with the closest names there are."""
    return UnknownName(f"unknown {kind} `{name}` (of {len(known)} known): {closest_names(name, known)}")


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
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where} is {shown(text)}, which is no Unicode text: half of a surrogate pair at character "
            f"{error.start + 1}. Write the text again as UTF-8, or leave it out."
        ) from None
    if "\0" in text:
        raise InputError(
            f"{where} is {shown(text)}, with a NUL at character {text.index(chr(0)) + 1}: was a file of another "
            "encoding read? Write the text again as UTF-8, or leave it out."
        )


def shown(value: object, limit: int = 60) -> str:
    """A value as Python writes it, which escapes what does not print, cut to a length that a message can take."""
    text = repr(value)
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
        if not isinstance(name, str):
            raise InputTypeError(f"{argument}: the LLM's name {shown(name)} is no text, expected one, `lab/llm` say.")
        if not name.strip():
            raise InputError(f"{argument}: the LLM's name {shown(name)} is empty, expected a text, `lab/llm` say.")
        if name != normal_text(name):
            raise InputError(f"{argument}: write the LLM's name {name!a} as {normal_text(name)!a}.")
        if not name.isprintable():
            raise InputError(
                f"{argument}: the LLM's name {name!a} holds a sign that does not print: a line break, an escape "
                "code or the like. Remove it."
            )
    check_distinct(argument, names)
    alike: dict[str, str] = {}
    for name in names:
        first = alike.setdefault(" ".join(unicodedata.normalize("NFKC", name).split()), name)
        if first != name:
            raise InputError(
                f"{argument}: {first!a} and {name!a} look the same. Give one LLM one name, and two LLMs "
                "names that can be told apart."
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
