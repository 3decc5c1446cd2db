"""Question texts to text vectors: the encoder, its cache on disk, files of vectors, static copies of an encoder.

Responses come in from `data/`; they leave as `EncodedResponses`, which every later room takes: responses, their text
vectors, and the encoder that these are from. What is learned from vectors is not here.
"""
