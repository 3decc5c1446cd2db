"""The baselines, by hand and on the planted pool."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from embedllm_hf import ResponseMatrix, fit_baselines, metrics
from embedllm_hf.predictors import baselines
from embedllm_hf.predictors.baselines import (
    KNN_NEIGHBOURS,
    KNN_SHRINKAGE,
    LLMCategoryMean,
    LLMMean,
    NearestQuestions,
)
from tests.pool import make_split


def matrix(rows, llm_names=("a", "b", "c")) -> ResponseMatrix:
    """Rows `(prompt_id, model_name, label, category)`."""
    frame = pd.DataFrame(rows, columns=["prompt_id", "model_name", "label", "category"])
    frame["prompt"] = [f"question {question}" for question in frame["prompt_id"]]
    return ResponseMatrix.from_pandas(frame, llm_names=llm_names)


# LLM a: x 1 1 0, y 0; LLM b: x 0 (counted twice as 0 and 1); LLM c: nothing.
ROWS = [
    (0, "a", 1, "x"), (1, "a", 1, "x"), (2, "a", 0, "x"), (3, "a", 0, "y"),
    (0, "b", 0, "x"), (0, "b", 1, "x"),
]  # fmt: skip


def test_llm_mean_by_hand():
    """Right answers and one half of one more, over answers and one more; repeats weigh, nothing seen is one half."""
    means = LLMMean.fit(matrix(ROWS)).means
    np.testing.assert_allclose(means, [2.5 / 5, 1.5 / 3, 0.5])
    np.testing.assert_allclose(LLMMean.fit(matrix(ROWS[:2])).means, [2.5 / 3, 0.5, 0.5])


def test_llm_mean_is_the_same_for_every_question():
    """Each row of the prediction is the means."""
    fitted = LLMMean.fit(matrix(ROWS))
    np.testing.assert_array_equal(fitted.predict_proba(np.zeros((3, 8))), [fitted.means] * 3)


def test_llm_category_mean_by_hand():
    """The mean in a category is drawn to the LLM's own, which stands alone where there are no answers."""
    fitted = LLMCategoryMean.fit(matrix(ROWS))
    overall = np.array([2.5 / 5, 1.5 / 3, 0.5])
    predicted = fitted.predict_proba(np.zeros((3, 8)), np.array(["x", "y", "unknown"], object))
    in_x = [(2 + overall[0]) / 4, (1 + overall[1]) / 3, overall[2]]
    in_y = [(0 + overall[0]) / 2, overall[1], overall[2]]
    np.testing.assert_allclose(predicted, [in_x, in_y, overall])


def test_llm_category_mean_needs_categories():
    """Without categories it says what is missing."""
    with pytest.raises(ValueError, match="`categories` is missing"):
        LLMCategoryMean.fit(matrix(ROWS)).predict_proba(np.zeros((1, 8)))


# --- nearest questions ---

DIRECTIONS = np.array([[10, 0], [1, 0.2], [0, 1], [5, 20]], np.float32)  # two groups by angle, not by length
NEIGHBOURS = [
    (0, "a", 1, "x"), (1, "a", 1, "x"), (2, "a", 0, "x"), (3, "a", 0, "x"),
    (0, "b", 0, "x"), (2, "b", 1, "x"), (3, "b", 1, "x"),
]  # fmt: skip


def test_nearest_questions_by_hand():
    """Cosine chooses the two of the same direction; the missing response of b on question 1 is left out."""
    fitted = replace(NearestQuestions.fit(matrix(NEIGHBOURS), DIRECTIONS), n_neighbours=2, shrinkage=3.0)
    overall = np.array([2.5 / 5, 2.5 / 4, 0.5])
    predicted = fitted.predict_proba(np.array([[0.01, 0.0], [0, 300]], np.float32))
    first = (np.array([2, 0, 0]) + 3 * overall) / (np.array([2, 1, 0]) + 3)
    second = (np.array([0, 2, 0]) + 3 * overall) / (np.array([2, 2, 0]) + 3)
    np.testing.assert_allclose(predicted, [first, second], rtol=1e-6)


