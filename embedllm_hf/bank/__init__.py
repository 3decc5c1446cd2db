"""The question bank: what a model knows beside its network, as frozen state and its file; nothing is fitted here.

`QuestionBank` holds the questions that the pool has answered, with vectors and responses, and two fitted parts:
`ItemParameters`, by `item_response/`, and `Blend`, by `predictors/`. It enters a model by `model.with_bank` and leaves
it as `bank.safetensors`.
"""
