"""`EmbedLLM`: it starts from an encoder, its files come back to the bit and are loaded strictly."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from embedllm_hf import EmbedLLM, EmbedLLMConfig, QuestionEncoder
from embedllm_hf.modeling_embedllm import save_whole
from tests.pool import LLMS, TEXT_DIM, make_split, new_model, trained_model
from tests.tiny_encoder import WIDTH, save_tiny_encoder

EMBEDS = make_split(9, first_id=200).question_embeds


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> EmbedLLM:
    """A trained model with its bank, and metrics."""
    model = trained_model(tmp_path_factory.mktemp("model"))
    model.metrics = {"embedllm": {"accuracy": 0.75}, "dataset": {"id": "user/data", "split": "test"}}
    return model


@pytest.fixture
def saved(model, tmp_path) -> Path:
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


# --- from an encoder ---


def test_the_seed_decides_the_weights():
    """They are those of a configuration built after `torch.manual_seed`; the global generator is left alone."""
    torch.manual_seed(7)
    expected = EmbedLLM(EmbedLLMConfig(llm_names=LLMS, text_dim=TEXT_DIM, encoder_name="offline")).state_dict()
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    model = EmbedLLM.from_encoder("offline", llm_names=LLMS, text_dim=TEXT_DIM, seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    other = EmbedLLM.from_encoder("offline", llm_names=LLMS, text_dim=TEXT_DIM)
    assert not torch.equal(other.llm_embedding.weight, model.llm_embedding.weight)


def test_the_encoder_stands_in_the_configuration():
    """Its name and revision, and more fields as they are given; the encoder is at hand without being loaded."""
    encoder = QuestionEncoder("lab/encoder", revision="abc")
    model = EmbedLLM.from_encoder(encoder, llm_names=LLMS, text_dim=5, noise_std=0.1)
    config = model.config
    assert (config.encoder_name, config.encoder_revision, config.trained_encoder) == ("lab/encoder", "abc", None)
    assert (config.text_dim, config.noise_std, config.llm_names) == (5, 0.1, list(LLMS))
    assert model.encoder is encoder
    named = EmbedLLM.from_encoder("lab/encoder", revision="abc", llm_names=LLMS, text_dim=5)
    assert named.config.encoder == named.encoder.id == config.encoder


def test_the_width_is_the_encoders(tmp_path):
    """Where no width is given, the encoder is asked."""
    assert EmbedLLM.from_encoder(str(save_tiny_encoder(tmp_path)), llm_names=LLMS).config.text_dim == WIDTH


# --- files ---


def test_save_and_load_is_exact(model, saved):
    """Weights, bank, metrics and every forecast come back to the bit, also through AutoModel."""
    for loaded in (EmbedLLM.from_pretrained(saved), AutoModel.from_pretrained(saved)):
        assert isinstance(loaded, EmbedLLM)
        assert not loaded.training
        assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
        np.testing.assert_array_equal(model.predict_proba(EMBEDS), loaded.predict_proba(EMBEDS))
        np.testing.assert_array_equal(model.bank.keys, loaded.bank.keys)
        assert loaded.metrics == model.metrics
        assert loaded.config.encoder == model.config.encoder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "the question bank that the model was saved with is not there"),
        ("cut", "not the question bank that the model was saved with"),
        ("foreign", "not the question bank that the model was saved with"),
        ("surplus", "the model was saved without a question bank, so this one is another model's"),
    ],
)
def test_a_bank_that_is_not_the_models_is_refused(model, saved, tmp_path, change, message):
    """No bank, half of one, another model's, and one beside a model without: each in one line with the remedy."""
    bank = saved / "bank.safetensors"
    if change == "missing":
        bank.unlink()
    elif change == "cut":
        bank.write_bytes(bank.read_bytes()[:-100])
    elif change == "foreign":
        model.without_llm(LLMS[0]).save_pretrained(tmp_path / "other")
        shutil.copy(tmp_path / "other" / "bank.safetensors", bank)
    else:
        new_model().save_pretrained(tmp_path / "bare")
        saved = Path(shutil.copytree(tmp_path / "bare", tmp_path / "mixed"))
        shutil.copy(bank, saved)
    with pytest.raises(ValueError, match=rf"bank\.safetensors: {message}") as raised:
        EmbedLLM.from_pretrained(saved)
    assert "\n" not in str(raised.value)


def test_a_bank_of_the_same_bytes_and_other_names_is_refused(saved):
    """The names in the configuration are those of the bank, or nothing is loaded."""
    config = json.loads((saved / "config.json").read_text())
    config["llm_names"][0] = "lab/other"
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"bank.*another pool.*lab/(other|logic-a)"):
        EmbedLLM.from_pretrained(saved)


@pytest.mark.parametrize("save", [EmbedLLM.save_pretrained, save_whole])
def test_a_save_over_another_model_leaves_nothing_of_it(model, saved, tmp_path, save):
    """Neither bank nor metrics nor text encoder nor pictures; what is the user's own stays."""
    (saved / "text_encoder").mkdir()
    (saved / "reliability.png").touch()
    (saved / "notes.txt").touch()
    save(new_model(), saved)
    save(new_model(), tmp_path / "fresh")
    left = {path.name for path in saved.iterdir()} - {path.name for path in (tmp_path / "fresh").iterdir()}
    assert left == {"notes.txt"}
    loaded = EmbedLLM.from_pretrained(saved)
    assert (loaded.bank, loaded.metrics) == (None, None)


def test_a_save_that_fails_leaves_the_model_that_stood_there(model, saved, monkeypatch):
    """Nothing is moved into the folder before all is written."""

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("embedllm_hf.modeling_embedllm.write_model_card", fail)
    with pytest.raises(OSError, match="the disk is full"):
        save_whole(new_model(), saved)
    monkeypatch.undo()
    np.testing.assert_array_equal(EmbedLLM.from_pretrained(saved).predict_proba(EMBEDS), model.predict_proba(EMBEDS))
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_the_same_model_makes_the_same_files(saved, tmp_path):
    """To the byte, so that an upload of an unchanged part sends nothing."""
    EmbedLLM.from_pretrained(saved).save_pretrained(tmp_path / "again")
    for path in saved.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
