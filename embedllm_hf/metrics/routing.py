"""Routing accuracy: the mean response of the LLM with the highest probability for each question.

Only questions with at least two observed LLMs count, and only observed LLMs can be chosen, so that every choice has a
known outcome. Arrays are `(n_questions, n_llms)`; a response that was never observed is NaN.
"""

from __future__ import annotations

import numpy as np

from .._errors import InputError


def routed_responses(probs: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """The response of the chosen LLM on each question, `(n_questions,)`; NaN where fewer than two LLMs were observed.

    Of equally probable LLMs the first column is chosen.

    Args:
        probs (`np.ndarray` of shape `(n_questions, n_llms)`): Probability of a right answer.
        responses (`np.ndarray`, same shape): In [0, 1], NaN where not observed.

    Raises:
        ValueError: If shapes differ, or the probability of an observed pair is NaN or infinite.
    """
    probs, responses = np.asarray(probs), np.asarray(responses, np.float64)
    if probs.shape != responses.shape:
        raise InputError(f"`probs` has shape {probs.shape} and `responses` {responses.shape}, expected the same.")
    observed = ~np.isnan(responses)
    if not np.isfinite(probs[observed]).all():
        raise InputError("`probs` holds NaN or infinity for an observed response. Give a probability for each.")
    chosen = np.where(observed, probs, -np.inf).argmax(axis=1)
    outcome = responses[np.arange(len(responses)), chosen]
    return np.where(observed.sum(axis=1) >= 2, outcome, np.nan)


def routing_accuracy(probs: np.ndarray, responses: np.ndarray) -> float:
    """Mean response of the chosen LLM, in [0, 1], higher is better; NaN if no question has two observed LLMs.

    Arguments and errors as for `routed_responses`.
    """
    outcomes = routed_responses(probs, responses)
    counted = outcomes[~np.isnan(outcomes)]
    return float(counted.mean()) if len(counted) else float("nan")


def oracle_accuracy(responses: np.ndarray) -> float:
    """Routing accuracy of the best choice in hindsight, which no router exceeds."""
    responses = np.asarray(responses, np.float64)
    return routing_accuracy(np.nan_to_num(responses, nan=0.0), responses)
