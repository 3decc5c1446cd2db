"""Sharing responses: splits of a Hub data set as Parquet, with the card that makes `load_dataset` give the splits.

Each push is one commit, made on top of the commit that was read, so that two people who push two splits at once do not
undo each other's card. The order of the LLMs is one for all splits: what is pushed later is appended to it.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from .._errors import InputError
from ..hub.client import Listing, Snapshot, fetch_snapshot
from ..hub.commits import Target, commit_on_top
from .files import ORDER_FILE, VECTORS_FILE, order_table, read_order, split_files, split_name

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetCard

logger = logging.getLogger(__name__)

_CARD = Path(__file__).with_name("dataset_card.md")
_CARD_FILE = "README.md"
_QUESTIONS_FILE = "question_order.csv"  # of the original layout: not a table of responses
_SPLIT = re.compile(r"\w+(\.\w+)*")  # as `datasets` wants it


def push_tables(
    tables: Mapping[str, pa.Table],
    repo_id: str,
    *,
    llm_names: Sequence[str],
    duplicates: str,
    vectors: Path | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
) -> str:
    """Upload long tables as splits of a Hub data set: Parquet, `model_order.csv`, vectors and a card, in one commit.

    The result is the address of the commit.

    Args:
        tables (`Mapping[str, pa.Table]`): By split, as `ResponseMatrix.to_long` gives them.
        repo_id (`str`): Id of the data set, made if it is not there. Its other splits stay, and so does the order of
            the LLMs that they have: others are appended to it. All tables of the same splits are replaced.
        llm_names (`Sequence[str]`), duplicates (`str`): Of the `ResponseMatrix`.
        vectors (`Path`, *optional*): File of the text vectors of these tables, `origin.vectors`, in the place of one
            that is there. Without it that one goes, with a warning: it is of other questions.
        private (`bool`, *optional*): Whether a new data set is private.
        token (*optional*): As in huggingface_hub.
        revision (`str`, *optional*): Branch, made if it is not there. Default: the main one.

    Raises:
        ValueError: If a split's name is none, or the card that is there cannot be extended.
        OSError: If the Hub refuses or cannot be reached; nothing is changed then.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    splits = {_checked_name(split): table for split, table in tables.items()}
    if len(splits) < len(tables):
        raise InputError(f"`tables` has two names for one split ({', '.join(tables)}). Keep one of them.")

    def operations(there: Listing) -> list[CommitOperationAdd | CommitOperationDelete]:
        kept = fetch_snapshot(there.repo_id, _read_before, repo_type="dataset", revision=there.revision, token=token)
        replaced = [name for split in splits for name in _tables(kept.files, split)]
        files, order = {}, _order(kept, replaced, llm_names)
        if order is not None:
            files[ORDER_FILE] = _order_file(order)
            if order[: len(llm_names)] != list(llm_names):
                logger.warning(
                    "%s: its other splits rely on the order of its LLMs; it stays, new ones follow.", repo_id
                )
        for split, table in splits.items():
            files[f"{split}.parquet"] = _parquet(_renumbered(table, llm_names, order or llm_names))
        files[_CARD_FILE] = str(_card(there.repo_id, kept, splits, duplicates)).encode()
        added = [CommitOperationAdd(name, content) for name, content in files.items()]
        if vectors is not None:
            added.append(CommitOperationAdd(VECTORS_FILE, vectors))
        elif VECTORS_FILE in kept.files:
            logger.warning("%s: its text vectors are not of what is pushed; `%s` goes.", repo_id, VECTORS_FILE)
            replaced.append(VECTORS_FILE)
        return [*added, *(CommitOperationDelete(name) for name in replaced if name not in files)]

    message = f"Add the {', '.join(splits)} split{'s' if len(splits) > 1 else ''}"
    target = Target(repo_id, "dataset", revision=revision, token=token, private=private)
    return commit_on_top(target, operations, message=message).commit_url


def _checked_name(split: str) -> str:
    """The one name of a split, which is also that of its file.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(split, str) or not _SPLIT.fullmatch(split) or split == "all":  # which means every split
        raise InputError(
            f"`split` is {split!r}, expected a name of letters, digits and underscores, `train` for instance."
        )
    return split_name(split)


def _read_before(files: Sequence[str]) -> list[str]:
    """What is changed, not replaced."""
    return [name for name in files if name in (_CARD_FILE, ORDER_FILE)]


def _tables(files: Iterable[str], split: str) -> list[str]:
    """All tables of a split, those too that a loader would pass over."""
    left, found = set(files), []
    while more := split_files(sorted(left), split):
        found += more
        left -= set(more)
    return found


def _order(there: Snapshot, replaced: Sequence[str], llm_names: Sequence[str]) -> list[str] | None:
    """The order of the LLMs after the push; None where it stays that of all splits' rows, without a file."""
    apart = {ORDER_FILE, _QUESTIONS_FILE, *replaced}
    others = [name for name in there.files if name.endswith((".parquet", ".csv")) and name not in apart]
    if not others:
        return list(llm_names)
    if ORDER_FILE not in there.files:
        return None
    before = read_order(there.folder / ORDER_FILE)
    return [*before, *(name for name in llm_names if name not in set(before))]


def _renumbered(table: pa.Table, llm_names: Sequence[str], order: Sequence[str]) -> pa.Table:
    """A table whose `model_id` is the LLM's place in another order."""
    place = {name: index for index, name in enumerate(order)}
    ids = np.array([place[name] for name in llm_names], np.int64)[table["model_id"].to_numpy()]
    return table.set_column(table.schema.get_field_index("model_id"), "model_id", pa.array(ids))


def _order_file(order: Sequence[str]) -> bytes:
    sink = io.BytesIO()
    pa_csv.write_csv(order_table(order), sink)
    return sink.getvalue()


def _card(repo_id: str, there: Snapshot, splits: Iterable[str], duplicates: str) -> DatasetCard:
    """The data set's card as it is there, or a new one, with these splits in its list of files."""
    from huggingface_hub import DatasetCard, DatasetCardData

    if _CARD_FILE in there.files:
        text = (there.folder / _CARD_FILE).read_text(encoding="utf-8", errors="replace")
    else:
        title = repo_id.split("/")[-1]
        data = DatasetCardData(pretty_name=title, tags=["llm-evaluation", "model-routing", "correctness"])
        values = {"title": title, "repo_id": repo_id, "split": next(iter(splits)), "duplicates": duplicates}
        text = f"---\n{data.to_yaml()}\n---\n{_CARD.read_text(encoding='utf-8').format(**values)}"
    try:
        card = DatasetCard(text)
        configs = getattr(card.data, "configs", None) or [{"config_name": "default", "data_files": []}]
        files = [entry for entry in configs[0]["data_files"] if entry["split"] not in splits]
    except Exception as error:  # whatever YAML and its reader make of a stranger's text
        raise InputError(
            f"{repo_id}: the metadata of its `{_CARD_FILE}` have no list of splits that another could be added to "
            f"({type(error).__name__}). Give `configs` its `data_files`, each with `split` and `path`, or remove it."
        ) from error
    configs[0]["data_files"] = [*files, *({"split": split, "path": f"{split}.parquet"} for split in splits)]
    card.data["configs"] = configs
    return card


def _parquet(table: pa.Table) -> bytes:
    """Dictionary columns keep each prompt once in memory and on disk, and read back as plain text."""
    sink = io.BytesIO()
    pq.write_table(table, sink, store_schema=False, compression="zstd")
    return sink.getvalue()
