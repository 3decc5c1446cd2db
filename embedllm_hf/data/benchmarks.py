"""Which categories make a benchmark."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile


def benchmark_categories(categories: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group categories into benchmarks by their common leading words.

    `mmlu_pro_law` and `mmlu_pro_math` make the benchmark `mmlu_pro`; a category that shares its first word with no
    other, such as `gsm8k`, is a benchmark of its own. Repeats are ignored; the order is alphabetical.
    """
    groups: dict[str, list[str]] = {}
    for category in sorted(set(categories)):
        groups.setdefault(category.split("_")[0], []).append(category)
    benchmarks = {}
    for members in groups.values():
        words = [category.split("_") for category in members]
        shared = takewhile(lambda position: len(set(position)) == 1, zip(*words, strict=False))
        benchmarks["_".join(word for word, *_ in shared)] = tuple(members)
    return benchmarks
