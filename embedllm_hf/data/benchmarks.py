"""Which categories make a benchmark."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile


def benchmark_categories(categories: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group categories into benchmarks by their common leading words.

    `mmlu_pro_law` and `mmlu_pro_math` make the benchmark `mmlu_pro`; a category that shares its first word with no
    other, such as `gsm8k`, is a benchmark of its own. Where a category has the name of its group, as `mmlu` beside
    `mmlu_pro_law`, that name stays the category's and the benchmark is `mmlu_*`. Repeats are ignored; the order is
    alphabetical.
    """
    known = set(categories)
    groups: dict[str, list[str]] = {}
    for category in sorted(known):
        groups.setdefault(category.split("_")[0] or category, []).append(category)
    benchmarks = {}
    for members in groups.values():
        words = [category.split("_") for category in members]
        shared = takewhile(lambda position: len(set(position)) == 1, zip(*words, strict=False))
        name = "_".join(word for word, *_ in shared)
        while len(members) > 1 and name in known:
            name += "_*"
        benchmarks[name] = tuple(members)
    return benchmarks
