"""Measurements of reading evaluation logs: `python -m scripts.logs`."""
