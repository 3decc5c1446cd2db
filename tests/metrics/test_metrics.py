"""Metrics against scikit-learn and against cases computed by hand."""

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


# --- routing ---


def test_routing_by_hand():
    """The first LLM wins question 0 (right), the third wins question 1 since the second is not observed (right)."""
    np.testing.assert_array_equal(metrics.routed_responses(PROBS, RESPONSES), [1, 1])
    worse = PROBS.copy()
    worse[0] = [0.1, 0.2, 0.3]
    np.testing.assert_array_equal(metrics.routed_responses(worse, RESPONSES), [0, 1])
    assert metrics.routing_accuracy(worse, RESPONSES) == 0.5


def test_questions_with_fewer_than_two_observed_llms_do_not_count():
    """One observed LLM is no choice, none is no outcome; ties go to the first observed column."""
    responses = np.array([[1.0, NAN, NAN], [NAN, NAN, NAN], [NAN, 1.0, 0.0]])
    probs = np.full((3, 3), 0.5)
    np.testing.assert_array_equal(metrics.routed_responses(probs, responses), [NAN, NAN, 1])
    assert metrics.routing_accuracy(probs, responses) == 1
    assert np.isnan(metrics.routing_accuracy(probs[:2], responses[:2]))


def test_the_oracle_takes_the_best_observed_response():
    """Best in hindsight over two questions with a choice: 1 and 0.25; the third has none."""
    responses = np.array([[0.0, 1.0, NAN], [0.25, 0.0, NAN], [1.0, NAN, NAN]])
    assert metrics.oracle_accuracy(responses) == pytest.approx(0.625)


def test_no_routing_exceeds_the_oracle(random_case):
    """On random data the oracle bounds every choice, and the share of solvable questions is what it reaches."""
    probs, responses, *_ = random_case
    choice = (~np.isnan(responses)).sum(axis=1) >= 2
    assert metrics.oracle_accuracy(responses) == np.nanmax(responses[choice], axis=1).mean()
    assert metrics.routing_accuracy(probs, responses) <= metrics.oracle_accuracy(responses)


def test_routing_refuses_other_shapes():
    """Shapes that differ are named."""
    with pytest.raises(ValueError, match=r"`probs` has shape \(2, 3\) and `responses` \(2, 2\)"):
        metrics.routing_accuracy(PROBS, RESPONSES[:, :2])


# --- paired bootstrap ---


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
    refits, promised = [], []
    for _ in range(200):
        log_odds = generator.normal(0.5, 1.0, (150, 8))
        log_odds -= log_odds.mean()
        own = generator.normal(0, 1.4, (150, 1))  # shared by the answers to a question
        probs = expit(log_odds / np.sqrt(1 + np.pi * 1.4**2 / 8))
        responses = (generator.random(probs.shape) < expit(log_odds + own)).astype(float)
        responses[generator.random(probs.shape) < 0.3] = np.nan
        promised.append(metrics.calibration_covariance(probs, responses))
        seen = ~np.isnan(responses)
        fit = sklearn.linear_model.LogisticRegression(C=1e6).fit(logit(probs[seen])[:, None], responses[seen])
        refits.append([fit.intercept_[0], fit.coef_[0, 0]])
    scatter = np.cov(np.array(refits).T)
    expected = np.mean(promised, axis=0)
    np.testing.assert_allclose(np.diag(expected), np.diag(scatter), rtol=0.25)
    np.testing.assert_allclose(expected, scatter, atol=0.004)  # the other one is about 0
