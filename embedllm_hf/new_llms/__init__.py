"""LLMs that come after training: placing one from its answers, choosing the next questions, how well that works.

A model and graded answers, by id, by text or from a file, come in. A new model with one LLM more leaves, or questions
to ask next. The mathematics of abilities is in `item_response/`, edits of the pool in `pool_edits`.
"""
