"""The blend of learned and retrieved evidence: the network's log odds, and what the nearest known questions show.

    A(q, m) = b1 z(q, m) + b2 t(q, m) + b3 D(q) + b4 R(q, m) + b5,    P(right) = sigmoid(A)

- z: the network's log odds.
- t: log odds of LLM m's mean in q's category; the category is given, or read from the text by softmax regression.
- D: the question's difficulty, the same for all LLMs: local kriging of the known questions' residuals around q.
- R: one Newton step of an offset for each LLM from its residuals on the nearest known questions.
- b: a logistic regression on the validation split, drawn to a prior. It is the calibration, too.

The constants were chosen by cross-validation on the training questions of open-llm-responses, where they are flat
(`model_cards/what_helped.md`). Neighbours are found by `vector_index`; nothing is stored but `data.blend.Blend`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, logit, softmax

from .._errors import InputError
from ..bank.blend import Blend
from ..bank.question_bank import KnownQuestions
from ..data.responses import ResponseMatrix, check_pool
from ..metrics import calibration_covariance, log_loss
from ..modeling_embedllm import EmbedLLM
from .baselines import unit_rows
from .neighbours import difficulty_offsets, llm_offsets
from .vector_index import VectorIndex

logger = logging.getLogger(__name__)

N_NEIGHBOURS = 256  # of R
N_DIFFICULTY_NEIGHBOURS = 64  # of D
CATEGORY_L2, CATEGORY_STEPS, CATEGORY_SHRINKAGE = 1e-5, 150, 10.0
# Prior means of the weights, with and without categories, and the prior's precision.
BASE_PRIOR = {True: (0.77, 0.30, 0.0), False: (1.0, 0.0)}  # z, t, 1
PRIOR = {True: (0.65, 0.40, 0.50, 0.55, 0.0), False: (0.95, 0.50, 0.70, 0.0)}  # z, t, D, R, 1
PRIOR_PRECISION = 1000.0
QUESTION_SD = 1.2  # in log odds, where none was fitted
_QUESTION_SD_PRIOR = 20  # questions that this prior counts as
_BLOCK = 512  # questions that are compared with all known ones at once
_BANK_BLOCK = 4096  # known questions scored at once


class BlendedPredictor:
    """Predicts with a model's network and its known questions together; with the network alone where it has no blend.

    What the known questions show is computed once, on first use: make a new predictor when the model changes.

    Args:
        model (`EmbedLLM`): A trained model.
    """

    def __init__(self, model: EmbedLLM) -> None:
        self.model = model
        known = model.known_questions
        self.blend: Blend | None = model.blend if known is not None and len(known) else None

    @property
    def question_sd(self) -> float:
        """Standard deviation of a question's own log odds around the predicted ones."""
        return QUESTION_SD if self.blend is None else self.blend.question_sd

    @cached_property
    def _bank(self) -> _Bank:
        return _Bank.of(self.model, self.blend)

    def predict_proba(self, question_embeds: np.ndarray, categories: Sequence[str] | None = None) -> np.ndarray:
        """Probability that each LLM answers each question correctly.

        Args:
            question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`): Text vectors.
            categories (`Sequence[str]` of length n_questions, *optional*): The questions' categories, where they are
                known. One that the model does not know is read from the text, like all without this argument.

        Returns:
            `np.ndarray` of shape `(n_questions, n_llms)`, float32, in [0, 1].

        Raises:
            ValueError: If the width is not the model's, or categories and questions differ in number.
        """
        if categories is not None and len(categories) != len(question_embeds):
            raise InputError(
                f"`categories` has {len(categories)} entries, expected {len(question_embeds)}, one a question."
            )
        network = self.model.predict_proba(question_embeds)
        if self.blend is None:
            return network
        directions = unit_rows(question_embeds)
        blended = np.empty_like(network)
        for start in range(0, len(network), _BLOCK):
            rows = slice(start, start + _BLOCK)
            given = None if categories is None else categories[rows]
            features = _features(self._bank, self.blend, directions[rows], _log_odds(network[rows]), given)
            blended[rows] = expit(stack(features, self.blend.weights))
        return blended

    def nearest(self, question_embeds: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The most similar known questions: positions and cosines, each `(n_questions, n)`, the nearest first.

        Raises:
            ValueError: If the model keeps no known questions.
        """
        known = self.model.known_questions
        if known is None or not len(known):
            raise InputError("the model keeps no known questions to compare with. Train it with this package.")
        index = VectorIndex(unit_rows(known.question_embeds)) if self.blend is None else self._bank.index
        return index.nearest(unit_rows(question_embeds), n)


def fit_blend(
    model: EmbedLLM, validation: ResponseMatrix | None = None, validation_embeds: np.ndarray | None = None
) -> Blend | None:
    """Fit the blend of a trained model; set it as `model.blend` to use and save it.

    Args:
        model (`EmbedLLM`): With its known questions, which are the training questions.
        validation (`ResponseMatrix`, *optional*): Questions that are not among them. Without them the weights are
            their priors, which did as well in cross-validation.
        validation_embeds (`np.ndarray` of shape `(n_validation, text_dim)`, *optional*): Their text vectors.

    Returns:
        `Blend | None`: The category head and the weights; None if the network alone predicts the validation split
            better (log loss), as may be where its form is the truth and the known questions are few.

    Raises:
        ValueError: If the model has no known questions, or the validation split does not fit it.
    """
    known = model.known_questions
    if known is None or not len(known):
        raise InputError("the model keeps no known questions, which the blend is made of. Train it with this package.")
    with_categories = len(known.categories) > 1
    if with_categories:
        told = known.category_indices >= 0  # a question that came without a category teaches none
        directions = unit_rows(known.question_embeds[told])
        weight, bias = fit_category_head(directions, known.category_indices[told], len(known.categories))
    else:
        weight, bias = np.zeros((model.config.text_dim, 0), np.float32), np.zeros(0, np.float32)
    blend = Blend(
        categories=known.categories if with_categories else (),
        category_weight=weight,
        category_bias=bias,
        base_weights=np.array(BASE_PRIOR[with_categories]),
        weights=np.array(PRIOR[with_categories]),
        fitted=np.ones(model.config.n_llms, bool),
        question_sd=QUESTION_SD,
    )
    if validation is None:
        return blend
    _check_validation(model, validation, validation_embeds)
    responses, weights = validation.responses(), validation.weights()
    directions, z = unit_rows(validation_embeds), _log_odds(model.predict_proba(validation_embeds))
    base = [z]
    if with_categories:
        table = category_table(model, known, blend.categories)
        base.append(_category_log_odds(blend, table, directions, None))
    blend = replace(blend, base_weights=fit_weights(base, responses, weights, blend.base_weights))
    bank = _Bank.of(model, blend)
    blocks = [
        _features(bank, blend, directions[start : start + _BLOCK], z[start : start + _BLOCK], None)
        for start in range(0, len(z), _BLOCK)
    ]
    features = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    blend = replace(blend, weights=fit_weights(features, responses, weights, blend.weights))
    probs = expit(stack(features, blend.weights))
    loss, network_loss = log_loss(probs, responses), log_loss(expit(z), responses)
    logger.info("Blend: weights %s, log loss %.4f, network %.4f.", blend.weights.round(3), loss, network_loss)
    if loss >= network_loss:
        return None
    calibration = calibration_covariance(probs, responses)
    return replace(blend, question_sd=fit_question_sd(probs, responses), calibration=calibration)


def _check_validation(model: EmbedLLM, validation: ResponseMatrix, validation_embeds: np.ndarray | None) -> None:
    check_pool(validation, "validation")
    if validation_embeds is None or len(validation_embeds) != validation.n_questions:
        found = "missing" if validation_embeds is None else f"of {len(validation_embeds)} questions"
        raise InputError(
            f"`validation_embeds` is {found}, expected {validation.n_questions} text vectors, one a question."
        )
    if list(validation.llm_names) != list(model.config.llm_names):
        raise InputError(
            "`validation` has other LLMs than the model, or in another order. Load it with "
            "`llm_names=model.config.llm_names`."
        )


# --- the pieces ---


def _log_odds(probs: np.ndarray) -> np.ndarray:
    """Log odds in float64, finite."""
    return logit(np.clip(np.asarray(probs, np.float64), 1e-6, 1 - 1e-6))


def stack(features: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Weighted sum of `(n_questions, n_llms)` features; the last weight stands alone."""
    return sum(weight * feature for weight, feature in zip(weights, features, strict=False)) + weights[-1]


@dataclass(frozen=True)
class _Bank:
    """What the known questions show: vectors of length 1, residuals of the base prediction, means by category."""

    index: VectorIndex  # of (n_bank, text_dim)
    residuals: sparse.csr_array  # (n_bank, n_llms), y - p where observed
    curvatures: sparse.csr_array  # the same, p(1-p)
    residual_sums: np.ndarray  # (n_bank,), over the LLMs of the fit
    curvature_sums: np.ndarray
    table: np.ndarray | None  # (n_categories, n_llms)

    @classmethod
    def of(cls, model: EmbedLLM, blend: Blend) -> _Bank:
        known = model.known_questions.listed()  # not the texts that newcomers have brought
        directions = unit_rows(known.question_embeds)
        table = category_table(model, known, blend.categories) if blend.categories else None
        probs = np.empty(len(known.values))
        for start in range(0, len(known), _BANK_BLOCK):
            rows = slice(start, min(start + _BANK_BLOCK, len(known)))
            base = [_log_odds(model.predict_proba(known.question_embeds[rows].astype(np.float32)))]
            if table is not None:
                base.append(_category_log_odds(blend, table, directions[rows], None))
            entries = slice(known.indptr[rows.start], known.indptr[rows.stop])
            row_of = np.repeat(np.arange(rows.stop - rows.start), np.diff(known.indptr[rows.start : rows.stop + 1]))
            probs[entries] = expit(stack(base, blend.base_weights)[row_of, known.llm_indices[entries]])
        shape = (len(known), model.config.n_llms)

        def compressed(values: np.ndarray) -> sparse.csr_array:
            return sparse.csr_array((values, known.llm_indices, known.indptr), shape=shape)

        residuals, curvatures = compressed(known.values - probs), compressed(probs * (1 - probs))
        shared = blend.among_fitted(model.config.n_llms).astype(float)  # a newcomer moves no other LLM's forecast
        return cls(VectorIndex(directions), residuals, curvatures, residuals @ shared, curvatures @ shared, table)


def _features(
    bank: _Bank, blend: Blend, directions: np.ndarray, z: np.ndarray, categories: Sequence[str] | None
) -> list[np.ndarray]:
    """z, t (with categories only), D and R of a block of questions, each `(n_questions, n_llms)`."""
    rows, cosines = bank.index.nearest(directions, N_NEIGHBOURS)
    near, near_cosines = rows[:, :N_DIFFICULTY_NEIGHBOURS], cosines[:, :N_DIFFICULTY_NEIGHBOURS]
    difficulty = difficulty_offsets(near, near_cosines, bank.index.bank, bank.residual_sums, bank.curvature_sums)
    offsets = llm_offsets(rows, cosines, bank.residuals, bank.curvatures)
    t = [] if bank.table is None else [_category_log_odds(blend, bank.table, directions, categories)]
    return [z, *t, np.broadcast_to(difficulty[:, None], z.shape), offsets]


# --- categories ---


def category_table(model: EmbedLLM, known: KnownQuestions, categories: Sequence[str]) -> np.ndarray:
    """Each LLM's mean response in each category, drawn to its overall mean as by 10 answers.

    Where an LLM has no answers in a category, it is the mean of what the network predicts there: an LLM that was asked
    easy questions only is not taken to be as good at hard ones.

    Returns:
        `np.ndarray` of shape `(n_categories, n_llms)`: In [0.01, 0.99].
    """
    n_categories, n_llms = len(categories), model.config.n_llms
    of_question = _category_positions([*known.categories, ""], categories)[known.category_indices]  # -1: the last one
    of_answer = of_question[np.repeat(np.arange(len(known)), np.diff(known.indptr))]
    inside = of_answer >= 0
    cells = of_answer[inside] * n_llms + known.llm_indices[inside]
    counts = np.bincount(cells, minlength=n_categories * n_llms).reshape(n_categories, n_llms)
    sums = np.bincount(cells, known.values[inside], n_categories * n_llms).reshape(n_categories, n_llms)
    n_answers = np.bincount(known.llm_indices, minlength=n_llms)
    overall = np.bincount(known.llm_indices, known.values, n_llms) / np.maximum(n_answers, 1)
    table = (sums + CATEGORY_SHRINKAGE * overall) / (counts + CATEGORY_SHRINKAGE)
    if (counts == 0).any():
        predicted = np.zeros((n_categories + 1, n_llms))
        for start in range(0, len(known), _BANK_BLOCK):
            rows = slice(start, start + _BANK_BLOCK)
            probs = model.predict_proba(known.question_embeds[rows].astype(np.float32))
            np.add.at(predicted, of_question[rows], probs)
        n_questions = np.bincount(of_question[of_question >= 0], minlength=n_categories)
        table = np.where(counts == 0, predicted[:-1] / np.maximum(n_questions, 1)[:, None], table)
    return table.clip(0.01, 0.99)


def _category_positions(names: Sequence[str], categories: Sequence[str]) -> np.ndarray:
    """Position of each name in `categories`, -1 for one that is not there."""
    position = {name: index for index, name in enumerate(categories)}
    return np.array([position.get(str(name), -1) for name in names], int)


def _category_log_odds(
    blend: Blend, table: np.ndarray, directions: np.ndarray, categories: Sequence[str] | None
) -> np.ndarray:
    """t: log odds of each LLM's expected mean in the question's category, `(n_questions, n_llms)`."""
    by_question = (directions[:, None] @ blend.category_weight)[:, 0]  # so that it does not depend on the batch
    shares = softmax(by_question + blend.category_bias, axis=1)
    if categories is not None:
        given = _category_positions(categories, blend.categories)
        shares[given >= 0] = np.eye(len(blend.categories))[given[given >= 0]]
    return logit(np.clip(shares.astype(np.float64) @ table, 0.01, 0.99))


def fit_category_head(
    directions: np.ndarray, category_indices: np.ndarray, n_categories: int
) -> tuple[np.ndarray, np.ndarray]:
    """Softmax regression of the category on the text vector, by L-BFGS.

    Args:
        directions (`np.ndarray` of shape `(n, text_dim)`, float32): Text vectors of length 1.
        category_indices (`np.ndarray` of shape `(n,)`): In [0, n_categories).
        n_categories (`int`): Number of categories.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: Weight `(text_dim, n_categories)` and bias `(n_categories,)`, float32.
    """
    n, width = directions.shape
    truth = np.eye(n_categories, dtype=np.float32)[category_indices]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = flat[:-n_categories].reshape(width, n_categories).astype(np.float32)
        shares = softmax(directions @ weight + flat[-n_categories:].astype(np.float32), axis=1)
        gradient = (shares - truth) / n
        value = -np.log(shares[np.arange(n), category_indices] + 1e-12).mean() + CATEGORY_L2 * (weight**2).sum()
        slope = [(directions.T @ gradient + 2 * CATEGORY_L2 * weight).ravel(), gradient.sum(axis=0)]
        return float(value), np.concatenate(slope).astype(np.float64)

    start = np.zeros((width + 1) * n_categories)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": CATEGORY_STEPS}).x
    best = best.astype(np.float32)
    return best[:-n_categories].reshape(width, n_categories), best[-n_categories:]


# --- what is fitted on validation ---


def fit_weights(
    features: Sequence[np.ndarray], responses: np.ndarray, weights: np.ndarray, prior: np.ndarray
) -> np.ndarray:
    """Logistic regression of responses on features and 1, with a Gaussian prior of precision 1000, by Newton steps.

    Args:
        features (`Sequence[np.ndarray]`, each `(n_questions, n_llms)`): Log odds.
        responses, weights (`np.ndarray`, same shape): Responses in [0, 1], NaN where not observed; their weights.
        prior (`np.ndarray` of shape `(n_features + 1,)`): Its mean, and where the steps start.

    Returns:
        `np.ndarray` of shape `(n_features + 1,)`: The most probable weights.
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
    """Spread of questions around predicted log odds, by the method of moments.

    If all LLMs' log odds on a question are off by e with variance v, then `sum_m (y - p)` is about `e sum_m p(1-p)`
    beside the chance of the answers, so `v = sum_q [(sum_m y - p)^2 - sum_m p(1-p)] / sum_q [sum_m p(1-p)]^2`. It is
    drawn to 1.2^2 as by 20 questions, and is at least 0.1^2.

    Args:
        probs, responses (`np.ndarray` of shape `(n_questions, n_llms)`): NaN in `responses` where not observed.
    """
    observed = ~np.isnan(responses)
    residuals = np.where(observed, responses - probs, 0).sum(axis=1)
    curvatures = np.where(observed, probs * (1 - probs), 0).sum(axis=1)
    square = (curvatures**2).sum()
    prior = _QUESTION_SD_PRIOR * square / len(residuals)
    excess = (residuals**2 - curvatures).sum()
    return float(np.sqrt(max((excess + prior * QUESTION_SD**2) / (square + prior), 0.01)))
