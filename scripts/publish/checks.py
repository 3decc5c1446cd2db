"""Is what was pushed what was meant? Loaded from the Hub with an empty cache, and compared with what is here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from huggingface_hub import DatasetCard, ModelCard, RepoCard, constants

from embedllm_hf import EmbedLLM, load_splits
from embedllm_hf._checks import shorten
from embedllm_hf._errors import UserError
from embedllm_hf.data.responses import ResponseMatrix
from embedllm_hf.data.splits import ResponseSplits
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from embedllm_hf.hub.client import fetch_snapshot
from embedllm_hf.hub.commits import differing

from .parts import CARD_FILE, SDK, Part

_CONTENT = ("question_ids", "questions", "categories", "indptr", "llm_indices", "values", "counts")
_TEXTS = ["What is 17 * 23?", "Which sea is nearest to Portugal?", "Write a function that reverses a string."]


class Differs(UserError):
    """What the Hub holds is not what was pushed."""


@contextmanager
def empty_cache() -> Iterator[None]:
    """Let the Hub's client use a cache of its own, so that everything comes from the Hub."""
    with tempfile.TemporaryDirectory() as folder, patch.object(constants, "HF_HUB_CACHE", folder):
        yield


def same_files(part: Part) -> str:
    """Compare each file's hash with the Hub's."""
    if other := differing(part.target, part.files):
        raise Differs(f"{shorten(other)} on the Hub: other content than was pushed. Who changed it? Publish again.")
    return f"{len(part.files)} files are there"


def same_responses(repo_id: str, data: ResponseSplits) -> str:
    """Compare all splits and the text vectors that they bring."""
    there = load_splits(repo_id)
    if list(there) != list(data):
        raise Differs(f"there are the splits {shorten(there)}, expected {shorten(data)}.")
    for name, split in data.items():
        if not _is_same(split, there[name]):
            raise Differs(f"the responses of the split `{name}` differ.")
        ours, theirs = (EncodedResponses.from_own_file(one) for one in (split, there[name]))
        vectors = [None if one is None else one.question_embeds for one in (ours, theirs)]
        if not np.array_equal(*vectors):
            raise Differs(f"the text vectors of the split `{name}` differ.")
    return f"{sum(split.n_observed for _, split in data.items()):,} responses come back equal, and their text vectors"


def _is_same(one: ResponseMatrix, other: ResponseMatrix) -> bool:
    same = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in _CONTENT)
    return same and one.llm_names == other.llm_names


def same_forecasts(repo_id: str, model: EmbedLLM) -> str:
    """Compare the forecasts, bit by bit, and what a text encoder of the model's own makes of texts."""
    there = EmbedLLM.from_pretrained(repo_id)
    question_embeds = np.random.default_rng(0).normal(size=(64, model.config.text_dim)).astype(np.float32)
    if model.config.encoder_digest is not None:
        ours, theirs = (one.encoder.encode(_TEXTS) for one in (model, there))
        if not np.array_equal(ours, theirs):
            raise Differs("its text encoder gives other vectors.")
        question_embeds = np.concatenate([question_embeds, ours])
    if not np.array_equal(model.predict_proba(question_embeds), there.predict_proba(question_embeds)):
        raise Differs("its forecasts differ.")
    return f"{len(question_embeds)} x {there.config.n_llms} forecasts are equal to the last bit"


def data_card(repo_id: str) -> str:
    """Read the data set's card."""
    data = DatasetCard.load(_card_file(repo_id, "dataset")).data
    if data.license is None:
        raise Differs("it names no licence.")
    return f"licence {data.license}"


def model_card(repo_id: str, model: EmbedLLM) -> str:
    """Read a model's card."""
    card, dataset = ModelCard.load(_card_file(repo_id, "model")), model.metrics["dataset"]
    if dataset["id"] not in card.text or (dataset.get("revision") and card.data.datasets != [dataset["id"]]):
        raise Differs(f"it does not name the data set {dataset['id']}.")
    return f"names the data set {dataset['id']}"


def space_card(repo_id: str, model_id: str) -> str:
    """Read the Space's card."""
    data = RepoCard.load(_card_file(repo_id, "space"), repo_type="space").data.to_dict()
    if (data.get("sdk"), data.get("models")) != (SDK, [model_id]):
        raise Differs(f"it is no Space of {SDK} for the model {model_id}.")
    return f"asks the model {model_id}"


def _card_file(repo_id: str, repo_type: str) -> Path:
    def card(files: Sequence[str]) -> list[str]:
        return [name for name in files if name == CARD_FILE]

    return fetch_snapshot(repo_id, card, repo_type=repo_type).folder / CARD_FILE
