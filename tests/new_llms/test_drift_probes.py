"""The questions that tell soonest whether an LLM has changed, chosen without its recorded answers to them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from embedllm_hf import drift_probes
from tests.placing import pool_of, with_answers, with_items

NAME = "lab/03"


@pytest.fixture(scope="module")
def model(simulated):
    return pool_of(simulated, 24, calibrate=False)


def test_questions_have_a_recorded_answer_and_no_fresh_one(model, simulated):
    """None that it was never asked, none that it has answered again, all of the benchmark; a batch is one by one."""
    responses = simulated.responses[:, :24].copy()
    responses[:100, 3] = np.nan
    partly = model.with_bank(with_answers(model.bank, responses))
    plan = drift_probes(partly, NAME, n=400)
    assert min(plan.question_ids) >= 100
    assert len(plan.question_ids) == len(set(plan.question_ids)) == plan.n_left
    assert 180 < plan.n_left < 270  # three quarters
    asked = dict.fromkeys(plan.question_ids[:30], 0)
    later = drift_probes(partly, NAME, asked, n=30)
    assert later.question_ids == plan.question_ids[30:60]
    assert later.n_left == plan.n_left - 30
    two = drift_probes(partly, NAME, n=20, benchmark="two")
    assert set(two.benchmarks) == {"two"}
    assert two.question_ids == tuple(id_ for id_ in plan.question_ids if id_ % 2)[:20]


def test_the_choice_does_not_know_the_recorded_answers(model, simulated):
    """With every recorded answer that may be asked again turned round, and all fitted anew, it stays the same.

    The other answers, which tell the LLM's level, do matter.
    """
    plan = drift_probes(model, NAME, n=60)
    free = list(drift_probes(model, NAME, n=400).question_ids)
    level = np.setdiff1d(np.arange(400), free)
    turned = {}
    for name, rows in (("free", free), ("level", level)):
        responses = simulated.responses[:, :24].copy()
        responses[rows, 3] = 1 - responses[rows, 3]
        bank = with_answers(replace(model.bank, item_parameters=None), responses)
        turned[name] = drift_probes(with_items(model.with_bank(bank), calibrate=False), NAME, n=60)
    assert turned["free"] == plan
    assert turned["level"] != plan


def test_the_chosen_tell_more(model, simulated):
    """They move more when the ability does, for what luck there is in their answers, than random ones."""

    def worth(question_ids) -> float:
        rows = list(question_ids)
        known = simulated.probabilities[rows, 3]
        others = np.log(simulated.probabilities / (1 - simulated.probabilities))[rows]
        moved = expit(np.log(known / (1 - known)) - others.std(axis=1) / 2)  # half a deviation of the pool less able
        return float(np.mean((known - moved) ** 2) / np.mean(2 * known * (1 - known)))

    adaptive = worth(drift_probes(model, NAME, n=50).question_ids)
    random = [worth(drift_probes(model, NAME, n=50, strategy="random", seed=seed).question_ids) for seed in range(5)]
    assert adaptive > 1.3 * max(random)


def test_random_ones_are_of_all_and_have_one_order(model):
    """A seed gives the same order whatever has been answered."""
    plan = drift_probes(model, NAME, n=400, strategy="random", seed=3)
    assert sorted(plan.question_ids) == list(range(400))
    asked = dict.fromkeys(plan.question_ids[:9], 1)
    assert drift_probes(model, NAME, asked, n=5, strategy="random", seed=3).question_ids == plan.question_ids[9:14]
    assert drift_probes(model, NAME, n=400, strategy="random", seed=4).question_ids != plan.question_ids


def test_bad_requests_are_refused(simulated, model):
    """In one line that says what to do."""
    with pytest.raises(ValueError, match="`strategy` is 'stratified', expected one of 'adaptive', 'random'"):
        drift_probes(model, NAME, strategy="stratified")
    with pytest.raises(ValueError, match="`n` is 0"):
        drift_probes(model, NAME, n=0)
    with pytest.raises(KeyError, match="unknown LLM `lab/none`"):
        drift_probes(model, "lab/none")
    with pytest.raises(KeyError, match="unknown benchmark `won`"):
        drift_probes(model, NAME, benchmark="won")
    few = pool_of(simulated, 4, calibrate=False).without_llm("lab/02")
    with pytest.raises(ValueError, match=r"the pool has 2 LLMs beside `lab/03`, .*strategy `random`"):
        drift_probes(few, NAME)
    assert len(drift_probes(few, NAME, n=3, strategy="random").question_ids) == 3
