"""The model card: what a reader on the Hub sees first.

Here: the card's text, metadata and pictures, from a configuration, the content of `metrics.json` and the LLM vectors.
Not here: the numbers, which `evaluation/` measures, and the drawing, which is `plots/`'s. The flow enters at
`write_model_card`, which the model calls at every save, and leaves as `README.md` and two pictures beside it.
"""
