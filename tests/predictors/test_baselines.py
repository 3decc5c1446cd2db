"""The baselines, by hand and on the planted pool."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from embedllm_hf import EncodedResponses, ResponseMatrix, metrics
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.data.texts import question_keys
from embedllm_hf.predictors import baselines, blocks
from embedllm_hf.predictors.baselines import (
    KNN,
    KNN_NEIGHBOURS,
    KNN_SHRINKAGE,
    LLMCategoryMean,
    LLMMean,
    NearestQuestions,
    choose_knn,
    fit_baselines,
)
from tests.pool import make_split


def bank_of(rows, vectors=None, llm_names=("a", "b", "c")) -> QuestionBank:
    """Rows `(prompt_id, model_name, label, category)`."""
    frame = pd.DataFrame(rows, columns=["prompt_id", "model_name", "label", "category"])
    frame["prompt"] = [f"question {question}" for question in frame["prompt_id"]]
    responses = ResponseMatrix.from_pandas(frame, llm_names=llm_names)
    if vectors is None:
        vectors = np.zeros((responses.n_questions, 8))
    return QuestionBank.from_responses(EncodedResponses(responses, vectors))


# LLM a: x 1 1 0, y 0; LLM b: x 0 (counted twice as 0 and 1); LLM c: nothing.
ROWS = [
    (0, "a", 1, "x"), (1, "a", 1, "x"), (2, "a", 0, "x"), (3, "a", 0, "y"),
    (0, "b", 0, "x"), (0, "b", 1, "x"),
]  # fmt: skip


def test_llm_mean_by_hand():
    """Right answers and one half of one more, over answers and one more; repeats weigh, nothing seen is one half."""
    fitted = LLMMean.fit(bank_of(ROWS))
    np.testing.assert_allclose(fitted.means, [2.5 / 5, 1.5 / 3, 0.5])
    np.testing.assert_allclose(LLMMean.fit(bank_of(ROWS[:2])).means, [2.5 / 3, 0.5, 0.5])
    np.testing.assert_array_equal(fitted.predict_proba(np.zeros((3, 8))), [fitted.means] * 3)


def test_llm_category_mean_by_hand():
    """The mean in a category is drawn to the LLM's own, which stands alone where there are no answers."""
    fitted = LLMCategoryMean.fit(bank_of(ROWS))
    overall = np.array([2.5 / 5, 1.5 / 3, 0.5])
    predicted = fitted.predict_proba(np.zeros((3, 8)), np.array(["x", "y", "unknown"], object))
    in_x = [(2 + overall[0]) / 4, (1 + overall[1]) / 3, overall[2]]
    in_y = [(0 + overall[0]) / 2, overall[1], overall[2]]
    np.testing.assert_allclose(predicted, [in_x, in_y, overall], rtol=1e-6)


def test_llm_category_mean_needs_categories():
    """Without categories it says what is missing."""
    with pytest.raises(ValueError, match="`categories` is missing"):
        LLMCategoryMean.fit(bank_of(ROWS)).predict_proba(np.zeros((1, 8)))


# --- nearest questions ---

VECTORS = np.array([[10, 0], [1, 0.2], [0, 1], [5, 20]], np.float32)  # two groups by angle, not by length
NEIGHBOURS = [
    (0, "a", 1, "x"), (1, "a", 1, "x"), (2, "a", 0, "x"), (3, "a", 0, "x"),
    (0, "b", 0, "x"), (2, "b", 1, "x"), (3, "b", 1, "x"),
]  # fmt: skip


def test_nearest_questions_by_hand():
    """Cosine chooses the two of the same direction; the missing response of b on question 1 is left out."""
    fitted = NearestQuestions.fit(bank_of(NEIGHBOURS, VECTORS), 2, 3.0)
    overall = np.array([2.5 / 5, 2.5 / 4, 0.5])
    predicted = fitted.predict_proba(np.array([[0.01, 0.0], [0, 300]], np.float32))
    first = (np.array([2, 0, 0]) + 3 * overall) / (np.array([2, 1, 0]) + 3)
    second = (np.array([0, 2, 0]) + 3 * overall) / (np.array([2, 2, 0]) + 3)
    np.testing.assert_allclose(predicted, [first, second], rtol=1e-6)


