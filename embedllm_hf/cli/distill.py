"""`embedllm distill`: a static encoder from a model's own encoder, for those who need milliseconds."""

from __future__ import annotations

import argparse

from ._options import add_shared_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument(
        "--model", required=True, help="Hub id or folder of the trained model whose encoder it learns from"
    )
    parser.add_argument("--dataset", required=True, help="data set whose training questions it learns from")
    add_shared_options(parser, "dataset_revision")
    parser.add_argument("--output_dir", required=True, help="new folder of the static encoder")
    parser.add_argument("--overwrite_output_dir", action="store_true", help="replace an encoder that it holds")


def main(options: argparse.Namespace) -> int:
    """Distil, and say how to go on."""
    from ..data.sources import load_responses
    from ..encoding.distill import distill_encoder
    from ..modeling_embedllm import EmbedLLM

    questions = load_responses(options.dataset, split="train", revision=options.dataset_revision).questions
    encoder = EmbedLLM.from_pretrained(options.model).encoder
    distill_encoder(encoder, options.output_dir, questions, overwrite=options.overwrite_output_dir)
    print(
        f"saved to {options.output_dir}. Train on its vectors: embedllm train --encoder {options.output_dir} "
        f"--dataset {options.dataset} --output_dir ..."
    )
    return 0
