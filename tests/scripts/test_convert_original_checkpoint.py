"""Checkpoints of the original code: the converted model computes its formula, and nothing else is accepted."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from embedllm_hf import EmbedLLM
from scripts.convert_original_checkpoint import convert_original_checkpoint, main

N_LLMS, N_QUESTIONS, EMBED_DIM, TEXT_DIM = 5, 7, 232, 768
NAMES = tuple(f"lab/llm-{index}" for index in range(N_LLMS))


def make_state() -> dict[str, torch.Tensor]:
    """A state dict as the original code has it."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "P.weight": (N_LLMS, EMBED_DIM),
        "Q.weight": (N_QUESTIONS, TEXT_DIM),
        "text_proj.weight": (EMBED_DIM, TEXT_DIM),
        "text_proj.bias": (EMBED_DIM,),
        "classifier.weight": (2, EMBED_DIM),
        "classifier.bias": (2,),
    }
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}


@pytest.fixture
def original(tmp_path):
    """A folder with a checkpoint and its order of LLMs, the rows of the CSV shuffled."""
    torch.save(make_state(), tmp_path / "mf.pth")
    rows = [f"{index},{NAMES[index]}\n" for index in (3, 0, 4, 1, 2)]
    (tmp_path / "model_order.csv").write_text("model_id,model_name\n" + "".join(rows))
    return tmp_path


def convert(folder: Path, **options) -> EmbedLLM:
    return convert_original_checkpoint(folder / "mf.pth", folder / "model_order.csv", **options)


def run_script(*arguments: object) -> int:
    """The script's `main`, in this process."""
    return main([str(argument) for argument in arguments])


def test_logits_are_the_original_formulas(original, tmp_path):
    """Saved by the script and loaded, the model gives W (P[m] * (A Q[q] + c)) + b, right less wrong, to 1e-5."""
    output = tmp_path / "converted"
    files = ("--checkpoint", original / "mf.pth", "--model_order", original / "model_order.csv")
    assert run_script(*files, "--output_dir", output) == 0
    model = EmbedLLM.from_pretrained(output)
    state = {name: weight.double().numpy() for name, weight in make_state().items()}
    questions, llms = (grid.ravel() for grid in np.mgrid[:N_QUESTIONS, :N_LLMS])
    projected = state["Q.weight"][questions] @ state["text_proj.weight"].T + state["text_proj.bias"]
    joint = state["P.weight"][llms] * projected
    logits = joint @ state["classifier.weight"].T + state["classifier.bias"]
    embeds = make_state()["Q.weight"]
    converted = model(embeds[questions], torch.as_tensor(llms)).logits.detach().numpy()
    np.testing.assert_allclose(converted, logits[:, 1] - logits[:, 0], atol=1e-5)
    right = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1])).reshape(N_QUESTIONS, N_LLMS)
    np.testing.assert_allclose(model.predict_proba(embeds), right, atol=1e-5)


def test_config_is_the_papers(original):
    """LLMs are named in the order of their ids, sizes come from the weights, the noise is the original's and off."""
    model = convert(original)
    config = model.config
    assert not model.training
    assert config.llm_names == list(NAMES)
    assert (config.embed_dim, config.text_dim, config.noise_std) == (EMBED_DIM, TEXT_DIM, 0.05)
    assert (config.llm_bias, config.question_bias) == (False, False)
    assert config.encoder_name == "sentence-transformers/all-mpnet-base-v2"
    other = convert(original, encoder_name="lab/encoder", encoder_revision="v2").config
    assert (other.encoder_name, other.encoder_revision) == ("lab/encoder", "v2")