def test_nearest_questions_weigh_repeats():
    """A response behind which stand three rows counts three times."""
    rows = [(0, "a", 1, "x"), (0, "a", 1, "x"), (0, "a", 0, "x"), (1, "a", 0, "x")]
    fitted = NearestQuestions.fit(bank_of(rows, np.eye(2), ("a", "b")), 2, 1.0)
    assert fitted.predict_proba(np.ones((1, 2)))[0, 0] == pytest.approx((2 + 2.5 / 5) / (4 + 1))


def test_more_neighbours_than_questions_are_all_of_them():
    """A k above the number of known questions is the mean over all, also at the default k."""
    fitted = NearestQuestions.fit(bank_of(NEIGHBOURS, VECTORS))
    assert (fitted.n_neighbours, fitted.shrinkage) == KNN == (131, 3.0)
    predicted = fitted.predict_proba(np.array([[1, 0], [0, 1]], np.float32))
    np.testing.assert_array_equal(predicted[0], predicted[1])
    assert predicted[0, 0] == pytest.approx((2 + 3.0 * 0.5) / (4 + 3.0))


def test_a_question_without_a_direction_gets_probabilities():
    """A text vector of zeros is as far from all; the prediction is still in (0, 1)."""
    probs = NearestQuestions.fit(bank_of(NEIGHBOURS, VECTORS), 2).predict_proba(np.zeros((1, 2)))
    assert ((probs > 0) & (probs < 1)).all()


def test_blocks_of_questions_do_not_matter(monkeypatch):
    """Three questions at a time give what all at once give."""
    fitted, test = NearestQuestions.fit(QuestionBank.from_responses(make_split(60)), 7), make_split(20, first_id=60)
    whole = fitted.predict_proba(test.question_embeds)
    monkeypatch.setattr(baselines, "blocks", lambda n_questions: blocks(n_questions, 3))
    np.testing.assert_array_equal(fitted.predict_proba(test.question_embeds), whole)


def test_k_and_shrinkage_are_those_of_the_least_log_loss_on_validation():
    """The choice is the best of all combinations, each measured on its own; the report's baseline has it."""
    bank, validation = QuestionBank.from_responses(make_split(300)), make_split(60, first_id=300, seed=1)
    losses = {
        (k, shrinkage): metrics.log_loss(
            NearestQuestions.fit(bank, k, shrinkage).predict_proba(validation.question_embeds),
            validation.responses.responses(),
        )
        for k in KNN_NEIGHBOURS
        for shrinkage in KNN_SHRINKAGE
    }
    chosen = choose_knn(bank, validation)
    assert chosen == min(losses, key=losses.get) != KNN
    assert max(losses.values()) > min(losses.values())
    fitted = fit_baselines(replace(bank, knn=chosen))["knn"]
    assert (fitted.n_neighbours, fitted.shrinkage) == chosen


# --- on the planted pool ---


def test_what_knows_the_topic_finds_the_planted_skill():
    """Category means and neighbours are right nine times in ten and route to the topic's family; the mean is not."""
    bank, validation = QuestionBank.from_responses(make_split(300)), make_split(60, first_id=300, seed=1)
    test = make_split(100, first_id=360, seed=2)
    fitted = fit_baselines(replace(bank, knn=choose_knn(bank, validation)))
    assert list(fitted) == ["llm_mean", "llm_category_mean", "knn"]
    truth = test.responses.responses()
    scores = {
        name: metrics.accuracy(predictor.predict_proba(test.question_embeds, test.responses.categories), truth)
        for name, predictor in fitted.items()
    }
    assert scores["llm_mean"] < 0.65
    assert scores["llm_category_mean"] > 0.85
    assert scores["knn"] > 0.85


def test_a_new_llms_own_texts_have_no_part():
    """Baselines fitted on a bank that has grown are those of the data set's questions."""
    bank, test = QuestionBank.from_responses(make_split(40)), make_split(10, first_id=40)
    grown = bank.with_texts(question_keys(["mine"]), test.question_embeds[:1])
    grown = grown.with_responses(np.array([40]), np.array([0]), np.array([0.0]))
    for before, after in zip(fit_baselines(bank).values(), fit_baselines(grown).values(), strict=True):
        asked = test.question_embeds, test.responses.categories
        np.testing.assert_array_equal(after.predict_proba(*asked), before.predict_proba(*asked))
