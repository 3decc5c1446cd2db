"""The item-response model: Newton's method, the posterior, the choice of probes, the fit, the intervals, the file."""

import numpy as np
import pytest
from embedllm_hf.item_response.known import known_probabilities
from scipy.optimize import minimize
from scipy.special import expit

from embedllm_hf import EmbedLLM, Forecaster
from embedllm_hf.bank.item_parameters import ItemResponse
from embedllm_hf.evaluation.report import evaluate_model
from embedllm_hf.item_response import fit_item_response
from embedllm_hf.item_response.calibration import fit_factor, simulate_placements
from embedllm_hf.item_response.posterior import (
    after_answer,
    interval,
    next_probes,
    place_llms,
    score_moments,
    stratified_order,
)

from .placing import pool_of, simulated_pool, trained_model
from .pool import make_split


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return trained_model(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def simulated():
    return simulated_pool()


@pytest.fixture(scope="module")
def half(simulated):
    """A pool of 24 of the 40 simulated LLMs."""
    return pool_of(simulated, 24)


def some_questions(n: int = 12, n_traits: int = 3, seed: int = 0):
    """Intercepts, loadings, graded answers, prior mean and covariance."""
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(n_traits, n_traits)) / 2
    covariance = root @ root.T + 0.3 * np.eye(n_traits)
    answers = generator.choice([0.0, 0.25, 1.0], n)
    return generator.normal(size=n), generator.normal(size=(n, n_traits)), answers, root[0], covariance


def log_posterior(theta, intercepts, loadings, answers, mean, covariance):
    """Log-likelihood of graded answers plus log prior density, up to a constant, written out."""
    log_odds = intercepts + loadings @ theta
    likelihood = (answers * log_odds - np.logaddexp(0, log_odds)).sum()
    return likelihood - (theta - mean) @ np.linalg.solve(covariance, theta - mean) / 2


# --- placing ---


def test_newton_agrees_with_a_generic_optimiser():
    """The maximum is that of scipy on the same objective, from another start."""
    for seed in range(5):
        questions = some_questions(seed=seed)
        intercepts, loadings, answers, mean, covariance = questions
        placed = place_llms(intercepts, loadings, [np.arange(12)], [answers], mean, covariance)
        start = np.full(3, 2.0)
        found = minimize(lambda theta, q=questions: -log_posterior(theta, *q), start, method="BFGS", tol=1e-9)
        np.testing.assert_allclose(placed.mean[0], found.x, atol=2e-6)


def test_the_covariance_is_the_inverse_curvature():
    """Second differences of the log posterior at its maximum, inverted, give the covariance."""
    questions = some_questions()
    intercepts, loadings, answers, mean, covariance = questions
    placed = place_llms(intercepts, loadings, [np.arange(12)], [answers], mean, covariance)
    steps = 1e-4 * np.eye(3)

    def value(*offsets):
        return log_posterior(placed.mean[0] + sum(offsets), *questions)

    curvature = [[(value(a, b) - value(a, -b) - value(-a, b) + value(-a, -b)) / 4e-8 for b in steps] for a in steps]
    np.testing.assert_allclose(placed.covariance[0], np.linalg.inv(-np.array(curvature)), rtol=1e-4, atol=1e-6)


def test_the_posterior_agrees_with_a_long_monte_carlo_run():
    """Mean and covariance of 400,000 draws by importance sampling are those of the normal approximation, nearly."""
    intercepts, loadings, answers, mean, covariance = questions = some_questions(n=60)
    placed = place_llms(intercepts, loadings, [np.arange(60)], [answers], mean, covariance)
    proposal = np.random.default_rng(0).multivariate_normal(placed.mean[0], 1.5 * placed.covariance[0], 400_000)
    gaps = proposal - placed.mean[0]
    log_proposal = -(gaps @ np.linalg.inv(1.5 * placed.covariance[0]) * gaps).sum(axis=1) / 2
    log_odds = intercepts + proposal @ loadings.T
    prior_gaps = proposal - mean
    log_target = (answers * log_odds - np.logaddexp(0, log_odds)).sum(axis=1)
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
    intercepts, loadings, answers, mean, covariance = some_questions()
    rows = [np.arange(size) for size in (5, 0, 12, 1)]
    responses = [answers[: len(item)] for item in rows]
    together = place_llms(intercepts, loadings, rows, responses, mean, covariance)
    for position in range(4):
        alone = place_llms(intercepts, loadings, [rows[position]], [responses[position]], mean, covariance)
        np.testing.assert_allclose(together.mean[position], alone.mean[0], atol=1e-12)
        np.testing.assert_allclose(together.covariance[position], alone.covariance[0], atol=1e-12)
    np.testing.assert_array_equal(together.mean[1], mean)
    np.testing.assert_array_equal(together.covariance[1], covariance)


