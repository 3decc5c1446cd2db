"""How far an LLM's score on a benchmark lies from the forecast of its answers to other benchmarks."""

from dataclasses import replace

import numpy as np
import pytest

from embedllm_hf import EmbedLLM
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.item_response import transfer
from embedllm_hf.item_response.transfer import benchmark_transfer, transfer_variance
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
