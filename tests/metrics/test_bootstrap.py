"""The paired bootstrap against plain resampling, theory and cases computed by hand."""

import numpy as np
import pytest

from embedllm_hf import metrics

NAN = np.nan
# Two questions x three LLMs; one response missing.
RESPONSES = np.array([[1.0, 1.0, 0.0], [0.0, NAN, 1.0]])


def test_a_paired_difference_of_equals_is_zero():
    """A predictor against itself differs by nothing, without spread."""
    assert metrics.paired_difference(RESPONSES, RESPONSES).to_dict() == {"difference": 0, "low": 0, "high": 0}


def test_the_difference_is_of_the_means_over_what_counts():
    """NaN counts for neither side: pairs (1-0, 1-1, 0-0, 0-0) remain, a mean of 1/4."""
    first = np.array([[1, 1], [0, NAN], [0, 1.0]])
    second = np.array([[0, 1], [0, 1.0], [0, NAN]])
    assert metrics.paired_difference(first, second).difference == pytest.approx(1 / 4)


def test_the_interval_agrees_with_plain_resampling_and_with_theory():
    """For a mean of 400 gaps the bounds are about 1.96 standard errors away, and a loop over draws agrees."""
    generator = np.random.default_rng(1)
    gaps = generator.normal(0.1, 1, size=400)
    found = metrics.paired_difference(gaps, np.zeros(400), n_resamples=4000)
    error = gaps.std() / 20
    np.testing.assert_allclose([found.low, found.high], gaps.mean() + np.array([-1.96, 1.96]) * error, atol=error / 5)
    means = [generator.choice(gaps, size=400).mean() for _ in range(4000)]
    np.testing.assert_allclose([found.low, found.high], np.quantile(means, [0.025, 0.975]), atol=error / 5)


def test_answers_to_one_question_are_drawn_together():
    """Ten copies of a column carry no more evidence than one: the interval stays the same."""
    gaps = np.random.default_rng(2).normal(size=(50, 1))
    one = metrics.paired_difference(gaps, np.zeros((50, 1)))
    ten = metrics.paired_difference(np.tile(gaps, 10), np.zeros((50, 10)))
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high), abs=1e-12)


def test_the_seed_of_the_draws_decides():
    """The same seed gives the same bounds, another seed others."""
    gaps = np.random.default_rng(3).normal(size=30)
    first = metrics.paired_difference(gaps, gaps * 0, n_resamples=100)
    assert first == metrics.paired_difference(gaps, gaps * 0, n_resamples=100)
    assert first != metrics.paired_difference(gaps, gaps * 0, n_resamples=100, seed=1)


def test_nothing_in_common_is_refused():
    """Where no pair counts for both there is nothing to compare."""
    with pytest.raises(ValueError, match="share no value that counts"):
        metrics.paired_difference(np.array([[1, NAN]]), np.array([[NAN, 1]]))


@pytest.mark.parametrize("shape", [(5, 1), (4, 2)])
def test_paired_scores_of_other_shapes_are_refused(shape):
    """Two predictors on other questions or LLMs are not compared, even where NumPy would broadcast."""
    with pytest.raises(ValueError, match="`first` has shape"):
        metrics.paired_difference(np.ones((5, 2)), np.ones(shape))
