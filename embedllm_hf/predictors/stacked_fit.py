"""Fits the weights of the stacked predictor: its category head on the bank, the rest on the validation split."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import expit

from .._errors import InputError
from ..bank.blend import Blend
from ..bank.question_bank import QuestionBank
from ..encoding.encoded_responses import EncodedResponses
from ..metrics import calibration_covariance, log_loss
from ..network import EmbedLLMNetwork
from . import blocks
from .neighbours import normalise
from .stacked import CategoryMeans, Evidence, base_features, stack

logger = logging.getLogger(__name__)

CATEGORY_L2, CATEGORY_STEPS = 1e-5, 150
# Prior means of the weights, with and without categories, and the prior's precision.
BASE_PRIOR = {True: (0.77, 0.30, 0.0), False: (1.0, 0.0)}  # z, t, 1
PRIOR = {True: (0.65, 0.40, 0.50, 0.55, 0.0), False: (0.95, 0.50, 0.70, 0.0)}  # z, t, D, R, 1
PRIOR_PRECISION = 1000.0
QUESTION_SD = 1.2  # in logits, where none was fitted
# Of more categories than the first number, each has to have as many questions as the second, on average: means of
# fewer tell nothing, and reading thousands of categories from the text takes minutes.
_FEW_CATEGORIES, _QUESTIONS_A_CATEGORY = 100, 4
_QUESTION_SD_PRIOR = 20  # questions that this prior counts as


def fit_blend(
    network: EmbedLLMNetwork, bank: QuestionBank, validation: EncodedResponses | None = None
) -> Blend | None:
    """Fit the weights of the stacked predictor.

    Args:
        network, bank: A trained network and its training questions.
        validation (`EncodedResponses`, *optional*): Questions that are not among them. Without them the weights are
            their priors, which did as well in cross-validation.

    Returns:
        `Blend | None`: The category head and the weights; None if the network alone predicts the validation split
            better (log loss), as may be where its form is the truth and the known questions are few.

    Raises:
        ValueError: If the bank has no questions, or the validation split other LLMs.
    """
    if not len(bank):
        raise InputError("the question bank is empty, so there is nothing to predict with. Give training questions.")
    if validation is not None and validation.responses.llm_names != bank.llm_names:
        raise InputError("`validation` has other LLMs than the bank, or in another order. Load both with one call.")
    listed = bank.listed
    with_categories = 1 < len(bank.categories) <= max(_FEW_CATEGORIES, len(listed) / _QUESTIONS_A_CATEGORY)
    head = np.zeros((listed.question_embeds.shape[1], 0), np.float32), np.zeros(0, np.float32)
    if with_categories:
        head = fit_category_head(normalise(listed.question_embeds), listed.category_indices)
    priors = np.array(BASE_PRIOR[with_categories]), np.array(PRIOR[with_categories])
    blend = Blend(*head, *priors, QUESTION_SD)
    if validation is None:
        return blend
    truth, counts = validation.responses.responses(), validation.responses.weights()
    normalised = normalise(validation.question_embeds)
    logits = network.network_logits(validation.question_embeds).astype(np.float64)
    base = base_features(CategoryMeans.of(network, listed, blend), normalised, logits)
    blend = replace(blend, base_weights=fit_weights(base, truth, counts, blend.base_weights))
    evidence = Evidence.of(network, bank, blend)
    parts = [evidence.features(normalised[rows], logits[rows]) for rows in blocks(len(logits))]
    features = [np.concatenate(part) for part in zip(*parts, strict=True)]
    weights = fit_weights(features, truth, counts, blend.weights)
    probs = expit(stack(features, weights))
    loss, network_loss = log_loss(probs, truth), log_loss(expit(logits), truth)
    logger.info("Blend: weights %s, log loss %.4f, network %.4f.", weights.round(3), loss, network_loss)
    if loss >= network_loss:
        return None
    spread, calibration = fit_question_sd(probs, truth), calibration_covariance(probs, truth)
    return replace(blend, weights=weights, question_sd=spread, calibration=calibration)


def fit_category_head(normalised: np.ndarray, category_indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Softmax regression of the category on the text vector, by scikit-learn.

    Takes text vectors of length 1, `(n, text_dim)`, of two categories or more, `(n,)`. Gives the weight
    `(text_dim, n_categories)` and the bias `(n_categories,)`, float32.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # scikit-learn weighs the summed loss against |W|^2 / 2; ours is the mean loss plus CATEGORY_L2 |W|^2.
    # Of two categories it regularises the one difference of their weights, which counts half.
    strength = (2 if category_indices.max() == 1 else 1) / (2 * CATEGORY_L2 * len(normalised))
    head = LogisticRegression(C=strength, max_iter=CATEGORY_STEPS, tol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are bounded on purpose: more did not help
        head.fit(normalised, category_indices)
    weight, bias = head.coef_.T.astype(np.float32), head.intercept_.astype(np.float32)
    if weight.shape[1] == 1:  # of two categories scikit-learn gives the second one's logit alone
        weight, bias = np.hstack([0 * weight, weight]), np.array([0, bias[0]], np.float32)
    return weight, bias


def fit_weights(
    features: Sequence[np.ndarray], responses: np.ndarray, weights: np.ndarray, prior: np.ndarray
) -> np.ndarray:
    """The most probable weights of features and 1 in a logistic regression of responses, by Newton steps.

    The prior is Gaussian, of precision 1000.

    Args:
        features (`Sequence[np.ndarray]`, each `(n_questions, n_llms)`): Logits.
        responses, weights (`np.ndarray`, same shape): Responses in [0, 1], NaN where not observed; their weights.
        prior (`np.ndarray` of shape `(n_features + 1,)`): Its mean, and where the steps start.
    """
    observed = ~np.isnan(responses)
    columns = [feature[observed] for feature in features]
    design = np.stack([*columns, np.ones(len(columns[0]))], axis=1)
    truth, weight = responses[observed].astype(np.float64), weights[observed].astype(np.float64)
    best = np.array(prior, np.float64)
    for _ in range(50):
        probs = expit(design @ best)
        curvature = (design * (weight * probs * (1 - probs))[:, None]).T @ design
        slope = design.T @ (weight * (probs - truth)) + PRIOR_PRECISION * (best - prior)
        step = np.linalg.solve(curvature + PRIOR_PRECISION * np.eye(len(best)), slope)
        best = best - step
        if np.abs(step).max() < 1e-9:
            break
    return best


def fit_question_sd(probs: np.ndarray, responses: np.ndarray) -> float:
    """Spread of questions around predicted logits, by the method of moments.

    If all LLMs' logits on a question are off by e with variance v, then `sum_m (y - p)` is about `e sum_m p(1-p)`
    beside the chance of the answers, so `v = sum_q [(sum_m y - p)^2 - sum_m p(1-p)] / sum_q [sum_m p(1-p)]^2`. It is
    drawn to 1.2^2 as by 20 questions, and is at least 0.1^2. Both arrays are `(n_questions, n_llms)`, `responses` NaN
    where not observed.
    """
    observed = ~np.isnan(responses)
    residuals = np.where(observed, responses - probs, 0).sum(axis=1)
    curvatures = np.where(observed, probs * (1 - probs), 0).sum(axis=1)
    square = (curvatures**2).sum()
    prior = _QUESTION_SD_PRIOR * square / len(residuals)
    excess = (residuals**2 - curvatures).sum()
    return float(np.sqrt(max((excess + prior * QUESTION_SD**2) / (square + prior), 0.01)))
