"""How well probabilities of a right answer fit the responses, over observed pairs only.

Every function takes `probs` and `responses`, both `(n_questions, n_llms)`; a response that was never observed is NaN
and counts nowhere. The tests compare them with scikit-learn, whose own functions refuse graded responses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logit
from scipy.stats import rankdata

from .._errors import InputError


def observed_pairs(probs: np.ndarray, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities and responses of the observed pairs, each `(n_observed,)`.

    Raises:
        ValueError: If the shapes differ, nothing is observed, or a value lies outside [0, 1].
    """
    probs, responses = np.asarray(probs, np.float64), np.asarray(responses, np.float64)
    if probs.shape != responses.shape:
        raise InputError(
            f"`probs` has shape {probs.shape} and `responses` {responses.shape}, expected the same "
            "(n_questions, n_llms). Select the same questions and LLMs for both."
        )
    observed = ~np.isnan(responses)
    probs, responses = probs[observed], responses[observed]
    if not len(responses):
        raise InputError("`responses` holds no observed pair (all NaN), so there is nothing to measure.")
    for name, values in (("probs", probs), ("responses", responses)):
        if not ((values >= 0) & (values <= 1)).all():
            raise InputError(f"`{name}` holds a value outside [0, 1] or NaN. Give probabilities, not logits.")
    return probs, responses


def accuracy(probs: np.ndarray, responses: np.ndarray) -> float:
    """Share of observed pairs whose side of one half was predicted; in [0, 1], higher is better.

    Args:
        probs (`np.ndarray` of shape `(n_questions, n_llms)`): Probability of a right answer, in [0, 1].
        responses (`np.ndarray`, same shape): In [0, 1]; above one half counts as right; NaN where not observed.

    Raises:
        ValueError: If shapes differ, nothing is observed, or a value lies outside [0, 1].
    """
    probs, responses = observed_pairs(probs, responses)
    return float(((probs > 0.5) == (responses > 0.5)).mean())


def auc(probs: np.ndarray, responses: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a right answer had a higher probability than a wrong one.

    In [0, 1], 0.5 is chance; NaN if all responses are on one side. Arguments and errors as for `accuracy`.
    Reference: Mann and Whitney (1947), the rank form; ties count one half.
    """
    probs, responses = observed_pairs(probs, responses)
    right = responses > 0.5
    n_right, n_wrong = int(right.sum()), int((~right).sum())
    if not n_right or not n_wrong:
        return float("nan")
    return float((rankdata(probs)[right].sum() - n_right * (n_right + 1) / 2) / (n_right * n_wrong))


def log_loss(probs: np.ndarray, responses: np.ndarray) -> float:
    """Mean negative log likelihood, in nats: 0 or more, lower is better; 0.693 is a constant guess of one half.

    Arguments and errors as for `accuracy`; a graded response counts as that share of a right answer. Probabilities
    are kept 1e-7 away from 0 and 1.
    """
    probs, responses = observed_pairs(probs, responses)
    probs = probs.clip(1e-7, 1 - 1e-7)
    return float(-(responses * np.log(probs) + (1 - responses) * np.log1p(-probs)).mean())


def brier_score(probs: np.ndarray, responses: np.ndarray) -> float:
    """Mean squared gap between probability and response (Brier, 1950).

    In [0, 1], lower is better; 0.25 is a constant guess of one half. Arguments and errors as for `accuracy`.
    """
    probs, responses = observed_pairs(probs, responses)
    return float(((probs - responses) ** 2).mean())


@dataclass(frozen=True)
class ReliabilityBin:
    """Pairs whose probabilities lie between `low` and `high`: the prediction and the outcome."""

    low: float
    high: float
    mean_probability: float
    share_right: float  # mean response
    n_pairs: int  # at least one


def reliability_bins(probs: np.ndarray, responses: np.ndarray, n_bins: int = 15) -> list[ReliabilityBin]:
    """Predicted against actual share of right answers, in equal-width bins of the probability.

    The bins go from low to high, without those that hold no pair. Arguments and errors as for `accuracy`.
    Reference: Niculescu-Mizil and Caruana (2005); 15 bins as in Guo et al. (2017).
    """
    probs, responses = observed_pairs(probs, responses)
    bins = np.minimum((probs * n_bins).astype(int), n_bins - 1)
    counts, sums, rights = (np.bincount(bins, values, minlength=n_bins) for values in (None, probs, responses))
    return [
        ReliabilityBin(
            low=position / n_bins,
            high=(position + 1) / n_bins,
            mean_probability=float(sums[position] / counts[position]),
            share_right=float(rights[position] / counts[position]),
            n_pairs=int(counts[position]),
        )
        for position in np.flatnonzero(counts).tolist()
    ]


def expected_calibration_error(probs: np.ndarray, responses: np.ndarray, *, n_bins: int = 15) -> float:
    """Mean gap between predicted and actual share of right answers over `reliability_bins`, weighted by their pairs.

    In [0, 1], lower is better. Arguments and errors as for `accuracy`. Reference: Naeini et al. (2015).
    """
    bins = reliability_bins(probs, responses, n_bins)
    gaps = sum(abs(item.mean_probability - item.share_right) * item.n_pairs for item in bins)
    return gaps / sum(item.n_pairs for item in bins)


def median_calibration_error(probs: np.ndarray, responses: np.ndarray, *, n_bins: int = 15) -> float:
    """Median over LLMs of `expected_calibration_error`, each over the questions that it has answered.

    In [0, 1], lower is better. Arguments and errors as for `accuracy`; an LLM without answers does not count. With few
    answers an LLM's error is far above 0 even if it is perfectly calibrated, so compare it on the same questions only.
    """
    probs, responses = np.asarray(probs, np.float64), np.asarray(responses, np.float64)
    observed_pairs(probs, responses)
    errors = [
        expected_calibration_error(predicted[:, None], answers[:, None], n_bins=n_bins)
        for predicted, answers in zip(probs.T, responses.T, strict=True)
        if not np.isnan(answers).all()
    ]
    return float(np.median(errors))


def calibration_covariance(probs: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Uncertainty of the calibration: covariance `(2, 2)` of intercept a and slope b in `logit P = a + b logit p`.

    It is taken at a = 0 and b = 1, where probabilities are calibrated. Answers to one question depend on each other,
    so the G questions are counted, not the answers: `B^-1 (G / (G - 1) sum_q s_q s_q') B^-1`, with `x = (1, logit p)`,
    `B = sum p(1-p) x x'`, and `s_q` the sum of `(y - p) x` over the answers to question q.

    Arguments and errors as for `accuracy`; probabilities are kept 1e-6 away from 0 and 1.
    Reference: Cox (1958) for the two numbers, Liang and Zeger (1986) for their covariance.
    """
    observed_pairs(probs, responses)
    probs, responses = np.clip(np.asarray(probs, np.float64), 1e-6, 1 - 1e-6), np.asarray(responses, np.float64)
    logits = logit(probs)
    residuals = np.nan_to_num(responses - probs)
    curvatures = np.where(np.isnan(responses), 0.0, probs * (1 - probs))
    scores = np.stack([residuals.sum(axis=1), (residuals * logits).sum(axis=1)], axis=1)
    moments = [(curvatures * logits**power).sum() for power in (0, 1, 2)]
    inverse = np.linalg.pinv(np.array([moments[:2], moments[1:]]))
    n_questions = int((~np.isnan(responses)).any(axis=1).sum())
    return inverse @ (scores.T @ scores) @ inverse * n_questions / max(n_questions - 1, 1)
