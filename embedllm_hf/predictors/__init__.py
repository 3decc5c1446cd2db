"""Predictors of correctness: the baselines, the nearest known questions, the stacked predictor and its confidence.

They know the network and the bank, not the model; `EmbedLLM.predict_proba` calls the stacked one. What they share is
one small protocol. Logits go in and out between them; probabilities are made once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

Categories = Sequence[str] | np.ndarray | None  # of each question, `(n_questions,)`

_BLOCK = 64  # questions; what is gathered for each (256 neighbours x text_dim) then stays in the processor's cache


class Predictor(Protocol):
    """Anything that gives each question and LLM a probability of a right answer."""

    def predict_proba(self, question_embeds: np.ndarray, categories: Categories = None) -> np.ndarray:
        """Probabilities `(n_questions, n_llms)` for text vectors `(n_questions, text_dim)` of some categories."""


def blocks(n_questions: int, size: int = _BLOCK) -> Iterator[slice]:
    """Slices of questions that are worked on at once, which bounds the memory."""
    for start in range(0, n_questions, size):
        yield slice(start, min(start + size, n_questions))
