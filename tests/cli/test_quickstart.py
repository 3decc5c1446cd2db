"""The quick start: what a newcomer sees in the first minute."""

import json
import re
import shlex

import pytest

from embedllm_hf import EmbedLLM, Forecaster
from embedllm_hf.new_llms.answers import read_answers
from tests.command_line import refused, run

NEW = "google/gemma-2-27b-it"
# Accuracy, AUC, log loss, ECE and routing accuracy, as the README has them.
FIGURES = {
    "embedllm": (0.7411, 0.8186, 0.5141, 0.0112, 0.7409),
    "knn": (0.7244, 0.7973, 0.5387, 0.0137, 0.7465),
    "llm_category_mean": (0.7154, 0.7875, 0.5470, 0.0089, 0.7368),
    "llm_mean": (0.6582, 0.7066, 0.6171, 0.0057, 0.7270),
}

pytestmark = pytest.mark.slow


def lines_after(text: str, verb: str) -> list[str]:
    """What a command printed, from the line that shows it to the next empty one."""
    (part,) = [part for part in text.split("\n$ ") if part.startswith(f"embedllm {verb} ")]
    return part.split("\n\n#")[0].splitlines()[1:]


def test_each_part_of_the_flow_is_shown(quickstart):
    """The report, three questions routed, one LLM forecast, a new one placed, its next five questions, three hints."""
    text = quickstart.text
    assert re.search(r"^EmbedLLM forecasts 7\d\.\d% of the responses right$", text, re.M)
    routed = lines_after(text, "route")
    assert len(routed) == 3
    assert len({line.split()[0] for line in routed}) >= 2  # questions of different kinds, to different LLMs
    assert len(lines_after(text, "forecast")) == 3
    assert lines_after(text, "onboard")[-2].startswith(f"placed {NEW} from 32 answers")
    assert sum(line.endswith("\tkor") for line in lines_after(text, "probe")) == 5
    hints = text.split("# What next?\n")[1].splitlines()
    assert len(hints) == 3
    assert all("embedllm " in line for line in hints)


def test_the_commands_that_it_shows_are_those_that_ran(quickstart, monkeypatch, capsys):
    """A shown command, run again in the same folder, prints what the quick start printed."""
    monkeypatch.chdir(quickstart.folder)
    shown = {line.split()[2]: line for line in quickstart.text.splitlines() if line.startswith("$ embedllm ")}
    assert list(shown) == ["train", "route", "forecast", "onboard", "probe"]
    for verb in ("route", "forecast", "probe"):
        code, out, _ = run(capsys, *shlex.split(shown[verb])[2:])
        assert code == 0
        assert out.splitlines() == lines_after(quickstart.text, verb)


def test_the_figures_are_those_of_the_readme(quickstart):
    """To the rounding of another processor."""
    metrics = json.loads((quickstart.model / "metrics.json").read_text())
    names = ("accuracy", "auc", "log_loss", "ece", "routing_accuracy")
    for row, figures in FIGURES.items():
        tolerance = 1.5e-3 if row == "embedllm" else 2e-4
        assert [metrics[row][name] for name in names] == pytest.approx(figures, abs=tolerance), row


def test_the_new_llm_was_not_known(quickstart):
    """The model that it is placed in has no vector and no answer of it; the 32 answers are its own, and no more."""
    folder = quickstart.model.parent
    whole, smaller, grown = (EmbedLLM.from_pretrained(folder / name) for name in ("model", "smaller", "grown"))
    assert NEW not in smaller.config.llm_names
    assert set(grown.config.llm_names) == set(whole.config.llm_names)
    answers = read_answers(folder / "answers.csv", whole.bank)
    assert len(answers) == 32
    true = whole.bank.responses_of(whole.llm_index(NEW))
    rows = whole.bank.rows_of_ids(list(answers))
    assert true[rows].tolist() == list(answers.values())
    score = Forecaster(whole).benchmark(NEW, "kor")
    assert f"questions of kor that it was asked: {score.accuracy:.3f}" in quickstart.text


def test_it_takes_less_than_a_minute(quickstart):
    """36 seconds of a processor, which two idle ones do in 27; threads that wait for each other add to it."""
    assert quickstart.seconds < 80


def test_it_stops_at_the_first_failure(tmp_path, capsys):
    """A file where the folder should be is refused by `train`, in one line, and nothing after it runs."""
    (tmp_path / "notes.txt").write_text("mine")
    code, out, err = run(capsys, "quickstart", "--output_dir", tmp_path / "notes.txt")
    assert out.count("$ embedllm") == 1
    refused((code, "", err), "embedllm quickstart: error: ", "notes.txt", "a file stands where a folder should be")
    assert (tmp_path / "notes.txt").read_text() == "mine"
