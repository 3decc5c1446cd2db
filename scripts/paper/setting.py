"""What all sections share: the data with its text vectors, how much is done, and the training of one network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from transformers import set_seed

from embedllm_hf.configuration_embedllm import EmbedLLMConfig
from embedllm_hf.data.llm_table import read_llm_table
from embedllm_hf.data.responses import ResponseMatrix, check_pool
from embedllm_hf.data.sources import dataset_revision, load_responses
from embedllm_hf.data.splits import split_questions
from embedllm_hf.encoding.question_encoder import QuestionEncoder, load_question_embeddings
from embedllm_hf.modeling_embedllm import EmbedLLM
from embedllm_hf.predictors.stacked import fit_blend
from embedllm_hf.training.arguments import EmbedLLMTrainingArguments
from embedllm_hf.training.trainer import EmbedLLMTrainer

SPLITS = ("train", "validation", "test")
QUICK_QUESTIONS = {"train": 1500, "validation": 300, "test": 400}


@dataclass(frozen=True)
class PaperSettings:
    """How much is done.

    Attributes:
        seeds (`tuple[int, ...]`): Each trains networks from other weights, in another order of questions.
        n_splits (`int`): Random halves of the LLMs in benchmark prediction.
        n_permutations (`int`): Of each permutation test.
        quick (`bool`): Less of everything, to try it.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    n_splits: int = 100
    n_permutations: int = 2000
    quick: bool = False


FULL = PaperSettings()
QUICK = PaperSettings(seeds=(0,), n_splits=20, n_permutations=200, quick=True)


@dataclass(frozen=True)
class PaperData:
    """A data set with its text vectors.

    Attributes:
        name (`str`): Its public name: Hub id, or the folder's name.
        revision (`str | None`): Commit on the Hub.
        splits (`dict[str, ResponseMatrix]`): `train`, `validation` and `test`, of the same LLMs.
        embeds (`dict[str, np.ndarray]`): Their text vectors `(n_questions, text_dim)`.
        encoder_name (`str`): Whose vectors these are.
        other_embeds (`dict[str, dict[str, np.ndarray]]`): Of further encoders, by encoder and split.
        llms (`dict[str, dict[str, str]] | None`): What is known of each LLM, as `read_llm_table` gives it.
        settings (`PaperSettings`): How much is done.
        reload (`Callable`, *optional*): Gives the splits under another rule for repeated rows; None if there is one
            set of rows only.
    """

    name: str
    revision: str | None
    splits: dict[str, ResponseMatrix]
    embeds: dict[str, np.ndarray]
    encoder_name: str
    other_embeds: dict[str, dict[str, np.ndarray]]
    llms: dict[str, dict[str, str]] | None
    settings: PaperSettings
    reload: Callable[[str], dict[str, ResponseMatrix]] | None = None

    def with_splits(self, splits: dict[str, ResponseMatrix]) -> PaperData:
        """The same with other responses to the same questions."""
        return replace(self, splits=splits)

    def embeds_of(self, split: str, responses: ResponseMatrix) -> np.ndarray:
        """Text vectors `(n_questions, text_dim)` of some questions of a split, in the order of `responses`."""
        return self.embeds[split][np.searchsorted(self.splits[split].question_ids, responses.question_ids)]


@dataclass(frozen=True)
class Reader:
    """Loads the splits of a data set under a rule for repeated rows; a class, so that it can go to another process.

    Attributes:
        dataset (`str`), revision (`str | None`): As in `load_responses`.
        quick (`bool`): Keep some questions of each split only.
    """

    dataset: str
    revision: str | None
    quick: bool

    def __call__(self, duplicates: str = "mean") -> dict[str, ResponseMatrix]:
        """The splits, of the same LLMs."""
        source = {"revision": self.revision, "duplicates": duplicates}
        train = load_responses(self.dataset, split="train", **source)
        splits = {"train": train}
        for name in SPLITS[1:]:
            splits[name] = load_responses(self.dataset, split=name, llm_names=train.llm_names, **source)
        for name, split in splits.items():
            check_pool(split, name)
            if self.quick and split.n_questions > QUICK_QUESTIONS[name]:
                splits[name] = split_questions(split, QUICK_QUESTIONS[name] / split.n_questions)[1]
        return splits


