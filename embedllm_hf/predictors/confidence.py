"""How sure a probability is: its interval on the question at hand, and the bound that a promise is made by.

Two things are not known of a probability p. One is the question: its own log odds lie around what its text tells as a
normal with the standard deviation s that was fitted on validation (1.2 where it was not). p is the mean over that, so
the normal's centre is about `logit(p) * sqrt(1 + pi s^2 / 8)` (MacKay, 1992), and `low` and `high` are its 5% and 95%
quantiles, as probabilities. Only questions answered one at a time are that uncertain: of many questions with this p,
the share p is right.

The other is p itself, whose calibration was measured on so many questions only. `at_least` is its lower bound:

    at_least(p) = sigmoid(A - 1.645 sqrt((1, A) C (1, A)')),    A = logit(p)

with C from `metrics.calibration_covariance` on validation. So with 95% confidence at least this share of answers with
this probability is right, which is what `min_success` promises. It is `low`, which is more cautious, where calibration
was not measured: without a blend, and for an LLM that was placed later.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from ..item_response.posterior import Z90
from .stacked import BlendedPredictor


def probability_interval(probs: np.ndarray, question_sd: float) -> tuple[np.ndarray, np.ndarray]:
    """90% interval of the probability on the question at hand; see the module.

    Args:
        probs (`np.ndarray`): Probabilities in [0, 1], of any shape.
        question_sd (`float`): Standard deviation of a question's own log odds.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: Low and high, of that shape.
    """
    centre = _log_odds(probs) * np.sqrt(1 + np.pi * question_sd**2 / 8)
    return expit(centre - Z90 * question_sd), expit(centre + Z90 * question_sd)


def calibrated_bound(probs: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Share of right answers that a probability promises with 95% confidence; see the module.

    Args:
        probs (`np.ndarray`): Probabilities in [0, 1], of any shape.
        calibration (`np.ndarray` of shape `(2, 2)`): From `metrics.calibration_covariance`.

    Returns:
        `np.ndarray`: Of that shape, at most `probs`.
    """
    log_odds = _log_odds(probs)
    variance = calibration[0, 0] + 2 * log_odds * calibration[0, 1] + log_odds**2 * calibration[1, 1]
    return expit(log_odds - Z90 * np.sqrt(np.maximum(variance, 0)))


def bounds(predictor: BlendedPredictor, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`low`, `high` and `at_least` of a predictor's probabilities, each `(n_questions, n_llms)`; see the module.

    Args:
        predictor (`BlendedPredictor`): Where the probabilities are from.
        probs (`np.ndarray` of shape `(n_questions, n_llms)`): From its `predict_proba`, the whole pool.
    """
    low, high = probability_interval(probs, predictor.question_sd)
    blend = predictor.blend
    if blend is None or blend.calibration is None:
        return low, high, low
    measured = blend.among_fitted(probs.shape[1])
    return low, high, np.where(measured, calibrated_bound(probs, blend.calibration), low)


def _log_odds(probs: np.ndarray) -> np.ndarray:
    return logit(np.clip(np.asarray(probs, np.float64), 1e-6, 1 - 1e-6))
