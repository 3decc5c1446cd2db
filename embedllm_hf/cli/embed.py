"""`embedllm embed`: text vectors of all questions of a data set, once, into a safetensors file.

Under `accelerate launch scripts/embed_questions.py` the questions are shared out over the processes. Each keeps what
it has done in the encoder's cache, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse

from .._errors import MissingFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--dataset", required=True, help="Hub data set id, a folder in the same layout, or `planted`")
    parser.add_argument("--dataset_revision", help="branch, tag or commit of a Hub data set")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--encoder", help="text encoder: Hub id, folder, or `offline` (default: the paper's)")
    which.add_argument("--model", help="Hub id or folder of a trained model, for the encoder that it was trained with")
    parser.add_argument("--encoder_revision", help="commit of the text encoder")
    parser.add_argument("--output", required=True, help="file for `question_embeddings` and `prompt_id`")


def main(options: argparse.Namespace) -> int:
    """Encode this process's share; then, on the main process, gather all from the cache and write the file."""
    from pathlib import Path

    import numpy as np

    from .._files import whole_file
    from ..configuration_embedllm import DEFAULT_ENCODER
    from ..data.sources import available_splits, load_responses
    from ..encoding.question_encoder import QuestionEncoder, encoder_of, save_question_embeddings
    from ..modeling_embedllm import EmbedLLM
    from ..training.processes import process_state

    state = process_state()
    texts: dict[int, str] = {}
    for split in available_splits(options.dataset, revision=options.dataset_revision):
        responses = load_responses(options.dataset, split=split, revision=options.dataset_revision)
        texts.update(zip(responses.question_ids.tolist(), responses.questions, strict=True))
    if not texts:
        raise MissingFile(f"{options.dataset}: no split was found. Give a data set in the EmbedLLM layout.")
    ids = sorted(texts)
    if options.model is not None:
        encoder = encoder_of(EmbedLLM.from_pretrained(options.model))
    else:
        encoder = QuestionEncoder(options.encoder or DEFAULT_ENCODER, revision=options.encoder_revision)
    share = [texts[question] for question in ids[state.process_index :: state.num_processes]]
    encoder.encode(share, show_progress=state.is_main_process)
    state.wait_for_everyone()
    if state.is_main_process:
        vectors = encoder.encode([texts[question] for question in ids])
        with whole_file(Path(options.output)) as partial:
            save_question_embeddings(partial, vectors, np.array(ids), encoder_name=encoder.label)
        print(f"{len(ids):,} questions, {vectors.shape[1]} wide, by {encoder.label}; saved to {options.output}")
    return 0
