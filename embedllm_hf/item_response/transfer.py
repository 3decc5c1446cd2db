"""How far an LLM's score on a benchmark lies from the forecast of its answers to other benchmarks.

The posterior of an ability knows only the chance of the answers. A benchmark may also suit an LLM better or worse than
its answers elsewhere tell. The pool shows how much: LLMs that have taken it are placed by their other answers alone.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from ..bank.question_bank import QuestionBank
from .posterior import score_moments
from .priors import TAKEN_SHARE, item_parameters_of, place_abilities

_MIN_ANSWERS = 8  # elsewhere
_MIN_COMPARED = 3
_FOUND: WeakKeyDictionary[QuestionBank, dict[str, float]] = WeakKeyDictionary()  # by benchmark


def benchmark_transfer(bank: QuestionBank, benchmark: str) -> float:
    """`transfer_variance` of a benchmark or category, found once a bank: it places the whole pool."""
    found = _FOUND.setdefault(bank, {})
    if benchmark not in found:
        found[benchmark] = transfer_variance(bank, bank.benchmark_rows(benchmark))
    return found[benchmark]


def transfer_variance(bank: QuestionBank, rows: np.ndarray) -> float:
    """Variance of the score on a benchmark, its `rows` of a bank, beyond the forecast from answers to other questions.

    The method of moments: the mean of `(score - forecast)^2 - variance of the forecast`, at least 0, over the pool's
    LLMs that have answered half of the benchmark and something else. It is 0 where these are fewer than three. The
    questions' parameters have seen these LLMs.
    """
    responses = bank.dense_responses()
    inside = responses[rows]
    outside = np.ones(len(bank), bool)
    outside[rows] = False
    elsewhere = [np.flatnonzero(outside & ~np.isnan(answers)) for answers in responses.T]
    answered = (~np.isnan(inside)).mean(axis=0) >= TAKEN_SHARE
    compared = [llm for llm in np.flatnonzero(answered) if len(elsewhere[llm]) >= _MIN_ANSWERS]
    if len(compared) < _MIN_COMPARED:
        return 0.0
    intercepts, discriminations = item_parameters_of(bank).questions(rows)
    answers = [responses[elsewhere[llm], llm] for llm in compared]
    placed = place_abilities(bank, [elsewhere[llm] for llm in compared], answers)
    excess = []
    for llm, mean, covariance in zip(compared, placed.mean, placed.covariance, strict=True):
        seen = ~np.isnan(inside[:, llm])
        weights, unseen = np.full(seen.sum(), 1 / seen.sum()), np.full(seen.sum(), np.nan)
        score, variance = score_moments(intercepts[seen], discriminations[seen], weights, unseen, mean, covariance)
        excess.append((inside[seen, llm].mean() - score) ** 2 - variance)
    return max(0.0, float(np.mean(excess)))
