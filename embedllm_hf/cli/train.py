"""`embedllm train`: responses in, trained model out. `scripts/train.py` is the same under `accelerate launch`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .._errors import FileError
from ..training.arguments import EmbedLLMTrainingArguments, TextEncoderArguments
from ._options import (
    add_data_options,
    add_dataclass_options,
    embed_questions,
    read_dataclass_options,
)

if TYPE_CHECKING:
    import numpy as np

    from ..configuration_embedllm import EmbedLLMConfig
    from ..data.responses import ResponseMatrix
    from ..encoding.question_encoder import QuestionEncoder
    from ..evaluation.report import EvaluationReport
    from ..modeling_embedllm import EmbedLLM

# Where a data set has no validation split, this share of its training questions serves as one.
VALIDATION_SHARE = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_data_options(parser)
    parser.add_argument("--output_dir", required=True, help="folder of the trained model")
    parser.add_argument("--encoder", help="text encoder: Hub id, folder, or `offline` (default: the paper's)")
    parser.add_argument("--encoder_revision", help="commit of the text encoder")
    parser.add_argument("--embed_dim", type=int, help="width of the LLM vectors (default: the configuration's)")
    parser.add_argument("--push_to_hub", metavar="ID", help="upload the trained model to this repository of the Hub")
    parser.add_argument("--remote_code", action="store_true", help="save code too, for use without this package")
    parser.add_argument("--paper", action="store_true", help="the paper's form: 232 dimensions, no biases, noise 0.05")
    add_dataclass_options(parser, EmbedLLMTrainingArguments, skip=("output_dir",))
    add_dataclass_options(parser, TextEncoderArguments)


def main(options: argparse.Namespace) -> int:
    """Train and save; then, on the main process, measure the test split once and save that with the model."""
    from transformers import set_seed

    from ..encoding.question_encoder import QuestionEncoder
    from ..item_response import MIN_LLMS, fit_item_response
    from ..modeling_embedllm import EmbedLLM
    from ..predictors.stacked import fit_blend
    from ..training.encoder_trainer import TextEncoderTrainer
    from ..training.processes import process_state
    from ..training.trainer import EmbedLLMTrainer, check_output_dir, save_trained

    args = read_dataclass_options(options, EmbedLLMTrainingArguments)
    encoder_args = read_dataclass_options(options, TextEncoderArguments)
    check_output_dir(args)
    source = {"revision": options.dataset_revision, "duplicates": options.duplicates}
    train, validation = _training_splits(options, source)
    config = _configure(options, train)
    encoder = QuestionEncoder(config.encoder_name, revision=config.encoder_revision)

    def embed(responses: ResponseMatrix):
        with process_state().main_process_first():  # the others find its work in the cache
            show = process_state().is_main_process and not args.disable_tqdm
            return embed_questions(responses, encoder, options.question_embeddings, show_progress=show)

    train_embeds, validation_embeds = embed(train), embed(validation)
    config.text_dim, config.encoder_revision = train_embeds.shape[1], encoder.revision
    set_seed(args.seed)  # before the model is built: its initial weights are random
    model = EmbedLLM(config)
    seconds = EmbedLLMTrainer(model, args, train, train_embeds, validation, validation_embeds).train().seconds
    if encoder_args.train_encoder:
        seconds += TextEncoderTrainer(model, encoder, args, encoder_args, train, validation).train().seconds
    state = process_state()
    state.destroy_process_group()  # the rest is one process's work
    if not state.is_main_process:
        return 0
    if model.text_encoder is not None:
        encoder, options.question_embeddings = model.text_encoder, None  # the file is of the frozen encoder
        show = {"show_progress": not args.disable_tqdm}
        train_embeds, validation_embeds = (encoder.encode(part.questions, **show) for part in (train, validation))
    model.blend = fit_blend(model, validation, validation_embeds)  # None where the network alone is better
    if model.config.n_llms >= MIN_LLMS:
        model.item_response = fit_item_response(model)
    save_trained(model, args.output_dir, remote_code=options.remote_code)  # before anything else can fail

    splits = {"train": (train, train_embeds), "validation": (validation, validation_embeds)}
    report = _measure(model, encoder, splits, options, train_seconds=round(seconds, 2))
    model.metrics = report.to_dict()
    save_trained(model, args.output_dir, remote_code=options.remote_code)
    print(f"{report}\n\ntrained in {seconds:.1f} s; saved to {args.output_dir}")
    if options.push_to_hub:
        _push(model, args.output_dir, options)
    return 0


def _measure(
    model: EmbedLLM,
    encoder: QuestionEncoder,
    splits: dict[str, tuple[ResponseMatrix, np.ndarray]],
    options: argparse.Namespace,
    *,
    train_seconds: float,
) -> EvaluationReport:
    """The report on the test split, or where there is none on the validation split."""
    from ..data.sources import available_splits, dataset_revision, load_responses
    from ..evaluation.report import evaluate_model
    from ..predictors.baselines import fit_baselines

    split = "test" if "test" in available_splits(options.dataset, revision=options.dataset_revision) else "validation"
    measured, measured_embeds = splits["validation"]
    if split == "test":
        source = {"revision": options.dataset_revision, "duplicates": options.duplicates}
        measured = load_responses(options.dataset, split=split, llm_names=model.config.llm_names, **source)
        show = {"show_progress": not options.disable_tqdm}
        measured_embeds = embed_questions(measured, encoder, options.question_embeddings, **show)
    return evaluate_model(
        model,
        measured,
        measured_embeds,
        baselines=fit_baselines(*splits["train"], *splits["validation"]),
        dataset_id=options.dataset,
        revision=dataset_revision(options.dataset, options.dataset_revision),
        split=split,
        train_seconds=train_seconds,
        seed=options.seed,
    )


def _push(model: EmbedLLM, folder: str, options: argparse.Namespace) -> None:
    """Upload a saved model; a failure says that it is saved, and how to upload it later."""
    try:
        done = model.push_to_hub(options.push_to_hub, remote_code=options.remote_code)
    except (OSError, ValueError) as error:
        raise FileError(
            f"the model is saved to {folder}, but was not pushed: {error} Push it later with "
            f"EmbedLLM.from_pretrained({folder!r}).push_to_hub({options.push_to_hub!r})."
        ) from error
    print(f"pushed to {options.push_to_hub} ({done.oid[:8]})")


def _training_splits(options: argparse.Namespace, source: dict) -> tuple[ResponseMatrix, ResponseMatrix]:
    """The training and validation responses, checked before any expensive work."""
    from ..data.responses import check_pool
    from ..data.sources import available_splits, load_responses
    from ..data.splits import split_questions

    train = load_responses(options.dataset, split="train", **source)
    check_pool(train, "train")
    if "validation" not in available_splits(options.dataset, revision=options.dataset_revision):
        return split_questions(train, VALIDATION_SHARE, seed=options.seed)
    validation = load_responses(options.dataset, split="validation", llm_names=train.llm_names, **source)
    check_pool(validation, "validation")
    return train, validation


def _configure(options: argparse.Namespace, train: ResponseMatrix) -> EmbedLLMConfig:
    """The model's configuration; the width of the text vectors is filled in once they are there."""
    from ..configuration_embedllm import EmbedLLMConfig

    given = {
        "encoder_name": options.encoder,
        "encoder_revision": options.encoder_revision,
        "embed_dim": options.embed_dim,
    }
    given = {name: value for name, value in given.items() if value is not None}
    make = EmbedLLMConfig.paper if options.paper else EmbedLLMConfig
    return make(llm_names=train.llm_names, **given)
