"""`embedllm embed`: text vectors of all questions of a data set, once, into a safetensors file.

Under `accelerate launch scripts/embed_questions.py` the questions are shared out over the processes. Each keeps what
it has done in the encoder's cache, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse

from ._options import add_shared_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--dataset", required=True, help="Hub data set id, a folder in the same layout, or `planted`")
    add_shared_options(parser, "dataset_revision")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--encoder", help="text encoder: Hub id, folder, or `offline` (default: the paper's)")
    which.add_argument("--model", help="Hub id or folder of a trained model, for the encoder that it was trained with")
    parser.add_argument("--encoder_revision", help="commit of --encoder")
    parser.add_argument("--output", required=True, help="file for `question_embeddings` and `prompt_id`")


def main(options: argparse.Namespace) -> int:
    """Encode this process's share; then, on the main process, gather all from the cache and write the file."""
    from ..configuration_embedllm import DEFAULT_ENCODER
    from ..data.responses import ResponseMatrix
    from ..data.sources import load_splits
    from ..encoding.embeddings_file import save_embeddings
    from ..encoding.question_encoder import QuestionEncoder
    from ..modeling_embedllm import EmbedLLM
    from ..training.processes import process_state

    state = process_state()
    splits = load_splits(options.dataset, revision=options.dataset_revision)
    everything = ResponseMatrix.concat([split for _, split in splits.items()])  # refuses an id with two texts
    if options.model is not None:
        encoder = EmbedLLM.from_pretrained(options.model).encoder
    else:
        encoder = QuestionEncoder(options.encoder or DEFAULT_ENCODER, revision=options.encoder_revision)
    share = everything.questions[state.process_index :: state.num_processes]
    vectors = encoder.encode(share, show_progress=state.is_main_process)
    state.wait_for_everyone()
    if state.is_main_process:
        if state.num_processes > 1:
            vectors = encoder.encode(everything.questions)  # from the cache
        save_embeddings(options.output, vectors, everything.question_ids, encoder.id)
        print(f"{len(vectors):,} questions, {vectors.shape[1]} wide, by {encoder.id.label}; saved to {options.output}")
    return 0
