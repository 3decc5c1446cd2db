"""Intervals: the factor that calibrates them, from LLMs held out, and their coverage on simulated pools."""

from dataclasses import replace

import numpy as np
import pytest

from embedllm_hf.bank.item_parameters import ItemParameters
from embedllm_hf.item_response import calibration
from embedllm_hf.item_response.calibration import calibrate_intervals, fit_factor, simulate_placements
from embedllm_hf.item_response.pool import NetworkView
from embedllm_hf.item_response.posterior import interval
from tests.placing import Simulated, pool_of, simulated_pool


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    return simulated_pool()


@pytest.fixture(scope="module")
def item(simulated) -> ItemParameters:
    """Of a pool of 24 of the 40 simulated LLMs."""
    return pool_of(simulated, 24).bank.item_parameters


def questions_and_prior(item: ItemParameters, rows: slice = slice(None)):
    """Intercepts and discriminations of some questions, and a new LLM's prior."""
    questions = item.intercepts[rows].astype(float), item.discriminations[rows].astype(float)
    return *questions, (item.prior_mean, item.prior_covariance)


def test_coverage_on_a_simulated_pool(simulated, item):
    """Over 16 LLMs that the pool has not seen, 90% intervals hold the score about as often as they say."""
    covered = []
    for strategy in ("adaptive", "random"):
        for llm_index in range(24, 40):
            for start in (0, 1):  # the two benchmarks
                rows = slice(start, None, 2)
                truth = simulated.responses[rows, llm_index].astype(float)
                generators = [np.random.default_rng(llm_index)]
                intercepts, discriminations, prior = questions_and_prior(item, rows)
                arrays = (intercepts, discriminations, truth[:, None], prior)
                for (placed,) in simulate_placements(*arrays, (0, 8, 32), strategy, generators):
                    factor = item.interval_factor(strategy, placed.n_answers)
                    low, high = interval(placed.mean, placed.variance, factor)
                    covered.append(low <= truth.mean() <= high)
    assert 0.82 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("strategy", ["adaptive", "random", "stratified"])
def test_llms_are_simulated_alike_alone_and_together(simulated, item, strategy):
    """Three LLMs at once, one of them with gaps, are asked and placed as each is alone; none beyond its answers."""
    intercepts, discriminations, prior = questions_and_prior(item)
    truth = simulated.responses[:, 24:27].astype(float)
    truth[::3, 1] = np.nan

    def placements(llms):
        generators = [np.random.default_rng(llm) for llm in llms]
        return list(
            simulate_placements(intercepts, discriminations, truth[:, llms], prior, (0, 5, 20), strategy, generators)
        )

    together = placements([0, 1, 2])
    for llm in range(3):
        for all_of_them, (alone,) in zip(together, placements([llm]), strict=True):
            mine = all_of_them[llm]
            np.testing.assert_array_equal(mine.answered, alone.answered)
            assert (mine.mean, mine.variance) == pytest.approx((alone.mean, alone.variance), abs=1e-9)
            assert mine.n_answers == len(mine.answered) == len(set(mine.answered))
    assert not (together[-1][1].answered % 3 == 0).any()


def test_more_answers_narrow_the_error(simulated, item):
    """Over the unseen LLMs, 32 adaptive answers leave less than half the error of none."""
    intercepts, discriminations, prior = questions_and_prior(item)
    errors = {0: [], 32: []}
    for llm_index in range(24, 40):
        truth = simulated.responses[:, llm_index].astype(float)
        generators = [np.random.default_rng(0)]
        for (placed,) in simulate_placements(
            intercepts, discriminations, truth[:, None], prior, (0, 32), "adaptive", generators
        ):
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


def test_the_factor_depends_on_answers_and_choice(item):
    """It follows the fitted line between 4 and 256 answers, and has its own value without any."""
    calibrated = replace(item, calibration=np.log([[2, 3, np.e], [1, 1, 1], [1, 1, 1]]))
    assert calibrated.interval_factor("adaptive", 0) == pytest.approx(2)
    assert calibrated.interval_factor("adaptive", 64) == pytest.approx(3)
    assert calibrated.interval_factor("adaptive", 128) == pytest.approx(6)
    assert calibrated.interval_factor("adaptive", 10**6) == calibrated.interval_factor("adaptive", 256)
    assert calibrated.interval_factor("adaptive", 1) == calibrated.interval_factor("adaptive", 4)
    assert calibrated.interval_factor("random", 64) == pytest.approx(1)


def test_the_factor_comes_from_llms_that_the_fit_has_not_seen(monkeypatch):
    """In each fold, fit, prior and network know the LLMs that are not placed; each LLM is placed in one fold."""
    simulated = simulated_pool(n_questions=60, n_llms=13)
    network, truth, bank = NetworkView.of(simulated.model), simulated.responses, simulated.model.bank
    fitted, placed, original = [], [], vars(calibration).copy()

    def llms_of(responses: np.ndarray, known: np.ndarray) -> list[int]:
        """The LLMs whose responses these are."""
        return [int(np.flatnonzero((known.T == answers).all(axis=1))[0]) for answers in responses.T]

    def fit(view, responses, features):
        fitted.append(llms_of(responses, truth))
        placed.append(set())
        np.testing.assert_array_equal(view.llm_vectors, network.llm_vectors[fitted[-1]])
        return original["fit_pool"](view, responses, features)

    def priors(new_llm_prior, bank, responses):
        assert llms_of(responses, truth) == fitted[-1]
        return original["benchmark_priors"](new_llm_prior, bank, responses)

    def place(intercepts, discriminations, responses, *more):
        half = next(half for half in (truth[::2], truth[1::2]) if (half.T == responses[:, 0]).all(axis=1).any())
        placed[-1].update(llms_of(responses, half))
        return original["simulate_placements"](intercepts, discriminations, responses, *more)

    for name, spy in {"fit_pool": fit, "benchmark_priors": priors, "simulate_placements": place}.items():
        monkeypatch.setattr(calibration, name, spy)
    features = np.column_stack([np.ones(60), bank.question_embeds.astype(float)])
    assert calibrate_intervals(network, bank, truth, features).any()
    assert len(fitted) == 6
    for known, tried in zip(fitted, placed, strict=True):
        assert sorted([*known, *tried]) == list(range(13))
    assert sorted(llm for tried in placed for llm in tried) == list(range(13))
