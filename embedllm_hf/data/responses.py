"""`ResponseMatrix`: who answered which question correctly, immutable, with the missing pairs missing.

Inside it is sparse (compressed rows, one per question); outside every array is `(n_questions, n_llms)`. A pair that
was never observed has no entry: it is not a wrong answer. This module reads no files (`files`, `sources`), and it
knows nothing of text vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from .._checks import check_choice, check_distinct, index_of, shorten, shown
from .._errors import InputError, InputTypeError
from .benchmarks import agreed_benchmarks, benchmark_categories
from .long_table import DUPLICATE_RULES, OPTIONAL_COLUMNS, REQUIRED_COLUMNS, Tables, check_columns, collect_tables
from .origin import DataOrigin, ResponseSummary
from .sparse import column, dense, entry_rows, select, with_entries
from .texts import question_keys
from .upload import push_tables

if TYPE_CHECKING:
    import pandas as pd


_UNKNOWN = DataOrigin()


@dataclass(frozen=True, eq=False, repr=False)
class ResponseMatrix:
    """Responses of a pool of LLMs to a set of questions; make one with `load_splits`, `from_pandas` or `from_long`.

    Attributes:
        question_ids (`np.ndarray` of shape `(n_questions,)`, int64): The data set's `prompt_id`, ascending; without
            such a column a number made of the text (`data.texts.text_id`), by first appearance.
        questions (`np.ndarray` of shape `(n_questions,)`, objects): The texts, or what stands for withheld ones.
        categories (`np.ndarray` of shape `(n_questions,)`, objects): Category names.
        llm_names (`tuple[str, ...]`): The columns, in an order that does not depend on the split.
        matrix (`scipy.sparse.csr_array` of shape `(n_questions, n_llms)`, float32): Responses in [0, 1]; its stored
            entries are the observed pairs, zeros among them, with ascending columns in each row (see `data.sparse`).
        counts (`np.ndarray` of shape `(n_observed,)`, int64): Rows behind each entry.
        contradictory (`np.ndarray` of shape `(n_observed,)`, bool): Whether those rows disagreed.
        duplicates (`str`): The rule that made one response of repeated rows; under `"mean"` an entry weighs its count.
        origin (`DataOrigin`): The data set and the split.
        benchmark_of (`Mapping[str, str]`): The benchmark of each category that the data set tells one of; it may
            tell of categories that have no question here.

    Raises:
        ValueError: If the sizes of the fields do not agree.
    """

    question_ids: np.ndarray
    questions: np.ndarray
    categories: np.ndarray
    llm_names: tuple[str, ...]
    matrix: sparse.csr_array
    counts: np.ndarray
    contradictory: np.ndarray
    duplicates: str
    origin: DataOrigin = _UNKNOWN
    benchmark_of: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("duplicates", self.duplicates, DUPLICATE_RULES)
        sizes = {"llm_names": self.n_llms, "counts": self.n_observed, "contradictory": self.n_observed}
        for name in ("question_ids", "questions", "categories", *sizes):
            found, expected = len(getattr(self, name)), sizes.get(name, self.n_questions)
            if found != expected:
                raise InputError(f"`{name}` has {found} entries, expected {expected}, as `matrix` has.")
        if not self.matrix.has_canonical_format:
            raise InputError("`matrix`: a row repeats a column or is not sorted. Call its `sum_duplicates` first.")
        for array in (*vars(self).values(), self.values, self.llm_indices, self.indptr):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)

    def __repr__(self) -> str:
        return f"ResponseMatrix({self.summary()})"

    # --- sizes and entries ---

    @property
    def n_questions(self) -> int:
        """Number of questions, rows of the matrix."""
        return self.matrix.shape[0]

    @property
    def n_llms(self) -> int:
        """Number of LLMs, columns of the matrix, whether or not each has a response here."""
        return self.matrix.shape[1]

    @property
    def n_observed(self) -> int:
        """Number of (question, LLM) pairs with a response: of entries."""
        return self.matrix.nnz

    @cached_property
    def keys(self) -> np.ndarray:
        """What tells the texts apart, `(n_questions,)` int64: see `data.texts.question_keys`."""
        return question_keys(self.questions)

    @property
    def benchmarks(self) -> dict[str, tuple[str, ...]]:
        """Categories of each benchmark: as the data set tells, else by their names (`data.benchmarks`)."""
        return benchmark_categories(self.categories, self.benchmark_of)

    @property
    def values(self) -> np.ndarray:
        """Response of each entry, `(n_observed,)` float32 in [0, 1]."""
        return self.matrix.data

    @property
    def llm_indices(self) -> np.ndarray:
        """Column of each entry, `(n_observed,)`, ascending in a question."""
        return self.matrix.indices

    @property
    def indptr(self) -> np.ndarray:
        """Where each question's entries begin, `(n_questions + 1,)`."""
        return self.matrix.indptr

    @property
    def question_indices(self) -> np.ndarray:
        """Row of each entry, `(n_observed,)`."""
        return entry_rows(self.matrix)

    @property
    def entry_weights(self) -> np.ndarray:
        """Weight of each entry, `(n_observed,)` float32: its count under `duplicates="mean"`, else 1."""
        counted = self.duplicates == "mean"
        return self.counts.astype(np.float32) if counted else np.ones(self.n_observed, np.float32)

    def summary(self) -> ResponseSummary:
        """Count rows, repeats, contradictions and missing pairs."""
        n_rows, origin = int(self.counts.sum()), self.origin
        return ResponseSummary(
            id=origin.id,
            revision=origin.revision,
            split=origin.split,
            n_left_out=origin.n_left_out,
            n_questions=self.n_questions,
            n_llms=self.n_llms,
            n_observed=self.n_observed,
            n_missing=self.n_questions * self.n_llms - self.n_observed,
            n_rows=n_rows,
            n_repeats=n_rows - self.n_observed,
            n_contradictions=int(self.contradictory.sum()),
            duplicates=self.duplicates,
        )

    # --- dense views ---

    def responses(self, fill: float = np.nan) -> np.ndarray:
        """Responses, `(n_questions, n_llms)` float32 in [0, 1], with `fill` where nothing was observed."""
        return dense(self.matrix, fill)

    def observed(self) -> np.ndarray:
        """Which pairs have a response, `(n_questions, n_llms)` bool."""
        return dense(with_entries(self.matrix, np.ones(self.n_observed, bool)), False)

    def weights(self) -> np.ndarray:
        """Weight of each pair, `(n_questions, n_llms)` float32; 0 where nothing was observed."""
        return dense(with_entries(self.matrix, self.entry_weights), 0)

    def column(self, llm_index: int) -> np.ndarray:
        """Responses of one LLM, `(n_questions,)` float32, NaN where nothing was observed."""
        return column(self.matrix, llm_index)

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
        columns = None if llms is None else np.array([index_of("LLM", name, self.llm_names) for name in names], int)
        matrix, entries = select(self.matrix, rows, columns)
        return replace(
            self,
            question_ids=self.question_ids[rows],
            questions=self.questions[rows],
            categories=self.categories[rows],
            llm_names=names,
            matrix=matrix,
            counts=self.counts[entries],
            contradictory=self.contradictory[entries],
        )

    def keep(self, entries: np.ndarray) -> ResponseMatrix:
        """Forget all responses but those of `entries`, a bool mask `(n_observed,)`; questions and LLMs stay.

        Raises:
            ValueError: If `entries` is no such mask.
        """
        entries = np.asarray(entries)
        if entries.dtype != bool or entries.shape != (self.n_observed,):
            raise InputError(
                f"`entries` is {entries.dtype} of shape {entries.shape}, expected a mask: bool of shape "
                f"({self.n_observed},), one an entry of `values`."
            )
        indptr = np.concatenate([[0], np.cumsum(entries)])[self.indptr].astype(self.indptr.dtype)
        kept = (self.values[entries], self.llm_indices[entries], indptr)
        return replace(
            self,
            matrix=sparse.csr_array(kept, shape=self.matrix.shape),
            counts=self.counts[entries],
            contradictory=self.contradictory[entries],
        )

    @classmethod
    def concat(cls, parts: Sequence[ResponseMatrix]) -> ResponseMatrix:
        """Put the questions of several matrices, splits for instance, into one, by id.

        Its origin is the data set that the parts share, without a split.

        Raises:
            ValueError: If there are no parts, they differ in LLMs, in rule or in a category's benchmark, or a
                question stands in two of them.
        """
        if not parts:
            raise InputError("`parts` is empty, expected at least one `ResponseMatrix`.")
        for name in ("llm_names", "duplicates"):
            if len({getattr(part, name) for part in parts}) > 1:
                raise InputError(f"`parts` differ in `{name}`. Load them with the same `{name}`.")
        fields = ("question_ids", "questions", "categories", "counts", "contradictory")
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in fields}
        order = np.argsort(joined["question_ids"], kind="stable")
        ids, texts = joined["question_ids"][order], joined["questions"][order]
        again = np.flatnonzero(ids[1:] == ids[:-1])
        if len(again):
            changed = texts[again] != texts[again + 1]
            reason = "the splits overlap."
            if changed.any():
                reason = "with different texts: are these parts of one data set?"
            raise InputError(
                f"`parts`: {len(again)} questions stand in more than one part, `prompt_id` "
                f"{ids[again[np.argmax(changed)]]} for instance, {reason} Drop them from one part with `select`."
            )
        origins = {replace(part.origin, split=None, n_left_out=0) for part in parts}
        return cls(
            **joined,
            llm_names=parts[0].llm_names,
            matrix=sparse.vstack([part.matrix for part in parts], format="csr"),
            duplicates=parts[0].duplicates,
            origin=origins.pop() if len(origins) == 1 else DataOrigin(),
            benchmark_of=agreed_benchmarks({f"part {n}": part.benchmark_of for n, part in enumerate(parts, 1)}),
        ).select(order)

    # --- long form ---

    def to_long(self) -> pa.Table:
        """One row a pair, with the columns that `from_long` names.

        Texts and names are dictionary-encoded, so a prompt is held once, not once per LLM. `from_long` reads it back.
        """
        rows = self.question_indices.astype(np.int32)

        def dictionary(indices: np.ndarray, values: Iterable[str]) -> pa.DictionaryArray:
            code = {value: position for position, value in enumerate(dict.fromkeys(values))}
            codes = np.array([code[value] for value in values], np.int32)
            return pa.DictionaryArray.from_arrays(pa.array(codes[indices]), pa.array(list(code), pa.string()))

        benchmarks = [self.benchmark_of.get(category, "") for category in self.categories]
        return pa.table(
            {
                "prompt_id": self.question_ids[rows],
                "model_id": self.llm_indices.astype(np.int64),
                "category": dictionary(rows, self.categories),
                **({"benchmark": dictionary(rows, benchmarks)} if any(benchmarks) else {}),
                "label": self.values,
                "label_count": self.counts,
                "label_contradictory": self.contradictory.astype(np.int8),
                "model_name": dictionary(self.llm_indices, self.llm_names),
                "prompt": dictionary(rows, self.questions),
            }
        )

    @classmethod
    def from_tables(cls, tables: Tables, *, origin: DataOrigin | None = None, **options: Any) -> ResponseMatrix:
        """Build from long tables that follow one another; see `data.long_table.collect_tables`."""
        return cls(**collect_tables(tables, **options), origin=origin or DataOrigin())

    @classmethod
    def from_long(
        cls,
        table: pa.Table,
        *,
        llm_names: Sequence[str] | None = None,
        duplicates: str = "mean",
        origin: DataOrigin | None = None,
    ) -> ResponseMatrix:
        """Build from a long Arrow table, one row a response.

        Args:
            table (`pa.Table`): Columns `prompt`, `model_name`, `label` in [0, 1], and optionally `prompt_id` (else
                texts tell questions apart), `category`, `benchmark` (one a category; without it, by their names),
                `model_id`, `label_count` (answers of which the label is the mean, which weigh as many) and
                `label_contradictory`. Other columns are ignored.
            llm_names (`Sequence[str]`, *optional*): The columns and their order. Default: by `model_id` if there is
                one, else by name.
            duplicates (`str`): What repeated (question, LLM) rows become: `"mean"` (k right of n, weight n),
                `"last"`, `"majority"` (1 if more than half are right) or `"max"`, each of weight 1.
            origin (`DataOrigin`, *optional*): The data set and the split.

        Raises:
            ValueError: If a column is missing or a row is not usable; the message names the row.
        """
        if not isinstance(table, pa.Table):
            raise InputTypeError(f"`table` is {shown(type(table))}, expected a `pyarrow.Table` (see `from_pandas`).")
        tables = [("table", table.to_batches())]
        return cls.from_tables(tables, llm_names=llm_names, duplicates=duplicates, origin=origin)

    @classmethod
    def from_pandas(cls, frame: pd.DataFrame, **options: Any) -> ResponseMatrix:
        """Build from a pandas frame; the columns and the options are those of `from_long`."""
        try:
            check_columns(list(frame.columns), "table")
            used = [name for name in REQUIRED_COLUMNS + OPTIONAL_COLUMNS if name in frame.columns]
            table = pa.Table.from_pandas(frame[used], preserve_index=False)
        except AttributeError as error:
            raise InputTypeError(f"`frame` is {shown(type(frame))}, expected a pandas frame.") from error
        except (pa.ArrowException, UnicodeEncodeError) as error:
            raise InputError(
                f"`frame`: a column mixes types, or is no Unicode, and cannot be read: {error}."
            ) from error
        return cls.from_long(table, **options)

    def push_to_hub(self, repo_id: str, *, split: str, **options: Any) -> str:
        """Upload as one split of a Hub data set, `"train"` for instance, with its text vectors if it brings some.

        The data set's other splits stay. Options, errors and the result, the address of the commit, are those of
        `data.upload.push_tables`.
        """
        options = {"duplicates": self.duplicates, "vectors": self.origin.vectors, **options}
        return push_tables({split: self.to_long()}, repo_id, llm_names=self.llm_names, **options)


def check_pool(responses: ResponseMatrix, where: str) -> None:
    """Raise a `ValueError` for what no pool can be learned from: no responses, or a single LLM."""
    if responses.n_observed == 0:
        raise InputError(f"{where}: the split holds no responses. Choose a split with rows.")
    if responses.n_llms < 2:
        raise InputError(
            f"{where}: only one LLM ({shorten(responses.llm_names)}), expected at least two. "
            "A pool is learned from differences between LLMs; add responses of another LLM."
        )
