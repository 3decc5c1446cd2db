"""LLMs that come after training: placing one from graded answers, choosing its questions, measuring how well it works.

Answers by question enter, as a mapping or a file; a model with one LLM more leaves, or the next questions to ask. The
mathematics is in `item_response/`.
"""
