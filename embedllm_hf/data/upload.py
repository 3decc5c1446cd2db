"""Sharing responses: splits of a Hub data set as Parquet, with the card that makes `load_dataset` give the splits.

Each push is one commit, made on top of the commit that was read, so that two people who push two splits at once do not
undo each other's card.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from .._errors import Conflict
from ..hub.client import commit, explain_hub_errors, retried
from .files import ORDER_FILE, split_name

if TYPE_CHECKING:
    from huggingface_hub import DatasetCard

logger = logging.getLogger(__name__)

_ATTEMPTS = 3  # the first, and those after pushes of others that this one gives way to
_CARD = Path(__file__).with_name("dataset_card.md")


def push_tables(
    tables: Mapping[str, pa.Table],
    repo_id: str,
    *,
    llm_names: Sequence[str],
    duplicates: str,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
) -> str:
    """Upload long tables as splits of a Hub data set: Parquet, `model_order.csv` and a card, in one commit.

    The result is the address of the commit.

    Args:
        tables (`Mapping[str, pa.Table]`): By split, as `ResponseMatrix.to_long` gives them.
        repo_id (`str`): Id of the data set, made if it is not there. Its other splits stay.
        llm_names (`Sequence[str]`), duplicates (`str`): Of the `ResponseMatrix`.
        private (`bool`, *optional*): Whether a new data set is private.
        token, revision (*optional*): As in huggingface_hub.

    Raises:
        OSError: If the Hub refuses or cannot be reached; nothing is changed then.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(token=token)
    where: dict[str, Any] = {"repo_type": "dataset", "revision": revision, "token": token}
    splits = {split_name(split): table for split, table in tables.items()}
    contents = {f"{split}.parquet": _parquet(table) for split, table in splits.items()}
    order = io.BytesIO()
    pa_csv.write_csv(pa.table({"model_id": range(len(llm_names)), "model_name": list(llm_names)}), order)
    contents[ORDER_FILE] = order.getvalue()
    message = f"Add the {', '.join(splits)} split{'s' if len(splits) > 1 else ''}"
    with explain_hub_errors(repo_id, revision):
        retried(lambda: api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True))
    for attempts_left in reversed(range(_ATTEMPTS)):
        with explain_hub_errors(repo_id, revision):
            head = retried(lambda: api.dataset_info(repo_id, revision=revision)).sha
            card = _card(repo_id, splits, duplicates, head, token)
        files = {**contents, "README.md": str(card).encode()}
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        try:
            return commit(repo_id, operations, message=message, parent_commit=head, **where).commit_url
        except Conflict:
            if not attempts_left:
                raise
            logger.info("%s changed during the push; merging with the change.", repo_id)
    raise AssertionError("unreachable")


def _card(
    repo_id: str, splits: Iterable[str], duplicates: str, revision: str | None, token: str | bool | None
) -> DatasetCard:
    """The data set's card at a commit, or a new one, with these splits in its list of files."""
    from huggingface_hub import DatasetCard, DatasetCardData, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        path = hf_hub_download(repo_id, "README.md", repo_type="dataset", revision=revision, token=token)
        card = DatasetCard.load(path)
    except EntryNotFoundError:
        title = repo_id.split("/")[-1]
        values = {"title": title, "repo_id": repo_id, "split": next(iter(splits)), "duplicates": duplicates}
        text = _CARD.read_text(encoding="utf-8").format(**values)
        data = DatasetCardData(pretty_name=title, tags=["llm-evaluation", "model-routing", "correctness"])
        card = DatasetCard(f"---\n{data.to_yaml()}\n---\n{text}")
    configs = getattr(card.data, "configs", None) or [{"config_name": "default", "data_files": []}]
    files = [entry for entry in configs[0]["data_files"] if entry["split"] not in splits]
    configs[0]["data_files"] = [*files, *({"split": split, "path": f"{split}.parquet"} for split in splits)]
    card.data.configs = configs
    return card


def _parquet(table: pa.Table) -> bytes:
    """Dictionary columns keep each prompt once in memory and on disk, and read back as plain text."""
    sink = io.BytesIO()
    pq.write_table(table, sink, store_schema=False, compression="zstd")
    return sink.getvalue()
