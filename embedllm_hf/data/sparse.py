"""Sparse arrays whose stored entries are the observations, zeros among them."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def dense(matrix: sparse.csr_array, fill: float = np.nan) -> np.ndarray:
    """All entries, `(n_questions, n_llms)` float32, with `fill` where nothing was observed."""
    full = np.full(matrix.shape, fill, np.float32)
    full[entry_rows(matrix), matrix.indices] = matrix.data
    return full


def column(matrix: sparse.csr_array, llm_index: int) -> np.ndarray:
    """One LLM's entries, `(n_questions,)` float32, NaN where it was not observed."""
    values = np.full(matrix.shape[0], np.nan, np.float32)
    mine = np.flatnonzero(matrix.indices == llm_index)
    values[np.searchsorted(matrix.indptr, mine, side="right") - 1] = matrix.data[mine]
    return values


def entry_rows(matrix: sparse.csr_array) -> np.ndarray:
    """Row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def select(matrix, rows=None, columns=None):
    """Some rows and columns, and the positions of the entries that stay."""
    numbered = sparse.csr_array((np.arange(1, matrix.nnz + 1), matrix.indices, matrix.indptr), shape=matrix.shape)
    if rows is not None:
        numbered = numbered[rows]
    if columns is not None:
        numbered = numbered[:, columns]
    numbered.sort_indices()
    kept = numbered.data - 1
    return sparse.csr_array((matrix.data[kept], numbered.indices, numbered.indptr), shape=numbered.shape), kept
