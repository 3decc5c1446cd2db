"""The nearest known questions of a question, and what their residuals show: plain functions of arrays.

The search is exact: matrix products in blocks; `vector_index` is for very many known questions. `blending` puts the
pieces together and says where the constants come from.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

LLM_TEMPERATURE, LLM_SHRINKAGE = 0.1, 0.3
DIFFICULTY_TEMPERATURE, DIFFICULTY_VARIANCE = 0.25, 0.6
_BLOCK = 512  # questions that are compared with all known ones at once
_GATHERED = 64  # questions whose neighbours' vectors are held at once


def nearest_rows(directions: np.ndarray, bank: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact nearest rows by cosine.

    Args:
        directions (`np.ndarray` of shape `(n, text_dim)`): Of length 1.
        bank (`np.ndarray` of shape `(n_bank, text_dim)`): Of length 1.
        k (`int`): How many; all of the bank if it has fewer.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: Positions in the bank and cosines, each `(n, k)`, the nearest first.
    """
    k = min(k, len(bank))
    rows, cosines = np.empty((len(directions), k), np.int64), np.empty((len(directions), k), np.float32)
    for start in range(0, len(directions), _BLOCK):
        block = slice(start, start + _BLOCK)
        similarity = directions[block] @ bank.T
        near = np.sort(np.argpartition(-similarity, k - 1, axis=1)[:, :k], axis=1)
        rows[block], cosines[block] = ordered_by_cosine(directions[block], bank, near)
    return rows, cosines


def ordered_by_cosine(directions: np.ndarray, bank: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some rows of the bank for each question, ascending `(n, k)`, as `nearest_rows` gives them: the nearest first."""
    cosines = _cosines(directions, bank, rows)
    order = np.argsort(-cosines, axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def _cosines(directions: np.ndarray, bank: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Cosines with some rows of the bank, `(n, k)`, a question at a time, so that they do not depend on the batch."""
    cosines = np.empty(rows.shape, np.float32)
    for start in range(0, len(rows), _GATHERED):
        block = slice(start, start + _GATHERED)
        cosines[block] = (bank[rows[block]] @ directions[block, :, None])[..., 0]
    return cosines


def llm_offsets(
    rows: np.ndarray, cosines: np.ndarray, residuals: sparse.csr_array, curvatures: sparse.csr_array
) -> np.ndarray:
    """R: one Newton step of an offset per LLM, with a Gaussian prior of precision 0.3.

        R(q, m) = sum_j w_j (y - p)_jm / (sum_j w_j (p(1-p))_jm + 0.3),    w_j = exp((s_j - s_1) / 0.1)

    Args:
        rows, cosines (`np.ndarray` of shape `(n_questions, k)`): From `nearest_rows`.
        residuals, curvatures (`sparse.csr_array` of shape `(n_bank, n_llms)`): y - p and p(1-p) of observed pairs.

    Returns:
        `np.ndarray` of shape `(n_questions, n_llms)`: Zero for an LLM that answered none of the neighbours.
    """
    weights = np.exp((cosines - cosines[:, :1]).astype(np.float64) / LLM_TEMPERATURE)
    starts = np.arange(0, rows.size + 1, max(rows.shape[1], 1))
    chosen = sparse.csr_array((weights.ravel(), rows.ravel(), starts), shape=(len(rows), residuals.shape[0]))
    return (chosen @ residuals).toarray() / ((chosen @ curvatures).toarray() + LLM_SHRINKAGE)


def difficulty_offsets(
    rows: np.ndarray, cosines: np.ndarray, bank: np.ndarray, residual_sums: np.ndarray, curvature_sums: np.ndarray
) -> np.ndarray:
    """D: local kriging of a question's difficulty, pooled over LLMs.

    A Gaussian process with covariance `0.6 exp((cosine - 1) / 0.25)` over each question's own neighbours, of which
    neighbour j shows `d_j = sum_m (y - p) / sum_m p(1-p)` with noise variance `1 / sum_m p(1-p)`.

    Args:
        rows, cosines (`np.ndarray` of shape `(n_questions, k)`): From `nearest_rows`.
        bank (`np.ndarray` of shape `(n_bank, text_dim)`): Known questions, of length 1.
        residual_sums, curvature_sums (`np.ndarray` of shape `(n_bank,)`): Sums over observed LLMs.

    Returns:
        `np.ndarray` of shape `(n_questions,)`: The posterior mean, in log odds; above 0 is easier than predicted.
    """
    curvature_sums = np.maximum(curvature_sums, 1e-3)  # a question that nobody answered shows next to nothing
    shown = residual_sums / curvature_sums
    diagonal = np.arange(rows.shape[1])
    means = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK // 2):
        block = slice(start, start + _BLOCK // 2)
        near = bank[rows[block]]  # (block, k, text_dim)
        covariance = _difficulty_covariance(near @ near.transpose(0, 2, 1))
        covariance[:, diagonal, diagonal] += 1 / curvature_sums[rows[block]]
        to_question = _difficulty_covariance(cosines[block])
        solved = np.linalg.solve(covariance, to_question[..., None])[..., 0]
        means[block] = (solved * shown[rows[block]]).sum(axis=1)
    return means


def _difficulty_covariance(cosines: np.ndarray) -> np.ndarray:
    return DIFFICULTY_VARIANCE * np.exp((cosines.astype(np.float64) - 1) / DIFFICULTY_TEMPERATURE)
