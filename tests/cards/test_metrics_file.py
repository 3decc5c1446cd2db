"""A `metrics.json` of any form is either one that a card can be made of, or refused in one line."""

import json
import math
import random
import re

import pytest

from embedllm_hf.cards.metrics_file import checked_metrics
from embedllm_hf.cards.model_card import model_card
from tests.cards.made import make_config, make_metrics

STRANGE = [
    None,
    True,
    7,
    -1,
    1e300,
    10**400,
    math.nan,
    math.inf,
    "",
    "x",
    "x" * 5000,
    [],
    [7],
    [[]],
    [None],
    {},
    {"a": 7},
    {"": {}},
    {"a": {"b": {"accuracy": "x"}}},
]


def deep(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def places(value: object, path: tuple = ()) -> list[tuple]:
    """The path of each value in a JSON document."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, part in parts for place in places(part, (*path, name)))]


def changed(path: tuple, new: object) -> object:
    """The metrics with another value at a path; what is deeper in the same part goes with it."""
    metrics = make_metrics()
    metrics["benchmarks"] = {"logic": metrics["benchmarks"]["logic"]}
    if not path:
        return new
    part = metrics
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = new
    return metrics


def test_a_report_is_what_it_was():
    """What the package writes passes as it is, also through a file, with any more keys."""
    metrics = json.loads(json.dumps(make_metrics())) | {"aiq": {"all": {"knn": None}}, "note": "mine"}
    assert checked_metrics(metrics) is metrics


def test_whatever_a_stranger_writes_makes_a_card_or_one_line():
    """Every part of the file replaced by values of every kind: a card with no NaN in it, or one line that names it."""
    refused, made = [], 0
    cases = [(path, new) for path in places(changed(("seed",), 7)) for new in STRANGE]
    for path, new in random.Random(0).sample(cases, 250):
        metrics = changed(path, new)
        try:
            checked = checked_metrics(metrics)
        except ValueError as error:
            refused.append(str(error))
            continue
        text = model_card(make_config(), checked).content
        assert not re.search(r"\b(nan|inf)\b", text.lower())
        made += 1
    assert len(refused) > 80
    assert made > 25
    assert not [line for line in refused if "\n" in line or len(line) > 300]


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("dataset", "x", r"`dataset` is 'x', expected a JSON dict"),
        ("reliability", 7, r"`reliability` is 7, expected a JSON list"),
        ("guarantee", {"min_success": 0.8}, r"`guarantee` has no `cheapest`"),
        ("knn", {"accuracy": "high"}, r"`knn.accuracy` is 'high', expected a JSON float"),
        ("seed", math.nan, r"the number nan, expected finite"),
        ("versions", {"torch": 2}, r"`versions.torch` is 2, expected a JSON str"),
        ("note", deep(60_000), r"deeper than 8 levels"),
        ("note", "x" * 5000, r"a text of 5,000 signs"),
        ("note", [0] * 1_000_001, r"more than 1,000,000 values"),
    ],
)
def test_the_line_names_the_part(part, value, message):
    """Path, found and expected."""
    with pytest.raises(ValueError, match=message):
        checked_metrics(make_metrics() | {part: value})
