"""Stored entries of compressed rows, of which some are zeros."""

import numpy as np
import pytest
from scipy import sparse

from embedllm_hf.data.sparse import column, dense, entry_rows, select, with_entries


@pytest.fixture
def matrix() -> sparse.csr_array:
    """4 x 3, the second row empty; 0 is stored where a NaN is not."""
    pairs = (np.array([0, 0, 2, 3, 3]), np.array([0, 2, 1, 0, 2]))
    return sparse.csr_array((np.float32([0, 0.5, 0, 1, 0]), pairs), shape=(4, 3))


DENSE = np.float32([[0, np.nan, 0.5], [np.nan] * 3, [np.nan, 0, np.nan], [1, np.nan, 0]])


def test_a_stored_zero_is_no_gap(matrix):
    """The dense view and the columns tell a 0 from what was not observed."""
    np.testing.assert_array_equal(dense(matrix), DENSE)
    np.testing.assert_array_equal(dense(matrix, -1), np.nan_to_num(DENSE, nan=-1))
    assert dense(matrix).dtype == np.float32
    for llm_index in range(3):
        np.testing.assert_array_equal(column(matrix, llm_index), DENSE[:, llm_index])


def test_entries_know_their_rows(matrix):
    """Rows come in the order of the entries, and other values may take the entries' places."""
    assert entry_rows(matrix).tolist() == [0, 0, 2, 3, 3]
    np.testing.assert_array_equal(dense(with_entries(matrix, np.arange(5)), -1)[3], [3, -1, 4])


@pytest.mark.parametrize("rows", [None, [3, 0], [2, 2, 1], [], np.array([True, False, False, True])])
@pytest.mark.parametrize("columns", [None, [2, 0], [1], [], [2, 1, 0]])
def test_a_selection_is_that_of_the_dense_matrix(matrix, rows, columns):
    """Zeros stay, columns are ascending in a row, and each entry knows where it was; the given matrix stays."""
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.setflags(write=False)
    rows, columns = (None if kept is None else np.array(kept, None if len(kept) else int) for kept in (rows, columns))
    chosen, entries = select(matrix, rows, columns)
    expected = DENSE[slice(None) if rows is None else rows][:, slice(None) if columns is None else columns]
    np.testing.assert_array_equal(dense(chosen), expected)
    assert chosen.nnz == (~np.isnan(expected)).sum()
    assert chosen.has_canonical_format
    np.testing.assert_array_equal(chosen.data, matrix.data[entries])
    old_columns = np.arange(3) if columns is None else columns
    np.testing.assert_array_equal(old_columns[chosen.indices], matrix.indices[entries])
