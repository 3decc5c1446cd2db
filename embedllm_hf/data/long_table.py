"""Long tables of responses, one row a response, batch by batch into what makes a `ResponseMatrix`.

A prompt repeats once per LLM in the EmbedLLM layout, so each text is kept once. Every row is checked; an error names
the table, the row (counted from 1, without the header) and what to do. Files are read elsewhere (`files`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from .._checks import check_choice, check_distinct, closest_names, shorten
from .._errors import InputError

DUPLICATE_RULES = ("mean", "last", "majority", "max")
REQUIRED_COLUMNS = ("prompt", "model_name", "label")
OPTIONAL_COLUMNS = ("prompt_id", "model_id", "category", "count", "contradictory")
Tables = Iterable[tuple[str, Iterable[pa.RecordBatch]]]
_TEXT_OF = {"prompt": "the question's text", "model_name": "the LLM's name"}


def check_columns(found: Sequence[str], where: str) -> None:
    """Refuse a table without the required columns, listing both sides."""
    missing = [name for name in REQUIRED_COLUMNS if name not in found]
    if missing:
        raise InputError(
            f"{where}: column {shorten(missing)} is missing; found {shorten(found, 12)}, expected "
            f"{shorten(REQUIRED_COLUMNS)}. Rename the columns, or point at the response table."
        )


def collect_names(tables: Tables) -> tuple[str, ...]:
    """Names of the LLMs in some tables, in the order in which `collect_tables` would take them."""
    collector = _Collector(None)
    for columns in collector.batches(tables):
        collector.llms(columns)
    return collector.llm_names()


def collect_tables(
    tables: Tables, *, llm_names: Sequence[str] | None = None, duplicates: str = "mean"
) -> dict[str, Any]:
    """Read long tables, one after the other, as if they were one, into the fields of a `ResponseMatrix` (no origin).

    Args:
        tables (`Iterable[tuple[str, Iterable[pa.RecordBatch]]]`): The name of each table, for messages, and its rows
            with the columns that `ResponseMatrix.from_long` names.
        llm_names (`Sequence[str]`, *optional*): The pool and its order.
        duplicates (`str`): See `ResponseMatrix.from_long`.

    Raises:
        ValueError: On an unusable row, naming it.
    """
    check_choice("duplicates", duplicates, DUPLICATE_RULES)
    if llm_names is not None:
        check_distinct("`llm_names`", llm_names)
    collector = _Collector(llm_names)
    for columns in collector.batches(tables):
        collector.add(columns)
    return collector.finish(duplicates)


class _Collector:
    """The growing state of one pass over long tables: distinct questions and LLMs, and one entry a row."""

    def __init__(self, llm_names: Sequence[str] | None) -> None:
        self.where = ""
        self.n_rows = 0  # of the current table, before the current batch
        self.pool_is_fixed = llm_names is not None
        self.model_ids = {name: index for index, name in enumerate(llm_names or ())}
        self.ids_of_texts: dict[str, int] = {}  # for tables without `prompt_id`
        self.texts: dict[int, str] = {}
        self.categories: dict[int, str] = {}
        self.entries: list[tuple[np.ndarray, ...]] = []  # id, LLM, label, count, whether contradictory

    def batches(self, tables: Tables) -> Iterator[dict[str, pa.Array]]:
        """The batches by column; meanwhile messages name the table and the row of the batch at hand."""
        for where, batches in tables:
            self.where, self.n_rows = where, 0
            for batch in batches:
                if batch.num_rows:
                    check_columns(batch.schema.names, where)
                    yield dict(zip(batch.schema.names, batch.columns, strict=True))
                    self.n_rows += batch.num_rows

    def add(self, columns: dict[str, pa.Array]) -> None:
        """Check one batch and append its entries."""
        labels = self._numbers(columns["label"], "label", pa.float64())
        self._require((labels >= 0) & (labels <= 1), labels, "label", "a number in [0, 1] (1 right, 0 wrong)")
        ids, llms = self._questions(columns), self.llms(columns)
        counts, mixed = np.ones(len(labels), np.int64), np.zeros(len(labels), bool)
        if "count" in columns:
            counts = self._numbers(columns["count"], "count", pa.int64())
            self._require(counts >= 1, counts, "count", "a whole number, 1 or more")
        if "contradictory" in columns:
            mixed = self._numbers(columns["contradictory"], "contradictory", pa.float64()).astype(bool)
        self.entries.append((ids, llms, labels.astype(np.float32), counts.astype(np.int32), mixed))

    def _fail(self, row: int, problem: str) -> NoReturn:
        raise InputError(f"{self.where}, row {self.n_rows + row + 1}: {problem}. Correct or drop the row.")

    def _require(self, fine: np.ndarray, values: np.ndarray, name: str, expected: str) -> None:
        """Refuse the first row that is not fine."""
        if not fine.all():
            row = int(np.argmin(fine))
            self._fail(row, f"`{name}` is {values[row]:g}, expected {expected}")

    def _numbers(self, column: pa.Array, name: str, kind: pa.DataType) -> np.ndarray:
        """A column of numbers, or of their text, as float64 or int64; anything else is refused with its row."""
        expected = "a whole number" if pa.types.is_integer(kind) else "a number"
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        try:
            values = _converted(column, kind)
        except pa.ArrowException:
            for row, value in enumerate(column.to_pylist()):
                try:
                    _converted(pa.array([value]), kind)
                except pa.ArrowException:
                    found = f"is {value!r}" if value else "is empty"
                    self._fail(row, f"`{name}` {found}, expected {expected}")
            raise
        missing = column.is_null().to_numpy(zero_copy_only=False) | (values != values)
        if missing.any():
            self._fail(int(np.argmax(missing)), f"`{name}` is empty, expected {expected}")
        return values

    def _texts(self, column: pa.Array, name: str) -> tuple[list[str], np.ndarray]:
        """A text column as distinct strings, and the number of its string for each row."""
        encoded = pa.types.is_dictionary(column.type)
        kind = column.type.value_type if encoded else column.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise InputError(f"{self.where}: column `{name}` holds {kind}, expected text. Convert it to strings.")
        column = column if encoded else pc.dictionary_encode(column)
        distinct = pc.dictionary_encode(column.dictionary)  # Arrow allows a dictionary that repeats a value
        codes = pc.fill_null(distinct.indices.take(column.indices), -1).to_numpy()
        texts = [*distinct.dictionary.to_pylist(), ""]  # the last for -1: a row without a text
        blank = np.array([not text.strip() for text in texts])[codes]
        if blank.any():
            self._fail(int(np.argmax(blank)), f"`{name}` is empty, expected {_TEXT_OF[name]}")
        return texts, codes

    def _questions(self, columns: dict[str, pa.Array]) -> np.ndarray:
        """Id of the question of each row; the text and the category of a new one are kept."""
        texts, codes = self._texts(columns["prompt"], "prompt")
        if "prompt_id" in columns:
            ids = self._numbers(columns["prompt_id"], "prompt_id", pa.int64())
        else:  # number the texts by first appearance over all tables
            ids = np.array([self.ids_of_texts.setdefault(texts[code], len(self.ids_of_texts)) for code in codes])
        pairs = np.unique(ids, return_inverse=True)[1] * len(texts) + codes
        for row in np.sort(np.unique(pairs, return_index=True)[1]):
            question_id, text = int(ids[row]), texts[codes[row]]
            if self.texts.setdefault(question_id, text) != text:
                self._fail(row, f"`prompt_id` {question_id} has another text than before, expected one text per id")
            if question_id not in self.categories:
                category = columns["category"][row].as_py() if "category" in columns else None
                self.categories[question_id] = category or "all"
        return ids

    def llms(self, columns: dict[str, pa.Array]) -> np.ndarray:
        """Number of the LLM of each row, by first appearance; new LLMs are added unless the pool is fixed."""
        names, codes = self._texts(columns["model_name"], "model_name")
        ids = self._numbers(columns["model_id"], "model_id", pa.int64()) if "model_id" in columns else codes * 0
        for row in np.sort(np.unique(codes, return_index=True)[1]):
            name = names[codes[row]]
            if self.pool_is_fixed and name not in self.model_ids:
                hint = closest_names(name, list(self.model_ids))
                self._fail(row, f"`model_name` is {name!r}, which is not in the pool's list; {hint}")
            self.model_ids.setdefault(name, int(ids[row]))
        number = {name: number for number, name in enumerate(self.model_ids)}
        return np.array([number.get(name, -1) for name in names], np.int32)[codes]

    def llm_names(self) -> tuple[str, ...]:
        """The pool: by id, and by name where ids are equal or missing."""
        return tuple(sorted(self.model_ids, key=lambda name: (self.model_ids[name], name)))

    def finish(self, duplicates: str) -> dict[str, Any]:
        """Sort the entries by question and LLM, merge the repeats, and make a matrix of them."""
        if not self.entries:
            raise InputError(f"{self.where}: no rows, expected one row a response. Is the split empty?")
        ids, llms, label, count, mixed = (np.concatenate(parts) for parts in zip(*self.entries, strict=True))
        self.entries.clear()
        question_ids = np.sort(np.fromiter(self.texts, np.int64, len(self.texts)))
        llm_names = self.llm_names()
        position = {name: index for index, name in enumerate(llm_names)}
        llm_indices = np.array([position[name] for name in self.model_ids])[llms]
        key = np.searchsorted(question_ids, ids) * len(llm_names) + llm_indices
        order = np.argsort(key, kind="stable")  # stable: `last` means the last row of the table
        key, label, count, mixed = key[order], label[order], count[order], mixed[order]
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        counts = np.add.reduceat(count, starts)
        means = np.add.reduceat(label.astype(np.float64) * count, starts) / counts
        highest, lowest = np.maximum.reduceat(label, starts), np.minimum.reduceat(label, starts)
        last = label[np.append(starts[1:], len(key)) - 1]
        values = {"mean": means, "last": last, "majority": means > 0.5, "max": highest}[duplicates].astype(np.float32)
        pairs = tuple(indices.astype(np.int32) for indices in np.divmod(key[starts], len(llm_names)))
        return {
            "question_ids": question_ids,
            "questions": np.array([self.texts[question] for question in question_ids], object),
            "categories": np.array([self.categories[question] for question in question_ids], object),
            "llm_names": llm_names,
            "matrix": sparse.csr_array((values, pairs), shape=(len(question_ids), len(llm_names))),
            "counts": counts.astype(np.int32),
            "contradictory": np.logical_or.reduceat(mixed, starts) | (highest != lowest),
            "duplicates": duplicates,
        }


def _converted(values: pa.Array, kind: pa.DataType) -> np.ndarray:
    """Numbers, or the text of numbers, as an array of `kind`; a missing one is NaN, or 0 among whole numbers."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = pc.utf8_trim_whitespace(values)
    elif pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    numbers = pc.cast(values, kind)
    return (pc.fill_null(numbers, 0) if pa.types.is_integer(kind) else numbers).to_numpy(zero_copy_only=False)
