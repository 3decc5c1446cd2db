"""Correctness and calibration, against scikit-learn and against cases computed by hand."""

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.metrics
from scipy.special import expit, logit

from embedllm_hf import metrics

NAN = np.nan
# Two questions x three LLMs; one response missing.
PROBS = np.array([[0.9, 0.4, 0.6], [0.2, 0.7, 0.5]])
RESPONSES = np.array([[1.0, 1.0, 0.0], [0.0, NAN, 1.0]])


@pytest.fixture(scope="module")
def random_case():
    """Probabilities with ties, responses that follow them, a quarter missing."""
    generator = np.random.default_rng(0)
    probs = generator.integers(0, 101, size=(200, 7)) / 100
    responses = (generator.random(probs.shape) < probs).astype(float)
    responses[generator.random(probs.shape) < 0.25] = NAN
    observed = ~np.isnan(responses)
    return probs, responses, probs[observed], responses[observed]


def test_metrics_by_hand():
    """Five observed pairs: accuracy 2/5, and the sums of the definitions; one half is not above one half."""
    gaps = np.array([0.1, 0.6, 0.6, 0.2, 0.5])
    assert metrics.accuracy(PROBS, RESPONSES) == pytest.approx(2 / 5)
    assert metrics.brier_score(PROBS, RESPONSES) == pytest.approx((gaps**2).mean())
    assert metrics.log_loss(PROBS, RESPONSES) == pytest.approx(-np.log(1 - gaps).mean())
    assert metrics.auc(PROBS, RESPONSES) == pytest.approx(4 / 6)  # right 0.9, 0.4, 0.5 against wrong 0.6, 0.2
    assert metrics.expected_calibration_error(PROBS, RESPONSES) == pytest.approx(gaps.sum() / 5)  # five bins of one


def test_metrics_agree_with_scikit_learn(random_case):
    """Accuracy, AUC, log loss and Brier score equal scikit-learn's on the observed pairs."""
    probs, responses, seen_probs, seen = random_case
    assert metrics.accuracy(probs, responses) == sklearn.metrics.accuracy_score(seen, seen_probs > 0.5)
    assert metrics.auc(probs, responses) == pytest.approx(sklearn.metrics.roc_auc_score(seen, seen_probs), abs=1e-12)
    clipped = seen_probs.clip(1e-7, 1 - 1e-7)
    assert metrics.log_loss(probs, responses) == pytest.approx(sklearn.metrics.log_loss(seen, clipped), abs=1e-12)
    brier = sklearn.metrics.brier_score_loss(seen, seen_probs)
    assert metrics.brier_score(probs, responses) == pytest.approx(brier, abs=1e-12)


def test_calibration_error_equals_a_plain_loop_over_bins(random_case):
    """15 bins of equal width, each weighted by its pairs, the last one closed on the right."""
    probs, responses, seen_probs, seen = random_case
    total = 0.0
    for low in range(15):
        inside = (seen_probs * 15 >= low) & ((seen_probs * 15 < low + 1) | (low == 14))
        if inside.any():
            total += inside.mean() * abs(seen_probs[inside].mean() - seen[inside].mean())
    assert metrics.expected_calibration_error(probs, responses) == pytest.approx(total, abs=1e-12)


def test_calibration_error_is_zero_where_probabilities_are_shares():
    """0.25 for pairs that are right once in four is perfect; 0.75 there is off by one half."""
    responses = np.array([[1.0, 0.0, 0.0, 0.0]])
    assert metrics.expected_calibration_error(np.full((1, 4), 0.25), responses) == 0
    assert metrics.expected_calibration_error(np.full((1, 4), 0.75), responses) == pytest.approx(0.5)
    last_bin = metrics.expected_calibration_error(np.array([[1.0, 0.95]]), np.array([[0.0, 1.0]]))
    assert last_bin == pytest.approx((1 - 0.05) / 2)  # certainty shares the last bin: the gaps meet there


def test_reliability_bins_by_hand():
    """Four bins: two pairs share the first, none is in the third, and 1 belongs to the last, which is closed."""
    probs = np.array([[0.1, 0.2, 0.25, 1.0, 0.9]])
    first, second, last = metrics.reliability_bins(probs, np.array([[1.0, 0.0, 1.0, 1.0, NAN]]), n_bins=4)
    assert (first.low, first.high, first.n_pairs, first.share_right) == (0, 0.25, 2, 0.5)
    assert first.mean_probability == pytest.approx(0.15)
    assert second == metrics.ReliabilityBin(low=0.25, high=0.5, mean_probability=0.25, share_right=1, n_pairs=1)
    assert last == metrics.ReliabilityBin(low=0.75, high=1, mean_probability=1, share_right=1, n_pairs=1)


