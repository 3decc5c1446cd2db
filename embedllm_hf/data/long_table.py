"""Long tables of responses, one row a response, batch by batch into what makes a `ResponseMatrix`.

A prompt repeats once per LLM in the EmbedLLM layout, so each text is kept once, and repeated rows are merged as they
come. Every row is checked; an error names the table, the row (counted from 1, without the header) and what to do.
Files are read elsewhere (`files`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from .._checks import check_choice, check_llm_names, check_text, closest_names, normal_text, shorten, shown
from .._errors import InputError
from .texts import text_id

logger = logging.getLogger(__name__)

DUPLICATE_RULES = ("mean", "last", "majority", "max")
REQUIRED_COLUMNS = ("prompt", "model_name", "label")
OPTIONAL_COLUMNS = ("prompt_id", "model_id", "category", "benchmark", "label_count", "label_contradictory")
NO_CATEGORY = "all"
Tables = Iterable[tuple[str, Iterable[pa.RecordBatch]]]
_TEXT_OF = {"prompt": "the question's text", "model_name": "the LLM's name"}
_WHOLE = "a whole number from 0 to 2^63 - 1"
_REMEDIES = {
    "prompt_id": "Correct the row, or leave the column out: questions are then told apart by their texts",
    "model_id": "Correct the row, or leave the column out: LLMs are then ordered by their names",
    "benchmark": "Correct the row, or give each benchmark categories of its own",
}
_MOST_COUNTED = 1 << 40  # so that no sum of counts leaves int64
_MERGED_AT = 1 << 20  # entries that may wait to be merged


def check_columns(found: Sequence[str], where: str) -> None:
    """Refuse a table without the required columns, listing both sides, or with two columns of one name."""
    missing = [name for name in REQUIRED_COLUMNS if name not in found]
    if missing:
        raise InputError(
            f"{where}: column {shorten(missing)} is missing; found {shorten(found, 12)}, expected "
            f"{shorten(REQUIRED_COLUMNS)}. Rename the columns, or point at the response table."
        )
    twice = [name for name, n in Counter(found).items() if n > 1 and name in REQUIRED_COLUMNS + OPTIONAL_COLUMNS]
    if twice:
        raise InputError(f"{where}: column {shorten(twice)} stands there more than once. Rename all but one.")


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
        check_llm_names("`llm_names`", llm_names)
    collector = _Collector(llm_names)
    for columns in collector.batches(tables):
        collector.add(columns)
    return collector.finish(duplicates)


def warn_of_cases(names: Iterable[str]) -> None:
    """Warn of names that differ in upper and lower case only: they may be one LLM."""
    cases: dict[str, list[str]] = {}
    for name in names:
        cases.setdefault(name.casefold(), []).append(name)
    alike = [" and ".join(f"`{name}`" for name in group) for group in cases.values() if len(group) > 1]
    if alike:
        logger.warning(
            "%d names of LLMs differ in upper and lower case only, %s for instance; they are taken as different LLMs.",
            len(alike),
            alike[0],
        )


class _Entries(NamedTuple):
    """What rows of a table say, each array `(n,)`; rows of one question and LLM are merged into one."""

    ids: np.ndarray
    llms: np.ndarray
    totals: np.ndarray  # of the labels
    counts: np.ndarray
    highest: np.ndarray
    lowest: np.ndarray
    last: np.ndarray
    mixed: np.ndarray  # whether its rows were contradictory already

    @classmethod
    def merged(cls, parts: Sequence[_Entries]) -> _Entries:
        """The entries of some parts, one a pair, by ascending id and LLM."""
        ids, llms, totals, counts, highest, lowest, last, mixed = map(np.concatenate, zip(*parts, strict=True))
        order = np.lexsort((llms, ids))  # stable: `last` means the last row of the table
        ids, llms = ids[order], llms[order]
        changes = (np.diff(ids) != 0) | (np.diff(llms) != 0)
        starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
        return cls(
            ids[starts],
            llms[starts],
            np.add.reduceat(totals[order], starts),
            np.add.reduceat(counts[order], starts),
            np.maximum.reduceat(highest[order], starts),
            np.minimum.reduceat(lowest[order], starts),
            last[order][np.append(starts[1:], len(order)) - 1],
            np.logical_or.reduceat(mixed[order], starts),
        )


class _Collector:
    """The growing state of one pass over long tables: distinct questions and LLMs, and one entry a pair."""

    def __init__(self, llm_names: Sequence[str] | None) -> None:
        self.where = ""
        self.n_rows = 0  # of the current table, before the current batch
        self.pool_is_fixed = llm_names is not None
        self.model_ids = {name: index for index, name in enumerate(llm_names or ())}
        self.has_ids = False  # whether a table has the column `prompt_id`
        self.texts: dict[int, str] = {}
        self.categories: dict[int, str] = {}
        self.benchmark_of: dict[str, str] = {}
        self.merged: list[_Entries] = []
        self.waiting: list[_Entries] = []

    def batches(self, tables: Tables) -> Iterator[dict[str, pa.Array]]:
        """The batches by column; meanwhile messages name the table and the row of the batch at hand."""
        for where, batches in tables:
            self.where, self.n_rows = where, 0
            for batch in batches:
                if batch.num_rows:
                    check_columns(batch.schema.names, where)
                    self._validate(batch)
                    yield dict(zip(batch.schema.names, batch.columns, strict=True))
                    self.n_rows += batch.num_rows

    def _validate(self, batch: pa.RecordBatch) -> None:
        """Refuse what no reader of Arrow's may look into: text that is no UTF-8, places beyond the end."""
        try:
            batch.validate(full=True)
        except pa.ArrowException as error:
            raise InputError(
                f"{self.where}, rows {self.n_rows + 1:,} to {self.n_rows + batch.num_rows:,}: damaged "
                f"({shown(str(error), 120)}). Fetch or write the table again."
            ) from error

    def add(self, columns: dict[str, pa.Array]) -> None:
        """Check one batch and append its entries."""
        labels = self._numbers(columns["label"], "label", pa.float64())
        self._require((labels >= 0) & (labels <= 1), labels, "label", "a number in [0, 1] (1 right, 0 wrong)")
        self._benchmarks(columns)
        ids, llms = self._questions(columns), self.llms(columns)
        counts, mixed = np.ones(len(labels), np.int64), np.zeros(len(labels), bool)
        if "label_count" in columns:
            counts = self._numbers(columns["label_count"], "label_count", pa.int64())
            fine = (counts >= 1) & (counts <= _MOST_COUNTED)
            self._require(fine, counts, "label_count", "a whole number from 1 to 2^40")
        if "label_contradictory" in columns:
            mixed = self._numbers(columns["label_contradictory"], "label_contradictory", pa.float64()).astype(bool)
        labels = labels.astype(np.float32)
        totals = labels.astype(np.float64) * counts
        self.waiting.append(_Entries.merged([_Entries(ids, llms, totals, counts, labels, labels, labels, mixed)]))
        # Merged when twice as much waits as is there, so that all merging together takes as long as one or two.
        n_waiting, n_merged = (sum(len(part.ids) for part in parts) for parts in (self.waiting, self.merged))
        if n_waiting > max(_MERGED_AT, 2 * n_merged):
            self._merge()

    def _merge(self) -> None:
        self.merged, self.waiting = [_Entries.merged([*self.merged, *self.waiting])], []

    def _fail(self, row: int, problem: str, name: str = "") -> NoReturn:
        remedy = _REMEDIES.get(name, "Correct or drop the row")
        raise InputError(f"{self.where}, row {self.n_rows + row + 1}: {problem}. {remedy}.")

    def _require(self, fine: np.ndarray, values: np.ndarray, name: str, expected: str) -> None:
        """Refuse the first row that is not fine."""
        if not fine.all():
            row = int(np.argmin(fine))
            self._fail(row, f"`{name}` is {values[row]:.17g}, expected {expected}", name)

    def _numbers(self, column: pa.Array, name: str, kind: pa.DataType) -> np.ndarray:
        """A column of numbers, or of their text, as float64 or int64; anything else is refused with its row."""
        expected = _WHOLE if pa.types.is_integer(kind) else "a number"
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        column = _plain_text(column)
        if not _may_be_numbers(column.type, kind):
            remedy = _REMEDIES.get(name, "Convert it").replace("Correct the row", "Convert it")
            raise InputError(f"{self.where}: column `{name}` holds {column.type}, expected {expected}. {remedy}.")
        try:
            values = _converted(column, kind)
        except pa.ArrowException:
            for row in range(len(column)):
                try:
                    _converted(column[row : row + 1], kind)
                except pa.ArrowException:
                    value = column[row].as_py()
                    found = f"is {shown(value)}" if value else "is empty"
                    self._fail(row, f"`{name}` {found}, expected {expected}", name)
            raise
        missing = column.is_null().to_numpy(zero_copy_only=False) | (values != values)
        if missing.any():
            self._fail(int(np.argmax(missing)), f"`{name}` is empty, expected {expected}", name)
        return values

    def _ids(self, column: pa.Array, name: str) -> np.ndarray:
        """A column of ids, int64 from 0 on."""
        ids = self._numbers(column, name, pa.int64())
        self._require(ids >= 0, ids, name, _WHOLE)
        return ids

    def _texts(self, column: pa.Array, name: str) -> tuple[list[str], np.ndarray]:
        """A text column as distinct strings, and the number of its string for each row."""
        if pa.types.is_dictionary(column.type):
            column = pa.DictionaryArray.from_arrays(column.indices, _plain_text(column.dictionary))
        else:
            column = _plain_text(column)
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise InputError(f"{self.where}: column `{name}` holds {kind}, expected text. Convert it to strings.")
        column = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
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
            ids, self.has_ids = self._ids(columns["prompt_id"], "prompt_id"), True
        else:
            used = np.unique(codes)  # a dictionary may hold texts of other rows
            ids = np.zeros(len(texts), np.int64)
            ids[used] = [text_id(texts[code]) for code in used]
            ids = ids[codes]
        pairs = np.unique(ids, return_inverse=True)[1] * len(texts) + codes
        for row in np.sort(np.unique(pairs, return_index=True)[1]):
            question_id, text = int(ids[row]), texts[codes[row]]
            known = self.texts.get(question_id)
            if known is None:
                check_text(f"{self.where}, row {self.n_rows + row + 1}: `prompt`", text)
                self.texts[question_id] = text
                self.categories[question_id] = self._category(columns, int(row))
            elif known != text and normal_text(known) != normal_text(text):
                problem = f"`prompt_id` {question_id} has another text than before, expected one text per id"
                self._fail(row, problem, "prompt_id")
        return ids

    def _category(self, columns: dict[str, pa.Array], row: int) -> str:
        """The category of a row; without one it is that of its benchmark, and has the same name."""
        return self._name(columns, "category", row) or self._name(columns, "benchmark", row) or NO_CATEGORY

    def _name(self, columns: dict[str, pa.Array], column: str, row: int) -> str:
        """The category or benchmark of a row: a text, or a number as text; empty where there is none."""
        if column not in columns:
            return ""
        value = columns[column][row].as_py()
        if isinstance(value, float):
            value = None if value != value else int(value) if value.is_integer() else value
        if not isinstance(value, str | int | float | None):
            self._fail(row, f"`{column}` is {shown(value)}, expected a text")
        name = normal_text("" if value is None else str(value))
        if not name.isprintable():
            self._fail(row, f"`{column}` is {name!a}, with a sign that does not print")
        return name

    def _benchmarks(self, columns: dict[str, pa.Array]) -> None:
        """Keep the benchmark of each category, and refuse another one later."""
        if "benchmark" not in columns:
            return
        codes = np.zeros(len(columns["benchmark"]), np.int64)
        for column in (columns[name] for name in ("category", "benchmark") if name in columns):
            encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
            codes = codes * (len(encoded.dictionary) + 1) + pc.fill_null(encoded.indices, -1).to_numpy() + 1
        for row in np.sort(np.unique(codes, return_index=True)[1]).tolist():
            category, benchmark = self._category(columns, row), self._name(columns, "benchmark", row)
            known = self.benchmark_of.setdefault(category, benchmark) if benchmark else benchmark
            if known != benchmark:
                problem = f"`benchmark` of the category {shown(category)} is {shown(benchmark)} and was {shown(known)}"
                self._fail(row, f"{problem}, expected one benchmark a category", "benchmark")

    def llms(self, columns: dict[str, pa.Array]) -> np.ndarray:
        """Number of the LLM of each row, by first appearance; new LLMs are added unless the pool is fixed."""
        texts, codes = self._texts(columns["model_name"], "model_name")
        names = [normal_text(text) for text in texts]
        ids = self._ids(columns["model_id"], "model_id") if "model_id" in columns else codes * 0
        for row in np.sort(np.unique(codes, return_index=True)[1]):
            name = names[codes[row]]
            if name in self.model_ids:
                continue
            check_llm_names(f"{self.where}, row {self.n_rows + row + 1}: `model_name`", [name])
            if self.pool_is_fixed:
                hint = closest_names(name, list(self.model_ids)).rstrip(".")
                self._fail(row, f"`model_name` is {name!r}, which is not in the pool's list; {hint}")
            self.model_ids[name] = int(ids[row])
        number = {name: number for number, name in enumerate(self.model_ids)}
        return np.array([number.get(name, -1) for name in names], np.int32)[codes]

    def llm_names(self) -> tuple[str, ...]:
        """The pool: by id, and by name where ids are equal or missing."""
        names = tuple(sorted(self.model_ids, key=lambda name: (self.model_ids[name], name)))
        if not self.pool_is_fixed:
            check_llm_names(f"{self.where}: `model_name`", names)
            warn_of_cases(names)
        return names

    def finish(self, duplicates: str) -> dict[str, Any]:
        """Order the entries by question and LLM, and make a matrix of them."""
        if not self.merged and not self.waiting:
            raise InputError(f"{self.where}: no rows, expected one row a response. Is the split empty?")
        self._merge()
        entries, llm_names = self.merged.pop(), self.llm_names()
        question_ids = np.fromiter(self.texts, np.int64, len(self.texts))  # by first appearance
        if self.has_ids:
            question_ids = np.sort(question_ids)
        by_id = np.argsort(question_ids)
        rows = by_id[np.searchsorted(question_ids, entries.ids, sorter=by_id)]
        position = {name: index for index, name in enumerate(llm_names)}
        llm_indices = np.array([position[name] for name in self.model_ids])[entries.llms]
        order = np.lexsort((llm_indices, rows))
        entries = _Entries(*(values[order] for values in entries))
        means = entries.totals / entries.counts
        values = {"mean": means, "last": entries.last, "majority": means > 0.5, "max": entries.highest}[duplicates]
        pairs = rows[order].astype(np.int32), llm_indices[order].astype(np.int32)
        shape = (len(question_ids), len(llm_names))
        return {
            "question_ids": question_ids,
            "questions": np.array([self.texts[question] for question in question_ids.tolist()], object),
            "categories": np.array([self.categories[question] for question in question_ids.tolist()], object),
            "benchmark_of": self.benchmark_of,
            "llm_names": llm_names,
            "matrix": sparse.csr_array((values.astype(np.float32), pairs), shape=shape),
            "counts": entries.counts,
            "contradictory": entries.mixed | (entries.highest != entries.lowest),
            "duplicates": duplicates,
        }


def _plain_text(column: pa.Array) -> pa.Array:
    """A column of Arrow's string views as the strings that its functions know."""
    return column.cast(pa.large_string()) if pa.types.is_string_view(column.type) else column


def _may_be_numbers(found: pa.DataType, kind: pa.DataType) -> bool:
    """Whether a type is of numbers, or of their text: no times, of which Arrow would take the ticks, and no lists."""
    tests = [pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null]
    tests += [pa.types.is_string, pa.types.is_large_string]
    tests += [] if pa.types.is_integer(kind) else [pa.types.is_boolean]
    return any(test(found) for test in tests)


def _converted(values: pa.Array, kind: pa.DataType) -> np.ndarray:
    """Numbers, or the text of numbers, as an array of `kind`; a missing one is NaN, or 0 among whole numbers."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = pc.utf8_trim_whitespace(values)
        if pa.types.is_integer(kind):  # as pandas writes whole numbers beside missing ones
            values = pc.replace_substring_regex(values, r"^(-?\d+)\.0*$", r"\1")
    elif pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    numbers = pc.cast(values, kind)
    return (pc.fill_null(numbers, 0) if pa.types.is_integer(kind) else numbers).to_numpy(zero_copy_only=False)
