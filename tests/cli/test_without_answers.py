"""Every verb marks an LLM of which the data holds no answer, or leaves it out and says so."""

import json
import random
from pathlib import Path

import pytest

from tests.command_line import refused, run

KNOWN, NEVER = ("a/one", "b/two", "c/three"), "e/never"


@pytest.fixture(scope="module")
def weak(tmp_path_factory) -> Path:
    """A model of three LLMs that are right on 15% of the questions, and of one that was never asked."""
    folder = tmp_path_factory.mktemp("weak")
    for split, start, n in (("train", 0, 80), ("validation", 1000, 20), ("test", 2000, 20)):
        draw = random.Random(start)
        rows = [
            f"{question},{llm},c{question % 2},{int(draw.random() < 0.15)},What is number {question} about?"
            for question in range(start, start + n)
            for llm in KNOWN
        ]
        (folder / f"{split}.csv").write_text("\n".join(["prompt_id,model_name,category,label,prompt", *rows]) + "\n")
    order = [f"{number},{name}" for number, name in enumerate((*KNOWN, NEVER))]
    (folder / "model_order.csv").write_text("\n".join(["model_id,model_name", *order]) + "\n")
    return folder


@pytest.fixture(scope="module")
def model(weak, tmp_path_factory) -> Path:
    from embedllm_hf.cli import main

    path = tmp_path_factory.mktemp("model") / "m"
    command = ["train", "--dataset", str(weak), "--encoder", "offline", "--output_dir", str(path), "--disable_tqdm"]
    assert main(command) == 0
    return path


def test_route_never_names_it_unasked(capsys, caplog, model):
    """The warning goes to standard error; by name it is chosen and marked."""
    code, out, _ = run(capsys, "route", "--model", model, "--top_k", "9", "What is number 5 about?")
    assert (code, NEVER in out) == (0, False)
    assert f"no answers are known of `{NEVER}`" in caplog.text
    assert "no answers of it are known" in run(capsys, "route", "--model", model, "--llms", NEVER, "What?")[1]
    (found,) = json.loads(run(capsys, "route", "--model", model, "--llms", NEVER, "--json", "What?")[1])
    assert found["without_answers"] is True


def test_forecast_marks_it(capsys, model):
    """Score and single answers, as text and as JSON."""
    for target in (["--benchmark", "c0"], ["What?"]):
        command = ("forecast", "--model", model, "--llm", NEVER, *target)
        assert "no answers of it are known" in run(capsys, *command)[1]
        assert '"without_answers": true' in run(capsys, *command, "--json")[1]


def test_leaderboard_puts_it_last_and_says_why(capsys, model):
    """Without a place."""
    lines = run(capsys, "leaderboard", "--model", model, "--benchmark", "c0")[1].splitlines()
    assert [line for line in lines if NEVER in line and line.startswith("- ")] == lines[-3:-2]
    assert lines[-1] == f"not ranked, since no answers of them are known: `{NEVER}`"


def test_portfolio_similar_and_evaluate_leave_it_out(capsys, model, weak):
    """Each in one line."""
    assert (
        f"left out, since they have no known answers: `{NEVER}`"
        in run(capsys, "portfolio", "--model", model, "--size", "4")[1]
    )
    assert NEVER not in run(capsys, "similar", "--model", model, "--llm", KNOWN[0])[1]
    refused(run(capsys, "similar", "--model", model, "--llm", NEVER), "no answers are known of")
    out = run(capsys, "evaluate", "--model", model, "--dataset", weak)[1]
    assert f"left out of routing, since the model knows no answers of them: `{NEVER}`" in out


def test_the_card_marks_it(model):
    """Beside its name."""
    card = (model / "README.md").read_text()
    assert f"- `{NEVER}` (no answers of it are known, so it is not chosen)" in card
    assert f"- `{KNOWN[0]}`\n" in card
