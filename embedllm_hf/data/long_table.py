"""Long tables of responses, batch by batch, into a `ResponseMatrix`.

A prompt repeats once per LLM in the EmbedLLM layout, so a file is streamed through Arrow and each text is kept once.
Every row is checked; an error names the file, the row (counted from 1, without the header) and what to do.
Finding the files of a data set is not done here (`hub`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from .._checks import check_choice, check_distinct, closest_names, shorten
from .._errors import InputError
from .responses import DUPLICATE_RULES, ResponseMatrix

REQUIRED_COLUMNS = ("prompt", "model_name", "label")
OPTIONAL_COLUMNS = ("prompt_id", "model_id", "category", "count", "contradictory")
# Everything is read as text and checked here, so that a bad cell is named with its row. Columns that repeat a few
# values are dictionary-encoded, which keeps a prompt once a block and not once a row.
_REPEATING = ("prompt", "model_name", "category", "label", "count", "contradictory")
_TEXT_OF = {"prompt": "the question's text", "model_name": "the LLM's name"}
_REPEATED_TEXT = pa.dictionary(pa.int32(), pa.string())
# A record may not be longer than a block; the longest prompts of evaluation data are below 1 MB.
_CSV_BLOCK_BYTES = 8 << 20


def check_columns(found: Sequence[str], where: str) -> None:
    """Refuse a table without the required columns, listing both sides."""
    missing = [name for name in REQUIRED_COLUMNS if name not in found]
    if missing:
        raise InputError(
            f"{where}: column {shorten(missing)} is missing; found {shorten(found, 12)}, expected "
            f"{shorten(REQUIRED_COLUMNS)}. Rename the columns, or point at the response table."
        )


def iterate_file(path: Path) -> Iterator[pa.RecordBatch]:
    """Stream the known columns of a CSV or Parquet file as record batches.

    Raises:
        ValueError: If a column is missing or the file is damaged or cut off.
    """
    read = _iterate_parquet if path.suffix == ".parquet" else _iterate_csv
    try:
        yield from read(path)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        cause = " ".join(str(error).split())[:200]
        if "straddl" in cause:
            cause = f"a row is longer than {_CSV_BLOCK_BYTES:,} bytes; write the table as Parquet"
        raise InputError(
            f"{path.name}: cannot be read as {path.suffix[1:] or 'csv'} ({cause}). "
            "Is the file cut off, or a row malformed? Fetch or write it again."
        ) from error


def _known(names: Sequence[str]) -> list[str]:
    """The columns that are used, of those that a table has."""
    return [name for name in REQUIRED_COLUMNS + OPTIONAL_COLUMNS if name in names]


def _iterate_parquet(path: Path) -> Iterator[pa.RecordBatch]:
    names = pq.read_schema(path).names
    check_columns(names, path.name)
    repeating = [name for name in ("prompt", "model_name", "category") if name in names]
    with pq.ParquetFile(path, read_dictionary=repeating) as file:
        yield from file.iter_batches(columns=_known(names))


def _iterate_csv(path: Path) -> Iterator[pa.RecordBatch]:
    with pa_csv.open_csv(path, parse_options=_csv_parsing()) as header:
        names = header.schema.names
    check_columns(names, path.name)
    wanted = [*_known(names), *(names[-1:] if names[-1] not in _known(names) else [])]
    types = {name: _REPEATED_TEXT if name in _REPEATING else pa.string() for name in wanted}
    options = pa_csv.ConvertOptions(column_types=types, include_columns=wanted, strings_can_be_null=False)
    reading = pa_csv.ReadOptions(block_size=_CSV_BLOCK_BYTES)
    last_cell = ""
    with pa_csv.open_csv(path, reading, _csv_parsing(), options) as stream:
        for batch in stream:
            if batch.num_rows:
                last_cell = batch.column(names[-1])[-1].as_py()
            yield batch
    _check_end(path, last_cell)


def _check_end(path: Path, last_cell: str) -> None:
    """Refuse a CSV file that ends within a line or a quoted text, where its last row can look whole.

    A last cell that needs quotation marks must be closed by one, which Arrow's parser does not ask for.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 3))
        end = file.read().replace(b"\r\n", b"\n")
    unclosed = any(mark in last_cell for mark in '\n",') and not end.endswith(b'"\n')
    if unclosed or not end.endswith(b"\n"):
        where = "a quoted text" if unclosed else "a line"
        raise InputError(
            f"{path.name}: ends within {where}, expected a line break after the last row. Is the file cut off? "
            "Fetch it again, or end the last row if it is whole."
        )


def _csv_parsing() -> pa_csv.ParseOptions:
    return pa_csv.ParseOptions(newlines_in_values=True)


def collect_responses(batches: Iterable[pa.RecordBatch], where: str, **options: object) -> ResponseMatrix:
    """Make a `ResponseMatrix` of one stream of long record batches; see `collect_tables`."""
    return collect_tables([(where, batches)], **options)


