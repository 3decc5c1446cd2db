"""Item parameters of questions from new answers, the LLMs' abilities and vectors as they are.

One step of `pool.fit_pool`: the maximum of a question's likelihood under the normal prior around what its text says.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..bank.item_parameters import ItemParameters
from ..bank.question_bank import QuestionBank
from ..data.sparse import dense, select
from ..network import EmbedLLMNetwork
from .pool import NetworkView, fit_questions
from .priors import item_parameters_of

_CELLS_AT_ONCE = 200_000  # (question, LLM) pairs of one block; bounds the memory


def refit_questions(
    network: EmbedLLMNetwork, bank: QuestionBank, rows: np.ndarray, llms: np.ndarray
) -> ItemParameters:
    """A bank's item parameters, those of some questions fitted anew to the answers of some LLMs.

    Args:
        network (`EmbedLLMNetwork`): The model of the bank's pool.
        rows (`np.ndarray` of shape `(n,)`): The questions; one that none of the LLMs has answered stays as it is.
        llms (`np.ndarray` of shape `(n_llms,)`, bool): The LLMs, each with an ability.
    """
    item, view = item_parameters_of(bank), NetworkView.of(network).of_llms(np.flatnonzero(llms))
    answers = select(bank.responses, rows, np.flatnonzero(llms))[0]
    answered = np.diff(answers.indptr) > 0
    rows, answers = rows[answered], answers[answered]
    changed = {name: getattr(item, name).copy() for name in ("intercepts", "discriminations", "residuals")}
    n_trained = len(bank) if bank.trained_on is None else bank.trained_on[0]
    spread = float((item.residuals[:n_trained].astype(np.float64) ** 2).mean())
    step = max(1, _CELLS_AT_ONCE // max(1, answers.shape[1]))
    for start in range(0, len(rows), step):
        block, responses = rows[start : start + step], dense(answers[start : start + step])
        features = np.column_stack([np.ones(len(block)), bank.question_embeds[block].astype(np.float64)])
        parameters, difficulty = _traits(item, responses, features, item.abilities[llms].astype(np.float64))
        changed["intercepts"][block] = parameters[:, 0]
        changed["discriminations"][block] = np.column_stack([parameters[:, 1:], difficulty])
        changed["residuals"][block] = _residuals(view, responses, features, spread)
    return replace(item, **changed)


def _traits(
    item: ItemParameters, responses: np.ndarray, features: np.ndarray, abilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Intercepts and free discriminations of some questions, `(n, 1 + n_free)`, and their difficulties, `(n, 1)`.

    As in `fit_pool` the difficulty for the mean LLM comes from a fit of its own, here with that of the text.
    """
    text = item.text_coefficients.astype(np.float64)
    expected, difficulty, precisions = features @ text[:, :-1], features @ text[:, -1:], 1 / item.text_variances
    # The difficulty is linear in the other traits: by which numbers, their coefficients on the text tell.
    constant = np.eye(len(text), 1)
    of_traits = np.linalg.lstsq(np.column_stack([text[:, :-1], constant]), text[:, -1:], rcond=None)[0]
    parameters = expected
    for _ in range(2):
        free, slopes = abilities[:, :-1], abilities[:, -1:]
        parameters, _ = fit_questions(responses, free, difficulty, slopes, expected, precisions, parameters)
        previous, difficulty = difficulty, np.column_stack([parameters, np.ones(len(parameters))]) @ of_traits
    return parameters, previous


def _residuals(view: NetworkView, responses: np.ndarray, features: np.ndarray, variance: float) -> np.ndarray:
    """How much easier some questions are than the network says, `(n,)` logits; prior N(0, variance)."""
    parts = [features @ view.vector_map, np.ones(len(features)), features @ view.base_map]
    llms = np.column_stack([view.llm_vectors, np.ones(len(view.llm_vectors))])
    none, nobody = np.zeros((len(features), 1)), np.zeros((len(llms), 0))
    precision = np.array([1 / max(variance, 1e-6)])
    return fit_questions(responses, nobody, np.column_stack(parts), llms, none, precision, none)[0][:, 0]
