"""Encode a data set's questions, on one process or several; the options are those of `embedllm embed`.

python scripts/embed_questions.py --dataset RZ412/EmbedLLM --output embeddings.safetensors
accelerate launch --num_processes 2 scripts/embed_questions.py --dataset RZ412/EmbedLLM --output embeddings.safetensors
"""

import sys

from embedllm_hf.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["embed", *sys.argv[1:]]))
