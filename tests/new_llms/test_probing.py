"""The next questions for an LLM: targets, ways of choosing, expected intervals, the stop rule, going on later."""

import numpy as np
import pytest

from embedllm_hf import Forecaster, onboard, probe
from embedllm_hf.item_response import transfer
from embedllm_hf.item_response.posterior import Z90
from embedllm_hf.item_response.priors import place_abilities
from embedllm_hf.item_response.transfer import transfer_variance
from embedllm_hf.new_llms.probing import Target, ask_until, is_known
from tests.placing import pool_of, without_calibration


@pytest.fixture(scope="module")
def model(simulated):
    """A pool of 24 of the 40 simulated LLMs; question ids are rows, even ones of benchmark `one`."""
    return pool_of(simulated, 24)


def oracle(simulated, llm_index: int):
    """Answers as the simulated LLM gives them."""
    return lambda question_id: float(simulated.responses[question_id, llm_index])


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
    """Of 200 questions with 195 answered, five are left; with all answered, none.

    Then the score on them is known, and on the benchmark as well as 200 questions of it tell: by Wilson's interval.
    """
    answers = dict.fromkeys(range(0, 390, 2), 1)
    assert len(probe(model, answers=answers, n=9, benchmark="one").question_ids) == 5
    whole, options = dict.fromkeys(range(0, 400, 2), 1), {"n": 9, "benchmark": "one"}
    done, known = probe(model, answers=whole, **options), probe(model, answers=whole, known_only=True, **options)
    assert done.question_ids == known.question_ids == ()
    assert (known.accuracy, known.low, known.high) == pytest.approx((1, 1, 1))
    assert (done.accuracy, done.low, done.high) == pytest.approx((1, 200 / (200 + Z90**2), 1))


def test_a_question_more_never_widens_the_interval(model):
    """Expected widths fall with the number of questions, down to what the sample of questions leaves."""
    for known_only in (False, True):
        plans = [probe(model, n=n, benchmark="one", known_only=known_only) for n in (1, 8, 64, 200)]
        widths = [plans[0].width, *(plan.expected_width for plan in plans)]
        assert widths == sorted(widths, reverse=True)
    assert plans[-1].expected_width < 1e-6
    left = probe(model, n=200, benchmark="one")
    share = left.accuracy
    assert left.expected_width == pytest.approx(2 * Z90 * np.sqrt(share * (1 - share) / 200), rel=0.02)


def test_adaptive_expects_more_than_random(model):
    """The expected interval after 16 adaptive questions is narrower than after 16 random ones, both than now."""
    plain = without_calibration(model)
    adaptive, random = (probe(plain, n=16, benchmark="one", strategy=name) for name in ("adaptive", "random"))
    assert adaptive.expected_width < random.expected_width < adaptive.width == random.width


def test_the_interval_is_that_of_the_forecaster(model):
    """What a probe says of an LLM's score now is what the forecaster says once it is onboarded with the answers."""
    answers = {question: question % 3 / 2 for question in range(12)}
    plan = probe(model, answers=answers, benchmark="two", strategy="stratified")
    forecast = Forecaster(onboard(model, "new/llm", answers, strategy="stratified")).benchmark("new/llm", "two")
    there = (forecast.accuracy, forecast.low, forecast.high)
    assert (plan.accuracy, plan.low, plan.high) == pytest.approx(there, 1e-4)


def test_a_benchmark_without_answers_is_less_certain(model):
    """With answers to `one` alone, the interval on `two` is the forecaster's, which adds what does not carry over."""
    answers = dict.fromkeys(range(0, 60, 2), 1)
    plan = probe(model, answers=answers, benchmark="two", strategy="random")
    forecast = Forecaster(onboard(model, "new/llm", answers)).benchmark("new/llm", "two")
    assert (plan.accuracy, plan.low, plan.high) == pytest.approx(
        (forecast.accuracy, forecast.low, forecast.high), 1e-4
    )
    assert transfer_variance(model.bank, np.arange(1, 400, 2)) > 0