def test_extreme_answers_converge():
    """500 right answers to easy questions under a wide prior: the gradient is zero where Newton ends."""
    intercepts, loadings = np.full(500, 3.0), np.ones((500, 1))
    placed = place_llms(intercepts, loadings, [np.arange(500)], [np.ones(500)], np.zeros(1), np.full((1, 1), 100.0))
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
    """One answer seen, one coin of 1/2 with loading 2: mean 3/4, variance (1/2 1/4 2)^2 s + 1/4 1/4."""
    arrays = (np.zeros(2), np.array([[1.0], [2.0]]), np.full(2, 0.5), np.array([1.0, np.nan]))
    mean, variance = score_moments(*arrays, np.zeros(1), np.full((1, 1), 3.0))
    assert mean == pytest.approx(0.75)
    assert variance == pytest.approx(0.25**2 * 3 + 0.25 * 0.25)
    assert interval(0.95, 0.01, 2.0) == pytest.approx((0.95 - 2 * 0.16448536, 1.0))


def test_the_next_probe_is_the_best_one_in_hindsight():
    """No other allowed question leaves the target's mean with less expected variance."""
    intercepts, loadings, _, mean, covariance = some_questions(n=30)
    weights, allowed = np.full(30, 1 / 30), np.arange(30) % 3 > 0
    chosen, expected = next_probes(intercepts, loadings, weights, allowed, mean, covariance, 1)
    probabilities = expit(intercepts + loadings @ mean)
    information = probabilities * (1 - probabilities)
    gradient = (weights * information) @ loadings
    updates = information[:, None, None] * loadings[:, :, None] * loadings[:, None, :]
    left = [gradient @ np.linalg.inv(np.linalg.inv(covariance) + update) @ gradient for update in updates]
    left = np.where(allowed, left, np.inf)
    assert chosen[0] == np.argmin(left)
    assert gradient @ expected @ gradient == pytest.approx(min(left))
    np.testing.assert_allclose(after_answer(covariance, loadings[chosen[0]], information[chosen[0]]), expected)


def test_a_batch_has_no_repeats_and_ends_when_nothing_is_left():
    """Probes are distinct and allowed; of four allowed questions no fifth comes."""
    intercepts, loadings, _, mean, covariance = some_questions(n=30)
    allowed = np.isin(np.arange(30), (3, 5, 8, 13))
    chosen, _ = next_probes(intercepts, loadings, np.full(30, 1 / 30), allowed, mean, covariance, 9)
    assert sorted(chosen) == [3, 5, 8, 13]


