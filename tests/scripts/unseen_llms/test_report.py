"""The report on unseen LLMs: the script end to end on the planted pool, and its sums."""

import json

import numpy as np
import pytest

from scripts.unseen_llms.__main__ import main
from scripts.unseen_llms.baselines import MEAN, NEIGHBOURS, NewQuestionRecord, summarise_new_questions
from scripts.unseen_llms.report import CHOSEN_ON, markdown
from tests.new_llms.test_unseen_llms import vectors  # noqa: F401 - a fixture


def test_the_script_writes_table_numbers_and_figure(tmp_path, vectors):  # noqa: F811
    """`--quick` on the planted pool: all methods are there, no path of this machine, no text of a question."""
    options = ["--dataset", "planted", "--question_embeddings", str(vectors), "--output_dir", str(tmp_path / "out")]
    assert main([*options, "--quick", "--seeds", "5"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.md", "unseen_llms.json", "placement.png"}
    report = json.loads((tmp_path / "out" / "unseen_llms.json").read_text())
    assert {row["method"] for row in report["scores"]} >= {"adaptive", "random", "stratified", MEAN, NEIGHBOURS}
    assert {row["n_answers"] for row in report["scores"]} == {0, 8, 16}
    command = "python -m scripts.unseen_llms --dataset planted --quick --seeds 5"
    assert (report["about"]["command"], report["about"]["seeds"]) == (command, [5])
    assert {row["method"] for row in report["new_questions"]} == {"onboarded", "retrained with the answers"}
    text = (tmp_path / "out" / "README.md").read_text() + json.dumps(report)
    assert str(tmp_path) not in text
    assert "multiplied by" not in text
    assert "## New questions" in text
    assert "were chosen on other data" in text
    assert "on these LLMs" not in text
    assert "on these LLMs" in markdown({**report, "about": {**report["about"], "dataset": CHOSEN_ON}})


def test_new_questions_are_summed_up_over_llms():
    """Accuracy over all pairs; the share won, or nothing where no question had one right answer."""
    arrays = (np.array([0.9, 0.2]), np.array([1.0, 1.0]))
    record = NewQuestionRecord(0, "a", "onboarded", 64, *arrays, 4, 1)
    other = NewQuestionRecord(0, "b", "onboarded", 64, np.array([0.1]), np.array([0.0]), 0, 0)
    (row,) = summarise_new_questions([record, other])
    assert row["accuracy"] == pytest.approx(2 / 3)
    assert (row["n_only_right"], row["share_won"]) == (4, 0.25)
    assert summarise_new_questions([other, other])[0]["share_won"] is None
