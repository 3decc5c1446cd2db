"""`embedllm add`: add LLMs, questions and answers to a trained model, without training it again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

from .._checks import brief, shorten
from ._options import add_data_options, add_shared_options, split_of, told_score, with_vectors

if TYPE_CHECKING:
    from ..modeling_embedllm import EmbedLLM
    from ..new_llms.adding import Addition

_MOST_SCORES = 20  # that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model")
    add_data_options(parser, option="--answers", split="train", also="one of its tables (.csv or .parquet), ")
    parser.add_argument("--output_dir", required=True, help="folder of the model that has grown")
    parser.add_argument("--overwrite_output_dir", action="store_true", help="replace a model that the folder holds")


def main(options: argparse.Namespace) -> int:
    """Add, save, and print what is expected of the LLMs that were placed, and what became of the responses."""
    from ..data.sources import is_log, load_responses, load_table
    from ..modeling_embedllm import EmbedLLM
    from ..new_llms.adding import add
    from ..training.runs import check_output_dir

    check_output_dir(options.output_dir, may_hold_model=options.overwrite_output_dir)
    model = EmbedLLM.from_pretrained(options.model)
    if Path(options.answers).is_file() and not is_log(Path(options.answers)):
        responses = load_table(options.answers, duplicates=options.duplicates)
    else:
        source = {"revision": options.dataset_revision, "duplicates": options.duplicates}
        responses = load_responses(options.answers, split=split_of(options, options.answers), **source)
    addition = add(model, with_vectors(responses, options.question_embeddings))
    addition.model.save_pretrained(options.output_dir)
    _print_scores(addition.model, [*addition.new_llms, *addition.placed_again])
    _print_counts(addition)
    print(f"saved to {brief(options.output_dir)}")
    return 0


def _print_scores(model: EmbedLLM, llms: Sequence[str]) -> None:
    """The expected scores of some LLMs, as many lines as one reads."""
    from ..inference.base import bank_of
    from ..inference.forecaster import Forecaster

    forecaster, benchmarks = Forecaster(model), bank_of(model).benchmarks
    for llm, benchmark in islice(product(llms, benchmarks), _MOST_SCORES):
        print(f"{brief(llm)}, {brief(benchmark)}: {told_score(forecaster.benchmark(llm, benchmark))}")
    n_more = len(llms) * len(benchmarks) - _MOST_SCORES
    if n_more > 0:
        print(f"and {n_more:,} more scores; `embedllm forecast` tells each")


def _print_counts(addition: Addition) -> None:
    """What was added, what was left out and why, and whether training again would pay."""
    print(f"LLMs: {len(addition.new_llms):,} new, {len(addition.placed_again):,} placed again")
    of_validation = f", {addition.n_validation_questions:,} of the validation split"
    print(
        f"questions: {addition.n_known_questions:,} known, {addition.n_new_questions:,} new"
        + (of_validation if addition.n_validation_questions else "")
    )
    print(f"answers: {addition.n_answers:,} added, {addition.n_repeated:,} that the model had")
    if addition.n_contradictions:
        print(f"left out: {addition.n_contradictions:,} answers that contradict one that the model had")
    if addition.unanswering:
        print(f"left out: {shorten(addition.unanswering)}, without an answer")
    print(f"retraining would pay: {addition.retraining}")