def load_data(
    dataset: str,
    settings: PaperSettings,
    *,
    revision: str | None = None,
    encoder: str = "offline",
    question_embeddings: str | Path | None = None,
    more_question_embeddings: Mapping[str, str | Path] | None = None,
    llms: str | Path | None = None,
) -> PaperData:
    """Load a data set with its text vectors, from files where there are some, else by encoding (which is cached).

    Args:
        dataset (`str`): Hub id, folder, or `planted`.
        settings (`PaperSettings`): How much is done.
        revision (`str`, *optional*): Branch, tag or commit of a Hub data set.
        encoder (`str`): Text encoder.
        question_embeddings (`str` or `Path`, *optional*): Its vectors, see `load_question_embeddings`.
        more_question_embeddings (`Mapping`, *optional*): Such files of further encoders, by the encoder's name.
        llms (`str` or `Path`, *optional*): A CSV file with what is known of the LLMs.

    Raises:
        FileNotFoundError, ValueError: If something is missing or damaged; the message names it.
    """
    commit = dataset_revision(dataset, revision)
    reader = Reader(dataset, commit or revision, settings.quick)
    facts = None if llms is None else read_llm_table(llms)
    splits = reader()

    def embed(name: str, file: str | Path | None) -> dict[str, np.ndarray]:
        if file is not None:
            return {
                split: load_question_embeddings(file, responses.question_ids, encoder_name=name)
                for split, responses in splits.items()
            }
        source = QuestionEncoder(name)
        return {split: source.encode(responses.questions, show_progress=True) for split, responses in splits.items()}

    return PaperData(
        name=Path(dataset).resolve().name if Path(dataset).is_dir() else dataset,
        revision=commit,
        splits=splits,
        embeds=embed(encoder, question_embeddings),
        encoder_name=encoder,
        other_embeds={name: embed(name, file) for name, file in (more_question_embeddings or {}).items()},
        llms=facts,
        settings=settings,
        reload=reader,
    )


def paper_training(train: ResponseMatrix) -> dict[str, object]:
    """How the paper's code trains, in the terms of `EmbedLLMTrainingArguments`: Adam at 1e-4, constant, 50 epochs.

    A block has as many questions as make up the paper's batch of 2,048 pairs. The best epoch is chosen on the
    validation split, and training stops early by it, as everywhere in this package.
    """
    pairs_a_question = train.n_observed / train.n_questions
    return {
        "num_train_epochs": 50,
        "block_size": max(1, round(2048 / pairs_a_question)),
        "learning_rate": 1e-4,
        "weight_decay": 1e-5,
        "warmup_ratio": 0.0,
        "lr_scheduler_type": "constant_with_warmup",
    }


def fit_network(
    data: PaperData,
    train: ResponseMatrix | None = None,
    train_embeds: np.ndarray | None = None,
    *,
    seed: int,
    validation: ResponseMatrix | None = None,
    validation_embeds: np.ndarray | None = None,
    paper: bool = False,
    blend: bool = False,
    config: Mapping[str, object] | None = None,
    training: Mapping[str, object] | None = None,
) -> EmbedLLM:
    """Train a network, by default on the data's training split with the project's default settings.

    Args:
        data (`PaperData`): The data.
        train, train_embeds (*optional*): Train on this instead: responses of LLMs of the data, and their text vectors
            (default: those of the data, by question id).
        seed (`int`): Of the weights and of the order of questions.
        validation, validation_embeds (*optional*): Early stopping looks at this instead of the data's validation split
            (of the LLMs of `train`).
        paper (`bool`): Take `EmbedLLMConfig.paper` as the form.
        blend (`bool`): Fit the blend with the nearest known questions, too (on the validation split).
        config, training (`Mapping`, *optional*): Settings that differ, as in `EmbedLLMConfig` and
            `EmbedLLMTrainingArguments`.

    Returns:
        `EmbedLLM`: In evaluation mode, with its known questions.
    """
    train = data.splits["train"] if train is None else train
    train_embeds = data.embeds_of("train", train) if train_embeds is None else train_embeds
    validation = data.splits["validation"] if validation is None else validation
    if validation.llm_names != train.llm_names:
        validation = validation.select(llms=train.llm_names)
    if validation_embeds is None:
        validation_embeds = data.embeds_of("validation", validation)
    set_seed(seed)  # before the model is built: its initial weights are random
    make = EmbedLLMConfig.paper if paper else EmbedLLMConfig
    sizes = {"llm_names": train.llm_names, "text_dim": train_embeds.shape[1], "encoder_name": data.encoder_name}
    model = EmbedLLM(make(**{**sizes, **(config or {})}))
    with tempfile.TemporaryDirectory() as folder:
        given = {"output_dir": folder, "seed": seed, "disable_tqdm": True, **(training or {})}
        args = EmbedLLMTrainingArguments(**given)
        EmbedLLMTrainer(model, args, train, train_embeds, validation, validation_embeds).train()
    if blend:
        model.blend = fit_blend(model, validation, validation_embeds)
    return model
