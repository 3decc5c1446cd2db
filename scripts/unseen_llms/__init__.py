"""How well unseen LLMs are placed, beside baselines: the report in `model_cards/unseen_llms`.

The package measures the placing itself (`embedllm evaluate --unseen_llms`). Here it stands beside adaptive tests of
one trait, means of the answers and retraining, with forecasts of new questions.
"""
