"""A data set id or folder in the EmbedLLM layout, to the files of one split, to a `ResponseMatrix`.

The layout: one CSV or Parquet table a split (`train`, `val` or `validation`, `test`), possibly in shards, and
`model_order.csv`, which fixes the order of the LLMs for all splits. Only the files that are needed are downloaded.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from .._checks import check_choice, check_distinct, shorten
from .._errors import InputError, MissingFile
from ..hub.client import explain_hub_errors, fetch_snapshot
from .long_table import collect_tables, iterate_file
from .planted import PLANTED, planted_pool
from .responses import DUPLICATE_RULES, ResponseMatrix

ORDER_FILE = "model_order.csv"
_STREAMED_ROWS = 16_384
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class ResponseSource:
    """A data set whose files are on this disk.

    Attributes:
        id (`str`): Hub id, or the folder's name.
        revision (`str | None`): Commit of the Hub data set; None for a folder.
        folder (`Path`): Where the files are.
        files (`tuple[str, ...]`): All files of the data set, relative to its root.
    """

    id: str
    revision: str | None
    folder: Path
    files: tuple[str, ...]


def split_name(split: str) -> str:
    """The one name of a split: `val` and `dev` are `validation`."""
    return next((name for name, aliases in SPLIT_NAMES.items() if split in aliases), split)


def split_files(files: Sequence[str], split: str) -> list[str]:
    """Choose the tables of one split among a data set's files.

    A table is `<split>.csv`, `<split>.parquet`, or shards `<split>-00000-of-00003.parquet`, at the root or in `data/`.

    Args:
        files (`Sequence[str]`): Paths relative to the data set's root.
        split (`str`): Name of the split; `val`, `valid`, `dev` and `validation` are one.

    Returns:
        `list[str]`: The tables in order, Parquet rather than CSV where both are there; empty if there are none.
    """
    for suffix in ("parquet", "csv"):
        for name in SPLIT_NAMES.get(split_name(split), (split,)):
            patterns = [f"{folder}{name}{shard}.{suffix}" for folder in ("", "data/") for shard in ("", "-*-of-*")]
            found = sorted(path for path in files if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns))
            if found:
                return found
    return []


def available_splits(source: str, *, revision: str | None = None) -> list[str]:
    """Names of the splits that a data set has, of `train`, `validation` and `test`."""
    if source == PLANTED:
        return list(SPLIT_NAMES)
    located = _locate(source, revision, splits=())
    return [split for split in SPLIT_NAMES if split_files(located.files, split)]


def load_responses(
    source: str | Path,
    *,
    split: str,
    revision: str | None = None,
    duplicates: str = "mean",
    llm_names: Sequence[str] | None = None,
    streaming: bool = False,
) -> ResponseMatrix:
    """Load one split of a data set of responses.

    Args:
        source (`str` or `Path`): Hub data set id (`"RZ412/EmbedLLM"`), a local folder in the same layout, or
            `"planted"`, a pool with known skills that the package makes.
        split (`str`): `"train"`, `"validation"` (also `"val"`), `"test"`, or another name that has files.
        revision (`str`, *optional*): Branch, tag or commit of a Hub data set.
        duplicates (`str`): What repeated rows of a (question, LLM) pair become, see `ResponseMatrix.from_long`.
        llm_names (`Sequence[str]`, *optional*): The pool and its order, a trained model's `config.llm_names` for
            instance. Default: `model_order.csv`; without that file the LLMs of all splits, so that an LLM that one
            split lacks shifts nothing.
        streaming (`bool`): Read a Hub data set's table over the network, for one that is too large for the disk.

    Returns:
        `ResponseMatrix`: Of shape `(n_questions, n_llms)`.

    Raises:
        FileNotFoundError: If the folder, the data set or the split is not there.
        ValueError: If a file is damaged or a row is not usable; the message names file and row.
    """
    check_choice("duplicates", duplicates, DUPLICATE_RULES)
    if str(source) == PLANTED:
        planted = planted_pool(split_name(split))
        return planted if llm_names is None else planted.select(llms=llm_names)
    located = _locate(str(source), revision, splits=() if streaming else (split,))
    tables = split_files(located.files, split)
    if not tables:
        others = [name for name in SPLIT_NAMES if split_files(located.files, name)]
        there = f"there are the splits {shorten(others)}" if others else "no split was found at all"
        raise MissingFile(
            f"{located.id}: no table for the split `{split}` (expected `{split}.parquet` or `{split}.csv`); {there}."
        )
    if llm_names is None:
        llm_names = _pool(located, str(source), revision, split)
    if streaming and located.revision is not None:
        batches = [(table, _stream(located, table)) for table in tables]
    else:
        batches = [(table, iterate_file(located.folder / table)) for table in tables]
    return collect_tables(batches, llm_names=llm_names, duplicates=duplicates)


def _stream(located: ResponseSource, table: str) -> Iterator[pa.RecordBatch]:
    """Record batches of a Hub data set's table, read over the network and not kept on the disk."""
    from datasets import load_dataset

    kind = "parquet" if table.endswith(".parquet") else "csv"
    file = f"hf://datasets/{located.id}@{located.revision}/{table}"
    with explain_hub_errors(located.id, located.revision):
        stream = load_dataset(kind, data_files=file, split="train", streaming=True).with_format("arrow")
        for rows in stream.iter(batch_size=_STREAMED_ROWS):
            yield from rows.to_batches()


