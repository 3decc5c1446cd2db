"""Testing by betting: has a mean difference moved away from a value, whenever one looks?

Somebody bets, answer after answer and at fair odds if the mean difference is `change`, that it is higher or lower. If
it is `change`, no way of betting gains on average, and the chance that the wealth, 1 at first, ever reaches 1 / level
is at most `level` (Ville, 1939). So the wealth is evidence that may be looked at after each answer: an e-process
(Shafer, Testing by betting, 2021; Ramdas et al., Game-theoretic statistics and safe anytime-valid inference, 2023).

The bets are those of Waudby-Smith and Ramdas (Estimating means of bounded random variables by betting, JRSS B 2024,
sections 4 and 5), with fixed stakes instead of chosen ones. Nothing is assumed of the differences but that they are in
[-1, 1], and that the mean of each, given those before it, is `change`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

# Shares of the wealth that are staked. A small one gains where answers are luck, a large one where they repeat. The
# start is divided evenly among them and between up and down, which costs at most a factor of 10 against the best.
STAKES = (0.05, 0.1, 0.2, 0.4, 0.8)
_HALVINGS = 30  # of the search for an interval's bound


def log_wealth(differences: np.ndarray, change: float = 0.0) -> np.ndarray:
    """Logarithm of the wealth after each difference.

    Args:
        differences (`np.ndarray` of shape `(..., n)`): In [-1, 1], in the order in which they came.
        change (`float`): Mean of each difference under the null hypothesis, in (-1, 1).

    Returns:
        `np.ndarray`, same shape: 0 is what one starts with; -log(level) is an alarm.
    """
    return _mean_of_bets(np.cumsum(np.log1p(_gains(differences, change)), axis=-1))


def mean_interval(differences: np.ndarray, level: float) -> tuple[float, float]:
    """The changes that the wealth does not speak against, of `(n,)` differences: low and high, in [-1, 1].

    It may be looked at after each answer: the chance that any of these intervals misses the mean is at most `level`.
    The mean of the differences lies in it, and the wealth is log-convex in `change`, so each bound is found by
    halving.
    """
    differences = np.asarray(differences, np.float64)
    limit = -np.log(level)

    def is_out(change: float) -> bool:
        return _mean_of_bets(np.log1p(_gains(differences, change)).sum(axis=-1)) >= limit

    bounds = []
    for end in (-1.0, 1.0):
        inside, outside = float(differences.mean()), end
        for _ in range(_HALVINGS if inside != end else 0):
            middle = (inside + outside) / 2
            if is_out(middle):
                outside = middle
            else:
                inside = middle
        bounds.append(inside)
    return bounds[0], bounds[1]


def _gains(differences: np.ndarray, change: float) -> np.ndarray:
    """What each bet gains with each difference, as a share of its wealth, more than -1: `(n_bets, ..., n)`."""
    excess = np.asarray(differences, np.float64) - change
    up, down = excess / (1 + change), -excess / (1 - change)  # the worst that can come is a loss of the whole stake
    return np.multiply.outer(np.array(STAKES), np.stack([up, down])).reshape(-1, *excess.shape)


def _mean_of_bets(logarithms: np.ndarray) -> np.ndarray:
    """Logarithm of the bets' mean wealth, from that of each, `(n_bets, ...)`."""
    return logsumexp(logarithms, axis=0) - np.log(len(logarithms))
