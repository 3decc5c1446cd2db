"""LLMs that come after training: placing one from its answers, choosing the next questions, how well that works.

Also whether an LLM of the pool has changed since. A model and graded answers, by id, by text or from a file, come in.
A new model with one LLM more leaves, questions to ask next, or a verdict. The mathematics of abilities is in
`item_response/`, that of the verdict in `metrics/`, edits of the pool in `pool_edits`.
"""
