"""What EmbedLLM has to beat: the LLM's mean, its mean in the category, and the nearest training questions.

All are fitted on the training split, with missing responses left out, and predict `(n_questions, n_llms)`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse

from .._errors import InputError
from ..data.responses import ResponseMatrix
from ..metrics import log_loss

logger = logging.getLogger(__name__)

# One pseudo-observation at one half keeps the mean of an LLM with few or uniform answers off 0 and 1.
_PRIOR_STRENGTH = 1.0
KNN_NEIGHBOURS = (11, 31, 61, 131, 251)  # 131 is the paper's
KNN_SHRINKAGE = (1.0, 3.0, 10.0, 30.0)
_KNN_BLOCK = 2048  # questions whose similarities are held at once


class Predictor(Protocol):
    """Anything that gives each question and LLM a probability of a right answer."""

    def predict_proba(self, question_embeds: np.ndarray, categories: np.ndarray | None = None) -> np.ndarray:
        """Probabilities `(n_questions, n_llms)` for text vectors `(n_questions, text_dim)` of some categories."""


def _shrunk_mean(sums: np.ndarray, counts: np.ndarray, prior: np.ndarray | float, strength: float) -> np.ndarray:
    """Mean of `counts` observations, drawn towards `prior` as if `strength` more had been seen there."""
    return (sums + strength * prior) / (counts + strength)


def _totals(responses: ResponseMatrix) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sum and weight of each LLM's responses, `(n_llms,)`."""
    weights = responses.entry_weights
    count = np.bincount(responses.llm_indices, weights, minlength=responses.n_llms)
    total = np.bincount(responses.llm_indices, weights * responses.values, minlength=responses.n_llms)
    return total, count


@dataclass(frozen=True)
class LLMMean:
    """An LLM's training mean, whatever the question: its routing is "always the best LLM".

    Attributes:
        means (`np.ndarray` of shape `(n_llms,)`): In (0, 1).
    """

    means: np.ndarray

    @classmethod
    def fit(cls, responses: ResponseMatrix) -> LLMMean:
        """Average each LLM's responses; an LLM without any gets one half."""
        total, count = _totals(responses)
        return cls(_shrunk_mean(total, count, 0.5, _PRIOR_STRENGTH))

    def predict_proba(self, question_embeds: np.ndarray, categories: np.ndarray | None = None) -> np.ndarray:
        """The means, once per question: `(n_questions, n_llms)`."""
        return np.tile(self.means, (len(question_embeds), 1))


@dataclass(frozen=True)
class LLMCategoryMean:
    """An LLM's training mean in the question's category, its overall mean where it has none there.

    Attributes:
        means (`dict[str, np.ndarray]`): Of each category, `(n_llms,)`.
        overall (`LLMMean`): For what the categories do not tell.
    """

    means: dict[str, np.ndarray]
    overall: LLMMean

    @classmethod
    def fit(cls, responses: ResponseMatrix) -> LLMCategoryMean:
        """Average each LLM's responses in each category, drawn slightly to its overall mean."""
        overall = LLMMean.fit(responses)
        means = {}
        for category in sorted(set(responses.categories)):
            total, count = _totals(responses.select(responses.categories == category))
            means[category] = _shrunk_mean(total, count, overall.means, _PRIOR_STRENGTH)
        return cls(means, overall)

    def predict_proba(self, question_embeds: np.ndarray, categories: np.ndarray | None = None) -> np.ndarray:
        """The means of each question's category, `(n_questions, n_llms)`.

        Raises:
            ValueError: If `categories` is not given.
        """
        if categories is None:
            raise InputError("`categories` is missing: the mean by category needs the category of each question.")
        known = [self.means.get(category, self.overall.means) for category in categories]
        return np.array(known).reshape(len(known), len(self.overall.means))


