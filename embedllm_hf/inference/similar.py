"""LLMs that are alike, so that one can stand in for the other.

Two LLMs are alike if they are right on the same questions. Vectors near each other are something else: their lengths,
and directions that no question asks about, tell nothing of answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .._checks import brief, check_count, check_names
from .._errors import InputError
from ..modeling_embedllm import EmbedLLM
from .base import Result, bank_of


@dataclass(frozen=True)
class SimilarLLM(Result):
    """An LLM compared with another one.

    Attributes:
        agreement (`float`): `1 - mean |p - p'|` over the known questions, with the network's probabilities of a right
            answer: the largest share of equal answers that these probabilities allow. 1 means that the model cannot
            tell the two apart.
        distance (`float`): Cosine distance of the vectors, in [0, 2].
        n_shared (`int`): Known questions that both have answered.
        shared_agreement (`float | None`): Share of these on which both were right or both wrong.
    """

    llm: str
    agreement: float
    distance: float
    n_shared: int
    shared_agreement: float | None


def similar_llms(model: EmbedLLM, llm: str, n: int = 5, *, exclude: Iterable[str] = ()) -> list[SimilarLLM]:
    """The `n` LLMs (or all) that a model takes to be most like one, the most alike first, without those in `exclude`.

    LLMs whose vector was learned from no answer are not among them.

    Raises:
        KeyError: If an LLM is unknown; the message offers close names.
        ValueError: If `n` is less than 1, the model has no question bank, or no answer of the LLM is known.
    """
    llm_index, n = model.llm_index(llm), check_count("n", n)
    bank = bank_of(model)
    if bank.is_unplaced[llm_index]:
        raise InputError(f"no answers are known of `{brief(llm)}`, so nothing tells whom it is like. Onboard it.")
    excluded = [model.llm_index(name) for name in check_names("exclude", exclude)]
    left_out = {llm_index, *excluded, *np.flatnonzero(bank.is_unplaced).tolist()}
    agreement = predicted_agreement(model, llm_index)
    vectors = model.llm_embeds.astype(np.float64)
    normalised = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    distances = 1 - normalised @ normalised[llm_index]
    own = bank.responses_of(llm_index)
    order = [other for other in np.argsort(-agreement, kind="stable").tolist() if other not in left_out]
    found = []
    for other in order[:n]:
        theirs = bank.responses_of(other)
        shared = ~np.isnan(own) & ~np.isnan(theirs)
        same = (own[shared] > 0.5) == (theirs[shared] > 0.5)
        found.append(
            SimilarLLM(
                llm=model.config.llm_names[other],
                agreement=float(agreement[other]),
                distance=float(distances[other]),
                n_shared=int(shared.sum()),
                shared_agreement=float(same.mean()) if len(same) else None,
            )
        )
    return found


def predicted_agreement(model: EmbedLLM, llm_index: int) -> np.ndarray:
    """Agreement of one LLM with each of the pool, `(n_llms,)`; see `SimilarLLM`.

    Raises:
        ValueError: If the model has no question bank.
    """
    probs = model.network_proba(bank_of(model).question_embeds)
    return 1 - np.abs(probs - probs[:, llm_index, None]).mean(axis=0, dtype=np.float64)