def test_a_checkpoint_from_an_accelerator_in_half_precision_is_read(original):
    """Weights in another precision become float32."""
    torch.save({name: weight.half() for name, weight in make_state().items()}, original / "mf.pth")
    assert {weight.dtype for weight in convert(original).state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P.weight": None}, r"missing `P\.weight`\. Expected"),
        ({"module.P.weight": torch.zeros(1)}, r"unknown `module\.P\.weight`\. Expected"),
        ({"text_proj.bias": torch.zeros(9)}, r"`text_proj\.bias` has shape \(9,\), expected \(232,\)"),
        ({"classifier.weight": torch.zeros(3, EMBED_DIM)}, r"`classifier\.weight` has shape \(3, 232\)"),
        ({"Q.weight": torch.zeros(N_QUESTIONS, 9)}, r"expected \(232, 9\) beside `P\.weight` \(5, 232\)"),
        ({"P.weight": torch.zeros(5)}, r"`P\.weight` is no tensor of rank 2"),
        ({"classifier.bias": torch.tensor([0.0, np.nan])}, r"`classifier\.bias` is no tensor of rank 1 with finite"),
    ],
)
def test_weights_that_are_not_the_originals_are_refused(original, change, message):
    """A missing, an unknown, a misshapen weight, and one that is not finite, each by its name."""
    state = {name: weight for name, weight in {**make_state(), **change}.items() if weight is not None}
    torch.save(state, original / "mf.pth")
    with pytest.raises(ValueError, match=message):
        convert(original)


class Attack:
    """A pickle of it runs code when it is read."""

    def __reduce__(self):
        return Path.touch, (Path("touched-by-a-pickle"),)


def test_a_pickle_is_not_executed(original, tmp_path, monkeypatch):
    """A file that would run code is refused, and the code has not run."""
    monkeypatch.chdir(tmp_path)
    inside = io.BytesIO()
    torch.save({**make_state(), "P.weight": Attack()}, inside)
    for content in (pickle.dumps(Attack(), protocol=2), inside.getvalue()):
        (original / "mf.pth").write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot be read as a state dict.*Nothing else is unpickled"):
            convert(original)
        assert not Path("touched-by-a-pickle").exists()


@pytest.mark.parametrize("size", [0, 10, 1000, -1000])
def test_a_truncated_file_is_refused(original, size):
    """However little of it is there."""
    path = original / "mf.pth"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"mf\.pth: cannot be read as a state dict"):
        convert(original)


def test_names_must_fit_the_vectors(original):
    """One name too few, a name twice, no such file."""
    order = original / "model_order.csv"
    lines = order.read_text().splitlines(keepends=True)
    order.write_text("".join(lines[:-1]))
    with pytest.raises(ValueError, match=r"names 4 LLMs, but .*mf\.pth holds vectors of 5"):
        convert(original)
    order.write_text("".join([*lines[:-1], f"9,{NAMES[0]}\n"]))
    with pytest.raises(ValueError, match="`lab/llm-0` stands there more than once"):
        convert(original)
    order.unlink()
    with pytest.raises(FileNotFoundError, match=r"`model_order`: there is no file .*model_order\.csv"):
        convert(original)


def test_script_keeps_a_model_that_is_there(original, tmp_path, capsys):
    """A folder with a model is left alone unless it may be overwritten; a failure leaves no folder."""
    files = ("--checkpoint", original / "mf.pth", "--model_order", original / "model_order.csv")
    output = tmp_path / "converted"
    run_script(*files, "--output_dir", output)
    before = (output / "model.safetensors").read_bytes()
    with pytest.raises(SystemExit, match="2"):
        run_script(*files, "--output_dir", output)
    assert "holds a model already" in capsys.readouterr().err
    torch.save({**make_state(), "P.weight": torch.ones(N_LLMS, EMBED_DIM)}, original / "mf.pth")
    run_script(*files, "--output_dir", output, "--overwrite_output_dir")
    assert (output / "model.safetensors").read_bytes() != before
    (original / "mf.pth").write_bytes(b"")
    with pytest.raises(SystemExit, match="2"):
        run_script(*files, "--output_dir", tmp_path / "other")
    assert "cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_bug_of_the_script_shows(original, tmp_path, monkeypatch):
    """An error that is not told for users is no one-line message."""

    def broken(*args: object, **options: object) -> None:
        raise ValueError("of the library's own making")

    monkeypatch.setattr("scripts.convert_original_checkpoint.convert_original_checkpoint", broken)
    with pytest.raises(ValueError, match="own making"):
        run_script("--checkpoint", "a", "--model_order", "b", "--output_dir", tmp_path / "converted")
