"""Train EmbedLLM, on one process or several; the options are those of `embedllm train`.

python scripts/train.py --dataset RZ412/EmbedLLM --output_dir runs/base
accelerate launch --num_processes 2 scripts/train.py --dataset RZ412/EmbedLLM --output_dir runs/base
"""

import sys

from embedllm_hf.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["train", *sys.argv[1:]]))
