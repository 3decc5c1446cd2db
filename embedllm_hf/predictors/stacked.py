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

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.special import expit, logit, softmax

from .._errors import InputError
from ..bank.blend import Blend
from ..bank.question_bank import QuestionBank
from ..data.sparse import entry_rows, with_entries
from ..network import EmbedLLMNetwork
from . import blocks
from .neighbours import Neighbours, difficulty_offsets, llm_offsets, normalise

N_NEIGHBOURS = 256  # of R
N_DIFFICULTY_NEIGHBOURS = 64  # of D
CATEGORY_SHRINKAGE = 10.0  # answers

Categories = Sequence[str] | np.ndarray | None


class StackedPredictor:
    """Predicts with a network and its bank; with the network alone where the bank has no blend.

    What the known questions show is computed once, on first use.

    Args:
        network (`EmbedLLMNetwork`): A trained network.
        bank (`QuestionBank | None`): Its bank.
    """

    def __init__(self, network: EmbedLLMNetwork, bank: QuestionBank | None) -> None:
        self.network = network
        self.bank = bank
        self.blend = bank.blend if bank is not None and len(bank) else None

    @cached_property
    def _evidence(self) -> Evidence:
        return Evidence.of(self.network, self.bank, self.blend)

    @cached_property
    def _neighbours(self) -> Neighbours:
        return Neighbours(self.bank.listed.question_embeds) if self.blend is None else self._evidence.neighbours

    def predict_logits(self, question_embeds: np.ndarray, categories: Categories = None) -> np.ndarray:
        """Log odds that each LLM answers each question correctly.

        Args:
            question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`): Text vectors.
            categories (`Sequence[str]` of length n_questions, *optional*): The questions' categories, where they are
                known. One that the bank does not know is read from the text, like all without this argument.

        Returns:
            `np.ndarray` of shape `(n_questions, n_llms)`, float64.

        Raises:
            ValueError: If the width is not the network's, or categories and questions differ in number.
        """
        if categories is not None and len(categories) != len(question_embeds):
            raise InputError(
                f"`categories` has {len(categories)} entries, expected {len(question_embeds)}, one a question."
            )
        logits = self.network.network_logits(question_embeds).astype(np.float64)
        if self.blend is None:
            return logits
        normalised = normalise(question_embeds)
        for block in blocks(len(logits)):
            given = None if categories is None else categories[block]
            features = self._evidence.features(self.blend, normalised[block], logits[block], given)
            logits[block] = stack(features, self.blend.weights)
        return logits

    def predict_proba(self, question_embeds: np.ndarray, categories: Categories = None) -> np.ndarray:
        """`predict_logits` as probabilities in [0, 1], float32; arguments, shape and errors are the same."""
        return expit(self.predict_logits(question_embeds, categories)).astype(np.float32)

    def nearest(self, question_embeds: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The most similar known questions: rows and cosines, each `(n_questions, n)`, the nearest first.

        Raises:
            ValueError: If there is no bank.
        """
        if self.bank is None or not len(self.bank):
            raise InputError("the model has no question bank to compare with. Train it with `EmbedLLMTrainer`.")
        found = [self._neighbours.nearest(normalise(question_embeds[b]), n) for b in blocks(len(question_embeds))]
        rows, cosines = zip(*found, strict=True) if found else ([np.empty((0, n), int)], [np.empty((0, n))])
        return np.concatenate(rows), np.concatenate(cosines)


def stack(features: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Weighted sum of `(n_questions, n_llms)` features; the last weight stands alone."""
    return sum(weight * feature for weight, feature in zip(weights, features, strict=False)) + weights[-1]


@dataclass(frozen=True)
class Evidence:
    """What the known questions show: neighbours, residuals of the base prediction, means by category."""

    categories: tuple[str, ...]
    neighbours: Neighbours  # n_known
    residuals: sparse.csr_array  # (n_known, n_llms), y - p where observed
    curvatures: sparse.csr_array  # the same, p(1-p)
    residual_sums: np.ndarray  # (n_known,), over the LLMs of the fit
    curvature_sums: np.ndarray
    table: np.ndarray | None  # (n_categories, n_llms)

    @classmethod
    def of(cls, network: EmbedLLMNetwork, bank: QuestionBank, blend: Blend) -> Evidence:
        """Compute it from the questions of the data set, not the texts that new LLMs have brought."""
        known = bank.listed
        neighbours, responses = Neighbours(known.question_embeds), known.responses
        table = category_table(network, known) if blend.has_categories else None
        probs = np.empty(responses.nnz)
        for block in blocks(len(known)):
            base = [network.network_logits(known.question_embeds[block])]
            if table is not None:
                base.append(category_logits(blend, known.categories, table, neighbours.embeds[block], None))
            logits = stack(base, blend.base_weights)
            rows = responses[block]
            probs[responses.indptr[block.start] : responses.indptr[block.stop]] = expit(
                logits[entry_rows(rows), rows.indices]
            )
        residuals = with_entries(responses, responses.data - probs)
        curvatures = with_entries(responses, probs * (1 - probs))
        shared = (~known.is_new).astype(float)  # a new LLM moves no other LLM's forecast
        sums = residuals @ shared, curvatures @ shared
        return cls(known.categories, neighbours, residuals, curvatures, *sums, table)

    def features(
        self, blend: Blend, normalised: np.ndarray, logits: np.ndarray, categories: Categories
    ) -> list[np.ndarray]:
        """z, t (with categories only), D and R of a block of questions, each `(n_questions, n_llms)`."""
        rows, cosines = self.neighbours.nearest(normalised, N_NEIGHBOURS)
        near = rows[:, :N_DIFFICULTY_NEIGHBOURS], cosines[:, :N_DIFFICULTY_NEIGHBOURS]
        difficulty = difficulty_offsets(*near, self.neighbours.embeds, self.residual_sums, self.curvature_sums)
        offsets = llm_offsets(rows, cosines, self.residuals, self.curvatures)
        t = []
        if self.table is not None:
            t = [category_logits(blend, self.categories, self.table, normalised, categories)]
        return [logits, *t, np.broadcast_to(difficulty[:, None], logits.shape), offsets]


def category_table(network: EmbedLLMNetwork, bank: QuestionBank) -> np.ndarray:
    """Each LLM's mean response in each category, drawn to its overall mean as by 10 answers.

    Where an LLM has no answers in a category, it is the mean of the network's predictions there: an LLM that was asked
    easy questions only is not taken to be as good at hard ones.

    Returns:
        `np.ndarray` of shape `(n_categories, n_llms)`: In [0.01, 0.99].
    """
    told = np.flatnonzero(bank.category_indices >= 0)
    shape = (len(bank.categories), len(bank))
    member = sparse.csr_array((np.ones(len(told)), (bank.category_indices[told], told)), shape=shape)
    ones = with_entries(bank.responses, np.ones(bank.responses.nnz))
    counts, sums = (member @ ones).toarray(), (member @ bank.responses).toarray()
    overall = bank.responses.sum(axis=0, dtype=np.float64) / np.maximum(ones.sum(axis=0), 1)
    table = (sums + CATEGORY_SHRINKAGE * overall) / (counts + CATEGORY_SHRINKAGE)
    if (counts == 0).any():
        predicted = np.zeros(table.shape)
        for block in blocks(len(bank)):
            predicted += member[:, block] @ network.network_proba(bank.question_embeds[block]).astype(np.float64)
        table = np.where(counts == 0, predicted / np.maximum(member.sum(axis=1), 1)[:, None], table)
    return table.clip(0.01, 0.99)


def category_logits(
    blend: Blend, known: Sequence[str], table: np.ndarray, normalised: np.ndarray, categories: Categories
) -> np.ndarray:
    """t: logits of each LLM's expected mean in the question's category, `(n_questions, n_llms)`."""
    by_question = (normalised[:, None] @ blend.category_weight)[:, 0]  # so that it does not depend on the batch
    shares = softmax(by_question + blend.category_bias, axis=1)
    if categories is not None:
        position = {name: index for index, name in enumerate(known)}
        given = np.array([position.get(str(name), -1) for name in categories], int)
        shares[given >= 0] = np.eye(len(known))[given[given >= 0]]
    return logit(np.clip(shares.astype(np.float64) @ table, 0.01, 0.99))
