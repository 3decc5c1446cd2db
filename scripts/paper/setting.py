"""What all sections share, and the one door to the library: the data, how much is done, training and predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.configuration_embedllm import PAPER_FORM
from embedllm_hf.data.benchmarks import agreed_benchmarks, benchmark_categories
from embedllm_hf.data.llm_table import read_llm_table
from embedllm_hf.data.responses import ResponseMatrix, check_pool
from embedllm_hf.data.sources import load_splits
from embedllm_hf.data.splits import ResponseSplits, split_questions
from embedllm_hf.encoding.encoded_responses import EncodedResponses, encode_responses
from embedllm_hf.encoding.question_encoder import QuestionEncoder
from embedllm_hf.modeling_embedllm import EmbedLLM
from embedllm_hf.predictors.baselines import KNN, LLMMean, NearestQuestions, choose_knn
from embedllm_hf.predictors.stacked_fit import fit_blend
from embedllm_hf.training.arguments import EmbedLLMTrainingArguments
from embedllm_hf.training.network_trainer import NetworkTrainer

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


# --- the data ---


@dataclass(frozen=True)
class PaperData:
    """A data set with its text vectors.

    Attributes:
        name (`str`): Its public name: Hub id, or the folder's name.
        revision (`str | None`): Commit on the Hub.
        encoder_name (`str`): The text encoder of `splits`.
        splits (`dict[str, EncodedResponses]`): `train`, `validation` and `test`, of the same LLMs.
        other_encoders (`dict[str, dict[str, EncodedResponses]]`): The same with the text vectors of further encoders.
        llms (`dict[str, dict[str, str]] | None`): What is known of each LLM, as `read_llm_table` gives it.
        settings (`PaperSettings`): How much is done.
        reload (`Callable`, *optional*): Gives the splits under another rule for repeated rows; None if there is one
            set of rows only. It goes to other processes with the rest.
    """

    name: str
    revision: str | None
    encoder_name: str
    splits: dict[str, EncodedResponses]
    other_encoders: dict[str, dict[str, EncodedResponses]]
    llms: dict[str, dict[str, str]] | None
    settings: PaperSettings
    reload: Callable[[str], dict[str, ResponseMatrix]] | None = None

    @property
    def train(self) -> EncodedResponses:
        """The training split."""
        return self.splits["train"]

    @property
    def validation(self) -> EncodedResponses:
        """The validation split."""
        return self.splits["validation"]

    @property
    def test(self) -> EncodedResponses:
        """The test split."""
        return self.splits["test"]

    @property
    def held_out(self) -> EncodedResponses:
        """Validation and test questions together."""
        return EncodedResponses.concat([self.validation, self.test])

    def with_responses(self, responses: Mapping[str, ResponseMatrix]) -> PaperData:
        """The same with other responses to the same questions."""
        return replace(
            self, splits={name: self.splits[name].with_responses(given) for name, given in responses.items()}
        )

    def with_encoder(self, name: str) -> PaperData:
        """The same with the text vectors of this encoder or of a further one."""
        if name == self.encoder_name:
            return self
        return replace(self, encoder_name=name, splits=self.other_encoders[name])


def in_categories(responses: ResponseMatrix, members: Sequence[str]) -> np.ndarray:
    """Which questions are of some categories, `(n_questions,)` bool."""
    return np.isin(responses.categories.astype(str), members)


def benchmarks_of(parts: Sequence[ResponseMatrix]) -> dict[str, tuple[str, ...]]:
    """Categories of each benchmark that some splits have together."""
    told = agreed_benchmarks({f"part {number}": part.benchmark_of for number, part in enumerate(parts, 1)})
    return benchmark_categories(np.concatenate([part.categories for part in parts]), told)


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
        question_embeddings (`str` or `Path`, *optional*): Its vectors, see `EncodedResponses.from_file`.
        more_question_embeddings (`Mapping`, *optional*): Such files of further encoders, by the encoder's name.
        llms (`str` or `Path`, *optional*): A CSV file with what is known of the LLMs.

    Raises:
        UserError: If something is missing or damaged; the message names it.
    """
    facts = None if llms is None else read_llm_table(llms)
    found = load_splits(dataset, revision=revision)
    splits = _usable(found, settings.quick)
    more = more_question_embeddings or {}
    return PaperData(
        name=found.id or str(dataset),
        revision=found.revision,
        encoder_name=encoder,
        splits=_encode(splits, encoder, question_embeddings),
        other_encoders={name: _encode(splits, name, file) for name, file in more.items()},
        llms=facts,
        settings=settings,
        reload=partial(_reload, dataset, found.revision, settings.quick),
    )


