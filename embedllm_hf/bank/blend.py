"""`Blend`: the fitted weights of the stacked predictor (`predictors.stacked`, which has its formulas)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._checks import check_shapes


@dataclass(frozen=True, eq=False)
class Blend:
    """Weights of network, category, difficulty and LLM offset, and how sure their forecasts are.

    Attributes:
        category_weight (`np.ndarray` of shape `(text_dim, n_categories)`, float32): Softmax regression of the bank's
            categories on the text; no columns where the data have no two categories.
        category_bias (`np.ndarray` of shape `(n_categories,)`, float32): Its offsets.
        base_weights (`np.ndarray`): Of network, category and 1 in the logits that residuals are taken from; without
            category if there are no categories.
        weights (`np.ndarray`): Of network, category, difficulty, LLM offset and 1 in the blended logits.
        question_sd (`float`): Spread of questions around the blended logits; the intervals come from it.
        calibration (`np.ndarray | None` of shape `(2, 2)`): How surely the blended logits are calibrated, from
            `metrics.calibration_covariance` on validation; None where that was not measured.
    """

    category_weight: np.ndarray
    category_bias: np.ndarray
    base_weights: np.ndarray
    weights: np.ndarray
    question_sd: float
    calibration: np.ndarray | None = None

    def __post_init__(self) -> None:
        n_categories = self.category_weight.shape[1]
        n_base = 3 if n_categories else 2
        shapes = {"category_bias": (n_categories,), "base_weights": (n_base,), "weights": (n_base + 2,)}
        check_shapes(self, shapes | {"calibration": (2, 2)})

    @property
    def has_categories(self) -> bool:
        """Whether categories have a part in it."""
        return bool(self.category_weight.shape[1])
