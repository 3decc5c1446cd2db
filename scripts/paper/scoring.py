"""Scores of predictions that were made once for each seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedllm_hf import metrics


def scores_by_seed(seeds: Sequence[np.ndarray], truth: np.ndarray) -> dict[str, list[float]]:
    """Accuracy and AUC of each seed's probabilities.

    Args:
        seeds (`Sequence[np.ndarray]`): Probabilities `(n_questions, n_llms)`, one array a seed.
        truth (`np.ndarray` of shape `(n_questions, n_llms)`): Responses, NaN where not observed.
    """
    return {
        "accuracy": [metrics.accuracy(probs, truth) for probs in seeds],
        "auc": [metrics.auc(probs, truth) for probs in seeds],
    }


def mean_hits(seeds: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
    """Share of the seeds that predict each pair's side of one half; NaN where it was not observed."""
    right = np.mean([(probs > 0.5) == (truth > 0.5) for probs in seeds], axis=0)
    return np.where(np.isnan(truth), np.nan, right)


def accuracy_gap(first: Sequence[np.ndarray], second: Sequence[np.ndarray], truth: np.ndarray) -> dict[str, float]:
    """Accuracy of the first minus that of the second, seeds averaged, with a 95% interval over questions."""
    return metrics.paired_difference(mean_hits(first, truth), mean_hits(second, truth)).to_dict()
