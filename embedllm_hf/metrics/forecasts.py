"""The quality of forecasts of benchmark scores: their error, their order, and the coverage of their intervals."""

from __future__ import annotations

import numpy as np
from scipy.stats import kendalltau

from .._errors import InputError


def benchmark_forecast(
    predictions: np.ndarray, references: np.ndarray, lows: np.ndarray | None = None, highs: np.ndarray | None = None
) -> dict[str, float]:
    """Compare forecast scores with actual ones.

    Args:
        predictions, references (`np.ndarray` of shape `(n,)`): Forecast and actual score of each (LLM, benchmark), in
            [0, 1]; NaN in `references` where it is not known, which counts nowhere.
        lows, highs (`np.ndarray` of shape `(n,)`, *optional*): Bounds of the forecasts' intervals.

    Returns:
        `dict[str, float]`: `mean_absolute_error`; `kendall_tau` (Kendall, 1938; tau-b, NaN for fewer than two scores);
        with bounds, `coverage`, the share of actual scores inside, and `mean_width`.

    Raises:
        ValueError: If lengths differ or no score is known.
    """
    given = {"predictions": predictions, "references": references, "lows": lows, "highs": highs}
    columns = {name: np.asarray(values, np.float64) for name, values in given.items() if values is not None}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"the arguments have lengths {lengths}, expected the same: one entry a score.")
    known = ~np.isnan(columns["references"])
    if not known.any():
        raise InputError("`references` holds no known score (all NaN), so there is nothing to measure.")
    columns = {name: values[known] for name, values in columns.items()}
    forecast, actual = columns["predictions"], columns["references"]
    result = {
        "mean_absolute_error": float(np.abs(forecast - actual).mean()),
        "kendall_tau": float(kendalltau(forecast, actual).statistic) if len(actual) > 1 else float("nan"),
    }
    if "lows" in columns and "highs" in columns:
        inside = (columns["lows"] <= actual) & (actual <= columns["highs"])
        result["coverage"] = float(inside.mean())
        result["mean_width"] = float((columns["highs"] - columns["lows"]).mean())
    return result