def test_nearest_questions_weigh_repeats():
    """A response behind which stand three rows counts three times."""
    responses = matrix([(0, "a", 1, "x"), (0, "a", 1, "x"), (0, "a", 0, "x"), (1, "a", 0, "x")], ("a", "b"))
    fitted = replace(NearestQuestions.fit(responses, np.eye(2)), n_neighbours=2, shrinkage=1.0)
    assert fitted.predict_proba(np.ones((1, 2)))[0, 0] == pytest.approx((2 + 2.5 / 5) / (4 + 1))


def test_more_neighbours_than_questions_are_all_of_them():
    """A k above the number of training questions is the mean over all, also at the default k."""
    fitted = NearestQuestions.fit(matrix(NEIGHBOURS), DIRECTIONS)
    predicted = fitted.predict_proba(np.array([[1, 0], [0, 1]], np.float32))
    np.testing.assert_array_equal(predicted[0], predicted[1])
    assert predicted[0, 0] == pytest.approx((2 + fitted.shrinkage * 0.5) / (4 + fitted.shrinkage))


def test_a_question_without_a_direction_gets_probabilities():
    """A text vector of zeros is as far from all; the prediction is still in [0, 1]."""
    fitted = replace(NearestQuestions.fit(matrix(NEIGHBOURS), DIRECTIONS), n_neighbours=2)
    assert ((fitted.predict_proba(np.zeros((1, 2))) > 0) & (fitted.predict_proba(np.zeros((1, 2))) < 1)).all()


def test_blocks_of_questions_do_not_matter(monkeypatch):
    """Three questions at a time give what all at once give."""
    train, test = make_split(60), make_split(20, first_id=60)
    fitted = replace(NearestQuestions.fit(train.responses, train.question_embeds), n_neighbours=7)
    whole = fitted.predict_proba(test.question_embeds)
    monkeypatch.setattr(baselines, "_KNN_BLOCK", 3)
    np.testing.assert_allclose(fitted.predict_proba(test.question_embeds), whole, rtol=1e-6)


def test_k_and_shrinkage_are_those_of_the_least_log_loss_on_validation():
    """The choice is the best of all combinations, each measured on its own."""
    train, validation = make_split(300), make_split(60, first_id=300, seed=1)
    base = NearestQuestions.fit(train.responses, train.question_embeds)
    assert (base.n_neighbours, base.shrinkage) == (131, 3.0)
    chosen = NearestQuestions.fit(
        train.responses, train.question_embeds, validation.responses, validation.question_embeds
    )
    losses = {
        (k, shrinkage): metrics.log_loss(
            replace(base, n_neighbours=k, shrinkage=shrinkage).predict_proba(validation.question_embeds),
            validation.responses.responses(),
        )
        for k in KNN_NEIGHBOURS
        for shrinkage in KNN_SHRINKAGE
    }
    assert (chosen.n_neighbours, chosen.shrinkage) == min(losses, key=losses.get)
    assert max(losses.values()) > min(losses.values())


def test_vectors_of_another_number_of_questions_are_refused():
    """Training vectors must be one a question; the message has both numbers."""
    split = make_split(10)
    with pytest.raises(ValueError, match=r"`.*embeds` .*9.*10"):
        fit_baselines(split.responses, split.question_embeds[:-1])


# --- on the planted pool ---


def test_what_knows_the_topic_finds_the_planted_skill():
    """Category means and neighbours are right nine times in ten and route to the topic's family; the mean is not."""
    train, validation = make_split(300), make_split(60, first_id=300, seed=1)
    test = make_split(100, first_id=360, seed=2)
    fitted = fit_baselines(train.responses, train.question_embeds, validation.responses, validation.question_embeds)
    assert list(fitted) == ["llm_mean", "llm_category_mean", "knn"]
    truth = test.responses.responses()
    scores = {
        name: metrics.accuracy(predictor.predict_proba(test.question_embeds, test.responses.categories), truth)
        for name, predictor in fitted.items()
    }
    assert scores["llm_mean"] < 0.65
    assert scores["llm_category_mean"] > 0.85
    assert scores["knn"] > 0.85
