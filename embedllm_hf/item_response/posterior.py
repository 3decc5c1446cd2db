"""What answers tell about an LLM: its posterior, the score that follows from it, the questions to ask next.

Pure functions of arrays. `intercepts` `(n,)` and `discriminations` `(n, n_traits)` describe questions: an LLM at
`theta` is right with probability `sigmoid(intercepts + discriminations @ theta)`. The same functions place an LLM
among the abilities of the item-response model and in the network's space of vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

Z90 = 1.6448536269514722  # half width of a central 90% interval of the normal distribution, in standard deviations
_MAX_STEPS = 50
_LONGEST_STEP = 3.0  # in prior standard deviations
_MAX_HALVINGS = 30
_ROUNDING = 1e-12  # of the objective; a fall by less is none
_TOLERANCE = 1e-9
_NUMBERS_AT_ONCE = 4_000_000  # discriminations of one batch of LLMs; bounds the memory


@dataclass(frozen=True)
class Posterior:
    """Normal approximation of what is known about some LLMs: `mean` `(n_llms, n_traits)`, `covariance` (… squared)."""

    mean: np.ndarray
    covariance: np.ndarray


def place_llms(
    intercepts: np.ndarray,
    discriminations: np.ndarray,
    rows: Sequence[np.ndarray],
    responses: Sequence[np.ndarray],
    prior_mean: np.ndarray,
    prior_covariance: np.ndarray,
) -> Posterior:
    """Posterior of LLMs from their answers: maximum by Newton's method, covariance by Laplace's.

    The objective is a logistic regression's log-likelihood plus the log density of a normal prior. It is strictly
    concave, so its maximum is unique and does not depend on where one starts.

    Args:
        intercepts, discriminations (`np.ndarray` of shapes `(n,)`, `(n, n_traits)`): The questions.
        rows, responses (`Sequence[np.ndarray]`): For each LLM the questions that it has answered, and its responses
            to them, in [0, 1].
        prior_mean, prior_covariance (`np.ndarray` of shapes `(n_traits,)`, `(n_traits, n_traits)`): Of each LLM.

    Reference: Bishop, Pattern Recognition and Machine Learning (2006), sections 4.3.3 and 4.5.1.
    """
    n_traits = len(prior_mean)
    mean = np.tile(np.asarray(prior_mean, np.float64), (len(rows), 1))
    covariance = np.tile(np.asarray(prior_covariance, np.float64), (len(rows), 1, 1))
    lengths = np.array([len(answered) for answered in rows], int)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    while len(order):  # LLMs with about as many answers together, so that little is padded
        widths = lengths[order] * n_traits * np.arange(1, len(order) + 1)
        batch = order[: max(1, int(np.searchsorted(widths, _NUMBERS_AT_ONCE, "right")))]
        padded = np.zeros((len(batch), lengths[batch[-1]]), int)
        answers, observed = np.zeros(padded.shape), np.zeros(padded.shape, bool)
        for position, llm in enumerate(batch):
            padded[position, : lengths[llm]] = rows[llm]
            answers[position, : lengths[llm]] = responses[llm]
            observed[position, : lengths[llm]] = True
        # In prior standard deviations (`theta = mean + root @ eta`) the prior is standard, and nothing is inverted.
        root = np.linalg.cholesky(np.asarray(prior_covariance, np.float64))
        offsets = intercepts[padded] + discriminations[padded] @ prior_mean
        eta, inner = _newton(offsets, discriminations[padded] @ root, answers, observed)
        mean[batch] = prior_mean + eta @ root.T
        covariance[batch] = root @ inner @ root.T
        order = order[len(batch) :]
    return Posterior(mean, covariance)


def _newton(
    offsets: np.ndarray, discriminations: np.ndarray, answers: np.ndarray, observed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Maximum and inverse curvature under a standard normal prior, of `(n_llms, k)` answers, each LLM on its own.

    Full steps can circle around the maximum for ever, where few answers meet steep questions, so a step is halved
    until the objective does not fall (Boyd and Vandenberghe, Convex Optimization, section 9.5.2).
    """
    eta = np.zeros((len(offsets), discriminations.shape[2]))
    transposed = np.ascontiguousarray(discriminations.transpose(0, 2, 1))
    identity = np.eye(discriminations.shape[2])

    def objective(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logits there, and each LLM's log posterior up to a constant."""
        logits = offsets + (discriminations @ point[:, :, None])[:, :, 0]
        likelihood = np.where(observed, answers * logits - np.logaddexp(0.0, logits), 0.0).sum(axis=1)
        return logits, likelihood - (point**2).sum(axis=1) / 2

    logits, height = objective(eta)
    for _ in range(_MAX_STEPS):
        probabilities = expit(logits)
        information = np.where(observed, probabilities * (1 - probabilities), 0.0)
        surprise = np.where(observed, answers - probabilities, 0.0)
        curvature = (transposed * information[:, None, :]) @ discriminations + identity
        step = np.linalg.solve(curvature, transposed @ surprise[:, :, None] - eta[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        step *= np.minimum(1.0, _LONGEST_STEP / np.maximum(longest, _TOLERANCE))
        for _ in range(_MAX_HALVINGS):
            logits, new_height = objective(eta + step)
            falls = new_height < height - _ROUNDING * (1 + np.abs(height))
            if not falls.any():
                break
            step[falls] /= 2
        eta, height = eta + step, new_height
        if longest.max() < _TOLERANCE:
            break
    return eta, np.linalg.inv(curvature)


def score_moments(
    intercepts: np.ndarray,
    discriminations: np.ndarray,
    weights: np.ndarray,
    responses: np.ndarray,
    ability: np.ndarray,
    covariance: np.ndarray,
) -> tuple[float, float]:
    """Mean and variance of a score, the weighted mean of responses: those that are observed, and forecasts elsewhere.

    The variance has two parts: the ability's, to first order, and the chance of the answers that are not observed.

    Args:
        intercepts, discriminations (`np.ndarray` of shapes `(n,)`, `(n, n_traits)`): The score's questions.
        weights (`np.ndarray` of shape `(n,)`): Of each question in the score; they sum to 1.
        responses (`np.ndarray` of shape `(n,)`): NaN where not observed.
        ability, covariance (`np.ndarray` of shapes `(n_traits,)`, `(n_traits, n_traits)`): The LLM's posterior.
    """
    probabilities = expit(intercepts + discriminations @ ability)
    observed = ~np.isnan(responses)
    spread = np.where(observed, 0.0, probabilities * (1 - probabilities))
    gradient = (weights * spread) @ discriminations
    mean = float(weights @ np.where(observed, responses, probabilities))
    return mean, float(gradient @ covariance @ gradient + (weights**2 @ spread))


def interval(mean: float, variance: float, factor: float = 1.0, lowest: float = 0.0) -> tuple[float, float]:
    """The 90% interval of a score in [0, 1], or of a difference of scores, whose `lowest` value is -1.

    `factor` is that of `ItemParameters.interval_factor`, if the variance is not calibrated yet.
    """
    reach = Z90 * factor * float(np.sqrt(max(variance, 0.0)))
    return max(lowest, mean - reach), min(1.0, mean + reach)


def next_probes(
    intercepts: np.ndarray,
    discriminations: np.ndarray,
    weights: np.ndarray,
    allowed: np.ndarray,
    ability: np.ndarray,
    covariance: np.ndarray,
    n: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The questions whose answers are expected to reduce a score's variance most, one after the other.

    With S the covariance, g the score's gradient and i = p (1 - p), an answer to question q takes
    `i (w_q' S g)^2 / (1 + i w_q' S w_q)` off the variance g' S g (a rank-one update of a normal posterior). After each
    choice S is updated as if the answer had come, so that a batch does not ask the same thing twice.

    Args:
        intercepts, discriminations, weights, ability, covariance: As for `score_moments`.
        allowed (`np.ndarray` of shape `(n,)`, bool): Questions that may be asked.
        n (`int`): How many; fewer are returned if fewer are allowed.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: Positions of the questions, and the covariance that is expected after them.
    """
    probabilities = expit(intercepts + discriminations @ ability)
    information = probabilities * (1 - probabilities)
    gradient = (weights * information) @ discriminations
    allowed = allowed.copy()
    chosen = []
    for _ in range(min(n, int(allowed.sum()))):
        reach = discriminations @ covariance
        gain = information * (reach @ gradient) ** 2 / (1 + information * (reach * discriminations).sum(axis=1))
        chosen.append(int(np.where(allowed, gain, -1.0).argmax()))
        allowed[chosen[-1]] = False
        covariance = after_answer(covariance, discriminations[chosen[-1]], information[chosen[-1]])
    return np.array(chosen, int), covariance


def after_answer(covariance: np.ndarray, discrimination: np.ndarray, information: float) -> np.ndarray:
    """The covariance after one answer of some information (Sherman-Morrison)."""
    reach = covariance @ discrimination
    return covariance - np.outer(reach, reach) * (information / (1 + information * (discrimination @ reach)))


def fixed_order(strategy: str, logits: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The order of questions, by their `logits` `(n,)`, of a choice that does not look at answers."""
    return generator.permutation(len(logits)) if strategy == "random" else stratified_order(logits, generator)


def stratified_order(logits: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """An order of questions whose every beginning spreads evenly over their difficulty.

    Sorted by logits, the positions follow van der Corput's sequence, shifted at random.
    """
    n = len(logits)
    by_difficulty = np.argsort(logits, kind="stable")
    fractions, digits, share = np.zeros(n), np.arange(n), 0.5
    while digits.any():
        fractions += share * (digits & 1)
        digits, share = digits >> 1, share / 2
    places = ((fractions + generator.random()) % 1 * n).astype(int)
    free, order = np.ones(n, bool), np.empty(n, int)
    for position, place in enumerate(places):
        while not free[place]:
            place = (place + 1) % n
        free[place] = False
        order[position] = by_difficulty[place]
    return order
