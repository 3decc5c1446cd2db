"""Scores of predictions that were made once for each seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from embedllm_hf import metrics


def by_method(seeds: Iterable[int], predict: Callable[[int], Mapping[str, np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Probabilities of each method, one array a seed; `predict` gives those of one seed by method."""
    each = [predict(seed) for seed in seeds]
    return {method: [found[method] for found in each] for method in each[0]}


def scores(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[float]]:
    """Accuracy and AUC of each pair of probabilities and responses, `(n_questions, n_llms)`, NaN: not observed."""
    return {
        "accuracy": [metrics.accuracy(*pair) for pair in pairs],
        "auc": [metrics.auc(*pair) for pair in pairs],
    }


def scores_by_seed(seeds: Sequence[np.ndarray], truth: np.ndarray) -> dict[str, list[float]]:
    """Accuracy and AUC of each seed's probabilities `(n_questions, n_llms)` of the same responses."""
    return scores([(probs, truth) for probs in seeds])


def mean_hits(seeds: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
    """Share of the seeds that predict each pair's side of one half; NaN where it was not observed."""
    right = np.mean([(probs > 0.5) == (truth > 0.5) for probs in seeds], axis=0)
    return np.where(np.isnan(truth), np.nan, right)


def joined_hits(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Whether each side of one half was predicted, of several pairs of arrays of the same questions, side by side."""
    return np.concatenate([mean_hits([probs], truth) for probs, truth in pairs], axis=1)


def accuracy_gap(first: Sequence[np.ndarray], second: Sequence[np.ndarray], truth: np.ndarray) -> dict[str, float]:
    """Accuracy of the first minus that of the second, seeds averaged, with a 95% interval over questions."""
    return metrics.paired_difference(mean_hits(first, truth), mean_hits(second, truth)).to_dict()
