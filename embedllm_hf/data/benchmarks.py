"""Which categories make a benchmark: as the data set tells, else by the names of the categories."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import takewhile

from .._errors import InputError


def benchmark_categories(
    categories: Iterable[str], benchmark_of: Mapping[str, str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Group categories into benchmarks: as `benchmark_of` tells, the others by their common leading words.

    By their words `mmlu_pro_law` and `mmlu_pro_math` make the benchmark `mmlu_pro`; a category that shares its first
    word with no other, such as `gsm8k`, is a benchmark of its own. Where a category has the name of its group, as
    `mmlu` beside `mmlu_pro_law`, that name stays the category's and the benchmark is `mmlu_*`. Repeats are ignored;
    the order is that of each benchmark's first category in the alphabet.

    Args:
        categories (`Iterable[str]`): The categories.
        benchmark_of (`Mapping[str, str]`, *optional*): The benchmark of those categories that it is told of. Its
            name is taken as it stands, and no other benchmark has it.
    """
    known, told = set(categories), benchmark_of or {}
    groups: dict[tuple[bool, str], list[str]] = {}
    for category in sorted(known):
        by_rule = category not in told
        groups.setdefault((by_rule, category.split("_")[0] or category if by_rule else told[category]), []).append(
            category
        )
    taken = {name for by_rule, name in groups if not by_rule}
    benchmarks = {}
    for (by_rule, name), members in groups.items():
        own = taken | known if len(members) > 1 else taken
        benchmarks[_shared_words(members, own) if by_rule else name] = tuple(members)
    return benchmarks


def _shared_words(categories: Sequence[str], taken: Collection[str]) -> str:
    """The leading words that some categories share, as a name that is not `taken`."""
    words = [category.split("_") for category in categories]
    shared = takewhile(lambda position: len(set(position)) == 1, zip(*words, strict=False))
    name = "_".join(word for word, *_ in shared)
    while name in taken:
        name += "_*"
    return name


def agreed_benchmarks(parts: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The benchmark of each category, by what several parts tell, which have names for the message.

    Raises:
        ValueError: If two parts tell different benchmarks of one category.
    """
    agreed: dict[str, str] = {}
    source: dict[str, str] = {}
    for part, benchmark_of in parts.items():
        for category, benchmark in benchmark_of.items():
            if agreed.setdefault(category, benchmark) != benchmark:
                raise InputError(
                    f"the category `{category}` is of the benchmark `{agreed[category]}` in {source[category]} and of "
                    f"`{benchmark}` in {part}, expected one benchmark a category. Rename it in one of them, or leave "
                    "the column `benchmark` out there."
                )
            source.setdefault(category, part)
    return agreed
