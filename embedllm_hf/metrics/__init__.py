"""Metrics of correctness and routing over observed pairs: plain functions of NumPy arrays, usable on any matrices."""

from .bootstrap import PairedDifference, paired_difference
from .correctness import (
    ReliabilityBin,
    accuracy,
    auc,
    brier_score,
    expected_calibration_error,
    log_loss,
    reliability_bins,
)
from .routing import oracle_accuracy, routed_responses, routing_accuracy

__all__ = [
    "PairedDifference",
    "ReliabilityBin",
    "accuracy",
    "auc",
    "brier_score",
    "expected_calibration_error",
    "log_loss",
    "oracle_accuracy",
    "paired_difference",
    "reliability_bins",
    "routed_responses",
    "routing_accuracy",
]
