"""The next questions for an LLM: targets, ways of choosing, expected intervals, the stop rule, going on later."""

import numpy as np
import pytest

from embedllm_hf import Forecaster, onboard
from embedllm_hf.probing import ask_until, is_known, probe, target_of

from .placing import pool_of, simulated_pool, without_calibration


@pytest.fixture(scope="module")
def simulated():
    return simulated_pool()


@pytest.fixture(scope="module")
def model(simulated):
    """A pool of 24 of the 40 simulated LLMs; question ids are rows, even ones of benchmark `one`."""
    return pool_of(simulated, 24)


def oracle(simulated, column: int):
    """Answers as the simulated LLM gives them."""
    return lambda question_id: float(simulated.responses[question_id, column])


@pytest.mark.parametrize("strategy", ["adaptive", "random", "stratified"])
def test_probes_are_of_the_target_and_new(model, strategy):
    """No repeats, none that was answered, all of the benchmark that was asked for."""
    answers = {question: 1 for question in range(0, 40, 2)}
    plan = probe(model, answers=answers, n=30, benchmark="one", strategy=strategy)
    assert len(set(plan.question_ids)) == 30
    assert not set(plan.question_ids) & set(answers)
    assert set(plan.benchmarks) == {"one"}
    assert all(question % 2 == 0 for question in plan.question_ids)
    assert (plan.n_answers, plan.n_left) == (20, 180)
    assert plan == probe(model, answers=answers, n=30, benchmark="one", strategy=strategy)


def test_nothing_is_left_after_the_last_question(model):
    """Of 200 questions with 195 answered, five are left; with all answered, none, and the score is known."""
    answers = dict.fromkeys(range(0, 390, 2), 1)
    assert len(probe(model, answers=answers, n=9, benchmark="one").question_ids) == 5
    done = probe(model, answers=dict.fromkeys(range(0, 400, 2), 1), n=9, benchmark="one")
    assert done.question_ids == ()
    assert (done.accuracy, done.low, done.high) == pytest.approx((1, 1, 1))


def test_adaptive_promises_more_than_random(model):
    """The expected interval after 16 adaptive questions is narrower than after 16 random ones, both than now."""
    plain = without_calibration(model.with_llm_renamed("lab/00", "lab/zero"))
    adaptive, random = (probe(plain, n=16, benchmark="one", strategy=name) for name in ("adaptive", "random"))
    assert adaptive.expected_width < random.expected_width < adaptive.width == random.width


def test_the_interval_is_that_of_the_forecaster(model):
    """What a probe says of an LLM's score now is what the forecaster says once it is onboarded with the answers."""
    answers = {question: question % 3 / 2 for question in range(12)}
    plan = probe(model, answers=answers, benchmark="two", strategy="stratified")
    forecast = Forecaster(onboard(model, "new/llm", answers, strategy="stratified")).benchmark("new/llm", "two")
    there = (forecast.accuracy, forecast.low, forecast.high)
    assert (plan.accuracy, plan.low, plan.high) == pytest.approx(there, 1e-4)


def test_answers_of_the_pool_count(model):
    """For an LLM of the pool that has answered everything, there is nothing to ask."""
    assert probe(model, "lab/03").question_ids == ()
    assert probe(model, "lab/unheard-of").n_answers == 0


def test_targets_count_benchmarks_alike(model):
    """Several benchmarks have equal weight whatever their size, all of them are the default, unknown ones an error."""
    rows, weights = target_of(model.known_questions, ["one", "two"])
    assert weights[rows % 2 == 0].sum() == pytest.approx(0.5)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_array_equal(target_of(model.known_questions, None)[1], weights)
    both = probe(model, n=12)
    assert set(both.benchmarks) == {"one", "two"}
    with pytest.raises(KeyError, match=r"unknown benchmark `won`.*did you mean .*`one`"):
        probe(model, benchmark="won")
    with pytest.raises(ValueError, match="`benchmark` is empty"):
        probe(model, benchmark=[])


def test_bad_requests_are_refused(model):
    """No questions wanted, or a way of choosing that there is not."""
    with pytest.raises(ValueError, match="`n` is 0, expected 1 or more"):
        probe(model, n=0)
    with pytest.raises(ValueError, match="`strategy` is 'best'"):
        probe(model, strategy="best")
    with pytest.raises(ValueError, match=r"there is no end\. Give one"):
        ask_until(model, lambda question_id: 1)


def test_asking_ends_when_the_score_is_known(simulated, model):
    """The stop rule: the last interval is narrower than asked for, the one before was not, and it holds the score."""
    answers = ask_until(model, oracle(simulated, 30), until_width=0.2, benchmark="one")
    assert 4 < len(answers) < 150
    plan = probe(model, answers=answers, benchmark="one")
    before = probe(model, answers=dict(list(answers.items())[:-1]), benchmark="one")
    assert is_known(plan, 0.2)
    assert not is_known(before, 0.2)
    assert not is_known(plan, None)
    assert plan.low <= simulated.responses[::2, 30].mean() <= plan.high


@pytest.mark.parametrize("strategy", ["adaptive", "random", "stratified"])
def test_going_on_after_a_break_asks_the_same(simulated, model, strategy):
    """Six questions, then six more, are the twelve that are asked in one go."""
    options = {"benchmark": "two", "strategy": strategy, "seed": 3}
    whole = ask_until(model, oracle(simulated, 25), max_questions=12, **options)
    part = ask_until(model, oracle(simulated, 25), max_questions=6, **options)
    assert list(ask_until(model, oracle(simulated, 25), part, max_questions=6, **options)) == list(whole)


def test_asking_ends_when_the_asker_does(model):
    """None instead of an answer ends it; what was answered is returned."""
    grades = iter([1, 0.5, None])
    assert list(ask_until(model, lambda question_id: next(grades), max_questions=9).values()) == [1, 0.5]


def test_adaptive_probes_find_the_score_sooner(simulated, model):
    """Over 16 unseen LLMs, 12 adaptive answers leave less error than 12 random ones."""
    errors = {"adaptive": [], "random": []}
    for strategy, found in errors.items():
        for column in range(24, 40):
            options = {"benchmark": "one", "strategy": strategy, "seed": column}
            answers = ask_until(model, oracle(simulated, column), max_questions=12, **options)
            estimate = probe(model, answers=answers, **options).accuracy
            found.append(abs(estimate - simulated.responses[::2, column].mean()))
    assert np.mean(errors["adaptive"]) < np.mean(errors["random"])
