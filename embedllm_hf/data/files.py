"""Files of the EmbedLLM layout: which of them are a split's tables, and what stands in them.

The layout: one CSV or Parquet table a split (`train`, `val` or `validation`, `test`), possibly in shards, at the root
or in `data/`, and `model_order.csv`, which fixes the order of the LLMs for all splits. A table is streamed through
Arrow as record batches; its rows are checked elsewhere (`long_table`).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from .._checks import check_distinct, shorten
from .._errors import InputError, MissingFile
from .long_table import OPTIONAL_COLUMNS, REQUIRED_COLUMNS, check_columns

ORDER_FILE = "model_order.csv"
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
# Columns that repeat a few values are dictionary-encoded, which keeps a prompt once a block and not once a row.
_REPEATING = ("prompt", "model_name", "category")
_REPEATED_TEXT = pa.dictionary(pa.int32(), pa.string())
# A record may not be longer than a block; the longest prompts of evaluation data are below 1 MB.
_CSV_BLOCK_BYTES = 8 << 20
_CSV_PARSING = pa_csv.ParseOptions(newlines_in_values=True)


def split_name(split: str) -> str:
    """The one name of a split: `val` and `dev` are `validation`."""
    return next((name for name, aliases in SPLIT_NAMES.items() if split in aliases), split)


def split_files(files: Sequence[str], split: str) -> list[str]:
    """Tables of one split among a data set's files, in order; Parquet rather than CSV where both are there.

    A table is `<split>.csv`, `<split>.parquet`, or shards `<split>-00000-of-00003.parquet`, at the root or in `data/`.
    """
    for suffix in ("parquet", "csv"):
        for name in SPLIT_NAMES.get(split_name(split), (split,)):
            patterns = [f"{folder}{name}{shard}.{suffix}" for folder in ("", "data/") for shard in ("", "-*-of-*")]
            found = sorted(path for path in files if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns))
            if found:
                return found
    return []


def missing_split(source: str, split: str, there: Sequence[str]) -> MissingFile:
    """Build the error for a split that is not among those that are `there`."""
    others = f"there are the splits {shorten(there)}" if there else "no split was found at all"
    return MissingFile(
        f"{source}: no table for the split `{split}` (expected `{split}.parquet` or `{split}.csv`); {others}."
    )


def read_order(path: Path) -> list[str]:
    """LLM names of `model_order.csv` (`model_id, model_name`), by id."""
    try:
        types = {"model_id": pa.int64(), "model_name": pa.string()}
        table = pa_csv.read_csv(path, convert_options=pa_csv.ConvertOptions(column_types=types))
        pairs = sorted(zip(table["model_id"].to_pylist(), table["model_name"].to_pylist(), strict=True))
    except (pa.ArrowInvalid, KeyError, TypeError) as error:
        raise InputError(f"{path.name}: expected the columns `model_id` and `model_name` ({error}).") from error
    names = [name for _, name in pairs]
    check_distinct(path.name, names)
    return names


# --- rows ---


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


def _known(names: Sequence[str], where: str) -> list[str]:
    """The columns that are used, of those that a table has."""
    check_columns(names, where)
    return [name for name in REQUIRED_COLUMNS + OPTIONAL_COLUMNS if name in names]


def _iterate_parquet(path: Path) -> Iterator[pa.RecordBatch]:
    names = pq.read_schema(path).names
    known = _known(names, path.name)
    with pq.ParquetFile(path, read_dictionary=[name for name in _REPEATING if name in names]) as file:
        yield from file.iter_batches(columns=known)


def _iterate_csv(path: Path) -> Iterator[pa.RecordBatch]:
    """Read everything as text, so that a bad cell is named with its row, and look at how the file ends."""
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


def _check_end(path: Path, last_cell: str) -> None:
    """Refuse a CSV file that ends within a line or a quoted text, where its last row can look whole.

    A last cell that needs quotation marks must be closed by one, which Arrow's parser does not ask for.
    """
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 3))
        end = file.read().replace(b"\r\n", b"\n")
    unclosed = any(mark in last_cell for mark in '\n",') and not end.endswith(b'"\n')
    if unclosed or not end.endswith(b"\n"):
        where = "a quoted text" if unclosed else "a line"
        raise InputError(
            f"{path.name}: ends within {where}, expected a line break after the last row. Is the file cut off? "
            "Fetch it again, or end the last row if it is whole."
        )
