"""A model measured beside the baselines."""