@dataclass(frozen=True)
class NearestQuestions:
    """kNN: the mean response to the most similar training questions by cosine, missing ones left out.

    Where few of the neighbours were answered by an LLM, its estimate is drawn to its overall mean.

    Attributes:
        directions (`np.ndarray` of shape `(n_train, text_dim)`): Training questions, each of length 1.
        responses, weights (`sparse.csr_array` of shape `(n_train, n_llms)`): Weighted responses, and weights.
        overall (`LLMMean`): What thin evidence is drawn to.
        n_neighbours (`int`): k.
        shrinkage (`float`): Strength of that draw, in answers.
    """

    directions: np.ndarray
    responses: sparse.csr_array
    weights: sparse.csr_array
    overall: LLMMean
    n_neighbours: int = 131
    shrinkage: float = 3.0

    @classmethod
    def fit(
        cls,
        responses: ResponseMatrix,
        question_embeds: np.ndarray,
        validation: ResponseMatrix | None = None,
        validation_embeds: np.ndarray | None = None,
    ) -> NearestQuestions:
        """Keep the training questions; choose k and the shrinkage by log loss on the validation split, if given."""
        shape = (responses.n_questions, responses.n_llms)
        if len(question_embeds) != responses.n_questions:
            raise InputError(
                f"`question_embeds` has {len(question_embeds)} rows, expected {responses.n_questions}, one a question."
            )

        def compressed(values: np.ndarray) -> sparse.csr_array:
            return sparse.csr_array((values, responses.llm_indices, responses.indptr), shape=shape)

        weights = responses.entry_weights
        base = cls(
            unit_rows(question_embeds),
            compressed(weights * responses.values),
            compressed(weights),
            LLMMean.fit(responses),
        )
        if validation is None or validation_embeds is None:
            return base
        truth = validation.responses()
        scores = {}
        for n_neighbours in KNN_NEIGHBOURS:
            sums, counts = base._neighbour_totals(validation_embeds, n_neighbours)
            for shrinkage in KNN_SHRINKAGE:
                probs = _shrunk_mean(sums, counts, base.overall.means, shrinkage)
                scores[n_neighbours, shrinkage] = log_loss(probs, truth)
        n_neighbours, shrinkage = min(scores, key=scores.__getitem__)
        logger.info("kNN: chose k = %d, shrinkage %g on the validation split.", n_neighbours, shrinkage)
        return cls(base.directions, base.responses, base.weights, base.overall, n_neighbours, shrinkage)

    def _neighbour_totals(self, question_embeds: np.ndarray, n_neighbours: int) -> tuple[np.ndarray, np.ndarray]:
        """Summed responses and weights over the k nearest training questions, each `(n_questions, n_llms)`."""
        n_train = len(self.directions)
        k = min(n_neighbours, n_train)
        sums, counts = [], []
        for start in range(0, len(question_embeds), _KNN_BLOCK):
            similarity = unit_rows(question_embeds[start : start + _KNN_BLOCK]) @ self.directions.T
            nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
            rows = np.repeat(np.arange(len(nearest)), k)
            chosen = sparse.csr_array((np.ones(nearest.size), (rows, nearest.ravel())), (len(nearest), n_train))
            sums.append((chosen @ self.responses).toarray())
            counts.append((chosen @ self.weights).toarray())
        empty = np.empty((0, self.responses.shape[1]))
        return np.concatenate(sums or [empty]), np.concatenate(counts or [empty])

    def predict_proba(self, question_embeds: np.ndarray, categories: np.ndarray | None = None) -> np.ndarray:
        """Shrunk means of the neighbours' responses, `(n_questions, n_llms)`.

        Raises:
            ValueError: If the text vectors have another width than the training ones.
        """
        width = self.directions.shape[1]
        if np.ndim(question_embeds) != 2 or np.shape(question_embeds)[1] != width:
            raise InputError(
                f"`question_embeds` has shape {np.shape(question_embeds)}, expected (n_questions, {width}), the width "
                "of the training questions."
            )
        sums, counts = self._neighbour_totals(question_embeds, self.n_neighbours)
        return _shrunk_mean(sums, counts, self.overall.means, self.shrinkage)


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale each row to length 1, a zero row staying zero."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def fit_baselines(
    train: ResponseMatrix,
    train_embeds: np.ndarray,
    validation: ResponseMatrix | None = None,
    validation_embeds: np.ndarray | None = None,
) -> dict[str, Predictor]:
    """Fit all baselines on the training split.

    Args:
        train (`ResponseMatrix`): Training responses.
        train_embeds (`np.ndarray` of shape `(n_train, text_dim)`): Their questions' text vectors.
        validation, validation_embeds (*optional*): The same of the validation split, to choose k by.

    Returns:
        `dict[str, Predictor]`: By the names of the report: `llm_mean`, `llm_category_mean`, `knn`.
    """
    return {
        "llm_mean": LLMMean.fit(train),
        "llm_category_mean": LLMCategoryMean.fit(train),
        "knn": NearestQuestions.fit(train, train_embeds, validation, validation_embeds),
    }
