"""Permutation tests: are LLMs of one group closer than chance, and do two tables of pairs of LLMs go together?

Labels are shuffled either freely or within strata. The second leaves what the strata differ in as it is, so it asks
whether groups are told apart by more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import kendalltau, rankdata
from sklearn.metrics import silhouette_score

N_NEIGHBOURS = 3
N_FOLDS = 5
_STEPS = 80  # of the probe's descent: enough for its labels to stop changing


def shuffles(
    n: int, n_shuffles: int, strata: Sequence[object] | np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Random orders of `n` LLMs, `(n_shuffles, n)`; with strata `(n,)` each LLM's place goes to one of its stratum."""
    generator = np.random.default_rng(seed)
    if strata is None:
        return generator.permuted(np.tile(np.arange(n), (n_shuffles, 1)), axis=1)
    codes = np.unique(np.asarray(strata, dtype=str), return_inverse=True)[1]
    orders = np.empty((n_shuffles, n), int)
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        orders[:, members] = generator.permuted(np.tile(members, (n_shuffles, 1)), axis=1)
    return orders


def p_value(measured: float, chance: np.ndarray) -> float:
    """Share of chance values that reach the measured one, which counts as one of them."""
    return float((1 + (chance >= measured - 1e-12).sum()) / (1 + len(chance)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm, 1979): below 5% if significant with a 5% chance of any false one."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, float)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate(scaled).clip(max=1)
    return corrected.tolist()


def correct(rows: Sequence[dict], source: str = "p_value", target: str = "p_holm") -> None:
    """Give each row its p-value after Holm's correction for the number of rows."""
    for row, corrected in zip(rows, holm([row[source] for row in rows]), strict=True):
        row[target] = corrected


def chance_range(chance: np.ndarray, suffix: str = "") -> dict[str, float]:
    """Mean and 95% range of chance values: `chance`, `chance_low` and `chance_high`, each with a suffix."""
    values = (chance.mean(), *np.quantile(chance, [0.025, 0.975]))
    return {
        f"{name}{suffix}": float(v) for name, v in zip(("chance", "chance_low", "chance_high"), values, strict=True)
    }


# --- groups ---


def distance_gap(distances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean distance between groups less that within them, for each row of labels `(n_rows, n_llms)`."""
    first, second = np.triu_indices(len(distances), k=1)
    pairs = distances[first, second]
    same = labels[:, first] == labels[:, second]
    within = same @ pairs / np.maximum(same.sum(axis=1), 1)
    return ~same @ pairs / np.maximum((~same).sum(axis=1), 1) - within


def neighbour_agreement(distances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of each LLM's nearest neighbours that are of its group, mean over the LLMs, for each row of labels."""
    apart = distances + np.diag(np.full(len(distances), np.inf))
    near = np.argsort(apart, axis=1, kind="stable")[:, : min(N_NEIGHBOURS, len(distances) - 1)]
    return (labels[:, near] == labels[:, :, None]).mean(axis=(1, 2))


def silhouette(distances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean silhouette over the LLMs, for each row of labels; each label has two LLMs or more."""
    return np.array([silhouette_score(distances, row, metric="precomputed") for row in labels])


def probe_accuracy(vectors: np.ndarray, labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Cross-validated accuracy of a linear probe, the mean over groups of the share of right ones, by row of labels.

    The probe is multinomial logistic regression with a free intercept and a Gaussian prior: vectors are centred and
    scaled to mean square 1, and the penalty is half the squared length of the weights. All rows are fitted at once, by
    accelerated gradient descent (Nesterov, 1983) with the step 1/L: scikit-learn's `LogisticRegression` gives the same
    but for one row at a time, which takes ten times as long for some thousand shuffles.

    Args:
        vectors (`np.ndarray` of shape `(n_llms, dim)`): What is probed.
        labels (`np.ndarray` of shape `(n_rows, n_llms)`): 0, 1, ...; the folds are the same for every row.
        seed (`int`): Of the folds.
    """
    n_llms = len(vectors)
    left, spread, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    features = left * spread / max(np.sqrt((spread**2).sum() / vectors.size), 1e-12)
    features = np.concatenate([features, np.ones((n_llms, 1))], axis=1).astype(np.float32)
    folds = np.random.default_rng(seed).permutation(np.arange(n_llms) % N_FOLDS)
    n_groups = labels.max() + 1
    hits = np.zeros((n_llms, len(labels)))
    for fold in range(N_FOLDS):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        truth = np.eye(n_groups, dtype=np.float32)[labels[:, train].T]  # (n_train, n_rows, n_groups)
        weights = _descend(features[train], truth)
        guesses = np.tensordot(features[test], weights, axes=1).argmax(axis=2)
        hits[test] = guesses == labels[:, test].T
    members = np.eye(n_groups)[labels]  # (n_rows, n_llms, n_groups)
    recalls = (hits.T[:, :, None] * members).sum(axis=1) / np.maximum(members.sum(axis=1), 1)
    return recalls.mean(axis=1)


def _descend(features: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights `(dim, n_rows, n_groups)` of the probe; the last feature is the intercept, which has no penalty."""
    penalty = np.ones((features.shape[1], 1, 1), np.float32)
    penalty[-1] = 0
    step = 1 / (0.5 * np.linalg.norm(features, 2) ** 2 + 1)
    weights = np.zeros((features.shape[1], *truth.shape[1:]), np.float32)
    ahead = weights
    for number in range(_STEPS):
        logits = np.tensordot(features, ahead, axes=1)
        logits = np.exp(logits - logits.max(axis=2, keepdims=True))
        errors = logits / logits.sum(axis=2, keepdims=True) - truth
        new = ahead - step * (np.tensordot(features.T, errors, axes=1) + penalty * ahead)
        ahead = new + number / (number + 3) * (new - weights)
        weights = new
    return weights


# --- pairs ---


def _kendall(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.nan_to_num(kendalltau(first, second).statistic))


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1]) if first.std() > 0 and second.std() > 0 else 0.0


def _spearman(first: np.ndarray, second: np.ndarray) -> float:
    return _pearson(rankdata(first), rankdata(second))


CORRELATIONS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "pearson": _pearson,
    "spearman": _spearman,
    "kendall": _kendall,
}


def mantel(
    first: np.ndarray,
    second: np.ndarray,
    pairs: np.ndarray,
    orders: np.ndarray,
    groups: np.ndarray | None = None,
    measures: Sequence[str] = tuple(CORRELATIONS),
) -> dict[str, dict[str, float]]:
    """Correlation of two tables over pairs, with a p-value from reordering the LLMs of the first (Mantel, 1967).

    Args:
        first, second (`np.ndarray` of shape `(n, n)`): The tables; the second is not read outside `pairs`, and where
            the first is NaN after reordering, a pair is left out.
        pairs (`np.ndarray` of shape `(n, n)`, bool): Which cells count.
        orders (`np.ndarray` of shape `(n_shuffles, n)`): As `shuffles` gives them.
        groups (`np.ndarray` of shape `(n, n)`, *optional*): A group of each cell; correlate what is left when each
            group's mean is taken out of both.
        measures (`Sequence[str]`): Of `CORRELATIONS`.

    Returns:
        `dict[str, dict[str, float]]`: By measure: `value`, `p_value` (of a value so high), and what `chance_range`
        gives.
    """
    rows, columns = np.nonzero(pairs)

    def correlate(measure: str, order: np.ndarray) -> float:
        values, others = first[order[rows], order[columns]], second[rows, columns]
        known = ~np.isnan(values)  # an order may ask for a pair that the first table does not have
        values, others = values[known], others[known]
        if groups is not None:
            codes = groups[rows, columns][known]
            values, others = _without_means(values, codes), _without_means(others, codes)
        return CORRELATIONS[measure](values, others)

    found = {}
    for measure in measures:
        value, chance = (
            correlate(measure, np.arange(len(first))),
            np.array([correlate(measure, order) for order in orders]),
        )
        found[measure] = {"value": value, "p_value": p_value(value, chance), **chance_range(chance)}
    return found


def _without_means(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Values less the mean of their group."""
    codes = np.unique(groups, return_inverse=True)[1].ravel()
    return values - (np.bincount(codes, values) / np.bincount(codes))[codes]
