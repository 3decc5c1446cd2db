"""What all sections share, and the one door to the library: the data, how much is done, training and predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import set_seed

from embedllm_hf.configuration_embedllm import EmbedLLMConfig
from embedllm_hf.data.llm_table import read_llm_table
from embedllm_hf.data.responses import ResponseMatrix, check_pool
from embedllm_hf.data.sources import dataset_revision, load_responses
from embedllm_hf.data.splits import split_questions
from embedllm_hf.encoding.question_encoder import QuestionEncoder, load_question_embeddings
from embedllm_hf.modeling_embedllm import EmbedLLM
from embedllm_hf.predictors.baselines import LLMMean, NearestQuestions
from embedllm_hf.predictors.stacked import BlendedPredictor, fit_blend
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


# --- the data ---


@dataclass(frozen=True)
class EncodedResponses:
    """Responses with the text vectors of their questions.

    Attributes:
        responses (`ResponseMatrix`): Who answered which question right.
        question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`): Text vectors, in the order of the questions.
        encoder_name (`str`): Whose vectors these are.
    """

    responses: ResponseMatrix
    question_embeds: np.ndarray
    encoder_name: str

    def select(
        self, question_indices: np.ndarray | None = None, *, llms: Sequence[str] | None = None
    ) -> EncodedResponses:
        """Keep some questions, by position or by a bool mask, or some LLMs; see `ResponseMatrix.select`."""
        return self.of(self.responses.select(question_indices, llms=llms))

    def of(self, responses: ResponseMatrix) -> EncodedResponses:
        """Other responses to these questions, or to some of them, with their text vectors."""
        rows = np.searchsorted(self.responses.question_ids, responses.question_ids)
        return replace(self, responses=responses, question_embeds=self.question_embeds[rows])

    def without(self, hidden: np.ndarray) -> EncodedResponses:
        """The same without some responses; questions and LLMs stay.

        Args:
            hidden (`np.ndarray` of shape `(n_questions, n_llms)`, bool): Which pairs lose their response.
        """
        old = self.responses
        kept = ~hidden[old.question_indices, old.llm_indices]
        counts = np.bincount(old.question_indices[kept], minlength=old.n_questions)
        entries = {name: getattr(old, name)[kept] for name in ("llm_indices", "values", "counts", "contradictory")}
        return replace(self, responses=replace(old, indptr=np.concatenate([[0], np.cumsum(counts)]), **entries))


@dataclass(frozen=True)
class PaperData:
    """A data set with its text vectors.

    Attributes:
        name (`str`): Its public name: Hub id, or the folder's name.
        revision (`str | None`): Commit on the Hub.
        splits (`dict[str, EncodedResponses]`): `train`, `validation` and `test`, of the same LLMs.
        other_encoders (`dict[str, dict[str, EncodedResponses]]`): The same with the text vectors of further encoders.
        llms (`dict[str, dict[str, str]] | None`): What is known of each LLM, as `read_llm_table` gives it.
        settings (`PaperSettings`): How much is done.
        reload (`Callable`, *optional*): Gives the splits under another rule for repeated rows; None if there is one
            set of rows only.
    """

    name: str
    revision: str | None
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
    def encoder_name(self) -> str:
        """The text encoder of `splits`."""
        return self.train.encoder_name

    def with_responses(self, responses: Mapping[str, ResponseMatrix]) -> PaperData:
        """The same with other responses to the same questions."""
        return replace(self, splits={name: self.splits[name].of(given) for name, given in responses.items()})

    def with_encoder(self, name: str) -> PaperData:
        """The same with the text vectors of this encoder or of a further one."""
        return self if name == self.encoder_name else replace(self, splits=self.other_encoders[name])

    def held_out(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Validation and test questions: text vectors, responses `(n_questions, n_llms)` (NaN: none), categories."""
        parts = [self.validation, self.test]
        return (
            np.concatenate([part.question_embeds for part in parts]),
            np.concatenate([part.responses.responses() for part in parts]),
            np.concatenate([part.responses.categories for part in parts]),
        )


def in_categories(responses: ResponseMatrix, members: Sequence[str]) -> np.ndarray:
    """Which questions are of some categories, `(n_questions,)` bool."""
    return np.isin(responses.categories.astype(str), members)


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
        source: dict[str, Any] = {"revision": self.revision, "duplicates": duplicates}
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
        UserError: If something is missing or damaged; the message names it.
    """
    commit = dataset_revision(dataset, revision)
    reader = Reader(dataset, commit or revision, settings.quick)
    facts = None if llms is None else read_llm_table(llms)
    splits = reader()
    return PaperData(
        name=Path(dataset).resolve().name if Path(dataset).is_dir() else dataset,
        revision=commit,
        splits=_encode(splits, encoder, question_embeddings),
        other_encoders={name: _encode(splits, name, file) for name, file in (more_question_embeddings or {}).items()},
        llms=facts,
        settings=settings,
        reload=reader,
    )


def _encode(splits: Mapping[str, ResponseMatrix], name: str, file: str | Path | None) -> dict[str, EncodedResponses]:
    """The splits with the text vectors of an encoder, from a file if there is one."""
    if file is not None:

        def embed(split: ResponseMatrix) -> np.ndarray:
            return load_question_embeddings(file, split.question_ids, encoder_name=name)
    else:
        encoder = QuestionEncoder(name)

        def embed(split: ResponseMatrix) -> np.ndarray:
            return encoder.encode(split.questions, show_progress=True)

    return {key: EncodedResponses(split, embed(split), name) for key, split in splits.items()}


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
        paper (`bool`): Take `EmbedLLMConfig.paper` as the form.
        blend (`bool`): Fit the blend with the nearest known questions, too (on the validation split).
        config, training (`Mapping`, *optional*): Settings that differ, as in `EmbedLLMConfig` and
            `EmbedLLMTrainingArguments`.

    Returns:
        `EmbedLLM`: In evaluation mode, with its known questions.
    """
    train = data.train if train is None else train
    validation = data.validation if validation is None else validation
    names = train.responses.llm_names
    if validation.responses.llm_names != names:
        validation = validation.select(llms=names)
    set_seed(seed)  # before the model is built: its initial weights are random
    make = EmbedLLMConfig.paper if paper else EmbedLLMConfig
    sizes = {"llm_names": names, "text_dim": train.question_embeds.shape[1], "encoder_name": train.encoder_name}
    model = EmbedLLM(make(**{**sizes, **(config or {})}))
    parts = (train.responses, train.question_embeds, validation.responses, validation.question_embeds)
    with tempfile.TemporaryDirectory() as folder:
        args = EmbedLLMTrainingArguments(folder, seed=seed, disable_tqdm=True, **(training or {}))
        EmbedLLMTrainer(model, args, *parts).train()
    if blend:
        model.blend = fit_blend(model, *parts[2:])
    return model


def network_proba(model: EmbedLLM, question_embeds: np.ndarray) -> np.ndarray:
    """What the network alone predicts, `(n_questions, n_llms)`."""
    return model.predict_proba(question_embeds)


def forecaster(model: EmbedLLM) -> Callable[[np.ndarray], np.ndarray]:
    """The function from text vectors to `(n_questions, n_llms)` that predicts with all that the model keeps."""
    return BlendedPredictor(model).predict_proba


def llm_biases(model: EmbedLLM) -> np.ndarray:
    """Each LLM's bias, `(n_llms, 1)`, of a model that has one."""
    if model.llm_bias is None:
        raise ValueError("the model was made without biases of the LLMs")
    return model.llm_bias.detach().cpu().numpy().astype(np.float64)[:, None]


def fit_llm_mean(train: EncodedResponses) -> LLMMean:
    """Each LLM's mean response."""
    return LLMMean.fit(train.responses)


def fit_knn(train: EncodedResponses, validation: EncodedResponses | None = None) -> NearestQuestions:
    """Mean response to the nearest questions: 131 of them, or as many as do best on a validation split."""
    given = () if validation is None else (validation.responses, validation.question_embeds)
    return NearestQuestions.fit(train.responses, train.question_embeds, *given)