def test_stratified_order_spreads_from_the_beginning():
    """Every beginning of 8 of 64 questions has one of each eighth of difficulty; all come once."""
    log_odds = np.random.default_rng(0).normal(size=64)
    order = stratified_order(log_odds, np.random.default_rng(1))
    assert sorted(order) == list(range(64))
    assert sorted(np.argsort(np.argsort(log_odds))[order[:8]] // 8) == list(range(8))


# --- the fit ---


def test_the_fit_finds_the_simulated_probabilities(simulated, half):
    """Forecasts of known questions from the fitted abilities lie far nearer to the truth than the LLM's mean."""
    fitted = half.item_response
    forecast = expit(fitted.intercepts[:, None] + fitted.discriminations @ fitted.abilities.T)
    truth = simulated.probabilities[:, :24]
    error = np.sqrt(((forecast - truth) ** 2).mean())
    by_mean = np.sqrt(((simulated.responses[:, :24].mean(axis=0) - truth) ** 2).mean())
    assert error < 0.125
    assert by_mean > 0.2


def test_the_fit_is_the_same_to_the_bit(model):
    """Fitting twice gives equal arrays, the calibration too."""
    again = fit_item_response(model)
    for name, value in vars(model.item_response).items():
        np.testing.assert_array_equal(value, getattr(again, name), err_msg=name)


def test_unknown_texts_are_forecast_by_topic(model):
    """Parameters of a text alone say that the LLMs of its topic are better at it, and less surely than if known."""
    logic = np.eye(8)[:1]
    intercepts, loadings = model.item_response.parameters_of_texts(logic)
    log_odds = intercepts[0] + model.item_response.abilities @ loadings[0]
    assert log_odds[:3].min() > log_odds[3:].max()
    features = np.concatenate([[1.0], logic[0]])
    assert abs(intercepts[0]) < abs(features @ model.item_response.text_coefficients[:, 0])


def test_coverage_on_a_simulated_pool(simulated, half):
    """Over 16 LLMs that the pool has not seen, 90% intervals hold the score about as often as they say."""
    item_response, covered = half.item_response, []
    prior = item_response.prior_mean, item_response.prior_covariance
    questions = item_response.intercepts.astype(float), item_response.discriminations.astype(float)
    for strategy in ("adaptive", "random"):
        for column in range(24, 40):
            for start in (0, 1):  # the two benchmarks
                rows = slice(start, None, 2)
                truth = simulated.responses[rows, column].astype(float)
                generators = [np.random.default_rng(column)]
                arrays = (questions[0][rows], questions[1][rows], truth[:, None], prior)
                for (placed,) in simulate_placements(*arrays, (0, 8, 32), strategy, generators):
                    factor = item_response.interval_factor(strategy, placed.n_answers)
                    low, high = interval(placed.mean, placed.variance, factor)
                    covered.append(low <= truth.mean() <= high)
    assert 0.82 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("strategy", ["adaptive", "random", "stratified"])
def test_llms_are_simulated_alike_alone_and_together(simulated, half, strategy):
    """Three LLMs at once, one of them with gaps, are asked and placed as each is alone; none beyond its answers."""
    item_response = half.item_response
    prior = item_response.prior_mean, item_response.prior_covariance
    questions = item_response.intercepts.astype(float), item_response.discriminations.astype(float)
    truth = simulated.responses[:, 24:27].astype(float)
    truth[::3, 1] = np.nan

    def placements(columns):
        generators = [np.random.default_rng(column) for column in columns]
        return list(simulate_placements(*questions, truth[:, columns], prior, (0, 5, 20), strategy, generators))

    together = placements([0, 1, 2])
    for llm in range(3):
        for all_of_them, (alone,) in zip(together, placements([llm]), strict=True):
            mine = all_of_them[llm]
            np.testing.assert_array_equal(mine.answered, alone.answered)
            assert (mine.mean, mine.variance) == pytest.approx((alone.mean, alone.variance), abs=1e-9)
            assert mine.n_answers == len(mine.answered) == len(set(mine.answered))
    assert not (together[-1][1].answered % 3 == 0).any()


def test_more_answers_narrow_the_error(simulated, half):
    """Over the unseen LLMs, 32 adaptive answers leave less than half the error of none."""
    item_response = half.item_response
    prior = item_response.prior_mean, item_response.prior_covariance
    questions = item_response.intercepts.astype(float), item_response.discriminations.astype(float)
    errors = {0: [], 32: []}
    for column in range(24, 40):
        truth = simulated.responses[:, column].astype(float)
        generators = [np.random.default_rng(0)]
        for (placed,) in simulate_placements(*questions, truth[:, None], prior, (0, 32), "adaptive", generators):
            errors[placed.n_answers].append(abs(placed.mean - truth.mean()))
    assert np.mean(errors[32]) < np.mean(errors[0]) / 2


def test_the_factor_makes_nine_in_ten_errors_fit():
    """Errors drawn three times too wide get a factor of three; without enough of them it is 1."""
    generator = np.random.default_rng(0)
    errors = [(count, 3 * abs(generator.normal())) for count in (0, 8, 32, 128) for _ in range(4000)]
    without, with_answers, slope = fit_factor(errors)
    assert np.exp([without, with_answers]) == pytest.approx([3, 3], rel=0.05)
    assert slope == pytest.approx(0, abs=0.05)
    assert fit_factor(errors[:5]) == (0.0, 0.0, 0.0)


def test_the_factor_depends_on_answers_and_choice(model):
    """It follows the fitted line between 4 and 256 answers, and has its own value without any."""
    calibrated = ItemResponse(
        **{**vars(model.item_response), "calibration": np.log([[2, 3, np.e], [1, 1, 1], [1, 1, 1]])}
    )
    assert calibrated.interval_factor("adaptive", 0) == pytest.approx(2)
    assert calibrated.interval_factor("adaptive", 64) == pytest.approx(3)
    assert calibrated.interval_factor("adaptive", 128) == pytest.approx(6)
    assert calibrated.interval_factor("adaptive", 10**6) == calibrated.interval_factor("adaptive", 256)
    assert calibrated.interval_factor("adaptive", 1) == calibrated.interval_factor("adaptive", 4)
    assert calibrated.interval_factor("random", 64) == pytest.approx(1)


def test_a_pool_that_cannot_be_fitted_is_refused(model):
    """Two LLMs are too few, and without known questions there is nothing to fit."""
    two = model
    for name in model.config.llm_names[2:]:
        two = two.without_llm(name)
    with pytest.raises(ValueError, match="the pool has 2 LLMs, expected at least 3"):
        fit_item_response(two)
    two.known_questions = None
    with pytest.raises(ValueError, match="keeps no known questions"):
        fit_item_response(two)


# --- files, forecasts ---


def test_saved_and_loaded_to_the_bit(model, tmp_path):
    """The model's folder holds it, and loading gives equal arrays; other pools get their rows."""
    model.save_pretrained(tmp_path)
    loaded = EmbedLLM.from_pretrained(tmp_path)
    for name, value in vars(model.item_response).items():
        np.testing.assert_array_equal(value, getattr(loaded.item_response, name), err_msg=name)
        assert value.dtype == getattr(loaded.item_response, name).dtype
    smaller = loaded.without_llm(model.config.llm_names[1]).item_response
    np.testing.assert_array_equal(smaller.abilities, np.delete(model.item_response.abilities, 1, axis=0))


def test_a_damaged_file_is_refused(model, tmp_path):
    """Half a file is no item-response model; the message says how to make one."""
    model.item_response.save(tmp_path)
    path = tmp_path / ItemResponse.FILE
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"not a whole item-response model .*fit_item_response"):
        ItemResponse.load(path)


