"""Where responses are from, and what a table of them held."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataOrigin:
    """Where responses are from.

    Attributes:
        id, revision, split (`str | None`): Id of a Hub data set or a folder's name, commit and split, if known.
        n_left_out (`int`): Questions that were left out, since they are known.
        vectors (`Path | None`): The data set's own file of text vectors.
    """

    id: str | None = None
    revision: str | None = None
    split: str | None = None
    n_left_out: int = 0
    vectors: Path | None = None


@dataclass(frozen=True)
class ResponseSummary:
    """What a table of responses held.

    Attributes:
        id, revision, split, n_left_out: Its origin.
        n_observed, n_missing (`int`): Pairs with and without a response.
        n_rows, n_repeats (`int`): Rows of the long table, and those beyond the first of their pair.
        n_contradictions (`int`): Pairs whose repeated rows disagree; `duplicates` is the rule that made one of them.
    """

    id: str | None
    revision: str | None
    split: str | None
    n_left_out: int
    n_questions: int
    n_llms: int
    n_observed: int
    n_missing: int
    n_rows: int
    n_repeats: int
    n_contradictions: int
    duplicates: str

    def __str__(self) -> str:
        share = self.n_observed / max(1, self.n_observed + self.n_missing)
        return (
            f"{self.n_questions:,} questions x {self.n_llms:,} LLMs: {self.n_observed:,} responses "
            f"({share:.1%} observed, {self.n_missing:,} missing) from {self.n_rows:,} rows, {self.n_repeats:,} "
            f"repeats, {self.n_contradictions:,} contradictory pairs (duplicates: {self.duplicates})"
            + (f"; {self.n_left_out:,} questions left out, seen elsewhere" if self.n_left_out else "")
        )
