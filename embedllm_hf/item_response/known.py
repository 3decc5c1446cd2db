"""What the item-response model forecasts for questions that a model knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from ..bank.question_bank import question_keys
from ..modeling_embedllm import EmbedLLM


def known_probabilities(model: EmbedLLM, questions: Sequence[str]) -> np.ndarray | None:
    """Probability that each LLM answers each question correctly, where the question is known.

    An LLM's own responses that the model keeps have a part in it, those to the question itself too.

    Args:
        model (`EmbedLLM`): A trained model.
        questions (`Sequence[str]`): Texts.

    Returns:
        `np.ndarray` of shape `(n_questions, n_llms)`, or None: In [0, 1]; NaN where the question is not known or the
            LLM has no ability. None if the model has no item-response model or knows none of the questions.
    """
    if model.item_response is None or model.known_questions is None:
        return None
    rows = model.known_questions.rows_of_keys(question_keys(questions))
    if (rows < 0).all():
        return None
    item_response = model.item_response
    log_odds = item_response.intercepts[rows, None] + item_response.discriminations[rows] @ item_response.abilities.T
    return np.where(rows[:, None] < 0, np.nan, expit(log_odds))
