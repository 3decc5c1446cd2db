"""`embedllm evaluate --unseen_llms`: how well LLMs that the pool has never seen are placed from a few answers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import InputError
from ._options import with_vectors

if TYPE_CHECKING:
    from ..new_llms.unseen_llms import UnseenSettings


def add_unseen_options(parser: argparse.ArgumentParser) -> None:
    """The experiment's options, in a group of their own."""
    group = parser.add_argument_group("LLMs that the pool has never seen")
    group.add_argument(
        "--unseen_llms",
        action="store_true",
        help="hold out LLMs in folds, train without them, place them from answers",
    )
    group.add_argument("--output_dir", type=Path, help="folder of the report")
    group.add_argument("--encoder", default="offline", help="text encoder (default: offline)")
    group.add_argument("--seeds", type=int, nargs="+", help="seeds to run (default: 0 to 4)")
    group.add_argument("--n_folds", type=int, help="folds of LLMs (default: 24)")
    group.add_argument("--quick", action="store_true", help="two folds, one seed, few answers: to try it")


def evaluate_unseen(options: argparse.Namespace) -> int:
    """Run the experiment seed by seed, some minutes each on real data; the report is written anew after each."""
    if options.output_dir is None:
        raise InputError("--unseen_llms needs --output_dir, the folder of the report.")
    import torch

    from ..data.sources import load_splits
    from ..encoding.encoded_responses import encode_responses
    from ..encoding.question_encoder import QuestionEncoder
    from ..new_llms.unseen_report import measure_and_report

    settings = _settings(options)
    data = load_splits(options.dataset, revision=options.dataset_revision, duplicates=options.duplicates)
    encoder = QuestionEncoder(options.encoder)
    splits = {
        name: encode_responses(with_vectors(data[name], options.question_embeddings), encoder, show_progress=True)
        for name in ("train", "validation", "test")
    }
    how = f"{'--quick ' if options.quick else ''}--seeds {' '.join(map(str, settings.seeds))}"
    about = {"dataset": data.id, "n_llms": len(data.llm_names), "encoder": options.encoder}
    about["command"] = f"embedllm evaluate --unseen_llms --dataset {data.id} {how}"
    torch.set_num_threads(1)  # many small products, which more threads slow down
    for n_done in measure_and_report(splits, settings, options.output_dir, about, show_progress=True):
        print(f"{n_done} of {len(settings.seeds)} seeds done; report in {options.output_dir}", flush=True)
    return 0


def _settings(options: argparse.Namespace) -> UnseenSettings:
    from dataclasses import replace

    from ..new_llms.unseen_llms import UnseenSettings

    settings = UnseenSettings.quick() if options.quick else UnseenSettings()
    chosen = {"seeds": options.seeds and tuple(options.seeds), "n_folds": options.n_folds}
    if options.n_folds is not None and options.n_folds < 2:
        raise InputError(f"--n_folds is {options.n_folds}, expected 2 or more.")
    return replace(settings, **{name: value for name, value in chosen.items() if value is not None})