@pytest.mark.parametrize(("answered", "share"), [((), 0), ((0, 2), 1 / 4), ((1,), 1 / 4)])
def test_what_does_not_carry_over_counts_by_the_square_of_its_weight(model, monkeypatch, answered, share):
    """Of two benchmarks that count alike, each has half the weight, and so a quarter of its variance.

    It is added for a benchmark without answers, unless there are no answers at all.
    """
    squares = []
    for variance in (0.0, 0.004):
        monkeypatch.setattr(transfer, "benchmark_transfer", lambda bank, rows, given=variance: given)
        plan = probe(model, answers={row: row % 4 == 0 for row in answered}, strategy="random", known_only=True)
        assert 0 < plan.low < plan.high < 1
        squares.append((plan.width / (2 * Z90)) ** 2)
    assert squares[1] - squares[0] == pytest.approx(0.004 * share, abs=1e-9)


def test_answers_of_the_pool_count(model):
    """For an LLM of the pool that has answered everything, there is nothing to ask."""
    assert probe(model, "lab/03").question_ids == ()
    assert probe(model, "lab/unheard-of").n_answers == 0


def test_targets_count_benchmarks_alike(model):
    """Several benchmarks have equal weight whatever their size, all of them are the default, unknown ones an error."""
    target = Target.of(model.bank, ["one", "two"])
    rows, weights = target.rows, target.sample.weights
    assert weights[rows % 2 == 0].sum() == pytest.approx(0.5)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_array_equal(Target.of(model.bank, None).sample.weights, weights)
    both = probe(model, n=12)
    assert set(both.benchmarks) == {"one", "two"}
    with pytest.raises(KeyError, match=r"unknown benchmark `won`.*did you mean .*`one`"):
        probe(model, benchmark="won")
    with pytest.raises(ValueError, match="`benchmark` is empty"):
        probe(model, benchmark=[])


def test_bad_requests_are_refused(model):
    """No questions wanted, or a way of choosing that there is not."""
    with pytest.raises(ValueError, match="`n` is 0, expected a whole number of 1 or more"):
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
        for llm_index in range(24, 40):
            options = {"benchmark": "one", "strategy": strategy, "seed": llm_index}
            answers = ask_until(model, oracle(simulated, llm_index), max_questions=12, **options)
            estimate = probe(model, answers=answers, **options).accuracy
            found.append(abs(estimate - simulated.responses[::2, llm_index].mean()))
    assert np.mean(errors["adaptive"]) < np.mean(errors["random"])


# --- the choice between two LLMs ---


def test_the_next_question_is_the_best_for_the_difference(model):
    """No other question leaves the difference of the two scores with less expected variance, by brute force.

    The joint posterior of both LLMs is written out, and each question tried on the asked one.
    """
    answers, other = dict.fromkeys(range(0, 20, 2), 1), {100: 0, 102: 1, 104: 0}
    plan = probe(model, "new/a", answers, benchmark="one", against="new/b", against_answers=other)
    target = Target.of(model.bank, "one")
    rows, weights = target.rows, target.sample.weights
    intercepts, discriminations = target.questions
    pair = [np.array(sorted(given)) for given in (answers, other)]
    values = [
        np.array([given[row] for row in asked], float) for given, asked in zip((answers, other), pair, strict=True)
    ]
    placed = place_abilities(model.bank, pair, values)
    spreads = []
    for ability, asked in zip(placed.mean, pair, strict=True):
        right = 1 / (1 + np.exp(-intercepts - discriminations @ ability))
        spreads.append(np.where(np.isin(rows, asked), 0.0, right * (1 - right)))
    gradient = np.concatenate([weights * spreads[0] @ discriminations, -(weights * spreads[1]) @ discriminations])
    n_traits = discriminations.shape[1]
    left = np.full(len(rows), np.inf)
    for position in np.flatnonzero(~np.isin(rows, pair[0])):
        joint = np.zeros((2 * n_traits, 2 * n_traits))
        update = spreads[0][position] * np.outer(discriminations[position], discriminations[position])
        joint[:n_traits, :n_traits] = np.linalg.inv(np.linalg.inv(placed.covariance[0]) + update)
        joint[n_traits:, n_traits:] = placed.covariance[1]
        left[position] = gradient @ joint @ gradient
    best = left[np.flatnonzero(rows == plan.question_ids[0])[0]]
    assert best == pytest.approx(left.min(), rel=1e-3)


