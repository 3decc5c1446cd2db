"""Forecast a score of half of the LLMs from that of the other half, linearly, and judge the order of the forecasts.

Everything takes many columns of scores at once, so that the same halves are also run on shuffled scores, which shows
what chance gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from sklearn.linear_model import RidgeCV

PENALTIES = np.logspace(-4, 4, 25)  # of the ridge, in units of the mean variance of the training half
SIGNIFICANCE = 0.05


def random_halves(n_llms: int, n_splits: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions of the training and of the test half, for some random splits; an odd LLM goes to the test half."""
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(n_llms) for _ in range(n_splits)]
    return [(order[: n_llms // 2], order[n_llms // 2 :]) for order in orders]


def ridge_forecasts(
    blocks: Sequence[np.ndarray], scores: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Ridge regression with a free intercept; its strength is chosen by leaving one LLM of the training half out.

    Args:
        blocks (`Sequence[np.ndarray]`): Groups of features, each `(n_llms, width)`, an LLM's vector or its bias. Each
            group is scaled to total variance 1 over the training half, so that neither drowns the other.
        scores (`np.ndarray` of shape `(n_llms, n_columns)`): What is forecast; each column is a problem of its own.
        train, test (`np.ndarray`): Positions of the two halves. Scores of the test half are not looked at.

    Returns:
        `np.ndarray` of shape `(n_test, n_columns)`.
    """
    scaled = []
    for block in blocks:
        shifted = block - block[train].mean(axis=0, dtype=np.float64)
        scaled.append(shifted / max(np.sqrt(shifted[train].var(axis=0).sum()), 1e-12))
    features = np.concatenate(scaled, axis=1)
    unit = max((features[train] ** 2).sum() / len(train), 1e-12)
    ridge = RidgeCV(PENALTIES * unit, alpha_per_target=True).fit(features[train], scores[train])
    return ridge.predict(features[test]).reshape(len(test), -1)


def kendall_sums(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs in the same order less pairs in the opposite one, and tau-b, of columns `(n, n_columns)`.

    SciPy's `kendalltau` takes one column at a time, which is too slow for all shuffled scores. A column without any
    order has tau 0. Reference: Kendall (1938, 1945).
    """
    above, below = np.triu_indices(len(first), k=1)
    order = np.sign(first[above] - first[below]), np.sign(second[above] - second[below])
    sums = (order[0] * order[1]).sum(axis=0)
    untied = np.sqrt((order[0] ** 2).sum(axis=0) * (order[1] ** 2).sum(axis=0))
    return sums, sums / np.maximum(untied, 1)


@cache
def kendall_tail(n: int) -> np.ndarray:
    """Two-sided p-value of each value of the sum of `kendall_sums` for `n` LLMs, by its size: entry s is P(|S| >= s).

    Exact without ties (the distribution of the inversions of a random order); with ties it errs on the safe side.
    """
    probability = np.ones(1)  # of 0, 1, 2, ... inversions
    for size in range(2, n + 1):
        probability = np.convolve(probability, np.full(size, 1 / size))
    n_pairs = n * (n - 1) // 2
    by_size = np.zeros(n_pairs + 1)
    np.add.at(by_size, np.abs(n_pairs - 2 * np.arange(n_pairs + 1)), probability)
    return np.minimum(by_size[::-1].cumsum()[::-1], 1.0)


def smallest_significant_tau(n: int) -> float | None:
    """The smallest tau (without ties) that is significant for `n` LLMs, or None if not even a perfect order is."""
    tail = kendall_tail(n)
    possible = np.arange(len(tail) - 1, -1, -2)
    significant = possible[tail[possible] < SIGNIFICANCE]
    return float(significant.min() / (len(tail) - 1)) if len(significant) else None


def judge_order(forecasts: np.ndarray, actual: np.ndarray) -> dict[str, np.ndarray]:
    """How well forecasts `(n, n_columns)` order what they forecast, by column.

    Returns:
        `dict[str, np.ndarray]`: `tau`; `significant`, whether tau is above 0 with a two-sided p-value below 5%; and
        `either_sign`, the same for a tau of either sign.
    """
    sums, tau = kendall_sums(forecasts, actual)
    either = kendall_tail(len(forecasts))[np.abs(sums).astype(int)] < SIGNIFICANCE
    return {"tau": tau, "significant": either & (sums > 0), "either_sign": either}
