"""A model saved with its code loads, and predicts the same, where this package is not installed."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel

from embedllm_hf import EmbedLLM, EmbedLLMConfig
from embedllm_hf.hub import remote_code
from embedllm_hf.hub.remote_code import export_remote_code, remote_code_files
from embedllm_hf.network import EmbedLLMNetwork
from tests.hub.clients import run_python
from tests.pool import LLMS, TEXT_DIM, randomised

CLASSES = {"AutoConfig": EmbedLLMConfig, "AutoModel": EmbedLLMNetwork}

# What a machine without this package does; `None` in `sys.modules` makes every import of it fail.
ELSEWHERE = """
import sys
sys.modules["embedllm_hf"] = None
import numpy as np, torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel
embeds = np.load("embeds.npy")
for source, output in (("model", "from_folder.npy"), ("user/with-code", "from_hub.npy")):
    try:
        AutoModel.from_pretrained(source)
        sys.exit("code ran without consent")
    except ValueError as error:
        assert "trust_remote_code=True" in str(error), error
    config = AutoConfig.from_pretrained(source, trust_remote_code=True)
    assert (config.n_llms, config.encoder_name) == (6, "offline")
    model = AutoModel.from_pretrained(source, trust_remote_code=True)
    assert not model.training
    probabilities = model.predict_proba(embeds)
    logits = model(torch.tensor(embeds)).logits
    np.testing.assert_allclose(probabilities, torch.sigmoid(logits).detach().numpy(), rtol=1e-6)
    assert model.llm_index("lab/poetry-a") == 3
    np.save(output, probabilities)
model.save_pretrained("again")
again = AutoModel.from_pretrained("again", trust_remote_code=True)
np.testing.assert_array_equal(again.predict_proba(embeds), probabilities)
weights = load_file("again/model.safetensors")
del weights["question_proj.bias"]
save_file(weights, "again/model.safetensors", metadata={"format": "pt"})
try:
    AutoModel.from_pretrained("again", trust_remote_code=True)
    sys.exit("a model without all its weights was loaded")
except ValueError as error:
    assert "missing `question_proj.bias`" in str(error), error
"""


def make_model() -> EmbedLLM:
    config = EmbedLLMConfig(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4, encoder_name="offline")
    return randomised(EmbedLLM, config)


@pytest.fixture
def saved(tmp_path):
    """A folder with a model and its code."""
    make_model().save_pretrained(tmp_path / "model", remote_code=True)
    return tmp_path / "model"


def test_predictions_are_equal_without_the_package(hub, saved, tmp_path):
    """From a folder and from the Hub, in a process that cannot import the package; strictly, and saved again."""
    embeds = np.random.default_rng(0).normal(size=(4, TEXT_DIM)).astype(np.float32)
    np.save(tmp_path / "embeds.npy", embeds)
    files = {path.name: path.read_bytes() for path in saved.iterdir()}
    hub.create_repo("user/with-code", files)
    child = run_python("-c", ELSEWHERE, hub=hub, home=tmp_path)
    assert child.returncode == 0, child.stderr
    expected = make_model().network_proba(embeds)
    for output in ("from_folder.npy", "from_hub.npy"):
        np.testing.assert_array_equal(np.load(tmp_path / output), expected)


def test_code_is_saved_on_request_only(tmp_path):
    """Off by default; saved on request, it is gone again from a model that is loaded and saved without."""
    make_model().save_pretrained(tmp_path / "without")
    assert not list((tmp_path / "without").glob("*.py"))
    assert "auto_map" not in json.loads((tmp_path / "without" / "config.json").read_text())
    make_model().save_pretrained(tmp_path / "with", remote_code=True)
    EmbedLLM.from_pretrained(tmp_path / "with").save_pretrained(tmp_path / "again")
    assert not list((tmp_path / "again").glob("*.py"))
    assert "auto_map" not in json.loads((tmp_path / "again" / "config.json").read_text())


def test_where_the_package_is_installed_its_own_classes_are_used(saved):
    """The saved code changes nothing there, with or without consent: the strict class is the one that loads."""
    embeds = torch.randn(3, TEXT_DIM)
    for consent in ({}, {"trust_remote_code": True}):
        loaded = AutoModel.from_pretrained(saved, **consent)
        assert type(loaded) is EmbedLLM
        assert type(AutoConfig.from_pretrained(saved, **consent)).__module__ == "embedllm_hf.configuration_embedllm"
        np.testing.assert_array_equal(loaded.predict_proba(embeds), make_model().predict_proba(embeds))


def test_code_that_travels_is_the_packages_and_needs_little(saved):
    """The files are copies of the package's; none stands in a sub-folder or needs more than transformers does."""
    copied = {path.name: path.read_bytes() for path in saved.glob("*.py")}
    assert copied == {path.name: path.read_bytes() for path in remote_code_files()}
    assert {"network.py", "configuration_embedllm.py", "_checks.py", "_errors.py"} <= set(copied)
    imported = set()
    for path in remote_code_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(node.module.partition(".")[0])
    heavy = imported & {"accelerate", "datasets", "embedllm_hf", "pyarrow", "scipy", "sentence_transformers"}
    assert not heavy
    assert {"torch", "transformers"} <= imported


def test_exporting_needs_neither_network_nor_configuration():
    """Whoever saves says which classes; this module imports none of the package that stands after it."""
    source = Path(remote_code.__file__).read_text(encoding="utf-8")
    imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.level}
    assert imported == {"_errors"}


def test_code_can_be_added_to_a_saved_model(tmp_path):
    """To a folder that was saved without; nothing else in its `config.json` changes. A folder without is refused."""
    make_model().save_pretrained(tmp_path)
    before = json.loads((tmp_path / "config.json").read_text())
    added = export_remote_code(tmp_path, CLASSES)
    after = json.loads((tmp_path / "config.json").read_text())
    assert all(path.is_file() and path.parent == tmp_path for path in added)
    assert after.pop("auto_map") == {
        "AutoConfig": "configuration_embedllm.EmbedLLMConfig",
        "AutoModel": "network.EmbedLLMNetwork",
    }
    assert after == before
    assert after["llm_names"] == list(LLMS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"config\.json is not there"):
        export_remote_code(tmp_path / "empty", CLASSES)
    assert not list((tmp_path / "empty").iterdir())
