"""Intervals and bounds of probabilities: simulated questions lie inside, and promises hold."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from embedllm_hf import EmbedLLM, EmbedLLMConfig
from embedllm_hf.bank.blend import Blend
from embedllm_hf.bank.question_bank import KnownQuestions
from embedllm_hf.metrics import calibration_covariance
from embedllm_hf.predictors.confidence import bounds, calibrated_bound, probability_interval
from embedllm_hf.predictors.stacked import BlendedPredictor, fit_blend
from tests.pool import LLMS, TEXT_DIM, make_split


def test_interval_has_the_probability_as_its_mean_and_the_right_mass():
    """A question drawn from the normal behind the interval is right with the probability, and inside in 90%."""
    own = np.random.default_rng(0).normal(size=400_000)
    for p, spread in ((0.8, 1.2), (0.3, 0.5), (0.95, 1.2)):
        drawn = expit(logit(p) * np.sqrt(1 + np.pi * spread**2 / 8) + spread * own)
        low, high = probability_interval(np.array(p), spread)
        assert drawn.mean() == pytest.approx(p, abs=0.012)
        assert ((drawn >= low) & (drawn <= high)).mean() == pytest.approx(0.9, abs=0.005)
        assert low < p < high


def test_the_bound_by_hand():
    """At even odds only the intercept counts; a surer calibration gives a higher bound, and a known one the value."""
    covariance = np.array([[0.04, 0.0], [0.0, 0.01]])
    assert calibrated_bound(np.array(0.5), covariance) == pytest.approx(expit(-1.6448536 * 0.2))
    log_odds = logit(0.9)
    expected = expit(log_odds - 1.6448536 * np.sqrt(0.04 + 0.01 * log_odds**2))
    assert calibrated_bound(np.array(0.9), covariance) == pytest.approx(expected)
    assert calibrated_bound(np.array(0.9), covariance / 100) > expected
    assert calibrated_bound(np.array(0.9), covariance * 0) == pytest.approx(0.9)


def test_the_promise_holds_on_simulated_splits():
    """Of many splits, whose probabilities are off by what so few questions show, 95% keep it at a given level."""
    generator = np.random.default_rng(0)
    n_questions, n_llms, kept = 150, 12, []
    for _ in range(300):
        truth = generator.normal(0.8, 1.0, (n_questions, n_llms)) + generator.normal(0, 0.8, (n_questions, 1))
        answers = (generator.random(truth.shape) < expit(truth)).astype(float)
        offset = logit(answers.mean())  # a constant forecast, fitted on these answers
        probs = np.full(truth.shape, expit(offset))
        promised = calibrated_bound(probs[0, 0], calibration_covariance(probs, answers))
        kept.append(promised <= 0.6545)  # mean of sigmoid of a normal with mean 0.8 and variance 1.64
    assert np.mean(kept) == pytest.approx(0.95, abs=0.03)


def test_what_was_not_measured_falls_back_to_the_cautious_bound(quickstart):
    """Without a blend, without a measured calibration, and for an LLM that came later, `at_least` is `low`."""
    model = EmbedLLM.from_pretrained(quickstart)
    probs = np.full((2, 8), 0.8)
    predictor = BlendedPredictor(model)
    predictor.blend = None
    low, high, at_least = bounds(predictor, probs)
    assert (at_least == low).all()
    assert (low < high).all()
    blend = fit_blend(model)
    predictor.blend = blend
    assert (bounds(predictor, probs)[2] == bounds(predictor, probs)[0]).all()
    predictor.blend = replace(blend, calibration=np.eye(2) * 0.001, fitted=np.arange(8) != 3)
    low, _, at_least = bounds(predictor, probs)
    assert (at_least[:, 3] == low[:, 3]).all()
    assert (np.delete(at_least, 3, axis=1) > np.delete(low, 3, axis=1)).all()
    assert (at_least < probs).all()


def test_the_calibration_is_measured_on_validation_and_kept(tmp_path):
    """`fit_blend` measures it on the blended probabilities, a saved blend has it, and a damaged one is refused."""
    train, validation = make_split(80), make_split(60, first_id=80, seed=1)
    model = EmbedLLM(EmbedLLMConfig(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4, encoder_name="offline"))
    model.known_questions = KnownQuestions.from_responses(train.responses, train.question_embeds)
    assert fit_blend(model).calibration is None
    blend = model.blend = fit_blend(model, validation.responses, validation.question_embeds)
    probs = BlendedPredictor(model).predict_proba(validation.question_embeds)
    expected = calibration_covariance(probs, validation.responses.responses())
    np.testing.assert_allclose(blend.calibration, expected, rtol=1e-4)
    blend.save(tmp_path)
    np.testing.assert_array_equal(Blend.load(tmp_path / Blend.FILE).calibration, blend.calibration)
    replace(blend, calibration=np.eye(3)).save(tmp_path)
    with pytest.raises(ValueError, match=r"`calibration` has shape \(3, 3\)"):
        Blend.load(tmp_path / Blend.FILE)
