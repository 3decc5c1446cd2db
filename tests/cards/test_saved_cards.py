"""The card of a model: it is written at every save and push, its examples run, and `metrics.json` travels with it."""

import copy
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi, ModelCard

from embedllm_hf import EmbedLLM, EncodedResponses, Router, evaluate_model
from embedllm_hf._manifest import seal
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.cards import text as card_text
from embedllm_hf.cards.model_card import (
    CARD_FILE,
    MAP_FILE,
    RELIABILITY_FILE,
)
from embedllm_hf.cli import main
from embedllm_hf.data.long_table import DUPLICATE_RULES
from embedllm_hf.data.origin import DataOrigin
from embedllm_hf.evaluation import report as evaluation
from embedllm_hf.modeling_embedllm import METRICS_FILE
from tests.pool import LLMS, TEXT_DIM, make_split

ORIGIN = DataOrigin("user/responses", "c" * 40, "test")


def make_model(text_dim: int = TEXT_DIM, **config) -> EmbedLLM:
    """A model with random weights."""
    return EmbedLLM.from_encoder("offline", llm_names=LLMS, text_dim=text_dim, embed_dim=4, **config).eval()


@pytest.fixture(scope="module")
def report() -> dict:
    """Metrics of a model and its baselines, as `metrics.json` holds them."""
    train, test = make_split(60), make_split(40, first_id=60, seed=1)
    model = make_model().with_bank(QuestionBank.from_responses(train))
    test = EncodedResponses(replace(test.responses, origin=ORIGIN), test.question_embeds)
    return json.loads(json.dumps(evaluate_model(model, test, train_seconds=1.25, seed=7).to_dict()))


@pytest.fixture
def measured(report) -> EmbedLLM:
    """A model with metrics and a bank, of the width of the encoder `offline`."""
    embeds = np.random.default_rng(0).normal(size=(20, 384)).astype(np.float32)
    bank = QuestionBank.from_responses(EncodedResponses(make_split(20).responses, embeds))
    model = make_model(text_dim=384).with_bank(bank)
    model.metrics = copy.deepcopy(report)
    return model


