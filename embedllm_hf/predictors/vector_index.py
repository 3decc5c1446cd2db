"""Which known questions are nearest: by matrix product, and from a million on by an index of FAISS (extra `index`).

The index keeps the vectors in `sqrt(n)` lists by k-means and looks into the 32 lists whose centres are nearest, so a
few of the neighbours may be missed; the cosines of those it finds are exact. Without the extra the search stays exact,
and slow.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec

import numpy as np

from .._checks import require_extra
from .neighbours import nearest_rows, ordered_by_cosine

logger = logging.getLogger(__name__)

LARGEST_EXACT = 1_000_000  # known questions
_PROBED = 32  # lists that are looked into


class VectorIndex:
    """Finds the nearest of many vectors.

    Args:
        bank (`np.ndarray` of shape `(n_bank, text_dim)`, float32): The vectors, of length 1.
    """

    def __init__(self, bank: np.ndarray) -> None:
        self.bank = bank
        self._lists = None
        if len(bank) > LARGEST_EXACT:
            if find_spec("faiss") is None:
                logger.warning(
                    'Searching %s known questions one by one; pip install "embedllm_hf[index]" for an index.',
                    f"{len(bank):,}",
                )
            else:
                self._lists = _sorted_into_lists(bank)

    def nearest(self, directions: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest vectors by cosine; arguments and result as for `nearest_rows`."""
        if self._lists is None:
            return nearest_rows(directions, self.bank, k)
        directions = np.ascontiguousarray(directions, np.float32)
        _, near = self._lists.search(directions, min(k, len(self.bank)))
        rows, cosines = ordered_by_cosine(directions, self.bank, np.sort(near, axis=1))
        short = (near < 0).any(axis=1)  # the lists hold fewer than k
        if short.any():
            rows[short], cosines[short] = nearest_rows(directions[short], self.bank, k)
        return rows, cosines


def _sorted_into_lists(bank: np.ndarray):
    """The FAISS index of vectors."""
    faiss = require_extra("faiss", "index", "an index of known questions")
    n_lists, width = round(len(bank) ** 0.5), bank.shape[1]
    lists = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, n_lists, faiss.METRIC_INNER_PRODUCT)
    bank = np.ascontiguousarray(bank, np.float32)
    lists.train(bank)  # on a sample, with a seed of its own
    lists.add(bank)
    lists.nprobe = min(_PROBED, n_lists)
    return lists
