"""Measure how well unseen LLMs are placed from a few answers: `embedllm evaluate --unseen_llms`, with its progress.

python scripts/evaluate_unseen_llms.py --dataset open-llm-responses --output_dir model_cards/unseen_llms \
    --question_embeddings open-llm-responses/question_embeddings.all-MiniLM-L6-v2.safetensors --seeds 3 4 5 6 7
python scripts/evaluate_unseen_llms.py --dataset planted --output_dir runs/unseen --quick      # a minute

About six minutes a seed on one core for the first; the report is written anew after each seed.
"""

import logging
import sys


def main(argv: list[str] | None = None) -> int:
    """Show the folds as they are done, and call the verb."""
    from embedllm_hf.cli import main as embedllm

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    return embedllm(["evaluate", "--unseen_llms", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    raise SystemExit(main())
