"""Predictions of correctness: the baselines, the nearest questions, the stacked predictor, its confidence."""
