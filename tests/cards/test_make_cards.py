"""The example cards: they are what the library writes, and a change that is not rendered is found."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import load_file

from embedllm_hf import EmbedLLM, EmbedLLMConfig, load_responses
from embedllm_hf.cards import model_card
from embedllm_hf.plots import reliability_figure, save_png
from scripts import make_cards

NAMES = ("open-llm-responses", "planted", "open-llm-responses-trained-encoder")


@pytest.fixture
def cards(tmp_path):
    """A copy of the example cards."""
    shutil.copytree(make_cards.CARDS, tmp_path / "cards")
    return tmp_path / "cards"


def check(cards) -> int:
    return make_cards.main(["--check", "--cards", str(cards)])


def test_the_cards_are_up_to_date(capsys):
    """`scripts/make_cards.py --check` passes on what is committed."""
    assert make_cards.main(["--check"]) == 0, capsys.readouterr().out
    assert {path.parent.name for path in make_cards.CARDS.glob("*/config.json")} == set(NAMES)


def test_a_changed_template_is_found(cards, tmp_path, monkeypatch, capsys):
    """After a change of the template every card has drifted, until it is rendered anew."""
    template = tmp_path / "template.md"
    template.write_text(model_card._TEMPLATE.read_text(encoding="utf-8") + "\nOne more line.\n", encoding="utf-8")
    monkeypatch.setattr(model_card, "_TEMPLATE", template)
    assert check(cards) == 1
    shown = capsys.readouterr().out
    assert all(f"{name}/README.md" in shown for name in NAMES)
    assert make_cards.main(["--cards", str(cards)]) == 0
    assert check(cards) == 0
    assert "One more line." in (cards / NAMES[0] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("change", ["number", "card", "no picture", "other picture", "surplus file"])
def test_each_kind_of_drift_is_found(cards, change, capsys):
    """A changed number of the inputs, an edited card, a missing or changed picture and a stray file are each named."""
    folder = cards / NAMES[1]
    if change == "number":
        metrics = json.loads((folder / "metrics.json").read_text())
        metrics["embedllm"]["auc"] += 0.01
        (folder / "metrics.json").write_text(json.dumps(metrics))
        culprit = "README.md"
    elif change == "card":
        with (folder / "README.md").open("a") as card:
            card.write("Edited by hand.\n")
        culprit = "README.md"
    elif change == "no picture":
        (folder / "llm_map.png").unlink()
        culprit = "llm_map.png"
    elif change == "other picture":
        bins = json.loads((folder / "metrics.json").read_text())["reliability"]
        save_png(reliability_figure(bins[1:]), folder / "reliability.png")
        culprit = "reliability.png"
    else:
        (folder / "notes.txt").write_text("stray")
        culprit = "notes.txt"
    assert check(cards) == 1
    assert f"{NAMES[1]}/{culprit}" in capsys.readouterr().out


def test_pictures_of_another_matplotlib_are_not_compared(tmp_path):
    """Letters are drawn by matplotlib: another version's picture is no drift, the same version's is."""
    for name, grey, version in (("a", 0, "1"), ("b", 200, "1"), ("c", 200, "2")):
        about = PngInfo()
        about.add_text("Software", f"matplotlib {version}")
        Image.fromarray(np.full((4, 4, 3), grey, np.uint8)).save(tmp_path / f"{name}.png", pnginfo=about)
    a, b, c = (tmp_path / f"{name}.png" for name in "abc")
    assert make_cards.same(a, a)
    assert not make_cards.same(a, b)
    assert make_cards.same(a, c)


def test_inputs_are_taken_from_a_model(tmp_path):
    """`--take` copies configuration, metrics and LLM vectors, no questions and no other weights, and renders."""
    example = make_cards.CARDS / NAMES[1]
    trained = EmbedLLM(EmbedLLMConfig.from_pretrained(example))
    trained.metrics = json.loads((example / "metrics.json").read_text())
    trained.save_pretrained(tmp_path / "model")
    cards = tmp_path / "cards"
    assert make_cards.main(["--take", str(tmp_path / "model"), "--name", "new", "--cards", str(cards)]) == 0
    inputs = {make_cards.CONFIG, make_cards.METRICS, make_cards.EMBEDS}
    assert {path.name for path in (cards / "new").iterdir()} == inputs | {
        "README.md",
        "llm_map.png",
        "reliability.png",
    }
    weights = load_file(cards / "new" / make_cards.EMBEDS)
    assert list(weights) == ["llm_embeds"]
    np.testing.assert_array_equal(weights["llm_embeds"], trained.llm_embeds)
    assert check(cards) == 0


@pytest.mark.parametrize("arguments", [["--take", "x"], ["--name", "x"], ["--check", "--take", "x", "--name", "y"]])
def test_options_that_do_not_fit_are_refused(arguments, capsys):
    """`--take` needs a name, and nothing is taken in a check."""
    with pytest.raises(SystemExit):
        make_cards.main(arguments)
    assert "go together" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_the_cards_hold_nothing_of_this_machine(name):
    """No path, a small folder, and metadata that the Hub's client reads, with seven results."""
    folder = make_cards.CARDS / name
    assert sum(path.stat().st_size for path in folder.iterdir()) < 150_000
    for path in (folder / "README.md", folder / "metrics.json", folder / "config.json"):
        text = path.read_text(encoding="utf-8")
        assert "shared/data" not in text, path
        assert str(make_cards.CARDS.parent) not in text, path
    data = ModelCard((folder / "README.md").read_text(encoding="utf-8")).data
    assert len(data.eval_results) == 7
    assert data.datasets is None


def questions_in_card(name: str, dataset: str) -> list[str]:
    """Questions of a data set that stand in a card's folder, in any file."""
    content = b"\n".join(path.read_bytes() for path in (make_cards.CARDS / name).rglob("*") if path.is_file())
    splits = [load_responses(dataset, split=split) for split in ("train", "validation", "test")]
    return [text for responses in splits for text in responses.questions if text.encode() in content]


def test_no_question_text_gets_into_the_planted_card():
    """None of the made-up questions stands in a file of the card."""
    assert questions_in_card("planted", "planted") == []


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["paper", "unseen_llms"])
def test_no_question_text_gets_into_the_real_reports(real_data, name):
    """None of the benchmarks' questions stands in a report, its pictures and its numbers."""
    assert questions_in_card(name, str(real_data)) == []


@pytest.mark.real_data
def test_no_question_text_gets_into_the_real_card(real_data):
    """None of the benchmarks' questions stands in a file of the cards."""
    for name in ("open-llm-responses", "open-llm-responses-trained-encoder"):
        assert questions_in_card(name, str(real_data)) == []


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["open-llm-responses", "open-llm-responses-trained-encoder"])
def test_the_real_cards_sizes_are_those_of_the_data(real_data, name):
    """The first card is of the data set in the package, the other of its part that has the texts."""
    test = load_responses(real_data if name.endswith("encoder") else name, split="test")
    dataset = json.loads((make_cards.CARDS / name / "metrics.json").read_text())["dataset"]
    n_questions = dataset["n_questions"] + dataset.get("n_left_out", 0)  # those that stand in training, too
    assert (dataset["id"], n_questions, dataset["n_llms"]) == (real_data.name, test.n_questions, test.n_llms)
    assert 0.95 * test.n_observed < dataset["n_observed"] <= test.n_observed


def test_the_script_runs_from_anywhere(tmp_path):
    """As the docstring has it: `python scripts/make_cards.py --check`."""
    script = make_cards.CARDS.parent / "scripts" / "make_cards.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 cards are up to date" in done.stdout
