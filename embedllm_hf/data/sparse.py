"""SciPy's compressed rows, `(n_questions, n_llms)`, whose stored entries are what was observed, zeros among them.

A wrong answer is a stored 0 and a pair that was never asked is not stored. SciPy's arithmetic and its reductions do
not tell these apart, and some of them drop stored zeros; slicing and stacking keep them. So read values through the
functions here.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .._errors import InputError


def with_entries(matrix: sparse.csr_array, entries: np.ndarray) -> sparse.csr_array:
    """The same pairs with other values, one an entry."""
    return sparse.csr_array((entries, matrix.indices, matrix.indptr), shape=matrix.shape)


def entry_rows(matrix: sparse.csr_array) -> np.ndarray:
    """Row of each stored entry, `(n_entries,)`."""
    return np.repeat(np.arange(matrix.shape[0], dtype=matrix.indices.dtype), np.diff(matrix.indptr))


def dense(matrix: sparse.csr_array, fill: float = np.nan) -> np.ndarray:
    """All pairs, `(n_questions, n_llms)` of the entries' type, with `fill` where nothing is stored."""
    filled = np.full(matrix.shape, fill, matrix.dtype)
    filled[entry_rows(matrix), matrix.indices] = matrix.data
    return filled


def column(matrix: sparse.csr_array, llm_index: int) -> np.ndarray:
    """One LLM's entries, `(n_questions,)` float32, NaN where nothing is stored.

    Raises:
        ValueError: If there is no such column.
    """
    n_questions, n_llms = matrix.shape
    if not 0 <= llm_index < n_llms:
        raise InputError(f"`llm_index` is {llm_index}, expected a column of {n_llms}, counted from 0.")
    entries = np.flatnonzero(matrix.indices == llm_index)
    values = np.full(n_questions, np.nan, np.float32)
    values[np.searchsorted(matrix.indptr, entries, side="right") - 1] = matrix.data[entries]
    return values


def select(
    matrix: sparse.csr_array, rows: np.ndarray | None = None, columns: np.ndarray | None = None
) -> tuple[sparse.csr_array, np.ndarray]:
    """Keep some rows, some columns, or both; each are positions in the order wanted, or a bool mask.

    Columns ascend in each row, before and after. With the selection come the positions of its entries in `matrix`.
    """
    numbered = with_entries(matrix, np.arange(1, matrix.nnz + 1))  # from 1, so that no entry is a zero
    if rows is not None:
        numbered = numbered[rows]
    if columns is not None:
        numbered = numbered[:, columns]
    numbered.sort_indices()
    entries = numbered.data - 1
    return with_entries(numbered, matrix.data[entries]), entries
