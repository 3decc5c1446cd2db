"""`embedllm train`: responses in, trained model out. `scripts/train.py` is the same under `accelerate launch`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._errors import FileError, InputError, UserError
from ..training.arguments import EmbedLLMTrainingArguments
from ._options import add_data_options, add_dataclass_options, read_dataclass_options, with_vectors

if TYPE_CHECKING:
    from ..configuration_embedllm import EncoderId
    from ..modeling_embedllm import EmbedLLM
    from ..training.trainer import Dataset, EmbedLLMTrainer


_OF_THE_MODEL = ("encoder", "encoder_revision", "embed_dim", "paper", "question_embeddings", "dataset_revision")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_data_options(parser, also="a trained model's folder (the responses in its bank), ")
    parser.add_argument("--output_dir", required=True, help="folder of the trained model")
    parser.add_argument(
        "--encoder", help="text encoder: Hub id, folder or `offline` (default: that of the vectors, or the paper's)"
    )
    parser.add_argument("--encoder_revision", help="commit of the text encoder")
    parser.add_argument(
        "--warm_start", action="store_true", help="start from the weights of the model that --dataset names"
    )
    parser.add_argument("--embed_dim", type=int, help="width of the LLM vectors (default: the configuration's)")
    parser.add_argument("--push_to_hub", metavar="ID", help="upload the trained model to this repository of the Hub")
    parser.add_argument("--paper", action="store_true", help="the paper's form: 232 dimensions, no biases, noise 0.05")
    add_dataclass_options(parser, EmbedLLMTrainingArguments, skip=("output_dir",))


def main(options: argparse.Namespace) -> int:
    """Train, measure the test split once (without one, the validation split), print the report."""
    from ..training.runs import check_output_dir, may_hold_model, run_in

    args = read_dataclass_options(options, EmbedLLMTrainingArguments)
    check_output_dir(args.output_dir, may_hold_model=may_hold_model(args))
    with run_in(args):
        return _run(options, args)


def _run(options: argparse.Namespace, args: EmbedLLMTrainingArguments) -> int:
    """The verb in its output folder, which no other run may use meanwhile."""
    from ..model_folder import is_model_folder
    from ..training.trainer import EmbedLLMTrainer

    made_from = _from_model if is_model_folder(options.dataset) else _from_data
    model, splits = made_from(options, args)
    trainer = EmbedLLMTrainer(model, args, train_dataset=splits["train"], eval_dataset=splits.get("validation"))
    frozen = model.config.encoder
    trainer.train()
    if not trainer.is_main_process:
        return 0
    print(trainer.evaluate(_measured(trainer, splits, frozen)))
    print(f"\ntrained in {trainer.seconds:.1f} s; saved to {args.output_dir}")
    if options.push_to_hub:
        _push(trainer, options.push_to_hub)
    return 0


def _from_data(options: argparse.Namespace, args: EmbedLLMTrainingArguments) -> tuple[EmbedLLM, dict[str, Dataset]]:
    """An untrained model and the splits of a data set."""
    from ..data.responses import check_pool
    from ..data.sources import load_splits

    if options.warm_start:
        raise InputError(f"--warm_start starts from a model's weights, and {options.dataset} is none. Leave it out.")
    data = load_splits(options.dataset, revision=options.dataset_revision, duplicates=options.duplicates)
    check_pool(data["train"], "train")
    own = data["train"].origin.vectors if options.encoder is None else None  # whose encoder is then the model's
    splits = {name: with_vectors(split, options.question_embeddings or own) for name, split in data.items()}
    return _untrained(options, args, splits["train"]), splits


def _from_model(options: argparse.Namespace, args: EmbedLLMTrainingArguments) -> tuple[EmbedLLM, dict[str, Dataset]]:
    """A model of the same kind as a trained one, and the responses in the bank of that."""
    from ..modeling_embedllm import EmbedLLM

    fixed = [name for name in _OF_THE_MODEL if getattr(options, name)]
    if fixed:
        raise InputError(f"--{fixed[0]}: that of the model {options.dataset} stays. Leave the option out.")
    trained = EmbedLLM.from_pretrained(options.dataset)
    if trained.bank is None:
        raise InputError(f"{options.dataset}: this model has no question bank to be trained from. Give a data set.")
    source = (trained.metrics or {}).get("dataset", {}).get("id")
    splits: dict[str, Dataset] = {**trained.bank.splits(trained.config.encoder, source)}
    return trained if options.warm_start else trained.untrained(seed=args.seed), splits


def _untrained(options: argparse.Namespace, args: EmbedLLMTrainingArguments, train: Dataset) -> EmbedLLM:
    """The model to train, for the encoder that is asked for, or that the vectors at hand are from."""
    from ..configuration_embedllm import DEFAULT_ENCODER, PAPER_FORM
    from ..encoding.encoded_responses import EncodedResponses
    from ..modeling_embedllm import EmbedLLM
    from ..training.processes import process_state

    given: dict[str, Any] = {}
    encoder = options.encoder
    if isinstance(train, EncodedResponses):
        if encoder is None and train.encoder is not None:
            encoder = train.encoder.name
        given["text_dim"], train = train.text_dim, train.responses
    if options.paper:
        given |= PAPER_FORM
    if options.embed_dim is not None:
        given["embed_dim"] = options.embed_dim
    with process_state().main_process_first():
        return EmbedLLM.from_encoder(
            DEFAULT_ENCODER if encoder is None else encoder,
            llm_names=train.llm_names,
            revision=options.encoder_revision,
            seed=args.seed,
            **given,
        )


def _measured(trainer: EmbedLLMTrainer, splits: Mapping[str, Dataset], frozen: EncoderId) -> Dataset:
    """The test split, or without one the validation split.

    If the encoder was trained, vectors from a file are of the `frozen` one, and the bare responses are encoded anew.
    """
    from ..encoding.encoded_responses import EncodedResponses

    split = "test" if "test" in splits else "validation"
    if split not in splits:
        assert trainer.eval_dataset is not None  # set aside by the trainer
        return trainer.eval_dataset
    measured = splits[split]
    is_frozen = trainer.model.config.encoder.is_same(frozen)
    return measured if is_frozen or not isinstance(measured, EncodedResponses) else measured.responses


def _push(trainer: EmbedLLMTrainer, repo_id: str) -> None:
    """Upload the saved model; a failure says that it is saved, and how to upload it later."""
    folder = trainer.args.output_dir
    try:
        done = trainer.push_to_hub(repo_id)
    except (UserError, OSError) as error:
        raise FileError(
            f"the model is saved to {folder}, but was not pushed: {error} Push it later with "
            f"EmbedLLM.from_pretrained({folder!r}).push_to_hub({repo_id!r})."
        ) from error
    print(f"pushed to {repo_id}" + ("" if done is None else f" ({done.oid[:8]})"))
