"""Intervals and bounds of probabilities: simulated questions lie inside, and guarantees hold."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from embedllm_hf.metrics import calibration_covariance
from embedllm_hf.predictors.confidence import bounds, calibrated_bound, interval_on_question, question_sd
from embedllm_hf.predictors.stacked_fit import QUESTION_SD, fit_blend
from tests.pool import trained_model


def test_interval_has_the_probability_as_its_mean_and_the_right_mass():
    """A question drawn from the normal behind the interval is right with the probability, and inside in 90%."""
    own = np.random.default_rng(0).normal(size=400_000)
    for p, sd in ((0.8, 1.2), (0.3, 0.5), (0.95, 1.2)):
        drawn = expit(logit(p) * np.sqrt(1 + np.pi * sd**2 / 8) + sd * own)
        low, high = interval_on_question(logit(p), sd)
        assert drawn.mean() == pytest.approx(p, abs=0.012)
        assert ((drawn >= low) & (drawn <= high)).mean() == pytest.approx(0.9, abs=0.005)
        assert low < p < high


def test_the_bound_by_hand():
    """At even odds only the intercept counts; a surer calibration gives a higher bound, and a known one the value."""
    covariance, logits = np.array([[0.04, 0.0], [0.0, 0.01]]), logit(0.9)
    assert calibrated_bound(0.0, covariance) == pytest.approx(expit(-1.6448536 * 0.2))
    expected = expit(logits - 1.6448536 * np.sqrt(0.04 + 0.01 * logits**2))
    assert calibrated_bound(logits, covariance) == pytest.approx(expected)
    assert calibrated_bound(logits, covariance / 100) > expected
    assert calibrated_bound(logits, covariance * 0) == pytest.approx(0.9)
    together = np.array([[0.04, 0.015], [0.015, 0.01]])
    expected = expit(logits - 1.6448536 * np.sqrt(0.04 + 2 * 0.015 * logits + 0.01 * logits**2))
    assert calibrated_bound(logits, together) == pytest.approx(expected)


def test_the_guarantee_holds_on_simulated_splits():
    """Of many splits, whose probabilities are off by what so few questions show, 95% keep it at a given level."""
    generator = np.random.default_rng(0)
    n_questions, n_llms, kept = 150, 12, []
    for _ in range(300):
        truth = generator.normal(0.8, 1.0, (n_questions, n_llms)) + generator.normal(0, 0.8, (n_questions, 1))
        answers = (generator.random(truth.shape) < expit(truth)).astype(float)
        offset = logit(answers.mean())  # a constant forecast, fitted on these answers
        guaranteed = calibrated_bound(offset, calibration_covariance(np.full(truth.shape, expit(offset)), answers))
        kept.append(guaranteed <= 0.6545)  # mean of sigmoid of a normal with mean 0.8 and variance 1.64
    assert np.mean(kept) == pytest.approx(0.95, abs=0.03)


def test_where_calibration_was_not_measured_the_cautious_bound_stands(tmp_path):
    """Without a bank, without a blend, without a measured calibration, and for an LLM that was placed later."""
    model = trained_model(tmp_path)
    bank, logits = model.bank, np.full((2, 6), logit(0.8))
    unmeasured = replace(bank, blend=fit_blend(model, bank))
    for other in (None, replace(bank, blend=None), unmeasured):
        low, high, at_least = bounds(other, logits)
        assert question_sd(other) == QUESTION_SD
        assert (at_least == low).all()
        assert (low < high).all()
    blend = replace(bank.blend, calibration=np.eye(2) * 0.001)
    low, high, at_least = bounds(replace(bank, blend=blend, is_new=np.arange(6) == 3), logits)
    assert question_sd(bank) == bank.blend.question_sd != QUESTION_SD
    np.testing.assert_array_equal(low, interval_on_question(logits, bank.blend.question_sd)[0])
    assert (at_least[:, 3] == low[:, 3]).all()
    assert (np.delete(at_least, 3, axis=1) > np.delete(low, 3, axis=1)).all()
    assert (at_least < 0.8).all()
    assert (high > 0.8).all()
