"""The id of a Hub data set, a folder, or what the package brings, to splits: of one commit, with one pool of LLMs.

Only the files that are needed are downloaded; `files` knows which these are and reads them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .._checks import check_choice
from .._errors import InputError, MissingFile
from ..hub.client import fetch_snapshot, read_remotely
from ..logs.formats import holds_logs, reader_of
from .benchmarks import agreed_benchmarks
from .evaluation_logs import read_logs
from .files import (
    EMBEDDED,
    ORDER_FILE,
    SPLIT_NAMES,
    VECTORS_FILE,
    iterate_file,
    iterate_names,
    missing_split,
    read_order,
    split_files,
    split_name,
)
from .long_table import DUPLICATE_RULES, Tables, collect_names
from .origin import DataOrigin
from .planted import PLANTED, planted_pool
from .responses import ResponseMatrix
from .splits import ResponseSplits, id_of_two_texts, without_overlap
from .texts import question_keys

logger = logging.getLogger(__name__)

_STREAMED_ROWS = 16_384


def load_splits(
    source: str | Path,
    *,
    revision: str | None = None,
    duplicates: str = "mean",
    llm_names: Sequence[str] | None = None,
) -> ResponseSplits:
    """Load the splits `train`, `validation` and `test` of a data set of responses, as many as it has.

    Args:
        source (`str` or `Path`): Hub data set id (`"RZ412/EmbedLLM"`), a local folder in the same layout, a file or a
            folder of evaluation logs (read as `read_logs` does by default, and split by question),
            `"open-llm-responses"`, real responses without texts that the package brings, or `"planted"`, a pool with
            known skills that it makes.
        revision (`str`, *optional*): Branch, tag or commit of a Hub data set.
        duplicates (`str`): What repeated rows of a (question, LLM) pair become, see `ResponseMatrix.from_long`.
        llm_names (`Sequence[str]`, *optional*): The pool and its order, a trained model's `config.llm_names` for
            instance. Default: `model_order.csv`; without that file the LLMs of all splits, so that an LLM that one
            split lacks shifts nothing.

    Returns:
        `ResponseSplits`: All splits of one commit, with the same LLMs; at least one is there. A question whose text
            stands in a split before its own is left out, with a warning that counts them. Where the splits use one
            `prompt_id` for different texts, the column is not used, with a warning, and texts tell questions apart.

    Raises:
        FileNotFoundError: If the folder or the data set is not there, or has no split.
        ValueError: If a file is damaged or a row is not usable; the message names file and row.
    """
    parts = without_overlap(_load(source, tuple(SPLIT_NAMES), revision, duplicates, llm_names))
    first = next(iter(parts.values()))
    splits = {name: parts.get(name) for name in SPLIT_NAMES}
    return ResponseSplits(**splits, id=first.origin.id, revision=first.origin.revision, llm_names=first.llm_names)


def load_questions(source: str | Path, *, revision: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Ids `(n_questions,)`, ascending, and texts of all questions of a data set, those that several splits have once.

    Arguments, ids and errors are those of `load_splits`.
    """
    parts = _load(source, tuple(SPLIT_NAMES), revision, "mean", None).values()
    ids, first = np.unique(np.concatenate([part.question_ids for part in parts]), return_index=True)
    return ids, np.concatenate([part.questions for part in parts])[first]


