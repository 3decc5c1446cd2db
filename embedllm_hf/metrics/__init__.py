"""Metrics of correctness and routing over observed pairs: plain functions of NumPy arrays, usable on any matrices."""

from .bootstrap import PairedDifference, paired_difference
from .correctness import accuracy, auc, brier_score, expected_calibration_error, log_loss
from .routing import oracle_accuracy, routed_responses, routing_accuracy

__all__ = [
    "PairedDifference",
    "accuracy",
    "auc",
    "brier_score",
    "expected_calibration_error",
    "log_loss",
    "oracle_accuracy",
    "paired_difference",
    "routed_responses",
    "routing_accuracy",
]
