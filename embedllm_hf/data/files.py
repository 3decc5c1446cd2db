"""Files of the EmbedLLM layout: which of them are a split's tables, and what stands in them.

The layout: one CSV or Parquet table a split (`train`, `val` or `validation`, `test`), possibly in shards, at the root
or in `data/`, and `model_order.csv`, which fixes the order of the LLMs for all splits. A table is streamed through
Arrow as record batches; its rows are checked elsewhere (`long_table`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from .._checks import check_llm_names, shorten, shown
from .._errors import InputError, MissingFile, visible
from .long_table import OPTIONAL_COLUMNS, REQUIRED_COLUMNS, check_columns, warn_of_cases
from .rows import LARGEST_CELL, Row, cut_off, name_of, not_utf8, number_of, read_rows

ORDER_FILE = "model_order.csv"
VECTORS_FILE = "question_embeddings.safetensors"  # that goes with the texts, or stands for them
EMBEDDED = Path(__file__).with_name("open-llm-responses")  # a data set in this layout that the package brings
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
_FORMULA = ("=", "+", "-", "@")  # with which a cell begins that a spreadsheet computes
# Columns that repeat a few values are dictionary-encoded, which keeps a prompt once a block and not once a row.
_REPEATING = ("prompt", "model_name", "category", "benchmark")
_REPEATED_TEXT = pa.dictionary(pa.int32(), pa.string())
# A record may not be longer than a block; the longest prompts of evaluation data are below 1 MB.
_CSV_BLOCK_BYTES = 8 << 20
_PARQUET_ROWS = 65_536  # a batch
_PLAUSIBLE_BYTES = 256 << 20  # of a row group, unpacked, whatever it was packed to
_PLAUSIBLE_RATIO = 1000  # of sizes, beyond that; prompts that repeat for each of 100 LLMs stay below
_CSV_PARSING = pa_csv.ParseOptions(newlines_in_values=True)


def split_name(split: str) -> str:
    """The one name of a split: `val` and `dev` are `validation`."""
    return next((name for name, aliases in SPLIT_NAMES.items() if split in aliases), split)


def split_files(files: Sequence[str], split: str) -> list[str]:
    """Tables of one split among a data set's files, in order; Parquet rather than CSV where both are there.

    A table is `<split>.csv`, `<split>.parquet`, or shards `<split>-00000-of-00003.parquet`, at the root or in `data/`.

    Raises:
        ValueError: If tables of the split stand in several places, so that rows would count twice, or a shard is
            missing.
    """
    names = "|".join(map(re.escape, SPLIT_NAMES.get(split_name(split), (split,))))
    for suffix in ("parquet", "csv"):
        table = re.compile(rf"((?:data/)?(?:{names}))(?:-([0-9]+)-of-([0-9]+))?\.{suffix}")
        found = {path: match for path in sorted(files) if (match := table.fullmatch(path))}
        places = {match.group(1, 3) for match in found.values()}
        if len(places) > 1:
            raise InputError(
                f"the split `{split}` stands in several tables, {shorten(found)}. Remove all but those that are meant."
            )
        n_shards = {int(match[3]) for match in found.values() if match[3]}
        if n_shards and sorted(int(match[2]) for match in found.values()) != list(range(max(n_shards))):
            raise InputError(
                f"the split `{split}` has {len(found)} of {max(n_shards)} shards, {shorten(found)}. "
                "Fetch or write the table again."
            )
        if found:
            return list(found)
    return []


def missing_split(source: str, split: str, there: Sequence[str]) -> MissingFile:
    """Build the error for a split that is not among those that are `there`."""
    others = f"there are the splits {shorten(there)}" if there else "no split was found at all"
    return MissingFile(
        f"{source}: no table for the split `{split}` (expected `{split}.parquet` or `{split}.csv`); {others}."
    )


def read_order(path: Path) -> list[str]:
    """LLM names of `model_order.csv` (`model_id, model_name`), by id."""
    names: dict[int, str] = {}
    for row in read_rows(path, check=_check_order_columns):
        model_id = number_of(row.cells["model_id"])
        if not 0 <= model_id < 1 << 53 or model_id % 1 or model_id in names:
            found = shown(row.cells["model_id"])
            raise InputError(f"{row.where}: `model_id` is {found}, expected a whole number of its own, from 0 on.")
        names[int(model_id)] = name_of(Row(row.where, {"model_name": unquoted(row.cells["model_name"])}), "model_name")
    if not names:
        raise InputError(f"{path.name}: empty, expected the columns `model_id` and `model_name`, and a row an LLM.")
    ordered = [names[model_id] for model_id in sorted(names)]
    check_llm_names(path.name, ordered)
    warn_of_cases(ordered)
    return ordered


def _check_order_columns(where: str, columns: Collection[str]) -> None:
    if not {"model_id", "model_name"} <= set(columns):
        raise InputError(f"{where}: found {shorten(columns)}, expected the columns `model_id` and `model_name`.")


def order_table(llm_names: Sequence[str]) -> pa.Table:
    """The content of `model_order.csv`; a name that a spreadsheet would take for a formula stands behind a `'`."""
    names = [f"'{name}" if name.startswith(_FORMULA) else name for name in llm_names]
    return pa.table({"model_id": range(len(names)), "model_name": names})


def unquoted(cell: object) -> object:
    """A cell without the `'` that `order_table` put before a formula."""
    return cell[1:] if isinstance(cell, str) and cell.startswith(tuple(f"'{sign}" for sign in _FORMULA)) else cell


# --- rows ---


def iterate_file(path: Path) -> Iterator[pa.RecordBatch]:
    """Stream the known columns of a CSV or Parquet file as record batches.

    Raises:
        ValueError: If a column is missing or the file is damaged or cut off.
    """
    yield from _explained(path, _iterate_parquet if path.suffix == ".parquet" else _iterate_csv)


def iterate_names(path: Path) -> Iterator[pa.RecordBatch]:
    """The columns `prompt` and `source` of a Parquet file; nothing of one without names of questions.

    Raises:
        ValueError: If the file is damaged.
    """
    yield from _explained(path, _iterate_names)


def _explained(path: Path, read: Callable[[Path], Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Read a table; what a library says of a damaged one becomes an error for the user."""
    try:
        yield from read(path)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        cause = " ".join(str(error).split())[:200]
        if "straddl" in cause:
            cause = f"a row is longer than {_CSV_BLOCK_BYTES:,} bytes; write the table as Parquet"
        elif read is _iterate_csv:
            cause = _first_fault(path) or cause
        raise InputError(
            f"{path.name}: cannot be read as {path.suffix[1:] or 'csv'} ({visible(cause)}). "
            "Is the file cut off, or a row malformed? Fetch or write it again."
        ) from error


