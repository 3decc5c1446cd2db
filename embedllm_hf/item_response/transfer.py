"""How far an LLM's score on a benchmark lies from the forecast of its answers to other benchmarks.

The posterior of an ability knows only the chance of the answers. A benchmark may also suit an LLM better or worse than
its answers elsewhere tell. The pool shows how much: LLMs that have taken it are placed by their other answers alone.

So an LLM's answers to a benchmark are right more or less often than its ability says, by a shift. Its variance is t,
the pool's, times the share e of the LLM's answers that are to other questions: t if it has answered none of the
benchmark; nothing if it has answered nothing else, which is what the intervals' factor is calibrated on. Its answers
to the benchmark tell of the shift: the mean r of response minus probability has a variance c by their chance. So the
shift is g r, g = e t / (e t + c), with the variance e t (1 - g): an estimate of a small area, shrunk towards a model's
(Fay and Herriot, J. Am. Stat. Assoc. 74, 1979).
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


def shift_variance(bank: QuestionBank, benchmark: str, answered: np.ndarray) -> float:
    """Variance of an LLM's shift on a benchmark or category, by its ability from answers to some rows of a bank.

    It is 0 where it matters to nothing: all of the benchmark is `answered`, or nothing at all.
    """
    inside = np.isin(bank.benchmark_rows(benchmark), answered)
    elsewhere = len(answered) - inside.sum()
    return 0.0 if inside.all() or not elsewhere else benchmark_transfer(bank, benchmark) * elsewhere / len(answered)


def posterior_shift(
    probabilities: np.ndarray, responses: np.ndarray, weights: np.ndarray, variance: float
) -> tuple[float, float]:
    """Mean of an LLM's shift on a benchmark, and the variance that it leaves in a score; see the module.

    Args:
        probabilities (`np.ndarray` of shape `(n,)`): Of right answers to the benchmark's questions.
        responses, weights (`np.ndarray` of shape `(n,)`): NaN where not observed; of each question in the score.
        variance (`float`): That of `shift_variance`.
    """
    observed = ~np.isnan(responses)
    seen, unseen = weights[observed], float(weights[~observed].sum())
    if not len(seen) or variance <= 0:
        return 0.0, variance * unseen**2
    expected = probabilities[observed]
    chance = float(seen**2 @ (expected * (1 - expected))) / seen.sum() ** 2
    gain = variance / (variance + chance)
    return gain * float(seen @ (responses[observed] - expected) / seen.sum()), variance * (1 - gain) * unseen**2


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
