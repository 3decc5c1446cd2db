"""How well `embedllm drift` does, on simulated answers of real LLMs to real questions."""
