"""How sure a forecast is: its interval on the question at hand, and the bound that a guarantee is made by.

Two things are not known of a probability p with the logit A. One is the question: its own logits lie around the
predicted ones as a normal with the standard deviation s, fitted on validation (1.2 where it was not). p is the mean
over that normal, so its centre is about `A * sqrt(1 + pi s^2 / 8)` (MacKay, 1992), and `low` and `high` are its 5% and
95% quantiles, as probabilities. This is the uncertainty of a single question: of many questions with this p, the share
p is right.

The other is p itself, whose calibration was measured on so many questions only. `at_least` is its lower bound:

    at_least = sigmoid(A - 1.645 sqrt((1, A) C (1, A)'))

with C from `metrics.calibration_covariance` on validation. So with 95% confidence at least this share of the answers
with this probability is right: the guarantee of `min_success` with `strict`. Where calibration was not measured,
without a blend and for an LLM that was placed later, it is `low`, which is more cautious.

An LLM without any answer may be as any of the pool: the variance of the others' logits on the question comes on top of
s^2, and `at_least` is `low`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from ..bank.question_bank import QuestionBank
from ..item_response.posterior import Z90
from .stacked_fit import QUESTION_SD

UNIFORM_LOGIT_VARIANCE = np.pi**2 / 3  # of the logit of a probability of which nothing is known


def question_sd(bank: QuestionBank | None) -> float:
    """Standard deviation of a question's own logits around the predicted ones."""
    return QUESTION_SD if bank is None or bank.blend is None else bank.blend.question_sd


def centre_of(logits: np.ndarray, sd: float | np.ndarray) -> np.ndarray:
    """Centre of the normal of a question's own logits, from the predicted `logits`; see the module."""
    return logits * np.sqrt(1 + np.pi * sd**2 / 8)


def interval_on_question(logits: np.ndarray, sd: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """90% interval of the probability on the question at hand: low and high in [0, 1], of the shape of `logits`.

    `sd` is the standard deviation of a question's own logits, one or one an LLM; see the module.
    """
    centre = centre_of(logits, sd)
    return expit(centre - Z90 * sd), expit(centre + Z90 * sd)


def calibrated_bound(logits: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Share of right answers that a forecast guarantees with 95% confidence, in [0, 1], of the shape of `logits`.

    `calibration` `(2, 2)` is from `metrics.calibration_covariance`; see the module.
    """
    variance = calibration[0, 0] + 2 * logits * calibration[0, 1] + logits**2 * calibration[1, 1]
    return expit(logits - Z90 * np.sqrt(np.maximum(variance, 0)))


def bounds(bank: QuestionBank | None, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`low`, `high` and `at_least` of a model's forecasts, each `(n_questions, n_llms)`; see the module.

    `logits` are those of the model's whole pool, from its `predict_logits`; `bank` is the model's.
    """
    sd: float | np.ndarray = question_sd(bank)
    if bank is not None and not bank.n_answers.all():
        others = variance_of_another(logits[:, bank.n_answers > 0], UNIFORM_LOGIT_VARIANCE)
        sd = np.where(bank.n_answers == 0, np.sqrt(sd**2 + others)[:, None], sd)
    low, high = interval_on_question(logits, sd)
    if bank is None or bank.blend is None or bank.blend.calibration is None:
        return low, high, low
    cautious = bank.is_new | (bank.n_answers == 0)
    return low, high, np.where(cautious, low, calibrated_bound(logits, bank.blend.calibration))


def variance_of_another(values: np.ndarray, alone: float) -> np.ndarray:
    """Variance of one more LLM's value around the mean of a pool's, `(n_questions, n_llms)` -> `(n_questions,)`.

    `alone` is that of a single LLM's pool, which tells nothing of it.
    """
    n_llms = values.shape[1]
    if n_llms < 2:
        return np.full(len(values), alone)
    return values.var(axis=1, ddof=1) * (1 + 1 / n_llms)
