"""Uses of a trained model: routing, forecasts, leaderboards, similar LLMs, portfolios, transformers pipelines.

A model enters with its text encoder (`base.EncodedModel`), questions as texts; small frozen results leave, each with
`to_dict`. Nothing is fitted here, but the threshold of `min_success`.
"""
