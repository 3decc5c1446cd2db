"""Training on Accelerate: the recipe (`trainer`), the loops of the network and of the text encoder, and their parts.

Responses come in, with text vectors or to be encoded here; a trained `EmbedLLM` with its bank leaves, in memory and in
its folder. `NetworkTrainer` and `fit_bank` are the low path: text vectors in, a network and its bank out. What a bank
holds and how its parts are fitted is elsewhere (`bank/`, `item_response/`, `predictors/`), and so is the report.
"""
