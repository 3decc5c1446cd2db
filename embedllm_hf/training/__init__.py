"""Training of EmbedLLM on Accelerate: arguments, batches of questions, and one visible loop."""