def collect_tables(
    tables: Iterable[tuple[str, Iterable[pa.RecordBatch]]],
    *,
    llm_names: Sequence[str] | None = None,
    duplicates: str = "mean",
) -> ResponseMatrix:
    """Make a `ResponseMatrix` of long tables, one after the other.

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
    for where, batches in tables:
        collector.start_table(where)
        for batch in batches:
            if batch.num_rows:
                collector.add(batch)
    return collector.finish(duplicates)


class _Collector:
    """The growing state of one pass over long tables: distinct questions and LLMs, and triples of indices."""

    def __init__(self, llm_names: Sequence[str] | None) -> None:
        self.where = ""
        self.n_rows = 0  # of the current table, before the current batch
        self.pool_is_fixed = llm_names is not None
        self.llm_index = {name: index for index, name in enumerate(llm_names or ())}
        self.llm_ids: dict[str, int] = {}
        self.question_index: dict[int, int] = {}
        self.id_of_text: dict[str, int] = {}
        self.texts: list[str] = []
        self.categories: list[str] = []
        self.columns: dict[str, list[np.ndarray]] = {name: [] for name in ("row", "llm", "label", "count", "mixed")}

    def start_table(self, where: str) -> None:
        """Count rows anew, for the messages."""
        self.where, self.n_rows = where, 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Check one batch and append its triples."""
        check_columns(batch.schema.names, self.where)
        column = {name: batch.column(name) for name in batch.schema.names}
        labels = self._numbers(column["label"], "label")
        self._require((labels >= 0) & (labels <= 1), labels, "label", "a number in [0, 1] (1 right, 0 wrong)")
        texts, text_codes = self._encoded(column["prompt"], "prompt")
        self.columns["row"].append(self._questions(column, texts, text_codes))
        self.columns["llm"].append(self._llms(column))
        self.columns["label"].append(labels.astype(np.float32))
        counts = self._integers(column["count"], "count") if "count" in column else np.ones(len(labels), np.int64)
        self._require(counts >= 1, counts, "count", "a whole number, 1 or more")
        self.columns["count"].append(counts.astype(np.int32))
        mixed = self._numbers(column["contradictory"], "contradictory") if "contradictory" in column else counts * 0
        self.columns["mixed"].append(mixed.astype(bool))
        self.n_rows += batch.num_rows

    def _fail(self, row: int, problem: str) -> None:
        raise InputError(f"{self.where}, row {self.n_rows + row + 1}: {problem}. Correct or drop the row.")

    def _require(self, fine: np.ndarray, values: np.ndarray, name: str, expected: str) -> None:
        """Refuse the first row that is not fine."""
        if not fine.all():
            row = int(np.argmin(fine))
            self._fail(row, f"`{name}` is {values[row]:g}, expected {expected}")

    def _numbers(self, column: pa.Array, name: str) -> np.ndarray:
        """A column of numbers, or of their text, as float64; anything else is refused with its row."""
        return self._cast(column, name, pa.float64(), "a number").astype(np.float64)

    def _integers(self, column: pa.Array, name: str) -> np.ndarray:
        """A column of whole numbers, or of their text, as int64, exactly."""
        return self._cast(column, name, pa.int64(), "a whole number").astype(np.int64)

    def _cast(self, column: pa.Array, name: str, kind: pa.DataType, expected: str) -> np.ndarray:
        """Convert a column, the distinct values only where it is dictionary-encoded."""
        if pa.types.is_dictionary(column.type):
            if column.null_count == 0 and not pc.any(pc.is_null(column.dictionary)).as_py():
                try:
                    return _converted(column.dictionary, kind)[column.indices.to_numpy()]
                except pa.ArrowInvalid:
                    pass  # a value that no row may use, or a bad one: look row by row
            column = column.cast(column.type.value_type)
        try:
            values = _converted(column, kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            for row, value in enumerate(column.to_pylist()):
                try:
                    _converted(pa.array([value]), kind)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
                    self._fail(row, f"`{name}` is {value!r}, expected {expected}" if value else _empty(name, expected))
            raise
        missing = column.is_null().to_numpy(zero_copy_only=False) | (values != values)
        if missing.any():
            self._fail(int(np.argmax(missing)), _empty(name, expected))
        return values

    def _encoded(self, column: pa.Array, name: str) -> tuple[list[str], np.ndarray]:
        """A text column as distinct strings and one code a row."""
        if not pa.types.is_dictionary(column.type):
            if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
                raise InputError(
                    f"{self.where}: column `{name}` holds {column.type}, expected text. Convert it to strings."
                )
            column = pc.dictionary_encode(column)
        if column.null_count:
            self._fail(int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))), _empty(name, _TEXT_OF[name]))
        values, codes = column.dictionary.to_pylist(), column.indices.to_numpy(zero_copy_only=False)
        blank = np.array([not (value and value.strip()) for value in values], bool)
        if blank.any() and blank[codes].any():
            self._fail(int(np.argmax(blank[codes])), _empty(name, _TEXT_OF[name]))
        first = {value: code for code, value in reversed(list(enumerate(values)))}
        if len(first) < len(values):  # Arrow allows a dictionary that repeats a value
            codes = np.array([first[value] for value in values])[codes]
        return values, codes

    def _questions(self, column: dict[str, pa.Array], texts: list[str], codes: np.ndarray) -> np.ndarray:
        """Row of the matrix for each row of the table; new questions are appended."""
        if "prompt_id" in column:
            ids = self._integers(column["prompt_id"], "prompt_id")
        else:  # number the texts by first appearance over all tables
            ids = np.array([self.id_of_text.setdefault(texts[code], len(self.id_of_text)) for code in codes])
        distinct, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
        differs = codes != codes[first][inverse]
        if differs.any():
            self._two_texts(int(np.argmax(differs)), ids)
        rows = np.empty(len(distinct), np.int64)
        categories = column["category"] if "category" in column else None
        for position in np.argsort(first):
            question_id, text = int(distinct[position]), texts[codes[first[position]]]
            row = self.question_index.get(question_id)
            if row is None:
                row = self.question_index[question_id] = len(self.texts)
                self.texts.append(text)
                category = categories[int(first[position])].as_py() if categories is not None else None
                self.categories.append(category or "all")
            elif self.texts[row] != text:
                self._two_texts(int(first[position]), ids)
            rows[position] = row
        return rows[inverse].astype(np.int32)

    def _two_texts(self, row: int, ids: np.ndarray) -> None:
        self._fail(row, f"`prompt_id` {ids[row]} has another text than before, expected one text per id")

    def _llms(self, column: dict[str, pa.Array]) -> np.ndarray:
        """Column of the matrix for each row of the table; new LLMs are appended unless the pool is fixed."""
        names, codes = self._encoded(column["model_name"], "model_name")
        model_ids = self._integers(column["model_id"], "model_id") if "model_id" in column else None
        columns = np.empty(len(names), np.int32)
        for code, first in zip(*np.unique(codes, return_index=True), strict=True):
            name = names[code]
            if name not in self.llm_index:
                if self.pool_is_fixed:
                    hint = closest_names(name, list(self.llm_index))
                    self._fail(int(first), f"`model_name` is {name!r}, which is not in the pool's list; {hint}")
                self.llm_index[name] = len(self.llm_index)
            if model_ids is not None:
                self.llm_ids.setdefault(name, int(model_ids[first]))
            columns[code] = self.llm_index[name]
        return columns[codes]

    def _llm_order(self) -> tuple[tuple[str, ...], np.ndarray]:
        """The pool's names in their final order, and the new column of each old one."""
        names = list(self.llm_index)
        if not self.pool_is_fixed:
            names.sort(key=lambda name: (self.llm_ids.get(name, 0), name))
        position = {name: index for index, name in enumerate(names)}
        return tuple(names), np.array([position[name] for name in self.llm_index], np.int32)

    def finish(self, duplicates: str) -> ResponseMatrix:
        """Sort the triples, merge the repeats, freeze."""
        if not self.texts:
            raise InputError(f"{self.where}: no rows, expected one row a response. Is the split empty?")
        llm_names, new_column = self._llm_order()
        ids = np.fromiter(self.question_index, np.int64, len(self.question_index))
        by_id = np.argsort(ids)
        new_row = np.empty(len(ids), np.int64)
        new_row[by_id] = np.arange(len(ids))

        row, llm, label, count, mixed = (np.concatenate(self.columns.pop(name)) for name in tuple(self.columns))
        key = new_row[row] * len(llm_names) + new_column[llm]
        del row, llm
        order = np.argsort(key, kind="stable")  # stable: `last` means the last row of the table
        key, label, count, mixed = key[order], label[order], count[order], mixed[order]
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        ends = np.append(starts[1:], len(key)) - 1
        counts = np.add.reduceat(count, starts)
        means = np.add.reduceat(label.astype(np.float64) * count, starts) / counts
        highest = np.maximum.reduceat(label, starts)
        rules = {"mean": means, "last": label[ends], "majority": means > 0.5, "max": highest}
        return ResponseMatrix(
            question_ids=ids[by_id],
            questions=np.array(self.texts, object)[by_id],
            categories=np.array(self.categories, object)[by_id],
            llm_names=llm_names,
            indptr=np.searchsorted(key[starts], np.arange(len(ids) + 1) * len(llm_names)),
            llm_indices=(key[starts] % len(llm_names)).astype(np.int32),
            values=rules[duplicates].astype(np.float32),
            counts=counts.astype(np.int32),
            contradictory=np.logical_or.reduceat(mixed, starts) | (highest != np.minimum.reduceat(label, starts)),
            duplicates=duplicates,
        )


def _converted(values: pa.Array, kind: pa.DataType) -> np.ndarray:
    """Numbers, or the text of numbers, as an array of `kind`; a missing one is NaN, or 0 among whole numbers."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = pc.utf8_trim_whitespace(values)
    elif pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    numbers = pc.cast(values, kind)
    return (pc.fill_null(numbers, 0) if pa.types.is_integer(kind) else numbers).to_numpy(zero_copy_only=False)


def _empty(name: str, expected: str) -> str:
    return f"`{name}` is empty, expected {expected}"
