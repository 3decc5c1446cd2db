"""Sharing responses: one split of a Hub data set as Parquet, with the card that makes `load_dataset` give the splits.

Each push is one commit, made on top of the commit that was read, so that two people who push two splits at once do not
undo each other's card.
"""

from __future__ import annotations

import csv
import io
import logging
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from ..hub.client import commit, explain_hub_errors
from .responses import ResponseMatrix
from .sources import ORDER_FILE, split_name

if TYPE_CHECKING:
    from huggingface_hub import DatasetCard

logger = logging.getLogger(__name__)

_ATTEMPTS = 3  # pushes of others that one push gives way to
_CARD_TEXT = """
# {title}

Who answered which question correctly: responses of large language models, one row a response.

| column | content |
| --- | --- |
| `prompt_id`, `prompt`, `category` | the question |
| `model_id`, `model_name` | the LLM; `model_order.csv` lists them all, in order |
| `label` | 1 right, 0 wrong, between for graded answers and repeats |
| `count`, `contradictory` | answers behind the row, and whether they disagreed (repeated rows: `{duplicates}`) |

A pair of question and LLM that has no row was never asked; it is not a wrong answer. Load it with

```python
from embedllm_hf import load_responses

responses = load_responses("{repo_id}", split="{split}")
```
"""


def push_responses(
    responses: ResponseMatrix,
    repo_id: str,
    *,
    split: str,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
) -> str:
    """Upload responses as one split of a Hub data set; the arguments are those of `ResponseMatrix.push_to_hub`."""
    from huggingface_hub import CommitOperationAdd, HfApi

    split = split_name(split)
    table = f"{split}.parquet"
    with explain_hub_errors(repo_id, revision):
        HfApi(token=token).create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
    for attempt in range(_ATTEMPTS):
        with explain_hub_errors(repo_id, revision):
            head = HfApi(token=token).dataset_info(repo_id, revision=revision).sha
            card = _card(responses, repo_id, split, table, head, token)
        contents = {table: _parquet(responses), ORDER_FILE: _order(responses), "README.md": str(card).encode()}
        operations = [CommitOperationAdd(name, content) for name, content in contents.items()]
        try:
            done = commit(
                repo_id,
                operations,
                message=f"Add the {split} split",
                repo_type="dataset",
                token=token,
                revision=revision,
                parent_commit=head,
            )
        except OSError as error:
            if "(412)" not in str(error) or attempt == _ATTEMPTS - 1:
                raise
            logger.info("%s changed during the push; merging with the change.", repo_id)
            continue
        return done.commit_url
    raise AssertionError("unreachable")


def _card(
    responses: ResponseMatrix, repo_id: str, split: str, table: str, revision: str, token: str | bool | None
) -> DatasetCard:
    """The data set's card at a commit, or a new one, with this split in its list of files."""
    from huggingface_hub import DatasetCard, DatasetCardData, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        path = hf_hub_download(repo_id, "README.md", repo_type="dataset", revision=revision, token=token)
        card = DatasetCard.load(path)
    except EntryNotFoundError:
        title = repo_id.split("/")[-1]
        text = _CARD_TEXT.format(title=title, repo_id=repo_id, split=split, duplicates=responses.duplicates)
        data = DatasetCardData(pretty_name=title, tags=["llm-evaluation", "model-routing", "correctness"])
        card = DatasetCard(f"---\n{data.to_yaml()}\n---\n{text}")
    configs = getattr(card.data, "configs", None) or [{"config_name": "default", "data_files": []}]
    files = [entry for entry in configs[0]["data_files"] if entry["split"] != split]
    configs[0]["data_files"] = [*files, {"split": split, "path": table}]
    card.data.configs = configs
    return card


def _parquet(responses: ResponseMatrix) -> bytes:
    """The long table; dictionary columns keep each prompt once in memory and on disk, and read back as plain text."""
    sink = io.BytesIO()
    pq.write_table(responses.to_long(), sink, store_schema=False, compression="zstd")
    return sink.getvalue()


def _order(responses: ResponseMatrix) -> bytes:
    """`model_order.csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("model_id", "model_name"), *enumerate(responses.llm_names)])
    return text.getvalue().encode()
