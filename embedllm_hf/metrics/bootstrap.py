"""Paired bootstrap over questions: is one predictor better than another beyond the luck of these questions?

Questions are drawn anew, not single answers, since the answers to one question depend on each other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from .._errors import InputError


@dataclass(frozen=True)
class PairedDifference:
    """A difference of two means over the same questions, first minus second, with the bounds of its 95% interval."""

    difference: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """The three numbers by name."""
        return asdict(self)


def paired_difference(
    first: np.ndarray, second: np.ndarray, *, n_resamples: int = 2000, seed: int = 0
) -> PairedDifference:
    """Compare two predictors on the same questions.

    Args:
        first, second (`np.ndarray` of shape `(n_questions,)` or `(n_questions, n_llms)`): Score of each question or
            pair, for instance 1 where the prediction was right; NaN where it does not count.
        n_resamples, seed (`int`): Draws of the bootstrap, and the seed of them.

    Returns:
        `PairedDifference`: Of the means over all that counts, with the percentile interval (Efron, 1979).

    Raises:
        ValueError: If shapes differ or nothing counts.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape:
        raise InputError(f"`first` has shape {first.shape} and `second` {second.shape}, expected the same questions.")
    gaps = first - second
    gaps = gaps.reshape(len(gaps), -1)
    sums, counts = np.nansum(gaps, axis=1), (~np.isnan(gaps)).sum(axis=1)
    sums, counts = sums[counts > 0], counts[counts > 0]
    if not len(counts):
        raise InputError("`first` and `second` share no value that counts (all NaN), so there is nothing to compare.")
    generator = np.random.default_rng(seed)
    equal = np.full(len(counts), 1 / len(counts))
    means = np.empty(n_resamples)
    for resample in range(n_resamples):
        draw = generator.multinomial(len(counts), equal)
        means[resample] = (draw @ sums) / (draw @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    return PairedDifference(float(sums.sum() / counts.sum()), float(low), float(high))
