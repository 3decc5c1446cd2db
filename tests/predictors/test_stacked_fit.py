"""Fitting the stacked predictor: the category head, the weights, the spread of questions, and when there is none."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit, logsumexp

from embedllm_hf import EmbedLLM, EncodedResponses, metrics
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.data.texts import question_keys
from embedllm_hf.predictors.stacked_fit import QUESTION_SD, fit_blend, fit_category_head, fit_question_sd, fit_weights
from tests.pool import LLMS, TEXT_DIM, make_split, trained_model

VALIDATION = make_split(60, first_id=160, seed=1)
TEST = make_split(60, first_id=220, seed=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> EmbedLLM:
    return trained_model(tmp_path_factory.mktemp("fit"))


# --- the parts ---


@pytest.mark.parametrize("n_categories", [2, 3])
def test_the_head_tells_the_topics(n_categories):
    """The softmax regression reads the category of unseen questions from their vectors; of two it is two-sided."""
    train, rest = make_split(160), make_split(60, first_id=220)
    train, rest = ((split.question_embeds, split.responses.question_ids % 2) for split in (train, rest))
    if n_categories == 3:  # a third topic, on the other side of both
        train, rest = ((np.concatenate([x, -x]), np.concatenate([y, 2 + 0 * y])) for x, y in (train, rest))
    weight, bias = fit_category_head(*train)
    assert (weight.shape, bias.shape) == ((TEXT_DIM, n_categories), (n_categories,))
    assert weight.dtype == bias.dtype == np.float32
    assert ((rest[0] @ weight + bias).argmax(axis=1) == rest[1]).mean() > 0.95


@pytest.mark.parametrize("n_categories", [2, 3])
def test_the_head_is_drawn_to_zero_as_far_as_said(n_categories):
    """Where categories are told apart without fault, the mean loss plus 1e-5 |W|^2 is least at its length of W."""
    generator = np.random.default_rng(0)
    y = np.arange(300) % n_categories
    x = (np.eye(3)[y] + 0.05 * generator.normal(size=(300, 3))).astype(np.float32)
    weight, bias = (part.astype(float) for part in fit_category_head(x, y))
    weight, bias = weight - weight.mean(axis=1, keepdims=True), bias - bias.mean()

    def loss(scale):
        logits = scale * (x @ weight + bias)
        return (logsumexp(logits, axis=1) - logits[np.arange(300), y]).mean() + 1e-5 * ((scale * weight) ** 2).sum()

    assert loss(1) < min(loss(0.98), loss(1.02))


def test_weights_are_found_again_from_many_answers():
    """Answers drawn from known weights give them back; without answers to speak of the prior stays."""
    generator = np.random.default_rng(0)
    features = [generator.normal(size=(4000, 50)) for _ in range(2)]
    responses = (generator.random((4000, 50)) < expit(0.8 * features[0] + 0.3 * features[1] - 0.2)).astype(float)
    responses[generator.random((4000, 50)) < 0.3] = np.nan
    prior = np.array([0.5, 0.5, 0.0])
    found = fit_weights(features, responses, np.ones_like(responses), prior)
    np.testing.assert_allclose(found, [0.8, 0.3, -0.2], atol=0.03)
    few = [feature[:1, :2] for feature in features]
    np.testing.assert_allclose(fit_weights(few, np.ones((1, 2)), np.ones((1, 2)), prior), prior, atol=0.002)
    nothing = fit_weights(features, responses, np.zeros_like(responses), prior)
    np.testing.assert_array_equal(nothing, prior)


def test_spread_of_questions_is_found_again():
    """Questions drawn with a small spread give it back; without spread it is near its least value."""
    generator = np.random.default_rng(0)
    for spread in (0.5, 0.0):
        own = spread * generator.normal(size=(5000, 1))
        probs = np.full((5000, 40), 0.5)
        responses = (generator.random(probs.shape) < expit(own + np.zeros(40))).astype(float)
        assert fit_question_sd(probs, responses) == pytest.approx(max(spread, 0.1), abs=0.05)


# --- the whole ---


def test_without_validation_the_weights_are_the_priors(model):
    """The prior does without a validation split, and nothing is known of the calibration."""
    blend = fit_blend(model, model.bank)
    assert blend.weights.tolist() == [0.65, 0.40, 0.50, 0.55, 0.0]
    assert blend.question_sd == QUESTION_SD
    assert blend.calibration is None
    np.testing.assert_array_equal(blend.category_weight, model.bank.blend.category_weight)


def test_spread_and_calibration_are_those_of_the_stacked_forecasts_on_validation(model):
    """Not the network's, and not of the forecasts by the priors."""
    blend = fit_blend(model, model.bank, VALIDATION)
    stacked = model.with_bank(replace(model.bank, blend=blend))
    probs, truth = stacked.predict_proba(VALIDATION.question_embeds), VALIDATION.responses.responses()
    assert blend.question_sd == pytest.approx(fit_question_sd(probs, truth))
    np.testing.assert_allclose(blend.calibration, metrics.calibration_covariance(probs, truth), rtol=1e-4)
    with pytest.raises(ValueError, match=r"`calibration` has shape \(3, 3\), expected \(2, 2\)"):
        replace(blend, calibration=np.eye(3))