def test_the_lead_is_the_difference_of_two_forecasts(model):
    """Worked from the two scores' own forecasts: means subtract, variances add; exchanged, the sign changes."""
    answers, other = dict.fromkeys(range(0, 24, 2), 1), dict.fromkeys(range(0, 24, 2), 0)
    options = {"benchmark": "one", "strategy": "random", "known_only": True}
    plan = probe(model, "new/a", answers, against="new/b", against_answers=other, **options)
    turned = probe(model, "new/b", other, against="new/a", against_answers=answers, **options)
    alone = [probe(model, None, given, **options) for given in (answers, other)]
    assert plan.lead.difference == pytest.approx(alone[0].accuracy - alone[1].accuracy)
    assert plan.lead.difference > 0
    assert turned.lead.difference == pytest.approx(-plan.lead.difference)
    assert (turned.lead.low, turned.lead.high) == pytest.approx((-plan.lead.high, -plan.lead.low))
    assert plan.lead.width == pytest.approx(np.hypot(alone[0].width, alone[1].width), rel=1e-6)
    assert plan.lead.expected_width < plan.lead.width
    assert plan.lead.decided
    assert plan.to_dict()["lead"]["decided"] is True
    assert "lead" not in alone[0].to_dict()


def test_what_is_known_of_the_other_llm_narrows_the_difference(model):
    """Against an LLM of the pool, whose score is known, nothing is added to the asked LLM's own width."""
    plan = probe(model, "new/a", {0: 1, 2: 0}, benchmark="one", against="lab/03", known_only=True)
    assert plan.lead.against == "lab/03"
    assert plan.lead.width == pytest.approx(plan.width, rel=1e-4)
    assert plan.lead.difference == pytest.approx(plan.accuracy - probe(model, "lab/03", benchmark="one").accuracy)


def test_both_llms_meet_the_same_questions(model):
    """All questions answered by both: the lead is as sure as the paired differences are, and none for the same LLM."""
    one, two = (model.bank.responses_of(llm_index)[::2] for llm_index in (3, 4))
    lead = probe(model, "lab/03", benchmark="one", against="lab/04").lead
    expected = 2 * Z90 * (one - two).std() / np.sqrt(200)
    assert lead.width == pytest.approx(expected, rel=0.02)
    answers = {2 * row: float(answer) for row, answer in enumerate(one)}
    twin = probe(model, "new/twin", answers, benchmark="one", against="lab/03").lead
    assert twin.difference == pytest.approx(0)
    assert 0 < twin.width < 0.02


def test_asking_ends_when_one_is_better(simulated, model):
    """The best of the pool against the worst of the rest takes few questions; the last answer decides it, rightly."""
    scores = simulated.responses[::2].mean(axis=0)
    best, worst = int(scores[:24].argmax()), 24 + int(scores[24:].argmin())
    options = {"benchmark": "one", "against": f"lab/{best:02d}"}
    answers = ask_until(model, oracle(simulated, worst), **options)
    assert 0 < len(answers) < 30
    assert probe(model, answers=answers, **options).lead.high < 0
    assert not is_known(probe(model, answers=dict(list(answers.items())[:-1]), **options))


def test_asking_ends_when_two_are_alike(simulated, model):
    """An LLM against its own answers under another name: no difference is found, and the width ends it."""
    own = {question: float(simulated.responses[question, 30]) for question in range(0, 400, 2)}
    options = {"benchmark": "one", "against": "new/twin", "against_answers": own}
    answers = ask_until(model, oracle(simulated, 30), until_width=0.15, **options)
    plan = probe(model, answers=answers, **options)
    assert not plan.lead.decided
    assert plan.lead.width < 0.15
    assert is_known(plan, 0.15)


def test_comparisons_that_cannot_be_are_refused(model):
    """An unknown LLM without answers, the same LLM twice, answers of nobody."""
    with pytest.raises(KeyError, match=r"unknown LLM `lab/3`.*did you mean"):
        probe(model, "new/a", against="lab/3")
    with pytest.raises(ValueError, match="`lab/03` is to be compared with itself"):
        probe(model, "lab/03", against="lab/03")
    with pytest.raises(ValueError, match="`against_answers` is given without `against`"):
        probe(model, "new/a", against_answers={0: 1})
