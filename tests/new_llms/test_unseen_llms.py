"""Placing LLMs that were held out: on the planted pool, by the verb, and its sums on made-up records."""

import json

import numpy as np
import pytest

from embedllm_hf import load_splits
from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.encoding.embeddings_file import save_embeddings
from embedllm_hf.new_llms.unseen_llms import ScoreRecord, UnseenSettings, measure, score_table, summarise
from tests.command_line import refused, run
from tests.pool import make_embeds, make_split


@pytest.fixture(scope="session")
def vectors(tmp_path_factory):
    """Text vectors of the planted pool that tell nothing, so that nothing has to be encoded."""
    ids = np.concatenate([split.question_ids for _, split in load_splits("planted").items()])
    path = tmp_path_factory.mktemp("vectors") / "vectors.safetensors"
    save_embeddings(path, make_embeds(ids), ids, EncoderId("offline"))
    return path


def test_the_verb_prints_the_table_and_writes_the_numbers(capsys, tmp_path, vectors):
    """`--quick` on the planted pool: each way of choosing, each number of answers, each seed."""
    options = ("--dataset", "planted", "--question_embeddings", vectors, "--output", tmp_path / "rows.json")
    code, out, _ = run(capsys, "evaluate", "--unseen_llms", *options, "--quick", "--seeds", 5, 6)
    assert code == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    expected = {(method, n) for method in ("adaptive", "random", "stratified") for n in (0, 8, 16)}
    assert {(row["method"], row["n_answers"]) for row in rows} == expected
    assert set(rows[0]["by_seed"]) == {"5", "6"}
    assert f"{rows[0]['mean_absolute_error']:.4f}" in out
    assert "16 stratified" in out


def test_the_verb_refuses_what_cannot_be(capsys):
    """One fold, and neither a model nor the measurement: one line."""
    unseen = ("evaluate", "--unseen_llms", "--dataset", "planted")
    refused(run(capsys, *unseen, "--n_folds", 1), "--n_folds is 1, expected 2 or more")
    refused(run(capsys, "evaluate", "--dataset", "planted"), "--model is needed", "--unseen_llms")


def test_a_held_out_llm_is_placed_by_its_answers():
    """Each LLM is held out once; 32 of its answers halve the error that it has without any."""
    splits = {
        "train": make_split(80),
        "validation": make_split(30, first_id=80, seed=1),
        "test": make_split(40, first_id=110, seed=2),
    }
    records = measure(splits, UnseenSettings(n_folds=3, n_answers=(0, 8, 32), n_draws=1), seed=0)
    held_out = {record.llm for record in records}  # those that have answered nearly all of a benchmark
    assert held_out <= set(splits["train"].responses.llm_names)
    assert len(held_out) >= 4

    def error(count: int) -> float:
        return float(np.mean([abs(r.error) for r in records if (r.method, r.n_answers) == ("random", count)]))

    assert error(32) < error(0) / 2


def test_scores_are_summed_up_by_method_and_answers():
    """Mean absolute error, coverage and width of four records, written out."""
    common = {"seed": 0, "method": "adaptive", "n_answers": 8, "accuracy": 0.5}
    records = [
        ScoreRecord(llm="a", benchmark="x", error=-0.1, low=0.2, high=0.4, covered=True, **common),
        ScoreRecord(llm="a", benchmark="y", error=0.3, low=0.0, high=0.2, covered=False, **common),
        ScoreRecord(llm="b", benchmark="x", error=0.2, low=0.0, high=0.8, covered=True, **common),
        ScoreRecord(seed=0, llm="b", benchmark="x", method="a baseline", n_answers=8, error=0.5),
    ]
    ours, mean = summarise(records)
    assert ours["mean_absolute_error"] == pytest.approx(0.2)
    assert ours["by_benchmark"] == pytest.approx({"x": 0.15, "y": 0.3})
    assert ours["coverage"] == pytest.approx(2 / 3)
    assert ours["width"] == pytest.approx(0.4)
    assert ours["low"] <= 0.2 <= ours["high"]
    assert mean["mean_absolute_error"] == 0.5
    assert "coverage" not in mean
    assert "0.2000" in score_table([ours, mean])