def test_there_is_no_blend_where_the_network_alone_is_better(model):
    """Responses drawn as the network says, beside known questions that say the opposite: None."""
    assert fit_blend(model, model.bank, VALIDATION) is not None
    responses, matrix = VALIDATION.responses, model.bank.responses
    opposite = sparse.csr_array((1 - matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    probs = model.network_proba(VALIDATION.question_embeds)[responses.question_indices, responses.llm_indices]
    says = sparse.csr_array(
        ((probs > 0.5).astype(np.float32), responses.llm_indices, responses.indptr), shape=responses.matrix.shape
    )
    agreeing = EncodedResponses(replace(responses, matrix=says), VALIDATION.question_embeds)
    assert fit_blend(model, replace(model.bank, responses=opposite), agreeing) is None


def test_questions_without_a_category_teach_nothing(model):
    """A new LLM's own texts have none: with many of them the head and all weights are what they were."""
    n_own = 200
    embeds = np.random.default_rng(0).normal(size=(n_own, TEXT_DIM))
    grown = model.bank.with_texts(question_keys([f"own {number}" for number in range(n_own)]), embeds)
    rows = np.arange(len(model.bank), len(grown))
    grown = grown.with_responses(rows, np.zeros(n_own, int), np.zeros(n_own))
    for name, value in vars(fit_blend(model, model.bank, VALIDATION)).items():
        np.testing.assert_array_equal(getattr(fit_blend(model, grown, VALIDATION), name), value, err_msg=name)


def test_a_single_category_is_left_out(model):
    """With one category for all there is no head, and prediction goes without."""
    bank = replace(model.bank, category_indices=np.zeros_like(model.bank.category_indices), categories=("all",))
    blend = fit_blend(model, bank, VALIDATION)
    assert not blend.has_categories
    assert (len(blend.base_weights), len(blend.weights)) == (2, 4)
    other = model.with_bank(replace(bank, blend=blend))
    plain = other.predict_proba(TEST.question_embeds)
    np.testing.assert_array_equal(other.predict_proba(TEST.question_embeds, ["all"] * 60), plain)
    assert metrics.accuracy(plain, TEST.responses.responses()) > 0.8


def test_a_split_that_does_not_fit_is_refused(model):
    """An empty bank, other LLMs, another width."""
    with pytest.raises(ValueError, match="the question bank is empty"):
        fit_blend(model, QuestionBank.from_responses(VALIDATION.select([])), VALIDATION)
    with pytest.raises(ValueError, match="`validation` has other LLMs than the bank"):
        fit_blend(model, model.bank, VALIDATION.select(llms=LLMS[::-1]))
    narrow = EncodedResponses(VALIDATION.responses, VALIDATION.question_embeds[:, :5])
    with pytest.raises(ValueError, match=r"`question_embeds` has shape \(60, 5\), but this model takes"):
        fit_blend(model, model.bank, narrow)
