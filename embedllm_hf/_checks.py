"""Checks that more than one module needs: names, choices, optional packages.

Nothing here knows about models or responses; it is the bottom layer of the package.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

from ._errors import InputError, MissingExtra, UnknownName


def shorten(values: Iterable[object], limit: int = 5) -> str:
    """Join the first few of `values`, sorted, for an error message."""
    names = sorted(str(value) for value in values)
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


def check_distinct(argument: str, names: Sequence[str]) -> None:
    """Raise a `ValueError` if a name stands in `names` more than once."""
    if len(set(names)) < len(names):
        repeated = {name for name in names if list(names).count(name) > 1}
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
