"""How far an LLM's score on a benchmark lies from the forecast of its answers to other benchmarks."""

from dataclasses import replace

import numpy as np
import pytest

from embedllm_hf import EmbedLLM
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.item_response import transfer
from embedllm_hf.item_response.transfer import (
    benchmark_transfer,
    posterior_shift,
    shift_variance,
    transfer_variance,
)
from tests.placing import pool_of, simulated_pool, with_answers


def test_the_variance_is_that_of_the_pools_errors(planted_model):
    """On the planted pool, whose skills differ by topic, a topic's score is far from what the others say."""
    bank = EmbedLLM.from_pretrained(planted_model).bank
    assert 0.02 < np.sqrt(transfer_variance(bank, bank.benchmark_rows("law"))) < 0.5


@pytest.fixture(scope="module")
def bank() -> QuestionBank:
    """Of LLMs whose answers to both benchmarks, even and odd questions, come from one ability."""
    return pool_of(simulated_pool(), 24, calibrate=False).bank


TWO = np.arange(1, 400, 2)


def test_it_is_what_the_answers_elsewhere_do_not_tell(bank):
    """Where one ability explains both benchmarks nothing is left; where LLMs swap places on one, the gaps are.

    The forecast of a score is then that of another LLM, so the errors' mean square is about the gaps'.
    """
    responses = bank.dense_responses()
    swapped = responses.copy()
    swapped[TWO] = responses[TWO, ::-1]
    gaps = swapped[TWO].mean(axis=0) - responses[TWO].mean(axis=0)
    assert transfer_variance(with_answers(bank, swapped), TWO) == pytest.approx((gaps**2).mean(), rel=0.2)
    assert transfer_variance(bank, TWO) < 0.1 * (gaps**2).mean()


def test_three_llms_that_took_half_of_the_benchmark_are_needed(bank):
    """One answer less than half by one of three, or fewer than eight answers elsewhere, and nothing is told."""
    responses = np.full((400, 24), np.nan)
    responses[::2, 3:] = 1  # the others took `one` alone
    responses[:16:2, :3] = 1  # eight answers to `one`
    responses[1:201:2, :3] = 0  # half of `two`
    assert transfer_variance(with_answers(bank, responses), TWO) > 0
    for row in (1, 0):
        fewer = responses.copy()
        fewer[row, 1] = np.nan
        assert transfer_variance(with_answers(bank, fewer), TWO) == 0.0


def test_it_is_found_once_a_bank(bank, monkeypatch):
    """It places the whole pool, and every question that is asked of a new LLM needs it; another bank has its own."""
    calls = []
    monkeypatch.setattr(transfer, "transfer_variance", lambda bank, rows: calls.append(len(rows)) or 0.5)
    other = replace(bank)
    assert [benchmark_transfer(of, "two") for of in (bank, bank, other)] == [0.5] * 3
    assert calls == [200, 200]


def test_the_shift_is_that_of_bayes():
    """Drawn shifts and answers, those of about the same mean residual together: mean and variance of the shift."""
    draw, n, variance = np.random.default_rng(0), 20, 0.01
    shifts = np.sqrt(variance) * draw.normal(size=40_000)
    right = draw.binomial(n, np.clip(0.5 + shifts, 0, 1))
    weights = np.full(n + 5, 1 / (n + 5))
    for count in (6, 10, 13):
        responses = np.concatenate([np.arange(n) < count, np.full(5, np.nan)])
        shift, left = posterior_shift(np.full(n + 5, 0.5), responses, weights, variance)
        assert shift == pytest.approx(shifts[right == count].mean(), abs=0.008)
        assert left / (5 / (n + 5)) ** 2 == pytest.approx(shifts[right == count].var(), rel=0.1)


def test_there_is_no_shift_where_it_matters_to_nothing(monkeypatch):
    """All or nothing answered, or nothing else; otherwise by the share of the answers that are to other questions."""
    bank = pool_of(simulated_pool(n_llms=6), 6, calibrate=False).bank  # even rows are of benchmark `one`
    monkeypatch.setattr(transfer, "benchmark_transfer", lambda bank, name: 0.01)
    told = {(): 0, (0, 2): 0, (1, 3): 0.01, (0, 1, 3, 5): 0.0075, tuple(range(0, 400, 2)): 0, tuple(range(400)): 0}
    for answered, expected in told.items():
        assert shift_variance(bank, "one", np.array(answered, int)) == pytest.approx(expected)