def dataset_revision(source: str | Path, revision: str | None = None) -> str | None:
    """Commit of a Hub data set, for reports; None for a folder or the planted pool."""
    return None if str(source) == PLANTED else _locate(str(source), revision, splits=()).revision


def _locate(source: str, revision: str | None, *, splits: Sequence[str]) -> ResponseSource:
    """Find a data set's files; of a Hub data set, fetch the tables of `splits` and the order of the LLMs."""
    folder = Path(source)
    if folder.is_dir():
        files = tuple(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return ResponseSource(id=folder.resolve().name, revision=None, folder=folder, files=files)
    if folder.is_file():
        raise MissingFile(f"`{source}` is a file, expected the folder that it is in, or a Hub id.")
    if folder.is_absolute() or source.startswith((".", "~")) or source.count("/") != 1:
        raise MissingFile(
            f"`{source}`: no such folder. Give a folder with train.parquet or train.csv, or a Hub id (user/name)."
        )

    def needed(files: Sequence[str]) -> list[str]:
        tables = [table for split in splits for table in split_files(files, split)]
        return tables + [name for name in files if name == ORDER_FILE]

    snapshot = fetch_snapshot(source, needed, repo_type="dataset", revision=revision)
    return ResponseSource(id=source, revision=snapshot.revision, folder=snapshot.folder, files=snapshot.files)


def _pool(located: ResponseSource, source: str, revision: str | None, split: str) -> list[str]:
    """The order of the LLMs: from `model_order.csv`, else the LLMs of all splits, by `model_id` or by name."""
    if ORDER_FILE in located.files:
        return read_order(located.folder / ORDER_FILE)
    splits = dict.fromkeys((*SPLIT_NAMES, split_name(split)))
    everything = _locate(source, revision, splits=tuple(splits))
    ids: dict[str, int] = {}
    for table in (table for name in splits for table in split_files(everything.files, name)):
        for batch in iterate_file(everything.folder / table):
            _collect_names(batch, ids)
    return sorted(ids, key=lambda name: (ids[name], name))


def _collect_names(batch: pa.RecordBatch, ids: dict[str, int]) -> None:
    """Add a batch's LLM names, each with its `model_id` (0 where the table has none)."""
    table = pa.Table.from_batches([batch])
    columns = [name for name in ("model_name", "model_id") if name in table.column_names]
    distinct = table.select(columns).unify_dictionaries().group_by(columns).aggregate([]).to_pydict()
    for name, number in zip(distinct["model_name"], distinct.get("model_id", [0] * batch.num_rows), strict=False):
        if name:  # a row without a name is refused when the split is read
            ids.setdefault(name, int(number or 0))


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
