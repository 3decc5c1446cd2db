"""`embedllm evaluate --unseen_llms`: how well LLMs that the pool has never seen are placed from a few answers."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .._errors import InputError
from ._options import with_vectors, write_json

if TYPE_CHECKING:
    from ..encoding.encoded_responses import EncodedResponses
    from ..new_llms.unseen_llms import UnseenSettings


def add_unseen_options(parser: argparse.ArgumentParser) -> None:
    """Options of the measurement, in a group of their own."""
    group = parser.add_argument_group("with --unseen_llms")
    group.add_argument("--encoder", default="offline", help="text encoder (default: offline)")
    group.add_argument("--seeds", type=int, nargs="+", help="seeds to run (default: 0 to 4)")
    group.add_argument("--n_folds", type=int, help="folds of LLMs (default: 24)")
    group.add_argument("--quick", action="store_true", help="two folds, one seed, few answers: to try it")


def load_unseen(options: argparse.Namespace) -> tuple[UnseenSettings, dict[str, EncodedResponses]]:
    """What to measure, and the three splits with their text vectors."""
    from dataclasses import replace

    from ..data.sources import load_splits
    from ..encoding.encoded_responses import encode_responses
    from ..encoding.question_encoder import QuestionEncoder
    from ..new_llms.unseen_llms import UnseenSettings

    if options.n_folds is not None and options.n_folds < 2:
        raise InputError(f"--n_folds is {options.n_folds}, expected 2 or more.")
    settings = UnseenSettings.quick() if options.quick else UnseenSettings()
    if options.seeds:
        settings = replace(settings, seeds=tuple(options.seeds))
    if options.n_folds is not None:
        settings = replace(settings, n_folds=options.n_folds)
    data = load_splits(options.dataset, revision=options.dataset_revision, duplicates=options.duplicates)
    encoder = QuestionEncoder(options.encoder)
    return settings, {
        name: encode_responses(with_vectors(data[name], options.question_embeddings), encoder, show_progress=True)
        for name in ("train", "validation", "test")
    }


def evaluate_unseen(options: argparse.Namespace) -> int:
    """Measure seed by seed, print the table, write the numbers."""
    import torch

    from ..new_llms.unseen_llms import measure, score_table, summarise

    settings, splits = load_unseen(options)
    torch.set_num_threads(1)  # many small products, which more threads slow down
    rows = summarise([record for seed in settings.seeds for record in measure(splits, settings, seed)])
    print("Error of forecast scores by answers, and coverage of their 90% intervals, of LLMs that were held out:\n")
    print(score_table(rows))
    if options.output:
        write_json(options.output, rows, indent=1)
    return 0
