"""Answers counted by category, and the held-out questions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from embedllm_hf import EncodedResponses, ResponseMatrix
from scripts.paper.benchmark_scores import left_out
from scripts.paper.score_table import ScoreTable
from scripts.paper.setting import QUICK, PaperData

# Answers of each of two LLMs by category; the first is right on every one, the second on every other.
ANSWERS = {"exam_art": 30, "exam_law": 40, "exam_war": 50, "sums": 25, "quiz_a": 10, "quiz_b": 20}


@pytest.fixture
def data() -> PaperData:
    """Two LLMs; the second has not answered `sums`. A third of the questions is in each split."""
    rows, question = {"train": [], "validation": [], "test": []}, 0
    for category, count in ANSWERS.items():
        for number in range(count):
            split = list(rows)[number % 3]
            rows[split].append((question, "a", 1, f"question {question}", category))
            if category != "sums":
                rows[split].append((question, "b", number % 2, f"question {question}", category))
            question += 1
    splits = {}
    for name, given in rows.items():
        frame = pd.DataFrame(given, columns=["prompt_id", "model_name", "label", "prompt", "category"])
        responses = ResponseMatrix.from_pandas(frame, llm_names=["a", "b"])
        splits[name] = EncodedResponses(responses, responses.question_ids[:, None].astype(np.float32))
    return PaperData("made", None, "offline", splits, {}, None, QUICK)


def test_accuracies_are_over_all_splits(data):
    """They are the shares of right answers; too few answers give none."""
    table = ScoreTable.of(data)
    assert table.accuracies(["exam_art", "exam_law"]).tolist() == [1.0, 0.5]
    assert np.isnan(table.accuracies(["sums"])).tolist() == [False, True]
    assert np.isnan(table.accuracies(["quiz_a"])).all()
    n_answers, n_right = table.totals(["sums"], elsewhere=True)
    assert n_answers.tolist() == [150, 150]
    assert n_right.tolist() == [150, 75]
    assert table.answered() == ["exam + quiz + sums", "exam + quiz"]


def test_parts_are_left_out_of_each_benchmark_the_largest_first(data):
    """Every benchmark as a whole, and so many parts of each that has several."""
    targets = left_out(ScoreTable.of(data), 1)
    assert targets == {
        "exam": ("exam_art", "exam_law", "exam_war"),
        "quiz": ("quiz_a", "quiz_b"),
        "sums": ("sums",),
        "exam_war": ("exam_war",),
        "quiz_b": ("quiz_b",),
    }


def test_held_out_questions_are_those_of_validation_and_test(data):
    """All of both with their own vectors, which are the questions' ids here, and none of training."""
    held_out, ids = data.held_out, [part.responses.question_ids for part in (data.validation, data.test)]
    np.testing.assert_array_equal(held_out.responses.question_ids, np.sort(np.concatenate(ids)))
    np.testing.assert_array_equal(held_out.question_embeds[:, 0], held_out.responses.question_ids)


def test_told_benchmarks_are_those_of_the_table(data):
    """What one split tells counts for all."""
    train = data.train.responses
    told = replace(train, benchmark_of={"sums": "maths", "quiz_a": "maths"})
    table = ScoreTable.of(replace(data, splits={**data.splits, "train": data.train.with_responses(told)}))
    assert table.benchmarks["maths"] == ("quiz_a", "sums")
    assert ScoreTable.of(data).benchmarks["quiz"] == ("quiz_a", "quiz_b")
