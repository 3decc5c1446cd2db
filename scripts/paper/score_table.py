"""How many answers each LLM gave in each category, and how many were right, over all splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .setting import PaperData, benchmarks_of, in_categories

MIN_ANSWERS = 20  # of an LLM, to have an accuracy


@dataclass(frozen=True)
class ScoreTable:
    """Answers by category and LLM.

    Attributes:
        categories (`tuple[str, ...]`): Names of the rows.
        benchmarks (`dict[str, tuple[str, ...]]`): Categories of each benchmark.
        n_answers, n_right (`np.ndarray` of shape `(n_categories, n_llms)`): Numbers of answers and of right ones.
    """

    categories: tuple[str, ...]
    benchmarks: dict[str, tuple[str, ...]]
    n_answers: np.ndarray
    n_right: np.ndarray

    @classmethod
    def of(cls, data: PaperData) -> ScoreTable:
        """Count over all splits."""
        splits = [split.responses for split in data.splits.values()]
        categories = tuple(sorted({category for split in splits for category in split.categories}))
        n_answers, n_right = (np.zeros((len(categories), splits[0].n_llms)) for _ in range(2))
        for split in splits:
            observed, responses = split.observed(), split.responses(fill=0.0)
            for row, category in enumerate(categories):
                mine = in_categories(split, [category])
                n_answers[row] += observed[mine].sum(axis=0)
                n_right[row] += responses[mine].sum(axis=0, dtype=np.float64)
        return cls(categories, benchmarks_of(splits), n_answers, n_right)

    def totals(self, members: Sequence[str], *, elsewhere: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Each LLM's number of answers and of right ones in some categories, or in all others, both `(n_llms,)`."""
        rows = np.isin(self.categories, members) != elsewhere
        return self.n_answers[rows].sum(axis=0), self.n_right[rows].sum(axis=0)

    def accuracies(self, members: Sequence[str], *, elsewhere: bool = False) -> np.ndarray:
        """Each LLM's accuracy in some categories, or in all others, `(n_llms,)`; NaN with fewer than 20 answers."""
        n_answers, n_right = self.totals(members, elsewhere=elsewhere)
        return np.where(n_answers >= MIN_ANSWERS, n_right / np.maximum(n_answers, 1), np.nan)

    def largest(self, members: Sequence[str], most: int) -> list[str]:
        """Those of some categories that have most answers, in alphabetical order."""
        sizes = dict(zip(self.categories, self.n_answers.sum(axis=1), strict=True))
        return sorted(sorted(members, key=lambda member: -sizes[member])[:most])

    def answered(self) -> list[str]:
        """Which benchmarks each LLM has answered, as one text an LLM."""
        counts = {name: self.totals(members)[0] for name, members in self.benchmarks.items()}
        return [
            " + ".join(name for name, each in counts.items() if each[llm] > 0) for llm in range(self.n_right.shape[1])
        ]