def _usable(splits: ResponseSplits, quick: bool) -> dict[str, ResponseMatrix]:
    """All three splits, each with responses; some of their questions only, if it shall be quick."""
    usable = {}
    for name in SPLITS:
        split = splits[name]
        check_pool(split, name)
        if quick and split.n_questions > QUICK_QUESTIONS[name]:
            split = split_questions(split, QUICK_QUESTIONS[name] / split.n_questions)[1]
        usable[name] = split
    return usable


def _reload(dataset: str, revision: str | None, quick: bool, duplicates: str) -> dict[str, ResponseMatrix]:
    """The same splits under a rule for repeated rows."""
    return _usable(load_splits(dataset, revision=revision, duplicates=duplicates), quick)


def _encode(splits: Mapping[str, ResponseMatrix], name: str, file: str | Path | None) -> dict[str, EncodedResponses]:
    """The splits with the text vectors of an encoder, from a file if there is one."""
    encoder = QuestionEncoder(name)
    given = {key: split if file is None else EncodedResponses.from_file(split, file) for key, split in splits.items()}
    return {key: encode_responses(split, encoder, show_progress=True) for key, split in given.items()}


# --- training and predictions ---


def paper_training(train: ResponseMatrix) -> dict[str, Any]:
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
    train: EncodedResponses | None = None,
    *,
    seed: int,
    validation: EncodedResponses | None = None,
    paper: bool = False,
    blend: bool = False,
    config: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> EmbedLLM:
    """Train a network, by default on the data's training split with the project's default settings.

    Args:
        data (`PaperData`): The data.
        train (`EncodedResponses`, *optional*): Train on this instead: responses of LLMs of the data.
        seed (`int`): Of the weights and of the order of questions.
        validation (`EncodedResponses`, *optional*): Early stopping looks at this instead of the data's validation
            split. Only the LLMs of `train` count.
        paper (`bool`): Take the paper's form, see `EmbedLLMConfig.paper`.
        blend (`bool`): Fit the blend with the nearest known questions, too (on the validation split).
        config, training (`Mapping`, *optional*): Settings that differ, as in `EmbedLLMConfig` and
            `EmbedLLMTrainingArguments`.

    Returns:
        `EmbedLLM`: In evaluation mode; without the blend a bare network.
    """
    train = data.train if train is None else train
    validation = data.validation if validation is None else validation
    names = train.responses.llm_names
    if validation.responses.llm_names != names:
        validation = validation.select(llms=names)
    form = {**(PAPER_FORM if paper else {}), **(config or {})}
    model = EmbedLLM.from_encoder(data.encoder_name, llm_names=names, text_dim=train.text_dim, seed=seed, **form)
    with tempfile.TemporaryDirectory() as folder:
        args = EmbedLLMTrainingArguments(folder, seed=seed, disable_tqdm=True, **(training or {}))
        NetworkTrainer(model, args, train, validation).train()
    if not blend:
        return model
    bank = QuestionBank.from_responses(train)
    return model.with_bank(replace(bank, blend=fit_blend(model, bank, validation)))


def llm_biases(model: EmbedLLM) -> np.ndarray:
    """Each LLM's bias, `(n_llms, 1)`, of a model that has one."""
    if model.llm_bias is None:
        raise ValueError("the model was made without biases of the LLMs")
    return model.llm_bias.detach().cpu().numpy().astype(np.float64)[:, None]


def fit_llm_mean(train: EncodedResponses) -> LLMMean:
    """Each LLM's mean response."""
    return LLMMean.fit(QuestionBank.from_responses(train))


def fit_knn(train: EncodedResponses, validation: EncodedResponses | None = None) -> NearestQuestions:
    """Mean response to the nearest questions: 131 of them, or as many as do best on a validation split."""
    bank = QuestionBank.from_responses(train)
    return NearestQuestions.fit(bank, *(KNN if validation is None else choose_knn(bank, validation)))
