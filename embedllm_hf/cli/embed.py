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
    from ..data.sources import load_questions
    from ..data.texts import question_keys
    from ..encoding.embeddings_file import save_embeddings
    from ..encoding.question_encoder import QuestionEncoder
    from ..modeling_embedllm import EmbedLLM
    from ..training.processes import process_state

    state = process_state()
    ids, questions = load_questions(options.dataset, revision=options.dataset_revision)
    if options.model is not None:
        encoder = EmbedLLM.from_pretrained(options.model).encoder
    else:
        name = DEFAULT_ENCODER if options.encoder is None else options.encoder
        encoder = QuestionEncoder(name, revision=options.encoder_revision)
    vectors = encoder.encode(
        questions[state.process_index :: state.num_processes], show_progress=state.is_main_process
    )
    state.wait_for_everyone()
    if state.is_main_process:
        if state.num_processes > 1:
            vectors = encoder.encode(questions)  # from the cache
        save_embeddings(options.output, vectors, ids, encoder.id, question_keys(questions))
        print(f"{len(vectors):,} questions, {vectors.shape[1]} wide, by {encoder.id.label}; saved to {options.output}")
    return 0
