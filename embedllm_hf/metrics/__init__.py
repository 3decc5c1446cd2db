"""Metrics over observed pairs: plain functions of NumPy arrays, usable on anybody's matrices.

Here: correctness and calibration, routing, cost against quality, forecasts, the bootstrap that compares two
predictors, the test by betting that may be looked at after each answer, and tests in a fixed order of a promised
share. Not here: who predicts, and the reports, which are `evaluation/`'s. The flow enters with probabilities and
responses `(n_questions, n_llms)`, NaN where not observed, and leaves as numbers. Only NumPy and SciPy are needed.
"""

from .betting import log_wealth, mean_interval
from .bootstrap import PairedDifference, paired_difference
from .correctness import (
    ReliabilityBin,
    accuracy,
    auc,
    brier_score,
    calibration_covariance,
    expected_calibration_error,
    log_loss,
    median_calibration_error,
    reliability_bins,
)
from .cost_curves import (
    CostQualityCurve,
    aiq,
    apgr,
    cost_quality,
    cost_quality_curve,
    cpt,
    deferral_area,
    frontier,
    quality_neutral_cost,
    recovered_gap,
)
from .fixed_sequence import last_that_keeps, share_p_value
from .forecasts import benchmark_forecast
from .routing import oracle_accuracy, routed_responses, routing_accuracy

__all__ = [
    "CostQualityCurve",
    "PairedDifference",
    "ReliabilityBin",
    "accuracy",
    "aiq",
    "apgr",
    "auc",
    "benchmark_forecast",
    "brier_score",
    "calibration_covariance",
    "cost_quality",
    "cost_quality_curve",
    "cpt",
    "deferral_area",
    "expected_calibration_error",
    "frontier",
    "last_that_keeps",
    "log_loss",
    "log_wealth",
    "mean_interval",
    "median_calibration_error",
    "oracle_accuracy",
    "paired_difference",
    "quality_neutral_cost",
    "recovered_gap",
    "reliability_bins",
    "routed_responses",
    "routing_accuracy",
    "share_p_value",
]
