"""`ResponseMatrix`: who answered which question correctly, immutable, with the missing pairs missing.

Inside it is sparse (compressed rows, one per question); outside every array is `(n_questions, n_llms)`. A pair that
was never observed has no entry: it is not a wrong answer. This module does not read files (`reading`, `hub`), and it
knows nothing of text vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from .._checks import check_distinct, index_of, shorten
from .._errors import InputError

if TYPE_CHECKING:
    import pandas as pd

DUPLICATE_RULES = ("mean", "last", "majority", "max")


@dataclass(frozen=True)
class ResponseSummary:
    """What a table of responses held.

    Attributes:
        n_questions, n_llms (`int`): Size of the matrix.
        n_observed, n_missing (`int`): Pairs with and without a response; they sum to `n_questions * n_llms`.
        n_rows (`int`): Rows of the long table it was made from.
        n_repeats (`int`): Rows beyond the first of their (question, LLM) pair.
        n_contradictions (`int`): Pairs whose repeated rows disagree.
        duplicates (`str`): The rule that made one response of repeated rows.
    """

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
        )


@dataclass(frozen=True, eq=False, repr=False)
class ResponseMatrix:
    """Responses of a pool of LLMs to a set of questions.

    Make one with `load_responses`, `from_pandas` or `from_long`; the fields are the compressed rows themselves.

    Attributes:
        question_ids (`np.ndarray` of shape `(n_questions,)`, int64): The data set's `prompt_id`, ascending.
        questions (`np.ndarray` of shape `(n_questions,)`, objects): The texts.
        categories (`np.ndarray` of shape `(n_questions,)`, objects): Category names.
        llm_names (`tuple[str, ...]`): The columns, in an order that does not depend on the split.
        indptr (`np.ndarray` of shape `(n_questions + 1,)`): Where each question's entries begin.
        llm_indices (`np.ndarray` of shape `(n_observed,)`, int32): Column of each entry, ascending in a question.
        values (`np.ndarray` of shape `(n_observed,)`, float32): Response of each entry, in [0, 1].
        counts (`np.ndarray` of shape `(n_observed,)`, int32): Rows behind each entry.
        contradictory (`np.ndarray` of shape `(n_observed,)`, bool): Whether those rows disagreed.
        duplicates (`str`): The rule that made one response of repeated rows; under `"mean"` an entry weighs its count.
    """

    question_ids: np.ndarray
    questions: np.ndarray
    categories: np.ndarray
    llm_names: tuple[str, ...]
    indptr: np.ndarray
    llm_indices: np.ndarray
    values: np.ndarray
    counts: np.ndarray
    contradictory: np.ndarray
    duplicates: str

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def __repr__(self) -> str:
        return f"ResponseMatrix({self.summary()})"

    @property
    def n_questions(self) -> int:
        """Number of questions, rows of the matrix."""
        return len(self.question_ids)

    @property
    def n_llms(self) -> int:
        """Number of LLMs, columns of the matrix, whether or not each has a response here."""
        return len(self.llm_names)

    @property
    def n_observed(self) -> int:
        """Number of (question, LLM) pairs with a response."""
        return len(self.values)

    @property
    def question_indices(self) -> np.ndarray:
        """Row of each entry, `(n_observed,)`."""
        return np.repeat(np.arange(self.n_questions), np.diff(self.indptr))

    def summary(self) -> ResponseSummary:
        """Count rows, repeats, contradictions and missing pairs."""
        n_rows = int(self.counts.sum())
        return ResponseSummary(
            n_questions=self.n_questions,
            n_llms=self.n_llms,
            n_observed=self.n_observed,
            n_missing=self.n_questions * self.n_llms - self.n_observed,
            n_rows=n_rows,
            n_repeats=n_rows - self.n_observed,
            n_contradictions=int(self.contradictory.sum()),
            duplicates=self.duplicates,
        )

    @property
    def entry_weights(self) -> np.ndarray:
        """Weight of each entry, `(n_observed,)` float32: its count under `duplicates="mean"`, else 1."""
        counted = self.duplicates == "mean"
        return self.counts.astype(np.float32) if counted else np.ones(self.n_observed, np.float32)

    # --- dense views ---

    def _dense(self, entries: np.ndarray, fill: float, dtype: type) -> np.ndarray:
        """Spread one value per entry over `(n_questions, n_llms)`."""
        dense = np.full((self.n_questions, self.n_llms), fill, dtype=dtype)
        dense[self.question_indices, self.llm_indices] = entries
        return dense

    def responses(self, fill: float = np.nan) -> np.ndarray:
        """Responses, `(n_questions, n_llms)` float32 in [0, 1], with `fill` where nothing was observed."""
        return self._dense(self.values, fill, np.float32)

    def observed(self) -> np.ndarray:
        """Which pairs have a response, `(n_questions, n_llms)` bool."""
        return self._dense(np.ones(self.n_observed, bool), False, bool)

    def weights(self) -> np.ndarray:
        """Weight of each pair, `(n_questions, n_llms)` float32; 0 where nothing was observed."""
        return self._dense(self.entry_weights, 0, np.float32)

    # --- selection ---

    def select(
        self,
        question_indices: np.ndarray | Sequence[int] | None = None,
        *,
        llms: Sequence[str] | None = None,
        categories: Sequence[str] | None = None,
    ) -> ResponseMatrix:
        """Keep some questions, some LLMs, or both.

        Args:
            question_indices (`np.ndarray`, *optional*): Rows to keep, as positions or as a bool mask.
            llms (`Sequence[str]`, *optional*): LLMs to keep, in the order wanted.
            categories (`Sequence[str]`, *optional*): Categories to keep; further restricts `question_indices`.

        Returns:
            `ResponseMatrix`: A new matrix; questions stay even when no kept LLM answered them.

        Raises:
            KeyError: If an LLM or a category is unknown.
        """
        rows = np.arange(self.n_questions)
        if question_indices is not None:
            chosen = np.asarray(question_indices)
            rows = rows[chosen if chosen.size else chosen.astype(int)]
        if categories is not None:
            known = sorted(set(self.categories))
            wanted = {known[index_of("category", name, known)] for name in categories}
            rows = rows[[category in wanted for category in self.categories[rows]]]
        names = self.llm_names if llms is None else tuple(llms)
        check_distinct("`llms`", names)
        new_column = np.full(self.n_llms, -1, np.int32)
        new_column[[index_of("LLM", name, self.llm_names) for name in names]] = np.arange(len(names))

        lengths = np.diff(self.indptr)[rows]
        starts = np.repeat(self.indptr[rows] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        entries = starts + np.arange(lengths.sum())
        question_of_entry = np.repeat(np.arange(len(rows)), lengths)
        columns = new_column[self.llm_indices[entries]]
        kept = columns >= 0
        order = np.lexsort((columns[kept], question_of_entry[kept]))
        entries = entries[kept][order]
        return ResponseMatrix(
            question_ids=self.question_ids[rows],
            questions=self.questions[rows],
            categories=self.categories[rows],
            llm_names=names,
            indptr=np.concatenate([[0], np.cumsum(np.bincount(question_of_entry[kept], minlength=len(rows)))]),
            llm_indices=columns[kept][order],
            values=self.values[entries],
            counts=self.counts[entries],
            contradictory=self.contradictory[entries],
            duplicates=self.duplicates,
        )

    # --- long form ---

    def to_long(self) -> pa.Table:
        """One row a pair: `prompt_id, model_id, category, label, count, contradictory, model_name, prompt`.

        Texts and names are dictionary-encoded, so a prompt is held once, not once per LLM. `from_long` reads it back.
        """
        rows = self.question_indices.astype(np.int32)

        def dictionary(indices: np.ndarray, values: Sequence[str]) -> pa.DictionaryArray:
            code = {value: position for position, value in enumerate(dict.fromkeys(values))}
            codes = np.array([code[value] for value in values], np.int32)
            return pa.DictionaryArray.from_arrays(pa.array(codes[indices]), pa.array(list(code), pa.string()))

        return pa.table(
            {
                "prompt_id": self.question_ids[rows],
                "model_id": self.llm_indices.astype(np.int64),
                "category": dictionary(rows, self.categories),
                "label": self.values,
                "count": self.counts,
                "contradictory": self.contradictory.astype(np.int8),
                "model_name": dictionary(self.llm_indices, self.llm_names),
                "prompt": dictionary(rows, self.questions),
            }
        )

    @classmethod
    def from_long(
        cls, table: pa.Table, *, llm_names: Sequence[str] | None = None, duplicates: str = "mean"
    ) -> ResponseMatrix:
        """Build from a long Arrow table, one row a response.

        Args:
            table (`pa.Table`): Columns `prompt`, `model_name`, `label` in [0, 1], and optionally `prompt_id` (else
                questions are numbered by first appearance), `category`, `model_id`, `count`, `contradictory`.
            llm_names (`Sequence[str]`, *optional*): The columns and their order. Default: by `model_id` if there is
                one, else by name.
            duplicates (`str`): What repeated (question, LLM) rows become: `"mean"` (k right of n, weight n),
                `"last"`, `"majority"` (1 if more than half are right) or `"max"`, each of weight 1.

        Raises:
            ValueError: If a column is missing or a row is not usable; the message names the row.
        """
        from .long_table import collect_responses

        return collect_responses(table.to_batches(), "table", llm_names=llm_names, duplicates=duplicates)

    @classmethod
    def from_pandas(
        cls, frame: pd.DataFrame, *, llm_names: Sequence[str] | None = None, duplicates: str = "mean"
    ) -> ResponseMatrix:
        """Build from a pandas frame; the columns and arguments are those of `from_long`."""
        try:
            table = pa.Table.from_pandas(frame, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InputError(f"`frame`: a column mixes types and cannot be read: {error}.") from error
        return cls.from_long(table, llm_names=llm_names, duplicates=duplicates)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        split: str,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
    ) -> str:
        """Upload as one split of a Hub data set: Parquet, `model_order.csv` and a card, in one commit.

        Args:
            repo_id (`str`): Id of the data set, made if it is not there. Its other splits stay.
            split (`str`): `"train"`, `"validation"`, `"test"` or another name.
            private (`bool`, *optional*): Whether a new data set is private.
            token, revision (*optional*): As in huggingface_hub.

        Returns:
            `str`: Address of the commit.

        Raises:
            OSError: If the Hub refuses or cannot be reached; nothing is changed then.
        """
        from .upload import push_responses

        return push_responses(self, repo_id, split=split, private=private, token=token, revision=revision)


def check_pool(responses: ResponseMatrix, where: str) -> None:
    """Refuse what no pool can be learned from: no responses, or a single LLM.

    Raises:
        ValueError: With what was found in `where`.
    """
    if responses.n_observed == 0:
        raise InputError(f"{where}: the split holds no responses. Choose a split with rows.")
    if responses.n_llms < 2:
        raise InputError(
            f"{where}: only one LLM ({shorten(responses.llm_names)}), expected at least two. "
            "A pool is learned from differences between LLMs; add responses of another LLM."
        )


def benchmark_categories(categories: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Group categories into benchmarks by their common leading words.

    `mmlu_pro_law` and `mmlu_pro_math` make the benchmark `mmlu_pro`; a category that shares its first word with no
    other, such as `gsm8k`, is a benchmark of its own.

    Args:
        categories (`Sequence[str]`): Category names; repeats are ignored.

    Returns:
        `dict[str, tuple[str, ...]]`: Categories of each benchmark, in alphabetical order.
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