def test_forecasts_count_what_was_observed(simulated, half):
    """A benchmark all of whose questions were answered has its score and no interval; half of it, a true interval."""
    forecaster = Forecaster(half)
    known = forecaster.benchmark("lab/03", "one")
    assert known.accuracy == pytest.approx(simulated.responses[::2, 3].mean())
    assert known.high - known.low < 1e-6
    assert (known.n_questions, known.n_observed) == (200, 200)


def test_an_llm_without_ability_is_forecast_by_the_network(model):
    """A vector that was added by hand has no ability; its forecast is the network's."""
    grown = model.with_llm("by/hand", np.ones(4), 0.5)
    assert not grown.item_response.has_ability(6)
    by_network = model.with_llm("by/hand", np.ones(4), 0.5)
    by_network.item_response = None
    assert Forecaster(grown).benchmark("by/hand", "logic") == Forecaster(by_network).benchmark("by/hand", "logic")


def test_known_questions_of_a_split_are_evaluated_as_such(model):
    """On the training questions there is a row that uses what is known of each; on new questions there is none."""
    train, test = make_split(80), make_split(20, first_id=200, seed=3)
    report = evaluate_model(model, train.responses, train.question_embeds, baselines={})
    assert report.scores["embedllm_with_known"]["log_loss"] < report.scores["embedllm"]["log_loss"]
    new = evaluate_model(model, test.responses, test.question_embeds, baselines={})
    assert "embedllm_with_known" not in new.scores
    both = [train.responses.questions[7], test.responses.questions[0]]
    known = known_probabilities(model, both)
    item_response = model.item_response
    expected = expit(item_response.intercepts[7] + item_response.abilities @ item_response.discriminations[7])
    np.testing.assert_allclose(known[0], expected, rtol=1e-5)
    assert np.isnan(known[1]).all()