def load_question_names(source: str | Path, *, revision: str | None = None) -> dict[int, list[str]]:
    """What harnesses name the questions of a data set by (its column `source`), by the key of the text.

    `source` is a data set that `embedllm collect` has made, or evaluation logs. Errors are those of `load_splits`.
    """

    def needed(files: Sequence[str]) -> list[str]:
        return [table for split in SPLIT_NAMES for table in split_files(files, split) if table.endswith(".parquet")]

    if is_log(Path(source)):
        batches: Iterable[pa.RecordBatch] = read_logs(source).to_long().select(["prompt", "source"]).to_batches()
    else:
        data = _open(str(source), revision, needed, streaming=False)
        batches = (batch for table in needed(data.files) for batch in iterate_names(data.folder / table))
    names: dict[int, dict[str, None]] = {}
    for batch in batches:
        prompts, found = batch.column("prompt").to_pylist(), batch.column("source").to_pylist()
        for key, name in zip(question_keys(prompts).tolist(), found, strict=True):
            names.setdefault(key, {})[str(name)] = None
    return {key: list(found) for key, found in names.items()}


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
        source, revision, duplicates, llm_names: As in `load_splits`; the pool is that of all splits here too.
        split (`str`): `"train"`, `"validation"` (also `"val"`), `"test"`, or another name that has files; of
            evaluation logs also `"all"`.
        streaming (`bool`): Read a Hub data set's table over the network, for one that is too large for the disk.

    Raises:
        FileNotFoundError: If the folder, the data set or the split is not there.
        ValueError: If a file is damaged or a row is not usable; the message names file and row.
    """
    name = split_name(split)
    return _load(source, (name,), revision, duplicates, llm_names, streaming)[name]


def load_table(path: str | Path, *, duplicates: str = "mean") -> ResponseMatrix:
    """Load one table of responses, CSV or Parquet with the columns of a split.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another kind or damaged, or a row is not usable; the message names the row.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"{path}: a file of the kind `{path.suffix}` is not read here, expected .csv or .parquet.")
    return ResponseMatrix.from_tables(
        [(path.name, iterate_file(path))], origin=DataOrigin(path.name, None, None), duplicates=duplicates
    )


def _load(
    source: str | Path,
    splits: Sequence[str],
    revision: str | None,
    duplicates: str,
    llm_names: Sequence[str] | None,
    streaming: bool = False,
) -> dict[str, ResponseMatrix]:
    """The wanted splits that there are, at least one, from one listing of the files."""
    check_choice("duplicates", duplicates, DUPLICATE_RULES)
    if str(source) == PLANTED:
        pools = {split: planted_pool(split) for split in splits}
        return pools if llm_names is None else {name: pool.select(llms=llm_names) for name, pool in pools.items()}
    every_split = dict.fromkeys((*SPLIT_NAMES, *splits))
    if is_log(Path(source)):
        return _from_logs(Path(source), splits, duplicates, llm_names)

    def needed(files: Sequence[str]) -> list[str]:
        order = [name for name in files if name == ORDER_FILE]
        if streaming:
            return order
        order += [name for name in files if name == VECTORS_FILE]
        wanted = splits if ORDER_FILE in order or llm_names is not None else every_split
        return order + [table for split in wanted for table in split_files(files, split)]

    data = _open(str(source), revision, needed, streaming)
    tables = {split: found for split in every_split if (found := split_files(data.files, split))}
    wanted = [split for split in splits if split in tables]
    if not wanted:
        raise missing_split(data.id, splits[0], [split for split in tables if split in SPLIT_NAMES])
    if llm_names is None and ORDER_FILE in data.files:
        llm_names = read_order(data.folder / ORDER_FILE)
    elif llm_names is None:
        llm_names = collect_names(pair for found in tables.values() for pair in data.read(found))
    used = {split: tables[split] for split in wanted}
    loaded = data.matrices(used, llm_names=llm_names, duplicates=duplicates)
    clash = id_of_two_texts(loaded)
    if clash is None:
        return loaded
    logger.warning(
        "%s: `prompt_id` %d stands for different texts in different splits, so the column is not used: texts tell "
        "questions apart, and give them ids.",
        data.id,
        clash,
    )
    return data.matrices(used, with_ids=False, llm_names=llm_names, duplicates=duplicates)


def is_log(path: Path) -> bool:
    """Whether a file is an evaluation log, or a folder has some and no table of a split."""
    if path.is_file():
        return reader_of(path) is not None
    if not path.is_dir():
        return False
    files = [found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file()]
    return not any(split_files(files, split) for split in SPLIT_NAMES) and holds_logs(path)


