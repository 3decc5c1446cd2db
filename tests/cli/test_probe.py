"""`embedllm probe`: the questions that it lists or asks, when it stops, and what bad input gets."""

import io
import json
from pathlib import Path

import pytest

from embedllm_hf import EmbedLLM, load_responses
from embedllm_hf.new_llms.answers import read_answers
from tests.command_line import refused, run
from tests.placing import strong_in_law, write_answers

NEW = "new/llm"


def test_probe_lists_questions_with_their_texts(capsys, planted_model, tmp_path):
    """Ids of the benchmark with their texts, none that was answered; as JSON the fields of the plan."""
    options = ("probe", "--model", planted_model, "--llm", NEW, "--benchmark", "law", "-n", 4)
    code, out, _ = run(capsys, *options, "--dataset", "planted")
    assert code == 0
    train = load_responses("planted", split="train")
    text_of = dict(zip(train.question_ids.tolist(), train.questions.tolist(), strict=True))
    asked = [line.split("\t") for line in out.splitlines() if "\t" in line]
    assert len(asked) == 4
    assert all(benchmark == "law" and text_of[int(id_)][:100] == text for id_, benchmark, text in asked)
    answers = write_answers(tmp_path / "a.csv", {int(id_): 1 for id_, _, _ in asked})
    code, out, _ = run(capsys, *options, "--answers", answers, "--json")
    plan = json.loads(out)
    assert plan["n_answers"] == 4
    assert plan["expected_width"] < plan["width"]
    assert not {int(id_) for id_, _, _ in asked} & set(plan["question_ids"])


def test_probe_stops_when_the_score_is_known(capsys, planted_model):
    """An interval narrower than asked for needs no more questions."""
    options = ("probe", "--model", planted_model, "--llm", "planted/atlas-large", "--benchmark", "law")
    code, out, _ = run(capsys, *options, "--until_width", 0.9)
    assert code == 0
    assert "no more questions are needed" in out
    assert "\t" not in out


def test_probe_says_when_no_questions_are_left(capsys, planted_model, tmp_path):
    """All known questions answered: on them the score is known, on the benchmark as well as they tell."""
    bank = EmbedLLM.from_pretrained(planted_model).bank
    ids = bank.question_ids[bank.benchmark_rows("law")].tolist()
    answers = write_answers(tmp_path / "all.csv", {id_: row % 2 for row, id_ in enumerate(ids)})
    options = ("probe", "--model", planted_model, "--llm", NEW, "--benchmark", "law", "--answers", answers)
    code, out, _ = run(capsys, *options, "--until_width", 0.01)
    assert code == 0
    assert out.splitlines()[-1] == "it has answered all questions that the model knows"
    assert "no more questions are needed" in run(capsys, *options, "--until_width", 0.01, "--known_only")[1]


def test_probe_tells_which_of_two_is_better(capsys, planted_model, tmp_path):
    """Against an LLM of the pool and against a new one with answers of its own; a clear case needs no questions."""
    options = ("probe", "--model", planted_model, "--llm", NEW, "--benchmark", "law", "-n", 3)
    code, out, _ = run(capsys, *options, "--against", "planted/atlas-large")
    assert code == 0
    assert "minus planted/atlas-large: " in out
    assert out.rstrip().splitlines()[-1].startswith("with these 3 the interval's width becomes about")
    good = write_answers(tmp_path / "good.csv", strong_in_law())
    bad = write_answers(tmp_path / "bad.csv", {id_: 1 - grade for id_, grade in strong_in_law().items()})
    two = (
        "--against",
        "other/llm",
        "--answers",
        good,
        "--against_answers",
        bad,
        "--strategy",
        "random",
        "--known_only",
    )
    code, out, _ = run(capsys, *options, *two)
    assert f": {NEW} is better" in out
    assert "no more questions are needed" in out
    code, out, _ = run(capsys, *options, *two, "--json")
    assert json.loads(out)["lead"]["decided"] is True
    refused(run(capsys, *options, "--against", "planted/atlas"), "unknown LLM `planted/atlas`", "planted/atlas-large")
    refused(run(capsys, *options, "--against", NEW), "is to be compared with itself")


def ask(capsys, monkeypatch, planted_model: Path, answers: Path, typed: str, *more: str, n: int = 50) -> str:
    """What the interactive loop prints when this is typed."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    options = ("--model", planted_model, "--llm", NEW, "--answers", answers, "--dataset", "planted", "-n", n)
    code, out, _ = run(capsys, "probe", *options, "--benchmark", "law", "--interactive", *more)
    assert code == 0
    return out


def test_the_interactive_loop_goes_on_from_its_file(capsys, monkeypatch, planted_model, tmp_path):
    """Each answer is in the file at once; after a break the same questions follow as without one."""
    whole, parts = tmp_path / "whole.csv", tmp_path / "parts.csv"
    out = ask(capsys, monkeypatch, planted_model, whole, "y\nn\nwhat\n0.5\ny\nq\n")
    assert out.count("Question ") == 5
    assert "4 answers in" in out
    ask(capsys, monkeypatch, planted_model, parts, "y\nn\n")  # the input ends, as when the terminal is closed
    assert len(read_answers(parts)) == 2
    ask(capsys, monkeypatch, planted_model, parts, "0.5\ny\nq\n")
    assert parts.read_text() == whole.read_text()
    assert list(read_answers(whole).values()) == [1, 0, 0.5, 1]
    assert ask(capsys, monkeypatch, planted_model, parts, "y\n" * 9, n=3).count("Question ") == 3


@pytest.mark.parametrize("strategy", ["adaptive", "random"])
def test_the_advice_names_the_strategy(capsys, monkeypatch, planted_model, tmp_path, strategy):
    """The intervals of a placed LLM depend on how the questions were chosen."""
    out = ask(capsys, monkeypatch, planted_model, tmp_path / "a.csv", "y\nq\n", "--strategy", strategy)
    assert out.endswith(f"place the LLM with `embedllm onboard --strategy {strategy}`\n")


def test_probe_refuses_bad_input(capsys, planted_model, tmp_path):
    """The interactive loop needs a file and texts; a width, a benchmark, a count that cannot be."""
    probe = ("probe", "--model", planted_model, "--llm", NEW)
    refused(run(capsys, *probe, "--interactive"), "--interactive needs --answers", "--dataset")
    refused(run(capsys, *probe, "--until_width", 2), "--until_width is 2, expected a width in (0, 1)")
    refused(run(capsys, *probe, "--benchmark", "lawn"), "unknown benchmark `lawn`", "`law`")
    refused(run(capsys, *probe, "-n", 0), "`n` is 0, expected a whole number of 1 or more")
    refused(run(capsys, *probe, "--answers", tmp_path / "none.csv"), "there is no file")
