"""The baselines that EmbedLLM has to beat: the LLM's mean, its mean in the category, and the nearest known questions.

All are fitted on a bank's questions, with missing responses left out, and predict `(n_questions, n_llms)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .._errors import InputError
from ..bank.question_bank import QuestionBank
from ..data.sparse import with_entries
from ..encoding.encoded_responses import EncodedResponses
from ..metrics import log_loss
from . import Categories, Predictor, blocks
from .neighbours import Neighbours, normalise, weighted_sums

# One pseudo-observation at one half keeps the mean of an LLM with few or uniform answers off 0 and 1.
_PRIOR_STRENGTH = 1.0
KNN = (131, 3.0)  # the paper's k, and the shrinkage, where neither was chosen
KNN_NEIGHBOURS, KNN_SHRINKAGE = (11, 31, 61, 131, 251), (1.0, 3.0, 10.0, 30.0)  # to choose from


def fit_baselines(bank: QuestionBank) -> dict[str, Predictor]:
    """Fit all baselines on a bank, without the questions of new LLMs; by the names that the report has for them."""
    return {
        "llm_mean": LLMMean.fit(bank),
        "llm_category_mean": LLMCategoryMean.fit(bank),
        "knn": NearestQuestions.fit(bank, *(bank.knn or KNN)),
    }


def _shrunk_mean(sums: np.ndarray, counts: np.ndarray, prior: np.ndarray | float, strength: float) -> np.ndarray:
    """Mean of `counts` observations, drawn towards `prior` as if `strength` more had been seen there."""
    return (sums + strength * prior) / (counts + strength)


def _weighted(bank: QuestionBank) -> sparse.csr_array:
    """Responses times their weights."""
    return with_entries(bank.responses, bank.responses.data * bank.weights.data)


@dataclass(frozen=True)
class LLMMean:
    """An LLM's mean over the known questions, whatever the question: its routing is "always the best LLM".

    Attributes:
        means (`np.ndarray` of shape `(n_llms,)`): In (0, 1).
    """

    means: np.ndarray

    @classmethod
    def fit(cls, bank: QuestionBank) -> LLMMean:
        """Average each LLM's responses; an LLM without any gets one half."""
        total, count = _weighted(bank.listed).sum(axis=0), bank.listed.weights.sum(axis=0)
        return cls(_shrunk_mean(total, count, 0.5, _PRIOR_STRENGTH))

    def predict_proba(self, question_embeds: np.ndarray, categories: Categories = None) -> np.ndarray:
        """The means, once per question: `(n_questions, n_llms)`."""
        return np.tile(self.means, (len(question_embeds), 1))


@dataclass(frozen=True)
class LLMCategoryMean:
    """An LLM's mean in the question's category, its overall mean where it has none there.

    Attributes:
        means (`dict[str, np.ndarray]`): Of each category, `(n_llms,)`.
        overall (`LLMMean`): For unknown categories.
    """

    means: dict[str, np.ndarray]
    overall: LLMMean

    @classmethod
    def fit(cls, bank: QuestionBank) -> LLMCategoryMean:
        """Average each LLM's responses in each category, drawn slightly to its overall mean."""
        listed, overall = bank.listed, LLMMean.fit(bank)
        totals, counts = (listed.category_members @ matrix for matrix in (_weighted(listed), listed.weights))
        means = _shrunk_mean(totals.toarray(), counts.toarray(), overall.means, _PRIOR_STRENGTH)
        return cls(dict(zip(listed.categories, means, strict=True)), overall)

    def predict_proba(self, question_embeds: np.ndarray, categories: Categories = None) -> np.ndarray:
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
    """kNN: the mean response to the most similar known questions by cosine, missing ones left out.

    Where few of the neighbours were answered by an LLM, its estimate is drawn to its overall mean.

    Attributes:
        neighbours (`Neighbours`): The known questions.
        responses, weights (`sparse.csr_array` of shape `(n_known, n_llms)`): Weighted responses, and weights.
        overall (`LLMMean`): Thin evidence is drawn to it.
        n_neighbours (`int`): k.
        shrinkage (`float`): Strength of that draw, in answers.
    """

    neighbours: Neighbours
    responses: sparse.csr_array
    weights: sparse.csr_array
    overall: LLMMean
    n_neighbours: int
    shrinkage: float

    @classmethod
    def fit(cls, bank: QuestionBank, n_neighbours: int = KNN[0], shrinkage: float = KNN[1]) -> NearestQuestions:
        """Keep the known questions."""
        listed, overall = bank.listed, LLMMean.fit(bank)
        neighbours = Neighbours(listed.question_embeds)
        return cls(neighbours, _weighted(listed), listed.weights, overall, n_neighbours, shrinkage)

    def predict_proba(self, question_embeds: np.ndarray, categories: Categories = None) -> np.ndarray:
        """Shrunk means of the neighbours' responses, `(n_questions, n_llms)`.

        Raises:
            ValueError: If the text vectors have another width than the known questions'.
        """
        sums, counts = self._totals(question_embeds, self.n_neighbours)
        return _shrunk_mean(sums, counts, self.overall.means, self.shrinkage)

    def _totals(self, question_embeds: np.ndarray, n_neighbours: int) -> tuple[np.ndarray, np.ndarray]:
        """Summed responses and weights over the k nearest known questions, each `(n_questions, n_llms)`."""
        width = self.neighbours.embeds.shape[1]
        if np.ndim(question_embeds) != 2 or np.shape(question_embeds)[1] != width:
            raise InputError(
                f"`question_embeds` has shape {np.shape(question_embeds)}, expected (n_questions, {width}), the width "
                "of the known questions."
            )
        totals = np.empty((2, len(question_embeds), self.responses.shape[1]))
        for block in blocks(len(question_embeds)):
            rows, _ = self.neighbours.nearest(normalise(question_embeds[block]), n_neighbours)
            totals[:, block] = weighted_sums(rows, np.ones(rows.shape), self.responses, self.weights)
        return totals[0], totals[1]


def choose_knn(bank: QuestionBank, validation: EncodedResponses) -> tuple[int, float]:
    """K and shrinkage of the kNN baseline with the least log loss on the validation split."""
    base, truth, scores = NearestQuestions.fit(bank), validation.responses.responses(), {}
    for n_neighbours in KNN_NEIGHBOURS:
        sums, counts = base._totals(validation.question_embeds, n_neighbours)
        for shrinkage in KNN_SHRINKAGE:
            probs = _shrunk_mean(sums, counts, base.overall.means, shrinkage)
            scores[n_neighbours, shrinkage] = log_loss(probs, truth)
    return min(scores, key=scores.__getitem__)
