"""The simulation of `embedllm drift`: what it draws, what a fixed sample needs, and its tables on a small pool."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from scripts.drift import __main__ as tables
from scripts.drift.simulate import World, dropped, first_alarms, fresh, redraw_chance
from tests.placing import pool_of, simulated_pool


def test_fresh_answers_are_as_often_right_as_they_should_be():
    """With the probability of before or of now, drawn anew or not; so many repeat as are said to."""
    generator, n = np.random.default_rng(0), 400_000
    before = generator.choice([0.2, 0.6, 0.9], n)
    now = np.where(before == 0.2, 0.3, before - 0.1)
    recorded = (generator.random(n) < before).astype(float)
    redrawn = redraw_chance(before, repeats=True)
    assert redraw_chance(before, repeats=False) == 1
    for probability in (before, now):
        for chance in (1.0, redrawn):
            answers = fresh(generator, recorded, before, probability, chance)
            for value in np.unique(before):
                some = before == value
                assert answers[some].mean() == pytest.approx(probability[some][0], abs=0.006)
    again = fresh(generator, recorded, before, before, redrawn)
    assert (again == recorded).mean() == pytest.approx(0.98, abs=0.002)


def test_a_drop_is_of_so_many_points():
    """Of ability, which moves the steep questions more, and of all right answers alike."""
    logits, shifts = np.linspace(-2, 2, 50), np.linspace(0.5, 1.5, 50)
    for kind in (shifts, None):
        now = dropped(logits, kind, 0.1)
        assert (expit(logits) - now).mean() == pytest.approx(0.1)
    np.testing.assert_allclose(now / expit(logits), now[0] / expit(logits[0]))
    ratio = (logits - logit(dropped(logits, shifts, 0.1))) / shifts
    np.testing.assert_allclose(ratio, ratio[0])


def test_a_fixed_sample_has_the_power_that_is_said():
    """The paired test and the one against a known score, at the size that is given, by simulation."""
    generator = np.random.default_rng(1)
    chances = [0.1, 0.8, 0.1 - 0.04]
    values, p = np.array([-1.0, 0.0, 1.0]), np.array(chances) / sum(chances)
    n = round(tables.fixed_paired(generator.choice(values, 1_000_000, p=p)))
    draws = generator.choice(values, (4000, n), p=p)
    z = draws.mean(axis=1) / (draws.std(axis=1) / np.sqrt(n))
    assert (z < -norm.ppf(0.975)).mean() == pytest.approx(0.8, abs=0.03)
    n = round(tables.fixed_unpaired(0.6, 0.5))
    z = (generator.binomial(n, 0.5, 4000) / n - 0.6) / np.sqrt(0.6 * 0.4 / n)
    assert (z < -norm.ppf(0.975)).mean() == pytest.approx(0.8, abs=0.03)


def test_alarms_are_counted_from_one():
    """Every answer lost is an alarm soon, none lost is none ever."""
    alarms = first_alarms(np.stack([np.full(100, -1.0), np.zeros(100)]), 0.05)
    assert 3 < alarms[0] < 20
    assert np.isinf(alarms[1])


def test_who_answers_in_an_llms_name_is_told(monkeypatch):
    """The LLM's own answers are no change; those of the best in the name of the worst are one for the better."""
    simulated = simulated_pool()
    worst, best = (f"lab/{llm:02d}" for llm in (simulated.responses.mean(axis=0).argsort()[[0, -1]]))
    monkeypatch.setattr(tables, "PAIRS", [(worst, worst), (worst, best)])
    own, other = tables.real_table(pool_of(simulated, 40, calibrate=False), 0).splitlines()[2:]
    assert "| no sign of change | - | 400 | 100.0% | +0.0 [" in own
    assert f"| {worst} | {best} | better | " in other


def test_the_tables_on_a_small_pool(monkeypatch):
    """Few false alarms; a drop of 10 points is seen sooner than one of 3, and sooner where answers repeat."""
    monkeypatch.setattr(tables, "N_LEVEL", 60)
    monkeypatch.setattr(tables, "N_POWER", 500)
    world = World.of(pool_of(simulated_pool(800, 12), 12, calibrate=False), 0)
    level = [line.split("|")[1:-1] for line in tables.level_table(world, 60, 3, 0).splitlines()[2:]]
    assert [row[2].strip() for row in level] == ["60"] * 6
    assert all(float(row[3].strip(" %")) <= 10 for row in level[:4])
    power = [line.split("|")[1:-1] for line in tables.power_table(world, 12, 3, 0).splitlines()[2:]]
    assert len(power) == 8
    medians = [float(row[3].strip(" >").replace(",", "")) for row in power]
    assert medians[3] < medians[1] <= medians[0]
    assert medians[3] < medians[2]
