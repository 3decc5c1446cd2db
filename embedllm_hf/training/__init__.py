"""Training on Accelerate: the recipe (`trainer`), the network's loop, the text encoder's, and what each is made of.

`EncodedResponses` come in, or responses that are encoded here; a trained `EmbedLLM` with its bank leaves, and stands in
its folder. `NetworkTrainer` and `fit_bank` are the low path: tensors in, a network and its bank out.
"""
