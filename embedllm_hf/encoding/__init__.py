"""Question texts to text vectors: the encoder, its cache, files of vectors, static copies."""
