"""LLMs that come after training: placing, probing, and how well that works."""
