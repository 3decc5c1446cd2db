"""The content of `metrics.json`, as far as the card reads it, and the check of one that a stranger wrote.

What `EvaluationReport.to_dict` gives fits. Keys that are not named here may hold any plain values of JSON.
"""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from typing_extensions import TypedDict, get_type_hints, is_typeddict

from .._checks import check_unicode, shown
from .._errors import InputError

_LARGEST, _LONGEST_TEXT = 1e15, 1000
_DEEPEST, _MOST_VALUES = 8, 1_000_000

Scores = dict[str, float | None]  # of a predictor, by metric


class Dataset(TypedDict, total=False):
    """What was measured on."""

    id: str | None
    revision: str | None
    split: str | None
    duplicates: str | None
    n_questions: int | None
    n_llms: int | None
    n_observed: int | None
    n_repeats: int | None
    n_contradictions: int | None


class Gain(TypedDict):
    """EmbedLLM minus the baseline `over`, with its interval."""

    over: str
    difference: float
    low: float
    high: float


class Guarantee(TypedDict):
    """What `min_success` guaranteed, and what came of it; None where every question was flagged."""

    min_success: float
    cheapest: bool
    share_answered: float
    share_right: float | None
    low: float | None
    high: float | None
    mean_cost: float | None


class Bin(TypedDict):
    """Pairs of like probabilities."""

    low: float
    high: float
    mean_probability: float
    share_right: float
    n_pairs: int


class Metrics(TypedDict, total=False):
    """A `metrics.json`; beside these keys it holds `Scores` by baseline."""

    dataset: Dataset | None
    embedllm: Scores | None
    oracle: Scores | None
    benchmarks: dict[str, dict[str, Scores]] | None
    gains: dict[str, Gain] | None
    routing_over_best_llm: Gain | None
    guarantee: Guarantee | None
    reliability: list[Bin] | None
    train_seconds: float | None
    seed: int | None
    versions: dict[str, str] | None


def checked_metrics(value: object) -> dict[str, Any]:
    """The content of a `metrics.json`, once it is sure that a card can be made of it.

    Raises:
        ValueError: If it is no JSON object, a part that the card reads is of another form, or a number is not finite;
            one line that names the part.
    """
    _check_plain(value)
    if not isinstance(value, dict):
        raise InputError(f"a JSON {type(value).__name__}, expected metrics by name.")
    _check("", value, Metrics)
    for name, part in value.items():
        if name not in Metrics.__annotations__ and isinstance(part, dict) and "accuracy" in part:
            _check(name, part, Scores)
    return value


def _check_plain(value: object) -> None:
    """Refuse what is too deep, too much or too long to be metrics, and numbers that are none."""
    level, n_values = [value], 0
    for _ in range(_DEEPEST):
        n_values += len(level)
        if n_values > _MOST_VALUES:
            raise InputError(f"holds more than {_MOST_VALUES:,} values, which are no metrics of a model.")
        for one in level:
            if isinstance(one, float | int) and not abs(one) <= _LARGEST:
                raise InputError(f"holds the number {shown(one)}, expected finite ones.")
            if isinstance(one, str) and len(one) > _LONGEST_TEXT:
                raise InputError(
                    f"holds a text of {len(one):,} signs, {shown(one)}, expected {_LONGEST_TEXT:,} at most."
                )
            if isinstance(one, str):
                check_unicode("a text in it", one)
        level = [part for one in level for part in _parts(one)]
        if not level:
            return
    raise InputError(f"is nested deeper than {_DEEPEST} levels, which no metrics of a model are.")


def _parts(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _check(where: str, value: Any, kind: Any) -> None:
    """Refuse a value that is not of a type; `where` names it."""
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if value is None and NoneType in options:
        return
    kind = next(option for option in options if option is not NoneType)
    plain = dict if is_typeddict(kind) else get_origin(kind) or kind
    if not _is_of(value, plain):
        raise InputError(f"`{shown(where)[1:-1]}` is {shown(value)}, expected a JSON {plain.__name__}.")
    for name, part, its_kind in _typed_parts(where, value, kind):
        _check(name, part, its_kind)


def _typed_parts(where: str, value: Any, kind: Any) -> list[tuple[str, Any, Any]]:
    """Names, values and types of the parts of a value that is of a type itself."""
    if is_typeddict(kind):
        if missing := kind.__required_keys__ - value.keys():
            raise InputError(f"`{where}` has no `{min(missing)}`.")
        fields = get_type_hints(kind).items()
        return [(f"{where}.{name}".strip("."), value[name], field) for name, field in fields if name in value]
    if isinstance(value, dict):
        return [(f"{where}.{name}", part, get_args(kind)[1]) for name, part in value.items()]
    if isinstance(value, list):
        return [(f"{where}[{number}]", part, get_args(kind)[0]) for number, part in enumerate(value)]
    return []


def _is_of(value: object, kind: type) -> bool:
    """Whether a value of JSON is of a type; a whole number is a number, a truth value is none."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)
