"""The stacked predictor: learned and retrieved evidence together, network and known questions.

    A(q, m) = b1 z(q, m) + b2 t(q, m) + b3 D(q) + b4 R(q, m) + b5,    P(right) = sigmoid(A)

- z: the network's logits.
- t: logits of LLM m's mean in q's category; the category is given, or read from the text by softmax regression.
- D: the question's difficulty, the same for all LLMs: local kriging of the known questions' residuals around q.
- R: one Newton step of an offset for each LLM from its residuals on the nearest known questions.
- b: a logistic regression on the validation split, drawn to a prior. It is the calibration, too.

`stacked_fit` fits the weights. The constants were chosen by cross-validation on the training questions of
open-llm-responses, where they are flat (`model_cards/what_helped.md`).
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import sparse
from scipy.special import expit, logit, softmax

from .._checks import shown
from .._errors import InputError, InputTypeError
from ..bank.blend import Blend
from ..bank.question_bank import QuestionBank
from ..data.sparse import entry_rows, with_entries
from ..network import EmbedLLMNetwork
from . import Categories, blocks
from .neighbours import Neighbours, difficulty_offsets, llm_offsets, normalise

N_NEIGHBOURS = 256  # of R
N_DIFFICULTY_NEIGHBOURS = 64  # of D
CATEGORY_SHRINKAGE = 10.0  # answers


class StackedPredictor:
    """Predicts with a trained network and its bank; with the network alone where there is no bank or no blend.

    What the known questions show is computed once, on first use.
    """

    def __init__(self, network: EmbedLLMNetwork, bank: QuestionBank | None) -> None:
        self.network = network
        self.bank = bank

    @cached_property
    def _evidence(self) -> Evidence | None:
        if self.bank is None or self.bank.blend is None:
            return None
        return Evidence.of(self.network, self.bank, self.bank.blend)

    @cached_property
    def _neighbours(self) -> Neighbours:
        if self.bank is None or not len(self.bank):
            raise InputError("the model has no question bank to compare with. Train it with `EmbedLLMTrainer`.")
        return Neighbours(self.bank.listed.question_embeds) if self._evidence is None else self._evidence.neighbours

    def predict_logits(self, question_embeds: np.ndarray, categories: Categories = None) -> np.ndarray:
        """Log odds that each LLM answers each question correctly, `(n_questions, n_llms)` float64.

        Args:
            question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`): Text vectors.
            categories (`Sequence[str]` of length n_questions, *optional*): The questions' categories, where they are
                known. One that the bank does not know is read from the text, like all without this argument.

        Raises:
            ValueError: If the width is not the network's, or categories and questions differ in number.
        """
        question_embeds = self.network.checked_vectors(question_embeds)
        if categories is not None and (isinstance(categories, str) or not isinstance(categories, Sized)):
            raise InputTypeError(f"`categories` is {shown(categories)}, expected a list of names, one a question.")
        if categories is not None and len(categories) != len(question_embeds):
            raise InputError(
                f"`categories` has {len(categories)} entries, expected {len(question_embeds)}, one a question."
            )
        logits, evidence = self.network.network_logits(question_embeds).astype(np.float64), self._evidence
        if evidence is not None:
            if isinstance(question_embeds, torch.Tensor):
                question_embeds = question_embeds.detach().float().cpu().numpy()
            normalised = normalise(question_embeds)
            for block in blocks(len(logits)):
                given = None if categories is None else categories[block]
                features = evidence.features(normalised[block], logits[block], given)
                logits[block] = stack(features, evidence.blend.weights)
        return self._with_unknown_llms(logits)

    @cached_property
    def validation_logits(self) -> np.ndarray:
        """`predict_logits` of the bank's validation questions, computed once.

        Raises:
            ValueError: If there are none.
        """
        if self.bank is None or self.bank.validation is None:
            raise InputError("the model keeps no validation questions. Train it with a validation split.")
        return self.predict_logits(self.bank.validation.question_embeds.astype(np.float32))

    def _with_unknown_llms(self, logits: np.ndarray) -> np.ndarray:
        """LLMs that the network was trained with, but that have no answer, get the mean forecast of the others."""
        if self.bank is None:
            return logits
        known, unknown = self.bank.n_answers > 0, self.bank.is_unplaced
        if unknown.any() and known.any():
            logits[:, unknown] = logit(expit(logits[:, known]).mean(axis=1, keepdims=True).clip(1e-12, 1 - 1e-12))
        return logits

    def predict_proba(self, question_embeds: np.ndarray, categories: Categories = None) -> np.ndarray:
        """`predict_logits` as probabilities in [0, 1], float32; arguments, shape and errors are the same."""
        return expit(self.predict_logits(question_embeds, categories)).astype(np.float32)

    def nearest(self, question_embeds: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The most similar known questions: rows and cosines, each `(n_questions, n)`, the nearest first.

        Raises:
            ValueError: If there is no bank.
        """
        found = [self._neighbours.nearest(normalise(question_embeds[b]), n) for b in blocks(len(question_embeds))]
        rows, cosines = zip(*found, strict=True) if found else ([np.empty((0, n), int)], [np.empty((0, n))])
        return np.concatenate(rows), np.concatenate(cosines)


@dataclass(frozen=True)
class CategoryMeans:
    """Which category a text is of, and how good each LLM is in each.

    Attributes:
        blend (`Blend`): With the head that reads the category from the text.
        names (`tuple[str, ...]`): The categories.
        means (`np.ndarray` of shape `(n_categories, n_llms)`): In [0.01, 0.99].
    """

    blend: Blend
    names: tuple[str, ...]
    means: np.ndarray

    @classmethod
    def of(cls, network: EmbedLLMNetwork, listed: QuestionBank, blend: Blend) -> CategoryMeans | None:
        """Each LLM's mean response in each category, drawn to its overall mean as by 10 answers.

        Where an LLM has no answers in a category, it is the mean of the network's predictions there: an LLM that was
        asked easy questions only is not taken to be as good at hard ones. None where categories have no part.
        """
        if not blend.has_categories:
            return None
        names = listed.categories[: blend.category_weight.shape[1]]  # those beyond were added after training
        members = listed.category_members[: len(names)]
        ones = with_entries(listed.responses, np.ones(listed.responses.nnz))
        counts, sums = (members @ ones).toarray(), (members @ listed.responses).toarray()
        overall = listed.responses.sum(axis=0, dtype=np.float64) / np.maximum(ones.sum(axis=0), 1)
        means = (sums + CATEGORY_SHRINKAGE * overall) / (counts + CATEGORY_SHRINKAGE)
        if (counts == 0).any():
            predicted = np.zeros(means.shape)
            for block in blocks(len(listed)):
                probs = network.network_proba(listed.question_embeds[block]).astype(np.float64)
                predicted += members[:, block] @ probs
            means = np.where(counts == 0, predicted / np.maximum(members.sum(axis=1), 1)[:, None], means)
        return cls(blend, names, means.clip(0.01, 0.99))

    def logits(self, normalised: np.ndarray, categories: Categories = None) -> np.ndarray:
        """t: logits of each LLM's expected mean in the question's category, `(n_questions, n_llms)`."""
        by_question = (normalised[:, None] @ self.blend.category_weight)[:, 0]  # does not depend on the batch
        shares = softmax(by_question + self.blend.category_bias, axis=1)
        if categories is not None:
            position = {name: index for index, name in enumerate(self.names)}
            given = np.array([position.get(str(name), -1) for name in categories], int)
            shares[given >= 0] = np.eye(len(self.names))[given[given >= 0]]
        return logit(np.clip(shares.astype(np.float64) @ self.means, 0.01, 0.99))


def base_features(
    means: CategoryMeans | None, normalised: np.ndarray, logits: np.ndarray, categories: Categories = None
) -> list[np.ndarray]:
    """z, and t where there are categories: the base prediction is made of them."""
    return [logits] if means is None else [logits, means.logits(normalised, categories)]


@dataclass(frozen=True)
class Evidence:
    """What the known questions show: neighbours, residuals of the base prediction, means by category."""

    blend: Blend
    category_means: CategoryMeans | None
    neighbours: Neighbours  # n_known
    residuals: sparse.csr_array  # (n_known, n_llms), y - p where observed
    curvatures: sparse.csr_array  # the same, p(1-p)
    residual_sums: np.ndarray  # (n_known,), over the LLMs that the network was trained with
    curvature_sums: np.ndarray

    @classmethod
    def of(cls, network: EmbedLLMNetwork, bank: QuestionBank, blend: Blend) -> Evidence:
        """Compute it from the questions of the data set, not the texts that new LLMs have brought."""
        listed = bank.listed
        neighbours, responses = Neighbours(listed.question_embeds), listed.responses
        means = CategoryMeans.of(network, listed, blend)
        probs = np.empty(responses.nnz)
        for block in blocks(len(listed)):
            logits = network.network_logits(listed.question_embeds[block])
            base = stack(base_features(means, neighbours.embeds[block], logits), blend.base_weights)
            rows, entries = responses[block], slice(*responses.indptr[[block.start, block.stop]])
            probs[entries] = expit(base[entry_rows(rows), rows.indices])
        residuals = with_entries(responses, responses.data - probs)
        curvatures = with_entries(responses, probs * (1 - probs))
        trained = (~listed.is_new).astype(float)  # a new LLM moves no other LLM's forecast
        return cls(blend, means, neighbours, residuals, curvatures, residuals @ trained, curvatures @ trained)

    def features(self, normalised: np.ndarray, logits: np.ndarray, categories: Categories = None) -> list[np.ndarray]:
        """z, t (with categories only), D and R of a block of questions, each `(n_questions, n_llms)`."""
        rows, cosines = self.neighbours.nearest(normalised, N_NEIGHBOURS)
        near = rows[:, :N_DIFFICULTY_NEIGHBOURS], cosines[:, :N_DIFFICULTY_NEIGHBOURS]
        difficulty = difficulty_offsets(*near, self.neighbours.embeds, self.residual_sums, self.curvature_sums)
        offsets = llm_offsets(rows, cosines, self.residuals, self.curvatures)
        base = base_features(self.category_means, normalised, logits, categories)
        return [*base, np.broadcast_to(difficulty[:, None], logits.shape), offsets]


def stack(features: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Weighted sum of `(n_questions, n_llms)` features; the last weight stands alone."""
    return sum(weight * feature for weight, feature in zip(weights, features, strict=False)) + weights[-1]
