"""A model measured: the report beside the baselines, the guarantee, quality against cost.

`evaluate_model` takes a model and labelled questions; a report leaves, as text for people and as `metrics.json`. New
LLMs, which the pool has never seen, are measured in `new_llms/`; the metrics themselves are in `metrics/`.
"""
