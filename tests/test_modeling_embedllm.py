"""`EmbedLLM`: it starts from an encoder, its files come back to the bit and are loaded strictly."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from embedllm_hf import EmbedLLM, EmbedLLMConfig, QuestionEncoder, _manifest
from embedllm_hf._errors import UserError
from embedllm_hf._manifest import seal
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
    assert (config.encoder_name, config.encoder_revision, config.encoder_digest) == ("lab/encoder", "abc", None)
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


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "bank.safetensors", "metrics.json", "config.json"])
@pytest.mark.parametrize("change", ["missing", "cut", "flipped", "of another model"])
def test_a_file_that_is_not_the_one_that_was_saved_is_refused(model, saved, tmp_path, name, change):
    """No part of the set, half of one, one with a bit flipped, another model's: one line with file and remedy."""
    if change == "missing":
        (saved / name).unlink()
    elif change == "cut":
        (saved / name).write_bytes((saved / name).read_bytes()[:-100])
    elif change == "flipped":
        _flip(saved / name)
    else:
        other = model.without_llm(LLMS[0])
        other.metrics = {"embedllm": {"accuracy": 0.25}}
        other.save_pretrained(tmp_path / "other")
        shutil.copy(tmp_path / "other" / name, saved)
    found = r"model\.safetensors|bank\.safetensors|metrics\.json" if change == "of another model" else re.escape(name)
    with pytest.raises((ValueError, OSError), match=found) as raised:
        EmbedLLM.from_pretrained(saved)
    assert isinstance(raised.value, UserError)
    assert "\n" not in str(raised.value)


def test_a_file_that_the_set_does_not_name_is_not_read(model, saved, tmp_path):
    """Neither another model's bank, nor weights in pickles, nor adapters, nor an index that leads elsewhere."""
    new_model().save_pretrained(tmp_path / "bare")
    shutil.copy(saved / "bank.safetensors", tmp_path / "bare")
    for name in ("adapter_config.json", "model.safetensors.index.json", "generation_config.json"):
        (tmp_path / "bare" / name).write_text("{]")
    (tmp_path / "bare" / "pytorch_model.bin").write_bytes(b"no weights")
    loaded = EmbedLLM.from_pretrained(tmp_path / "bare")
    assert (loaded.bank, loaded.metrics) == (None, None)


def _sealed(saved: Path, **changes: object) -> Path:
    """The folder with another configuration, hashes and all, as a stranger could make it."""
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, **changes}))
    seal(saved, [name for name in config["files"] if (saved / name).is_file()])
    return saved


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"llm_names": [f"{LLMS[0]}!", *LLMS[1:]]}, "another pool"),
        ({"llm_names": LLMS[1:]}, r"unexpected `llm_"),
        ({"llm_names": "abcdef"}, "is one name"),
        ({"llm_names": [1, 2, 3, 4, 5, 6]}, "`llm_names`"),
        ({"llm_names": {"a": 1}}, "expected a list of names"),
        ({"text_dim": TEXT_DIM + 1}, "unexpected `question_"),
        ({"text_dim": 2**63}, "whole number from 1 to"),
        ({"text_dim": True}, "whole number from 1 to"),
        ({"embed_dim": 2**20}, "unexpected"),
        ({"llm_bias": "yes"}, "true or false"),
        ({"llm_bias": False}, "unexpected `llm_bias`"),
        ({"noise_std": [0]}, "number of 0 or more"),
        ({"encoder_name": 7}, "expected a text"),
        ({"encoder_revision": {}}, "expected a text"),
        ({"model_type": "bert"}, "of the type 'bert'"),
    ],
)
def test_a_configuration_that_a_stranger_made_is_refused_in_one_line(saved, changes, message):
    """Its hashes are right, its values are not: nothing is built of them."""
    with pytest.raises((ValueError, TypeError), match=message) as raised:
        EmbedLLM.from_pretrained(_sealed(saved, **changes))
    assert isinstance(raised.value, UserError)
    assert "\n" not in str(raised.value)