def _from_logs(
    path: Path, splits: Sequence[str], duplicates: str, llm_names: Sequence[str] | None
) -> dict[str, ResponseMatrix]:
    """The wanted splits of evaluation logs, at least one; what was left out is warned of."""
    logs = read_logs(path)
    for remark in logs.remarks():
        logger.warning("%s: %s", path, remark)
    tables = {"all": logs.to_long()} if "all" in splits else logs.splits()
    wanted = [split for split in splits if split in tables]
    if not wanted:
        raise missing_split(str(path), splits[0], [split for split in tables if split in SPLIT_NAMES])
    options: dict[str, Any] = {
        "llm_names": logs.llm_names if llm_names is None else llm_names,
        "duplicates": duplicates,
    }
    return {
        split: ResponseMatrix.from_tables(
            [(str(path), tables[split].to_batches())], origin=DataOrigin(path.resolve().name, None, split), **options
        )
        for split in wanted
    }


@dataclass(frozen=True)
class _Source:
    """A data set at one commit; `folder` holds those of its files that were fetched."""

    id: str
    revision: str | None  # None for a folder
    folder: Path
    files: tuple[str, ...]  # all of them, relative to the root
    streaming: bool = False  # whether tables are read over the network

    def matrices(
        self, tables: Mapping[str, Sequence[str]], *, with_ids: bool = True, **options: Any
    ) -> dict[str, ResponseMatrix]:
        """The responses of some splits, from the tables of each."""
        vectors = None if self.streaming or VECTORS_FILE not in self.files else self.folder / VECTORS_FILE
        loaded = {
            split: ResponseMatrix.from_tables(
                self.read(paths, with_ids=with_ids),
                origin=DataOrigin(self.id, self.revision, split, vectors=vectors),
                **options,
            )
            for split, paths in tables.items()
        }
        # What one split tells of a category is so in all of them.
        told = {f"the split `{split}` of {self.id}": part.benchmark_of for split, part in loaded.items()}
        agreed = agreed_benchmarks(told)
        return {split: replace(part, benchmark_of=agreed) for split, part in loaded.items()}

    def read(self, tables: Sequence[str], *, with_ids: bool = True) -> Tables:
        """The record batches of some tables, with the tables' names; without ids, if those are no use."""
        for table in tables:
            batches = self._stream(table) if self.streaming else iterate_file(self.folder / table)
            yield table, batches if with_ids else map(_without_ids, batches)

    def _stream(self, table: str) -> Iterator[pa.RecordBatch]:
        """Record batches of a Hub data set's table, read over the network and not kept on the disk."""
        from datasets import load_dataset

        kind = "parquet" if table.endswith(".parquet") else "csv"
        file = f"hf://datasets/{self.id}@{self.revision}/{table}"

        def rows() -> Iterator[pa.Table]:
            stream = load_dataset(kind, data_files=file, split="train", streaming=True).with_format("arrow")
            return stream.iter(batch_size=_STREAMED_ROWS)

        try:
            for part in read_remotely(self.id, self.revision, rows):
                yield from part.to_batches()
        except pa.ArrowException as error:
            cause = " ".join(str(error).split())[:200]
            raise InputError(f"{self.id}: `{table}` cannot be read as {kind} over the network ({cause}).") from error


def _without_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.select([name for name in batch.schema.names if name != "prompt_id"])


def _open(source: str, revision: str | None, needed: Callable[[Sequence[str]], list[str]], streaming: bool) -> _Source:
    """Find a data set's files; of a Hub data set, fetch those that are needed."""
    folder = EMBEDDED if source == EMBEDDED.name else Path(source)
    if not source.strip():
        raise MissingFile("the data set's name is empty. Give a folder with train.parquet or train.csv, or a Hub id.")
    if folder.is_dir():
        files = tuple(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return _Source(folder.resolve().name, None, folder, files)
    if folder.is_file():
        raise MissingFile(
            f"`{source}` is a file, expected the folder that it is in, or a Hub id. If it is an evaluation log, it is "
            "cut off or of a form that is not read."
        )
    if folder.is_absolute() or source.startswith((".", "~")) or source.count("/") != 1:
        raise MissingFile(
            f"`{source}`: no such folder. Give a folder with train.parquet or train.csv, or a Hub id (user/name)."
        )
    snapshot = fetch_snapshot(source, needed, repo_type="dataset", revision=revision)
    return _Source(source, snapshot.revision, snapshot.folder, snapshot.files, streaming)
