"""The nearest known questions of a question, and what their residuals show.

The search is exact, one matrix product, up to a million known questions. Beyond, an index of FAISS (extra `index`)
keeps the vectors in `sqrt(n)` lists by k-means and looks into the 32 lists whose centres are nearest: a few of the
neighbours may be missed, the cosines of those it finds are exact. `stacked` says where the constants come from.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec

import numpy as np
from scipy import sparse

from .._checks import require_extra

logger = logging.getLogger(__name__)

LARGEST_EXACT = 1_000_000  # known questions
_PROBED = 32  # lists that are looked into
LLM_TEMPERATURE, LLM_SHRINKAGE = 0.1, 0.3
DIFFICULTY_TEMPERATURE, DIFFICULTY_VARIANCE = 0.25, 0.6


def normalise(vectors: np.ndarray) -> np.ndarray:
    """Scale each row to length 1, float32; a zero row stays zero."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


class Neighbours:
    """Finds the nearest known questions.

    Args:
        embeds (`np.ndarray` of shape `(n_known, text_dim)`): Their text vectors, of any length and precision.
    """

    def __init__(self, embeds: np.ndarray) -> None:
        self.embeds = normalise(embeds)
        self._lists = None
        if len(embeds) > LARGEST_EXACT and find_spec("faiss") is not None:
            self._lists = _sorted_into_lists(self.embeds)
        elif len(embeds) > LARGEST_EXACT:
            logger.warning(
                'Searching %s known questions one by one; pip install "embedllm_hf[index]" for an index.',
                f"{len(embeds):,}",
            )

    def nearest(self, normalised: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The `k` nearest known questions by cosine, or all if there are fewer.

        Takes questions `(n, text_dim)` of length 1. Gives rows and cosines, each `(n, k)`, the nearest first.
        """
        k = min(k, len(self.embeds))
        if self._lists is None:
            return self._exact(normalised, k)
        normalised = np.ascontiguousarray(normalised, np.float32)
        _, near = self._lists.search(normalised, k)
        rows, cosines = self._by_cosine(normalised, np.sort(near, axis=1))
        short = (near < 0).any(axis=1)  # the lists hold fewer than k
        if short.any():
            rows[short], cosines[short] = self._exact(normalised[short], k)
        return rows, cosines

    def _exact(self, normalised: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        near = np.argpartition(-(normalised @ self.embeds.T), k - 1, axis=1)[:, :k]
        return self._by_cosine(normalised, np.sort(near, axis=1))

    def _by_cosine(self, normalised: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sort some rows of each question; each cosine is computed alone, so that it does not depend on the batch."""
        cosines = (self.embeds[rows] @ normalised[:, :, None])[..., 0]
        order = np.argsort(-cosines, axis=1, kind="stable")
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def _sorted_into_lists(embeds: np.ndarray):
    """The FAISS index of vectors."""
    faiss = require_extra("faiss", "index", "an index of known questions")
    n_lists, width = round(len(embeds) ** 0.5), embeds.shape[1]
    lists = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, n_lists, faiss.METRIC_INNER_PRODUCT)
    embeds = np.ascontiguousarray(embeds)
    lists.train(embeds)  # on a sample, with a seed of its own
    lists.add(embeds)
    lists.nprobe = min(_PROBED, n_lists)
    return lists


def weighted_sums(rows: np.ndarray, weights: np.ndarray, *matrices: sparse.csr_array) -> tuple[np.ndarray, ...]:
    """Weighted sums over each question's neighbours, of each matrix; rows and weights `(n, k)`, sums `(n, n_llms)`."""
    starts = np.arange(0, rows.size + 1, max(rows.shape[1], 1))
    chosen = sparse.csr_array((weights.ravel(), rows.ravel(), starts), shape=(len(rows), matrices[0].shape[0]))
    return tuple((chosen @ matrix).toarray() for matrix in matrices)


def llm_offsets(
    rows: np.ndarray, cosines: np.ndarray, residuals: sparse.csr_array, curvatures: sparse.csr_array
) -> np.ndarray:
    """R: one Newton step of an offset per LLM, with a Gaussian prior of precision 0.3, `(n_questions, n_llms)`.

        R(q, m) = sum_j w_j (y - p)_jm / (sum_j w_j (p(1-p))_jm + 0.3),    w_j = exp((s_j - s_1) / 0.1)

    It is zero for an LLM that answered none of the neighbours.

    Args:
        rows, cosines (`np.ndarray` of shape `(n_questions, k)`): From `Neighbours.nearest`.
        residuals, curvatures (`sparse.csr_array` of shape `(n_known, n_llms)`): y - p and p(1-p) of observed pairs.
    """
    weights = np.exp((cosines - cosines[:, :1]).astype(np.float64) / LLM_TEMPERATURE)
    slope, curvature = weighted_sums(rows, weights, residuals, curvatures)
    return slope / (curvature + LLM_SHRINKAGE)


def difficulty_offsets(
    rows: np.ndarray, cosines: np.ndarray, embeds: np.ndarray, residual_sums: np.ndarray, curvature_sums: np.ndarray
) -> np.ndarray:
    """D: local kriging of the difficulty, pooled over LLMs: `(n_questions,)` logits, above 0 is easier than predicted.

    The posterior mean of a Gaussian process with covariance `0.6 exp((cosine - 1) / 0.25)` over each question's own
    neighbours, of which neighbour j shows `d_j = sum_m (y - p) / sum_m p(1-p)` with noise variance `1 / sum_m p(1-p)`.

    Args:
        rows, cosines (`np.ndarray` of shape `(n_questions, k)`): From `Neighbours.nearest`.
        embeds (`np.ndarray` of shape `(n_known, text_dim)`): Known questions, of length 1.
        residual_sums, curvature_sums (`np.ndarray` of shape `(n_known,)`): Sums over observed LLMs.
    """
    curvature_sums = np.maximum(curvature_sums, 1e-3)  # a question that nobody answered shows next to nothing
    shown = residual_sums / curvature_sums
    diagonal = np.arange(rows.shape[1])
    near = embeds[rows]  # (n_questions, k, text_dim)
    covariance = _difficulty_covariance(near @ near.transpose(0, 2, 1))
    covariance[:, diagonal, diagonal] += 1 / curvature_sums[rows]
    solved = np.linalg.solve(covariance, _difficulty_covariance(cosines)[..., None])[..., 0]
    return (solved * shown[rows]).sum(axis=1)


def _difficulty_covariance(cosines: np.ndarray) -> np.ndarray:
    return DIFFICULTY_VARIANCE * np.exp((cosines.astype(np.float64) - 1) / DIFFICULTY_TEMPERATURE)
