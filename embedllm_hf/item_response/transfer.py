"""How far an LLM's score on a benchmark lies from what its answers to other benchmarks say.

The posterior of an ability knows only the chance of the answers. That a benchmark may suit an LLM better or worse than
its answers elsewhere tell is seen in the pool: LLMs that have answered it are placed by their other answers alone.
"""

from __future__ import annotations

import numpy as np

from ..bank.item_parameters import ItemResponse
from ..bank.question_bank import KnownQuestions
from .posterior import score_moments
from .priors import TAKEN_SHARE, place_abilities

_MIN_ANSWERS = 8  # elsewhere
_MIN_COMPARED = 3


def transfer_variance(item_response: ItemResponse, known: KnownQuestions, rows: np.ndarray, n_llms: int) -> float:
    """Variance of a benchmark's score beyond what the model forecasts from answers to other questions.

    The method of moments: the mean of `(score - forecast)^2 - variance of the forecast`, at least 0, over the pool's
    LLMs that have answered half of the benchmark and something else. The questions' parameters have seen these LLMs.

    Args:
        item_response (`ItemResponse`): The model's.
        known (`KnownQuestions`): The questions.
        rows (`np.ndarray` of shape `(n,)`): Positions of the benchmark's questions.
        n_llms (`int`): Size of the pool.

    Returns:
        `float`: 0 or more; 0 where fewer than three LLMs can be compared.
    """
    responses = known.dense_responses(n_llms)
    inside = responses[rows]
    outside = np.ones(len(known), bool)
    outside[rows] = False
    elsewhere = [np.flatnonzero(outside & ~np.isnan(responses[:, llm])) for llm in range(n_llms)]
    answered = (~np.isnan(inside)).mean(axis=0) >= TAKEN_SHARE
    compared = [llm for llm in np.flatnonzero(answered) if len(elsewhere[llm]) >= _MIN_ANSWERS]
    if len(compared) < _MIN_COMPARED:
        return 0.0
    intercepts = item_response.intercepts.astype(np.float64)
    loadings = item_response.discriminations.astype(np.float64)
    answers = [responses[elsewhere[llm], llm] for llm in compared]
    placed = place_abilities(item_response, known, [elsewhere[llm] for llm in compared], answers)
    excess = []
    for position, llm in enumerate(compared):
        seen = rows[~np.isnan(inside[:, llm])]
        weights, unseen = np.full(len(seen), 1 / len(seen)), np.full(len(seen), np.nan)
        ability = placed.mean[position], placed.covariance[position]
        mean, variance = score_moments(intercepts[seen], loadings[seen], weights, unseen, *ability)
        excess.append((responses[seen, llm].mean() - mean) ** 2 - variance)
    return max(0.0, float(np.mean(excess)))