def blocks(card: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", card, re.M | re.S)


def test_the_metrics_and_rules_are_all_of_them(report):
    """What the card knows of metrics, predictors, duplicate rules and splits is what the library has."""
    assert [key for key, *_ in card_text.METRICS] == list(evaluation.METRICS)
    assert set(card_text.DUPLICATES) == set(DUPLICATE_RULES)
    blended = {evaluation.NETWORK, evaluation.WITH_CATEGORY, evaluation.WITH_KNOWN}
    assert set(card_text.PREDICTORS) == {*card_text.predictor_scores(report), *blended, "oracle"} - {"embedllm"}
    assert evaluation.MODEL == card_text.MODEL


def test_the_examples_of_the_card_run(measured, tmp_path, monkeypatch, capsys):
    """The Python block and each command run as they stand in the folder that the card was saved with."""
    monkeypatch.chdir(tmp_path)
    measured.save_pretrained("path/to/model")
    card = Path("path/to/model", CARD_FILE).read_text(encoding="utf-8")
    (python,) = blocks(card, "python")
    exec(compile(python, CARD_FILE, "exec"), {})  # the card is ours
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[0] in LLMS
    assert shown[-1] == "(1, 6) (6, 4)"
    commands = [line for block in blocks(card, "bash") for line in block.splitlines() if line.startswith("embedllm ")]
    assert [command.split()[1] for command in commands] == ["route", "forecast"]
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    assert "90% interval" in capsys.readouterr().out


def test_without_a_bank_the_card_has_no_benchmark(measured, tmp_path):
    """The lines on benchmarks are there only if the model can forecast one."""
    measured.with_bank(None).save_pretrained(tmp_path)
    assert ".benchmark(" not in (tmp_path / CARD_FILE).read_text(encoding="utf-8")


def test_metrics_card_and_pictures_travel_with_the_model(measured, tmp_path):
    """A save writes them, a load brings the metrics back equal, and the next save gives the same card."""
    measured.save_pretrained(tmp_path / "one")
    loaded = EmbedLLM.from_pretrained(tmp_path / "one")
    assert loaded.metrics == measured.metrics
    loaded.save_pretrained(tmp_path / "two")
    for name in (CARD_FILE, METRICS_FILE, RELIABILITY_FILE, MAP_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    card = (tmp_path / "one" / CARD_FILE).read_text(encoding="utf-8")
    assert re.findall(r"!\[.*\]\((.*)\)", card) == [MAP_FILE, RELIABILITY_FILE]


def test_a_push_brings_the_card_in_one_commit(measured, hub, tmp_path):
    """The repository has weights, configuration, metrics, card and pictures; the card names the repository."""
    measured.push_to_hub("user/pool")
    assert len(hub.seen(r"POST /api/models/user/pool/commit/")) == 1
    loaded = EmbedLLM.from_pretrained("user/pool", cache_dir=tmp_path)
    assert loaded.metrics == measured.metrics
    card = ModelCard.load("user/pool", repo_type="model")
    assert 'path = "user/pool"' in card.text
    assert card.data.library_name == "embedllm_hf"
    assert card.data.model_name == "pool"
    files = set(HfApi().list_repo_files("user/pool"))
    assert {"config.json", "model.safetensors", METRICS_FILE, CARD_FILE, RELIABILITY_FILE, MAP_FILE} <= files


def test_saving_with_an_upload_uploads_all_of_it(measured, hub, tmp_path):
    """`save_pretrained(push_to_hub=True)` leaves the folder and the repository with the same files."""
    measured.save_pretrained(tmp_path / "pool", push_to_hub=True, repo_id="user/saved", private=True)
    files = {path.name for path in (tmp_path / "pool").iterdir()}
    assert files == set(HfApi().list_repo_files("user/saved")) - {".gitattributes"}
    assert METRICS_FILE in files
    assert hub.repo("user/saved").private


def test_a_save_leaves_nothing_of_another_model(measured, tmp_path):
    """A model without metrics, saved over one with them, has none when it is loaded."""
    measured.save_pretrained(tmp_path)
    make_model(text_dim=384).save_pretrained(tmp_path)
    loaded = EmbedLLM.from_pretrained(tmp_path)
    assert loaded.metrics is None
    assert loaded.bank is None
    assert not (tmp_path / RELIABILITY_FILE).exists()
    assert "## Results" not in (tmp_path / CARD_FILE).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"embedllm": {"acc', "not a whole JSON file"),
        ("[1, 2]", "holds a JSON list"),
        ('{"dataset": "x"}', "`dataset` is 'x', expected a JSON dict"),
    ],
)
def test_damaged_metrics_are_refused(measured, tmp_path, content, message):
    """Half a file, and another kind of value, are errors that name the file."""
    measured.save_pretrained(tmp_path)
    (tmp_path / METRICS_FILE).write_text(content)
    seal(tmp_path, ["model.safetensors", METRICS_FILE])
    with pytest.raises(ValueError, match=rf"metrics\.json: {message}"):
        EmbedLLM.from_pretrained(tmp_path)


def test_somebody_elses_readme_is_kept(tmp_path, caplog):
    """Saving into a folder with a README of its own leaves it, and says so; our own card is renewed."""
    (tmp_path / CARD_FILE).write_text("# My project\n")
    make_model().save_pretrained(tmp_path)
    assert (tmp_path / CARD_FILE).read_text() == "# My project\n"
    assert "it stays as it is" in caplog.text
    make_model().save_pretrained(tmp_path / "model")
    make_model(llm_bias=False).save_pretrained(tmp_path / "model")
    assert "overall strength" not in (tmp_path / "model" / CARD_FILE).read_text(encoding="utf-8")


def test_a_report_holds_the_reliability_and_the_repeats(report):
    """The bins hold every observed pair, and their error is the ECE; repeated rows are counted."""
    bins = report["reliability"]
    assert sum(item["n_pairs"] for item in bins) == report["dataset"]["n_observed"]
    error = sum(abs(item["mean_probability"] - item["share_right"]) * item["n_pairs"] for item in bins)
    assert error / report["dataset"]["n_observed"] == pytest.approx(report["embedllm"]["ece"], abs=1e-12)
    assert (report["dataset"]["n_repeats"], report["dataset"]["n_contradictions"]) == (0, 0)


def test_a_saved_router_is_the_cards_router(measured, tmp_path):
    """The path of the card's first example takes a folder as well as an id."""
    measured.save_pretrained(tmp_path)
    assert Router.from_pretrained(tmp_path)("What is 17 * 23?").llm in LLMS
