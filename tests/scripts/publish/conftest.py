"""A small data set with text vectors and a card, and models of it, for publishing."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from embedllm_hf import EmbedLLM, QuestionEncoder, evaluate_model, load_splits
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.data.files import VECTORS_FILE
from embedllm_hf.encoding.embeddings_file import save_embeddings
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from scripts.publish.__main__ import main
from tests.hub.clients import no_waiting
from tests.pool import LLMS, make_embeds, make_split, trained_model
from tests.tiny_encoder import WIDTH, save_tiny_encoder

SIZES = {"train": (80, 0), "validation": (30, 80), "test": (20, 110)}
CARD = "---\nlicense: apache-2.0\n---\n\n# tiny\n\nMade up, for a test.\n"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """No waiting, and no pictures in the cards, which take most of the time."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with no_waiting():
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The folder of a data set of three splits."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    folder.mkdir()
    splits = {name: make_split(size, first_id=first, seed=first).responses for name, (size, first) in SIZES.items()}
    for name, split in splits.items():
        pq.write_table(split.to_long(), folder / f"{name}.parquet", store_schema=False)
    ids, keys = (np.concatenate([getattr(one, name) for one in splits.values()]) for name in ("question_ids", "keys"))
    save_embeddings(folder / VECTORS_FILE, make_embeds(ids), ids, EncoderId("offline"), keys)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


def measured(model: EmbedLLM, tiny: Path) -> EmbedLLM:
    """The model with its metrics on the test split."""
    model.metrics = evaluate_model(model, EncodedResponses.from_own_file(load_splits(tiny).test)).to_dict()
    return model


@pytest.fixture(scope="session")
def frozen(tiny, tmp_path_factory) -> Path:
    """The folder of a model of it."""
    folder = tmp_path_factory.mktemp("frozen")
    measured(trained_model(folder / "run"), tiny).save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture(scope="session")
def trained(frozen, tmp_path_factory) -> Path:
    """The folder of a model with a text encoder of its own."""
    folder = tmp_path_factory.mktemp("trained")
    encoder = QuestionEncoder.trained(QuestionEncoder(str(save_tiny_encoder(folder))).load(), name="tiny")
    model = EmbedLLM.from_encoder("offline", llm_names=LLMS, text_dim=WIDTH, embed_dim=4)
    known = make_split(12).responses
    model._set_bank(QuestionBank.from_responses(EncodedResponses(known, encoder.encode(list(known.questions)))))
    model._set_encoder(encoder)
    model.metrics = EmbedLLM.from_pretrained(frozen).metrics
    model.save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture
def publish(tiny, frozen, trained, tmp_path, capsys) -> Callable[..., tuple[int, str, str]]:
    """Publishes the small data set and both models as `user`; exit code, standard output and standard error."""
    given = {"--user": "user", "--dataset": tiny, "--model": frozen, "--trained_encoder_model": trained}

    def run(*flags: str, **changed: object) -> tuple[int, str, str]:
        options = {**given, "--work_dir": tmp_path, **{f"--{name}": value for name, value in changed.items()}}
        pairs = [str(part) for pair in options.items() if pair[1] is not None for part in pair]
        capsys.readouterr()
        code = main([*pairs, *flags])
        out, err = capsys.readouterr()
        return code, out, err

    return run
