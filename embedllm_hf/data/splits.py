"""Seeded splits of a `ResponseMatrix` that keep each category's share."""

from __future__ import annotations

import numpy as np

from .._errors import InputError
from .responses import ResponseMatrix


def split_questions(
    responses: ResponseMatrix, share: float, *, seed: int = 0
) -> tuple[ResponseMatrix, ResponseMatrix]:
    """Split the questions in two, at random within each category.

    Args:
        responses (`ResponseMatrix`): What to split.
        share (`float`): Share of the questions that goes to the second part, in (0, 1).
        seed (`int`): Of the choice.

    Returns:
        `tuple[ResponseMatrix, ResponseMatrix]`: The rest, and the share; no question is in both.

    Raises:
        ValueError: If `share` is not in (0, 1), or a part would be empty.
    """
    if not 0 < share < 1:
        raise InputError(f"`share` is {share}, expected a share in (0, 1).")
    generator = np.random.default_rng(seed)
    taken = np.zeros(responses.n_questions, bool)
    for category in sorted(set(responses.categories)):
        rows = generator.permutation(np.flatnonzero(responses.categories == category))
        taken[rows[: round(share * len(rows))]] = True
    if not taken.any() or taken.all():
        raise InputError(
            f"{responses.n_questions} questions are too few to set a share of {share:g} aside. "
            "Give a validation split."
        )
    return responses.select(~taken), responses.select(taken)
