"""Tests one after the other: p-values beside SciPy's and by hand, the end at the first failure, the level on draws."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from embedllm_hf.metrics import last_that_keeps, share_p_value


def answers_of(n_right: int, n_wrong: int) -> np.ndarray:
    return np.repeat([1.0, 0.0], [n_right, n_wrong])


@pytest.mark.parametrize(("n_right", "n_wrong", "share"), [(45, 5, 0.8), (14, 0, 0.8), (100, 100, 0.5), (3, 9, 0.7)])
def test_single_answers_have_the_exact_p_value(n_right, n_wrong, share):
    """SciPy's one-sided binomial test; the bound that belongs to it is that of Clopper and Pearson."""
    expected = binomtest(n_right, n_right + n_wrong, share, alternative="greater")
    assert share_p_value(answers_of(n_right, n_wrong), share) == pytest.approx(expected.pvalue)
    assert (expected.proportion_ci(0.95).low > share) == (share_p_value(answers_of(n_right, n_wrong), share) < 0.05)


def test_graded_answers_have_a_p_value_that_holds_for_any_of_their_mean():
    """By hand, where Bentkus' bound is the lower one and where Hoeffding's; of draws with a mean of .8 few are low."""
    assert share_p_value(np.full(100, 0.9), 0.8) == pytest.approx(np.e * binom.cdf(10, 100, 0.2))
    hoeffding = np.exp(-100 * (0.091 * np.log(0.091 / 0.2) + 0.909 * np.log(0.909 / 0.8)))
    assert share_p_value(np.full(100, 0.909), 0.8) == pytest.approx(hoeffding)
    assert share_p_value(np.full(100, 0.79), 0.8) == 1
    draws = np.random.default_rng(0).beta(0.4, 0.1, (1000, 60))
    assert 0 < np.mean([share_p_value(draw, 0.8) < 0.05 for draw in draws]) <= 0.05


def test_without_answers_nothing_is_shown():
    """No answer speaks against any share."""
    assert share_p_value(np.zeros(0), 0.5) == 1


KEEPS, FAILS = answers_of(95, 5), answers_of(80, 20)
SURE = np.full(100, 0.9)


def test_the_tests_end_at_the_first_that_fails():
    """What stands behind it is not looked at, though it would pass; what stands before the start neither."""
    assert last_that_keeps([KEEPS, KEEPS, FAILS, KEEPS], [SURE] * 4, 0.8) == 1
    assert last_that_keeps([KEEPS, KEEPS, KEEPS], [SURE] * 3, 0.8) == 2
    assert last_that_keeps([FAILS, KEEPS], [SURE] * 2, 0.8) is None
    assert last_that_keeps([FAILS, KEEPS, KEEPS], [SURE[:9], SURE, SURE - 0.01], 0.8) == 2


def test_the_start_is_where_the_forecasts_are_surest_whatever_the_answers():
    """Few questions with high forecasts, then more: by hand .15 * 3, .1 * 10 and .04 * 20 standard errors."""
    forecasts = [np.full(9, 0.95), np.full(100, 0.9), np.full(400, 0.84)]
    few, many = answers_of(7, 2), answers_of(350, 50)
    assert last_that_keeps([few, KEEPS, many], forecasts, 0.8) == 2
    assert last_that_keeps([answers_of(9, 0), FAILS, many], forecasts, 0.8) is None


@pytest.mark.parametrize("error", [0.0, 0.1])
def test_a_share_that_is_not_kept_passes_at_most_as_often_as_the_level(error):
    """Of 400 draws, with true forecasts and with ones that are `error` too high; the truth of each way is known."""
    generator, grid, wrong = np.random.default_rng(1), np.arange(100, -1, -1) / 100, 0
    for _ in range(400):
        truth = generator.uniform(0.3, 1.0, 300)
        right, forecast = (generator.random(300) < truth).astype(float), np.minimum(truth + error, 1)
        answered = [forecast >= threshold for threshold in grid]
        last = last_that_keeps([right[rows] for rows in answered], [forecast[rows] for rows in answered], 0.8)
        lowest = 1.0 if last is None else max(grid[last] - error, 0.3)  # the truth at the threshold
        wrong += (1 + lowest) / 2 < 0.8 if last is not None else 0  # the mean truth above it
    assert wrong / 400 <= 0.05