def test_reliability_bins_hold_every_pair_and_the_calibration_error(random_case):
    """Pairs, means and shares add up to the whole, and the weighted gaps are the ECE, for any number of bins."""
    probs, responses, seen_probs, seen = random_case
    for n_bins in (1, 7, 15):
        bins = metrics.reliability_bins(probs, responses, n_bins)
        pairs = np.array([item.n_pairs for item in bins])
        predicted = np.array([item.mean_probability for item in bins])
        actual = np.array([item.share_right for item in bins])
        assert pairs.sum() == len(seen)
        assert pairs @ predicted == pytest.approx(seen_probs.sum())
        assert pairs @ actual == pytest.approx(seen.sum())
        error = metrics.expected_calibration_error(probs, responses, n_bins=n_bins)
        assert (pairs * np.abs(predicted - actual)).sum() / pairs.sum() == pytest.approx(error, abs=1e-12)


def test_what_is_missing_counts_nowhere(random_case):
    """Other probabilities at the missing pairs change no metric, not even impossible ones."""
    probs, responses, *_ = random_case
    other = np.where(np.isnan(responses), 7.0, probs)
    for metric in (
        metrics.accuracy,
        metrics.auc,
        metrics.log_loss,
        metrics.brier_score,
        metrics.expected_calibration_error,
    ):
        assert metric(other, responses) == metric(probs, responses)


def test_graded_responses_are_shares_of_a_right_answer():
    """A response of 0.75 is on the right side, and its log loss is the cross entropy with that share."""
    probs, responses = np.array([[0.6]]), np.array([[0.75]])
    assert metrics.accuracy(probs, responses) == 1
    assert metrics.brier_score(probs, responses) == pytest.approx(0.15**2)
    assert metrics.log_loss(probs, responses) == pytest.approx(-(0.75 * np.log(0.6) + 0.25 * np.log(0.4)))


def test_certain_and_wrong_is_a_large_finite_loss():
    """A probability of 0 for a right answer costs the log of the clip, not infinity."""
    assert metrics.log_loss(np.array([[0.0]]), np.array([[1.0]])) == pytest.approx(-np.log(1e-7))


def test_auc_of_one_sided_responses_is_not_a_number():
    """Where all responses are right there is nothing to rank; constant probabilities are chance."""
    assert np.isnan(metrics.auc(PROBS, np.ones_like(PROBS)))
    assert metrics.auc(np.full((1, 4), 0.3), np.array([[1, 0, 1, 0.0]])) == 0.5


@pytest.mark.parametrize(
    ("probs", "responses", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"`probs` has shape \(2, 3\) and `responses` \(3, 2\), expected"),
        (np.zeros((1, 2)), np.full((1, 2), NAN), "`responses` holds no observed pair"),
        (np.array([[1.5]]), np.array([[1.0]]), r"`probs` holds a value outside \[0, 1\] or NaN"),
        (np.array([[NAN]]), np.array([[1.0]]), r"`probs` holds a value outside \[0, 1\] or NaN"),
        (np.array([[0.5]]), np.array([[2.0]]), r"`responses` holds a value outside \[0, 1\]"),
    ],
)
def test_unusable_input_is_refused(probs, responses, message):
    """Each bad input is refused with the argument's name and what was found."""
    with pytest.raises(ValueError, match=message):
        metrics.accuracy(probs, responses)


def test_median_calibration_error_is_that_of_a_loop():
    """Each LLM on its own answers; one without answers does not count."""
    generator = np.random.default_rng(0)
    probs, responses = generator.random((40, 4)), (generator.random((40, 4)) < 0.6).astype(float)
    responses[::3, 1], responses[:, 3] = np.nan, np.nan
    each = [metrics.expected_calibration_error(probs[:, [column]], responses[:, [column]]) for column in range(3)]
    assert metrics.median_calibration_error(probs, responses) == pytest.approx(np.median(each))
    with pytest.raises(ValueError, match="no observed pair"):
        metrics.median_calibration_error(probs, np.full_like(probs, np.nan))


def test_calibration_covariance_is_what_refits_scatter_by():
    """The intercept and slope of logistic regressions on drawn splits scatter as it says, questions being alike."""
    generator = np.random.default_rng(0)
    refits, expected_each = [], []
    for _ in range(200):
        log_odds = generator.normal(0.5, 1.0, (150, 8))
        log_odds -= log_odds.mean()
        own = generator.normal(0, 1.4, (150, 1))  # shared by the answers to a question
        probs = expit(log_odds / np.sqrt(1 + np.pi * 1.4**2 / 8))
        responses = (generator.random(probs.shape) < expit(log_odds + own)).astype(float)
        responses[generator.random(probs.shape) < 0.3] = np.nan
        expected_each.append(metrics.calibration_covariance(probs, responses))
        seen = ~np.isnan(responses)
        fit = sklearn.linear_model.LogisticRegression(C=1e6).fit(logit(probs[seen])[:, None], responses[seen])
        refits.append([fit.intercept_[0], fit.coef_[0, 0]])
    scatter = np.cov(np.array(refits).T)
    expected = np.mean(expected_each, axis=0)
    np.testing.assert_allclose(np.diag(expected), np.diag(scatter), rtol=0.25)
    np.testing.assert_allclose(expected, scatter, atol=0.004)  # the other one is about 0