def _known(names: Sequence[str], where: str) -> list[str]:
    """The columns that are used, of those that a table has."""
    check_columns(names, where)
    return [name for name in REQUIRED_COLUMNS + OPTIONAL_COLUMNS if name in names]


def _iterate_parquet(path: Path) -> Iterator[pa.RecordBatch]:
    schema = pq.read_schema(path)
    known = _known(schema.names, path.name)
    with pq.ParquetFile(path, read_dictionary=[name for name in _REPEATING if _is_text(schema, name)]) as file:
        _check_sizes(path, file.metadata)
        yield from file.iter_batches(columns=known, batch_size=_PARQUET_ROWS)


def _iterate_names(path: Path) -> Iterator[pa.RecordBatch]:
    if {"prompt", "source"} <= set(pq.read_schema(path).names):
        with pq.ParquetFile(path) as file:
            _check_sizes(path, file.metadata)
            yield from file.iter_batches(columns=["prompt", "source"], batch_size=_PARQUET_ROWS)


def _is_text(schema: pa.Schema, name: str) -> bool:
    """Whether a schema has a column of that name that holds text."""
    return name in schema.names and schema.field(name).type in (pa.string(), pa.large_string())


def _check_sizes(path: Path, footer: pq.FileMetaData) -> None:
    """Refuse, by the footer, rows that unpack into more memory than they can need.

    Of the footer, row groups only: Arrow ends the process, without an exception, on some damage in a column's part.
    """
    packed = path.stat().st_size
    for group in map(footer.row_group, range(footer.num_row_groups)):
        size, n_rows = group.total_byte_size, group.num_rows
        is_bomb = size > _PLAUSIBLE_BYTES and size > _PLAUSIBLE_RATIO * packed
        if is_bomb or size > max(1, n_rows) * LARGEST_CELL:
            raise InputError(
                f"{path.name}: {n_rows:,} rows unpack from {packed:,} to {size:,} bytes, expected at most "
                f"{LARGEST_CELL:,} a row and {_PLAUSIBLE_RATIO:,} times as much as is packed. Write the table again, "
                "in smaller row groups."
            )


def _iterate_csv(path: Path) -> Iterator[pa.RecordBatch]:
    """Read everything as text, so that a bad cell is named with its row, and look at how the file ends."""
    with path.open("rb") as file:
        beginning = file.read(4096)
    if "UTF-16" in not_utf8(beginning):
        raise InputError(f"{path.name}: {not_utf8(beginning)}. Save the file as UTF-8.")
    with pa_csv.open_csv(path, parse_options=_CSV_PARSING) as header:
        names = header.schema.names
    wanted = list(dict.fromkeys([*_known(names, path.name), names[-1]]))
    types = {name: _REPEATED_TEXT if name in _REPEATING else pa.string() for name in wanted}
    options = pa_csv.ConvertOptions(column_types=types, include_columns=wanted, strings_can_be_null=False)
    last_cell = ""
    with pa_csv.open_csv(path, pa_csv.ReadOptions(block_size=_CSV_BLOCK_BYTES), _CSV_PARSING, options) as stream:
        for batch in stream:
            if batch.num_rows:
                last_cell = batch.column(names[-1])[-1].as_py()
            yield batch
    _check_end(path, last_cell)


def _first_fault(path: Path) -> str | None:
    """The row of a CSV file that Arrow's reader stopped at without naming it, and what is wrong there."""
    csv.field_size_limit(LARGEST_CELL)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        number, n_columns = 0, 0
        try:
            for number, cells in enumerate(csv.reader(file)):
                n_columns = n_columns or len(cells)
                if cells and len(cells) != n_columns:
                    return f"row {number}: {len(cells)} cells, but the header has {n_columns} columns"
                if any("\udc80" <= sign <= "\udcff" for sign in "".join(cells)):
                    return f"{f'row {number}' if number else 'the header'}: invalid UTF8, save the file as UTF-8"
        except csv.Error as error:
            return f"row {number + 1}: {error}"
    return None


def _check_end(path: Path, last_cell: str) -> None:
    """Refuse a CSV file that ends within a line or a quoted text, where its last row can look whole.

    A last cell that needs quotation marks must be closed by one, which Arrow's parser does not ask for.
    """
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 3))
        end = file.read().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    unclosed = any(mark in last_cell for mark in '\r\n",') and not end.endswith(b'"\n')
    if unclosed or not end.endswith(b"\n"):
        raise cut_off(path.name, "a quoted text" if unclosed else "a line")
