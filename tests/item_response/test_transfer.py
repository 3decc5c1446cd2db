"""Forecasts of a benchmark that an LLM has never been asked: wider by what its answers elsewhere do not tell."""

from dataclasses import replace

import numpy as np
import pytest

from embedllm_hf import Forecaster
from embedllm_hf.bank.question_bank import KnownQuestions
from embedllm_hf.item_response.transfer import transfer_variance


def without_answers(known: KnownQuestions, column: int, rows: np.ndarray) -> KnownQuestions:
    """The known questions without one LLM's responses to some of them."""
    row_of = np.repeat(np.arange(len(known)), np.diff(known.indptr))
    kept = ~((known.llm_indices == column) & np.isin(row_of, rows))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row_of[kept], minlength=len(known)))])
    return replace(known, indptr=indptr, llm_indices=known.llm_indices[kept], values=known.values[kept])


@pytest.fixture
def forecaster(quickstart):
    return Forecaster.from_pretrained(quickstart)


def test_the_variance_is_that_of_the_pools_errors(forecaster):
    """On the planted pool, whose skills differ by topic, a topic's score is far from what the others say."""
    model = forecaster.model
    known = model.known_questions
    rows = known.benchmark_rows("law")
    variance = transfer_variance(model.item_response, known, rows, model.config.n_llms)
    assert 0.02 < np.sqrt(variance) < 0.5


def test_too_few_llms_tell_nothing(forecaster):
    """With fewer than three LLMs to compare the variance is 0."""
    model = forecaster.model
    known = model.known_questions.of_pool([0, 1])
    item_response = model.item_response.of_pool([0, 1])
    assert transfer_variance(item_response, known, known.benchmark_rows("law"), 2) == 0.0


def test_an_interval_is_wider_where_nothing_was_answered(forecaster):
    """An LLM without answers to a benchmark gets an interval that holds the spread of the pool there."""
    model, llm = forecaster.model, "planted/scribe-large"
    with_answers = forecaster.benchmark(llm, "law")
    known = model.known_questions
    rows, column = known.benchmark_rows("law"), model.llm_index(llm)
    shift = transfer_variance(model.item_response, known, rows, model.config.n_llms)
    model.known_questions = without_answers(known, column, rows)
    without = forecaster.benchmark(llm, "law")
    assert without.n_observed == 0 < with_answers.n_observed
    assert without.high - without.accuracy > with_answers.high - with_answers.accuracy
    other = transfer_variance(model.item_response, model.known_questions, rows, model.config.n_llms)
    assert other != shift  # it no longer counts among those that are compared
    reach = min(without.high - without.accuracy, without.accuracy - without.low)
    assert without.high == 1.0 or without.low == 0.0 or reach >= 1.6448 * np.sqrt(other)
