"""The test by betting: what it must be by enumeration, its level, its interval, its power against known changes."""

from itertools import product

import numpy as np
import pytest

from embedllm_hf.metrics.betting import STAKES, log_wealth, mean_interval

SIX = np.array(list(product([-1.0, 0.0, 1.0], repeat=6)))  # all paths of six differences


@pytest.mark.parametrize("share_of_equal", [0.0, 0.5, 0.9])
def test_nothing_is_gained_on_average_where_nothing_has_changed(share_of_equal):
    """Over all paths of six differences, up and down alike: mean wealth 1 after each, and few paths with an alarm."""
    chance = np.where(SIX == 0, share_of_equal, (1 - share_of_equal) / 2).prod(axis=1)
    wealth = np.exp(log_wealth(SIX))
    np.testing.assert_allclose(chance @ wealth, 1.0, rtol=1e-12)
    for limit in (1.5, 2, 4):  # Ville's inequality
        share = chance @ (wealth.max(axis=1) >= limit)
        assert 0 < share <= 1 / limit


def test_a_mean_that_is_not_zero_is_tested_too():
    """With the true change as the null hypothesis the mean wealth is 1, with another one it is more."""
    chance = np.where(SIX == 1, 0.5, np.where(SIX == 0, 0.3, 0.2)).prod(axis=1)  # the mean is 0.3
    np.testing.assert_allclose(chance @ np.exp(log_wealth(SIX, 0.3)), 1.0, rtol=1e-12)
    assert chance @ np.exp(log_wealth(SIX)[:, -1]) > 1.1


def test_the_wealth_is_the_mean_of_the_bets():
    """Each stake, up and down, on its own, in plain products."""
    differences = np.array([1.0, -0.25, 0.0, 1.0])
    bets = [np.prod(1 + sign * stake * differences) for stake in STAKES for sign in (1, -1)]
    assert np.exp(log_wealth(differences)[-1]) == pytest.approx(np.mean(bets))


def test_the_level_holds_for_grades_between():
    """Differences of symmetric grades, 400 of them, 1,000 runs: at most 5% ever reach 20."""
    generator = np.random.default_rng(0)
    differences = generator.choice([0.0, 0.25, 0.75, 1.0], (1000, 400)) - generator.choice([0.0, 1.0], (1000, 400))
    alarms = (log_wealth(differences) >= np.log(20)).any(axis=1)
    assert 0 < alarms.mean() <= 0.05


def test_the_interval_is_what_the_wealth_does_not_speak_against():
    """At its bounds the wealth is 1 / level, between them less, beyond them more; its mean is inside."""
    differences = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 300, p=[0.2, 0.7, 0.1])
    low, high = mean_interval(differences, 0.05)
    assert -1 < low < differences.mean() < high < 1
    at = {change: np.exp(log_wealth(differences, change)[-1]) for change in (low, high, low - 0.01, high + 0.01)}
    assert at[low] == pytest.approx(20, rel=1e-6)
    assert at[high] == pytest.approx(20, rel=1e-6)
    assert min(at[low - 0.01], at[high + 0.01]) > 20
    assert all(log_wealth(differences, change)[-1] < np.log(20) for change in np.linspace(low + 1e-6, high - 1e-6, 9))


def test_the_interval_holds_at_every_number_of_answers():
    """Looked at four times, 200 runs: the true change is outside of one of the intervals in at most 5% of the runs."""
    generator = np.random.default_rng(2)
    missed = 0
    for _ in range(200):
        differences = generator.choice([-1.0, 0.0, 1.0], 100, p=[0.3, 0.6, 0.1])
        intervals = [mean_interval(differences[:n], 0.05) for n in (10, 25, 50, 100)]
        missed += any(not low <= -0.2 <= high for low, high in intervals)
    assert missed <= 10


def test_nothing_is_known_of_one_difference():
    """The interval after one answer is all that can be, and it stays within its bounds where all differences are 1."""
    assert mean_interval(np.array([1.0]), 0.05) == pytest.approx((-1, 1), abs=0.05)
    for sign in (1, -1):
        low, high = sorted(sign * bound for bound in mean_interval(np.full(200, sign), 0.05))
        assert 0.9 < low < high == 1
