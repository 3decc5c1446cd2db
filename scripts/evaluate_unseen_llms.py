"""Measure how well unseen LLMs are placed from a few answers, fold by fold; writes tables, numbers and a figure.

python scripts/evaluate_unseen_llms.py --dataset open-llm-responses --output_dir model_cards/unseen_llms \
    --question_embeddings open-llm-responses/question_embeddings.all-MiniLM-L6-v2.safetensors
python scripts/evaluate_unseen_llms.py --dataset planted --output_dir runs/unseen --quick      # a minute

About six minutes a seed on one core for the first; the report is written anew after each seed.
"""

import argparse
import logging
import time
from dataclasses import replace
from pathlib import Path


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="Hub data set id, a folder in the same layout, or `planted`")
    parser.add_argument("--encoder", default="offline", help="text encoder (default: offline)")
    parser.add_argument("--question_embeddings", help="safetensors file of text vectors, instead of encoding")
    parser.add_argument("--output_dir", required=True, type=Path, help="folder of the report")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds to run (default: 0 to 4)")
    parser.add_argument("--n_folds", type=int, help="folds of LLMs (default: 24)")
    parser.add_argument("--quick", action="store_true", help="two folds, one seed, few answers: to try it")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run seed by seed."""
    options = make_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    import torch

    from embedllm_hf import QuestionEncoder, load_responses
    from embedllm_hf.cli._options import embed_questions
    from embedllm_hf.experiments.unseen_llms import UnseenSettings, measure_seed
    from embedllm_hf.experiments.unseen_report import write_report

    torch.set_num_threads(1)
    settings = UnseenSettings()
    if options.quick:
        small = {"n_answers": (0, 8, 16), "n_answers_new": (16,), "n_answers_retrained": 16}
        settings = UnseenSettings(n_folds=2, seeds=(0,), n_draws=1, **small)
    if options.seeds:
        settings = replace(settings, seeds=tuple(options.seeds))
    if options.n_folds:
        settings = replace(settings, n_folds=options.n_folds)

    train = load_responses(options.dataset, split="train")
    splits = {"train": train}
    for split in ("validation", "test"):
        splits[split] = load_responses(options.dataset, split=split, llm_names=train.llm_names)
    encoder = QuestionEncoder(options.encoder)
    embeds = {name: embed_questions(split, encoder, options.question_embeddings) for name, split in splits.items()}
    began, scores, new_questions, done = time.perf_counter(), [], [], []
    about = {"dataset": Path(options.dataset).name, "n_llms": train.n_llms, "encoder": options.encoder}
    command = f"python scripts/evaluate_unseen_llms.py --dataset {about['dataset']}"
    about["command"] = command + (" --quick" if options.quick else f" --seeds {' '.join(map(str, settings.seeds))}")
    for seed in settings.seeds:
        more_scores, more_new = measure_seed(splits, embeds, settings, seed)
        scores, new_questions, done = scores + more_scores, new_questions + more_new, [*done, seed]
        about |= {"seeds": done, "seconds": round(time.perf_counter() - began)}
        write_report(options.output_dir, scores, new_questions, settings, about)
        print(f"{len(done)} of {len(settings.seeds)} seeds done; report in {options.output_dir}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
