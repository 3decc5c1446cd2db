"""Newton's method, the posterior, scores that follow from it, and the choice of probes."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from embedllm_hf.item_response.posterior import (
    after_answer,
    interval,
    next_probes,
    place_llms,
    score_moments,
    stratified_order,
)


def some_questions(n: int = 12, n_traits: int = 3, seed: int = 0):
    """Intercepts, discriminations, graded answers, prior mean and covariance."""
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(n_traits, n_traits)) / 2
    covariance = root @ root.T + 0.3 * np.eye(n_traits)
    answers = generator.choice([0.0, 0.25, 1.0], n)
    return generator.normal(size=n), generator.normal(size=(n, n_traits)), answers, root[0], covariance


def log_posterior(theta, intercepts, discriminations, answers, mean, covariance):
    """Log-likelihood of graded answers plus log prior density, up to a constant, written out."""
    logits = intercepts + discriminations @ theta
    likelihood = (answers * logits - np.logaddexp(0, logits)).sum()
    return likelihood - (theta - mean) @ np.linalg.solve(covariance, theta - mean) / 2


# --- placing ---


def test_newton_agrees_with_a_generic_optimiser():
    """The maximum is that of scipy on the same objective, from another start."""
    for seed in range(5):
        questions = some_questions(seed=seed)
        intercepts, discriminations, answers, mean, covariance = questions
        placed = place_llms(intercepts, discriminations, [np.arange(12)], [answers], mean, covariance)
        start = np.full(3, 2.0)
        found = minimize(lambda theta, q=questions: -log_posterior(theta, *q), start, method="BFGS", tol=1e-9)
        np.testing.assert_allclose(placed.mean[0], found.x, atol=2e-6)


def test_the_covariance_is_the_inverse_curvature():
    """Second differences of the log posterior at its maximum, inverted, give the covariance."""
    questions = some_questions()
    intercepts, discriminations, answers, mean, covariance = questions
    placed = place_llms(intercepts, discriminations, [np.arange(12)], [answers], mean, covariance)
    steps = 1e-4 * np.eye(3)

    def value(*offsets):
        return log_posterior(placed.mean[0] + sum(offsets), *questions)

    curvature = [[(value(a, b) - value(a, -b) - value(-a, b) + value(-a, -b)) / 4e-8 for b in steps] for a in steps]
    np.testing.assert_allclose(placed.covariance[0], np.linalg.inv(-np.array(curvature)), rtol=1e-4, atol=1e-6)


def test_the_posterior_agrees_with_a_long_monte_carlo_run():
    """Mean and covariance of 400,000 draws by importance sampling are those of the normal approximation, nearly."""
    intercepts, discriminations, answers, mean, covariance = questions = some_questions(n=60)
    placed = place_llms(intercepts, discriminations, [np.arange(60)], [answers], mean, covariance)
    proposal = np.random.default_rng(0).multivariate_normal(placed.mean[0], 1.5 * placed.covariance[0], 400_000)
    gaps = proposal - placed.mean[0]
    log_proposal = -(gaps @ np.linalg.inv(1.5 * placed.covariance[0]) * gaps).sum(axis=1) / 2
    logits = intercepts + proposal @ discriminations.T
    prior_gaps = proposal - mean
    log_target = (answers * logits - np.logaddexp(0, logits)).sum(axis=1)
    log_target -= (prior_gaps @ np.linalg.inv(covariance) * prior_gaps).sum(axis=1) / 2
    assert log_target[0] == pytest.approx(log_posterior(proposal[0], *questions))
    weights = np.exp(log_target - log_proposal - (log_target - log_proposal).max())
    weights /= weights.sum()
    assert 1 / (weights**2).sum() > 100_000, "too few effective draws to compare with"
    sampled_mean = weights @ proposal
    deviations = np.sqrt(np.diag(placed.covariance[0]))
    assert (np.abs(sampled_mean - placed.mean[0]) < 0.15 * deviations).all()
    centred = proposal - sampled_mean
    sampled = np.sqrt(np.diag((weights[:, None] * centred).T @ centred))
    np.testing.assert_allclose(sampled, deviations, rtol=0.1)


def test_llms_are_placed_alike_alone_and_together():
    """A batch of LLMs with 0 to 12 answers gives what each gives alone; without answers it is the prior."""
    intercepts, discriminations, answers, mean, covariance = some_questions()
    rows = [np.arange(size) for size in (5, 0, 12, 1)]
    responses = [answers[: len(item)] for item in rows]
    together = place_llms(intercepts, discriminations, rows, responses, mean, covariance)
    for position in range(4):
        alone = place_llms(intercepts, discriminations, [rows[position]], [responses[position]], mean, covariance)
        np.testing.assert_allclose(together.mean[position], alone.mean[0], atol=1e-12)
        np.testing.assert_allclose(together.covariance[position], alone.covariance[0], atol=1e-12)
    np.testing.assert_array_equal(together.mean[1], mean)
    np.testing.assert_array_equal(together.covariance[1], covariance)


def test_extreme_answers_converge():
    """500 right answers to easy questions under a wide prior: the gradient is zero where Newton ends."""
    intercepts, discriminations = np.full(500, 3.0), np.ones((500, 1))
    placed = place_llms(
        intercepts, discriminations, [np.arange(500)], [np.ones(500)], np.zeros(1), np.full((1, 1), 100.0)
    )
    theta = placed.mean[0, 0]
    assert 500 * expit(-3 - theta) - theta / 100 == pytest.approx(0, abs=1e-8)


def test_newton_does_not_circle_around_the_maximum():
    """One right and three wrong answers to easy, steep questions: full steps never settle."""
    intercepts, slopes, answers = np.full(4, 3.0), np.full(4, 2.0), np.array([1.0, 0, 0, 0])
    everything = (intercepts, slopes[:, None], [np.arange(4)], [answers], np.zeros(1), np.full((1, 1), 4.0))
    theta = place_llms(*everything).mean[0, 0]
    assert slopes @ (answers - expit(intercepts + slopes * theta)) - theta / 4 == pytest.approx(0, abs=1e-8)
    assert expit(3 + 2 * theta) == pytest.approx(0.25, abs=0.1)


# --- scores and probes ---


def test_score_moments_of_a_worked_example():
    """One answer seen, one coin of 1/2 with discrimination 2: mean 3/4, variance (1/2 1/4 2)^2 s + 1/4 1/4."""
    arrays = (np.zeros(2), np.array([[1.0], [2.0]]), np.full(2, 0.5), np.array([1.0, np.nan]))
    mean, variance = score_moments(*arrays, np.zeros(1), np.full((1, 1), 3.0))
    assert mean == pytest.approx(0.75)
    assert variance == pytest.approx(0.25**2 * 3 + 0.25 * 0.25)
    assert interval(0.95, 0.01, 2.0) == pytest.approx((0.95 - 2 * 0.16448536, 1.0))


def test_the_next_probe_is_the_best_one_in_hindsight():
    """No other allowed question leaves the target's mean with less expected variance."""
    intercepts, discriminations, _, mean, covariance = some_questions(n=30)
    weights, allowed = np.full(30, 1 / 30), np.arange(30) % 3 > 0
    chosen, expected = next_probes(intercepts, discriminations, weights, allowed, mean, covariance, 1)
    probabilities = expit(intercepts + discriminations @ mean)
    information = probabilities * (1 - probabilities)
    gradient = (weights * information) @ discriminations
    updates = information[:, None, None] * discriminations[:, :, None] * discriminations[:, None, :]
    left = [gradient @ np.linalg.inv(np.linalg.inv(covariance) + update) @ gradient for update in updates]
    left = np.where(allowed, left, np.inf)
    assert chosen[0] == np.argmin(left)
    assert gradient @ expected @ gradient == pytest.approx(min(left))
    np.testing.assert_allclose(after_answer(covariance, discriminations[chosen[0]], information[chosen[0]]), expected)


def test_a_batch_has_no_repeats_and_ends_when_nothing_is_left():
    """Probes are distinct and allowed; of four allowed questions no fifth comes."""
    intercepts, discriminations, _, mean, covariance = some_questions(n=30)
    allowed = np.isin(np.arange(30), (3, 5, 8, 13))
    chosen, _ = next_probes(intercepts, discriminations, np.full(30, 1 / 30), allowed, mean, covariance, 9)
    assert sorted(chosen) == [3, 5, 8, 13]


def test_stratified_order_spreads_from_the_beginning():
    """Every beginning of 8 of 64 questions has one of each eighth of difficulty; all come once."""
    logits = np.random.default_rng(0).normal(size=64)
    order = stratified_order(logits, np.random.default_rng(1))
    assert sorted(order) == list(range(64))
    assert sorted(np.argsort(np.argsort(logits))[order[:8]] // 8) == list(range(8))
