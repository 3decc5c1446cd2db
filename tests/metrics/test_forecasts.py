"""Forecasts of benchmark scores on cases counted by hand."""

import numpy as np
import pytest

from embedllm_hf import metrics

NAN = np.nan


def test_error_order_and_coverage_by_hand():
    """An unknown score counts nowhere; without bounds nothing is said of them; of one score there is no order."""
    forecast, actual = [0.5, 0.7, 0.9, 0.1], [0.6, 0.7, 0.6, NAN]
    result = metrics.benchmark_forecast(forecast, actual, [0.4, 0.6, 0.8, 0.0], [0.6, 0.8, 1.0, 1.0])
    expected = {"mean_absolute_error": 0.4 / 3, "kendall_tau": 0.0, "coverage": 2 / 3, "mean_width": 0.2}
    assert result == pytest.approx(expected)
    assert set(metrics.benchmark_forecast(forecast, actual)) == {"mean_absolute_error", "kendall_tau"}
    assert np.isnan(metrics.benchmark_forecast([0.5], [0.6])["kendall_tau"])


def test_forecasts_of_other_lengths_are_refused():
    """One entry a score, and at least one that is known."""
    with pytest.raises(ValueError, match=r"lengths \{'predictions': 2, 'references': 3\}"):
        metrics.benchmark_forecast([0.1, 0.2], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="no known score"):
        metrics.benchmark_forecast([0.1], [NAN])
