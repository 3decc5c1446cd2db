"""`Blend`: what a trained model keeps in order to blend its network with the known questions (`blending`).

What the neighbours of a question show is computed from the known questions, so an LLM that is placed later is covered;
but the difficulty of questions, which all LLMs share, is read from the LLMs of the fit alone, so that a newcomer moves
no other LLM's forecast. It is saved beside the weights as `blend.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from .._errors import InputError

_ARRAYS = ("category_weight", "category_bias", "base_weights", "weights", "fitted")


@dataclass(frozen=True, eq=False)
class Blend:
    """Fitted parts of the blend; its formulas are in `blending`.

    Attributes:
        categories (`tuple[str, ...]`): Categories that are read from a text; empty if the data have no two.
        category_weight (`np.ndarray` of shape `(text_dim, n_categories)`, float32): Of the softmax regression.
        category_bias (`np.ndarray` of shape `(n_categories,)`, float32): Its offsets.
        base_weights (`np.ndarray`): Of network, category and 1 in the log odds that residuals are taken from;
            without category if there are no categories.
        weights (`np.ndarray`): Of network, category, difficulty, LLM offset and 1 in the blended log odds.
        fitted (`np.ndarray` of shape `(n,)`, bool): Which LLMs were there at the fit; those beyond were not.
        question_sd (`float`): Spread of questions around the blended log odds, which the intervals come from.
        calibration (`np.ndarray | None` of shape `(2, 2)`): How surely the blended log odds are calibrated, from
            `metrics.calibration_covariance` on validation; None where that was not measured.
    """

    categories: tuple[str, ...]
    category_weight: np.ndarray
    category_bias: np.ndarray
    base_weights: np.ndarray
    weights: np.ndarray
    fitted: np.ndarray
    question_sd: float
    calibration: np.ndarray | None = None

    FILE: ClassVar[str] = "blend.safetensors"

    def of_pool(self, columns: Sequence[int]) -> Blend:
        """The same for another pool, whose first LLMs are this one's `columns`."""
        return replace(self, fitted=self.among_fitted(max(columns, default=-1) + 1)[list(columns)])

    def among_fitted(self, n_llms: int) -> np.ndarray:
        """Which LLMs of a pool were there at the fit, `(n_llms,)` bool."""
        among = np.zeros(n_llms, bool)
        among[: len(self.fitted)] = self.fitted[:n_llms]
        return among

    def save(self, folder: str | Path) -> None:
        """Write `blend.safetensors` into a folder."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        arrays["question_sd"] = np.array([self.question_sd])
        if self.calibration is not None:
            arrays["calibration"] = self.calibration
        save_file(arrays, Path(folder) / self.FILE, metadata={"categories": json.dumps(self.categories)})

    @classmethod
    def load(cls, path: str | Path) -> Blend:
        """Read the file that `save` wrote.

        Raises:
            ValueError: If the file is damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}
                categories = tuple(json.loads(file.metadata()["categories"]))
            blend = cls(categories, **{**arrays, "question_sd": float(arrays["question_sd"][0])})
            blend._check_sizes()
            return blend
        except (SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{path}: not a whole blend ({error}). Train or fetch it again.") from error

    def _check_sizes(self) -> None:
        """Refuse arrays that do not belong together."""
        n_categories, n_base = len(self.categories), 3 if self.categories else 2
        width = self.category_weight.shape
        found = [getattr(self, name).shape for name in _ARRAYS[1:4]]
        if len(width) != 2 or width[1] != n_categories:
            raise InputError(f"`category_weight` has shape {width}, for {n_categories} categories")
        if found != [(n_categories,), (n_base,), (n_base + 2,)]:
            raise InputError(f"sizes {found} do not fit {n_categories} categories")
        if self.calibration is not None and self.calibration.shape != (2, 2):
            raise InputError(f"`calibration` has shape {self.calibration.shape}, expected (2, 2)")