def test_no_file_outside_the_folder_is_named(saved):
    """The list of files has plain names."""
    config = json.loads((saved / "config.json").read_text())
    for name in ("../x", "/etc/passwd", "a/b", ".."):
        config["files"] = {name: "0" * 64}
        (saved / "config.json").write_text(json.dumps(config))
        seal_digest(saved)
        with pytest.raises(ValueError, match="expected one beside it"):
            EmbedLLM.from_pretrained(saved)


def seal_digest(folder: Path) -> None:
    """Make the configuration's own hash right."""
    config = json.loads((folder / "config.json").read_text())
    config["sha256"] = _manifest._digest(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("content", ["[]", "{", "[" * 100_000, '{"a": NaN}', "\udc80"])
def test_a_configuration_that_is_no_json_object_is_refused(saved, content):
    """Whatever the file holds, however deep."""
    (saved / "config.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=r"config\.json: (not a whole JSON|holds a JSON list)"):
        EmbedLLM.from_pretrained(saved)


def test_weights_that_are_not_finite_are_refused(saved):
    """Also with the right hashes; the weight is named."""
    weights = load_file(saved / "model.safetensors")
    weights["llm_bias"][2] = float("nan")
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="not finite `llm_bias`"):
        EmbedLLM.from_pretrained(_sealed(saved))


def test_a_model_in_a_subfolder_is_the_whole_model(model, saved):
    """With its bank and metrics; the subfolder stays below the folder."""
    loaded = EmbedLLM.from_pretrained(saved.parent, subfolder=saved.name)
    np.testing.assert_array_equal(loaded.predict_proba(EMBEDS), model.predict_proba(EMBEDS))
    assert loaded.metrics == model.metrics
    with pytest.raises(ValueError, match="expected a folder below"):
        EmbedLLM.from_pretrained(saved / "x", subfolder="..")


@pytest.mark.parametrize(
    ("path", "message"),
    [("{}/none/model", "no such folder"), ("./none", "no such folder"), ("{}/model/config.json", "is a file")],
)
def test_what_is_no_folder_is_said_to_be_none(saved, path, message):
    """The Hub is not asked for a path of this machine."""
    with pytest.raises((ValueError, OSError), match=message):
        EmbedLLM.from_pretrained(path.format(saved.parent))


def test_shards_of_weights_are_one_set(model, tmp_path):
    """A large network may be saved in several files."""
    model.save_pretrained(tmp_path, max_shard_size=300)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    np.testing.assert_array_equal(
        EmbedLLM.from_pretrained(tmp_path).predict_proba(EMBEDS), model.predict_proba(EMBEDS)
    )


def test_a_save_over_another_model_leaves_nothing_of_it(model, saved, tmp_path):
    """Neither bank nor metrics nor text encoder nor pictures nor shards nor code; what is the user's own stays."""
    (saved / "text_encoder").mkdir()
    (saved / "reliability.png").touch()
    (saved / "notes.txt").touch()
    for name in ("model-00001-of-00002.safetensors", "model.safetensors.index.json", "network.py"):
        (saved / name).touch()
    (saved / "README.md").write_text("My notes")
    new_model().save_pretrained(saved)
    new_model().save_pretrained(tmp_path / "fresh")
    assert (saved / "README.md").read_text() == "My notes"
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
        new_model().save_pretrained(saved)
    monkeypatch.undo()
    np.testing.assert_array_equal(EmbedLLM.from_pretrained(saved).predict_proba(EMBEDS), model.predict_proba(EMBEDS))
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_the_same_model_makes_the_same_files(saved, tmp_path):
    """To the byte, so that an upload of an unchanged part sends nothing."""
    EmbedLLM.from_pretrained(saved).save_pretrained(tmp_path / "again")
    for path in saved.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
