"""The experiment on unseen LLMs: its verb end to end on the planted pool, and its sums on made-up records."""

import json

import numpy as np
import pytest

from embedllm_hf import EncodedResponses, load_splits
from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.encoding.embeddings_file import save_embeddings
from embedllm_hf.new_llms.unseen_llms import (
    MEAN,
    NEIGHBOURS,
    NewQuestionRecord,
    ScoreRecord,
    UnseenSettings,
    measure_seed,
    summarise_new_questions,
)
from embedllm_hf.new_llms.unseen_report import summarise_scores
from tests.command_line import refused, run
from tests.pool import make_embeds, make_split


@pytest.fixture(scope="module")
def splits() -> dict[str, EncodedResponses]:
    return {
        "train": make_split(80),
        "validation": make_split(30, first_id=80, seed=1),
        "test": make_split(40, first_id=110, seed=2),
    }


def test_the_verb_writes_table_numbers_and_figure(capsys, tmp_path):
    """`--quick` on the planted pool: all methods are there, no path of this machine, no text of a question."""
    vectors, out = tmp_path / "vectors.safetensors", tmp_path / "out"
    ids = np.concatenate([split.question_ids for _, split in load_splits("planted").items()])
    save_embeddings(vectors, make_embeds(ids), ids, EncoderId("offline"))
    options = ("--dataset", "planted", "--question_embeddings", vectors, "--output_dir", out)
    code, printed, err = run(capsys, "evaluate", "--unseen_llms", *options, "--quick", "--seeds", 5, 6)
    assert code == 0, err
    assert "2 of 2 seeds done" in printed
    assert {path.name for path in out.iterdir()} == {"README.md", "unseen_llms.json", "placement.png"}
    report = json.loads((out / "unseen_llms.json").read_text())
    assert {row["method"] for row in report["scores"]} >= {"adaptive", "random", "stratified", MEAN, NEIGHBOURS}
    assert {row["n_answers"] for row in report["scores"]} == {0, 8, 16}
    command = "embedllm evaluate --unseen_llms --dataset planted --quick --seeds 5 6"
    assert (report["about"]["command"], report["about"]["seeds"]) == (command, [5, 6])
    assert set(report["scores"][0]["by_seed"]) == {"5", "6"}
    text = (out / "README.md").read_text()
    assert str(tmp_path) not in text + json.dumps(report)
    assert "multiplied by" not in text + json.dumps(report)
    for row in report["scores"]:
        assert f"| {row['n_answers']} | {row['mean_absolute_error']:.4f} |" in text
    assert "## New questions" in text


def test_the_verb_refuses_what_cannot_be(capsys, tmp_path):
    """No folder for the report, one fold, and neither a model nor the experiment: one line, nothing written."""
    unseen = ("evaluate", "--unseen_llms", "--dataset", "planted")
    refused(run(capsys, *unseen), "--unseen_llms needs --output_dir")
    refused(run(capsys, *unseen, "--output_dir", tmp_path / "o", "--n_folds", 1), "--n_folds is 1, expected 2 or more")
    refused(run(capsys, "evaluate", "--dataset", "planted"), "--model is needed", "--unseen_llms")
    assert not (tmp_path / "o").exists()


def test_a_held_out_llm_is_judged_by_its_answers_alone(splits):
    """Held out, each LLM is placed on its topic from answers, and new questions are forecast well."""
    settings = UnseenSettings(n_folds=3, n_answers=(0, 8, 32), n_draws=1, n_answers_new=(16,), n_answers_retrained=16)
    scores, new = measure_seed(splits, settings, seed=0)
    assert {record.llm for record in new} == set(splits["train"].responses.llm_names)
    assert {record.llm for record in scores} <= set(splits["train"].responses.llm_names)

    def error(count: int) -> float:
        return float(np.mean([abs(r.error) for r in scores if (r.method, r.n_answers) == ("random", count)]))

    assert error(32) < error(0) / 2
    rows = {row["method"]: row for row in summarise_new_questions(new)}
    assert rows["onboarded"]["auc"] > 0.8
    assert set(rows) == {"onboarded", "retrained with the answers"}


def test_splits_are_joined_with_their_vectors(splits):
    """All questions come once, each with its own vector, and every response with them."""
    together = EncodedResponses.concat(list(splits.values()))
    assert together.responses.n_questions == 150
    assert together.responses.n_observed == sum(split.responses.n_observed for split in splits.values())
    np.testing.assert_array_equal(together.question_embeds, make_embeds(together.responses.question_ids))


def test_scores_are_summed_up_by_method_and_answers():
    """Mean absolute error, coverage and width of four records, written out."""
    common = {"seed": 0, "method": "adaptive", "n_answers": 8, "accuracy": 0.5}
    records = [
        ScoreRecord(llm="a", benchmark="x", error=-0.1, low=0.2, high=0.4, covered=True, **common),
        ScoreRecord(llm="a", benchmark="y", error=0.3, low=0.0, high=0.2, covered=False, **common),
        ScoreRecord(llm="b", benchmark="x", error=0.2, low=0.0, high=0.8, covered=True, **common),
        ScoreRecord(seed=0, llm="b", benchmark="x", method=MEAN, n_answers=8, error=0.5),
    ]
    ours, mean = summarise_scores(records)
    assert ours["mean_absolute_error"] == pytest.approx(0.2)
    assert ours["by_benchmark"] == pytest.approx({"x": 0.15, "y": 0.3})
    assert ours["coverage"] == pytest.approx(2 / 3)
    assert ours["width"] == pytest.approx(0.4)
    assert ours["low"] <= 0.2 <= ours["high"]
    assert mean["mean_absolute_error"] == 0.5
    assert "coverage" not in mean


def test_new_questions_are_summed_up_over_llms():
    """Accuracy over all pairs; the share won, or nothing where no question had one right answer."""
    arrays = (np.array([0.9, 0.2]), np.array([1.0, 1.0]))
    record = NewQuestionRecord(0, "a", "onboarded", 64, *arrays, 4, 1)
    other = NewQuestionRecord(0, "b", "onboarded", 64, np.array([0.1]), np.array([0.0]), 0, 0)
    (row,) = summarise_new_questions([record, other])
    assert row["accuracy"] == pytest.approx(2 / 3)
    assert (row["n_only_right"], row["share_won"]) == (4, 0.25)
    assert summarise_new_questions([other, other])[0]["share_won"] is None
