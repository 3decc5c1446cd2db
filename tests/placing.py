"""A small pool that follows an item-response model exactly, and the tiny trained model of `pool` with its own."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import expit
from transformers import set_seed

from embedllm_hf import (
    EmbedLLM,
    EmbedLLMConfig,
    EmbedLLMTrainer,
    EmbedLLMTrainingArguments,
    ResponseMatrix,
)
from embedllm_hf.bank.question_bank import KnownQuestions
from embedllm_hf.item_response import fit_item_response

from .pool import LLMS, TEXT_DIM, make_split


def trained_model(folder: Path) -> EmbedLLM:
    """A model of the six planted LLMs, trained on 80 questions, with its item-response model."""
    train, validation = make_split(80), make_split(30, first_id=80, seed=1)
    set_seed(0)
    model = EmbedLLM(EmbedLLMConfig(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4, encoder_name="offline"))
    args = EmbedLLMTrainingArguments(output_dir=str(folder), disable_tqdm=True)
    splits = (train.responses, train.question_embeds, validation.responses, validation.question_embeds)
    EmbedLLMTrainer(model, args, *splits).train()
    model.item_response = fit_item_response(model)
    return model


@dataclass(frozen=True)
class Simulated:
    """A model whose network knows nothing, and the whole truth `(n_questions, n_llms)` behind its pool."""

    model: EmbedLLM
    probabilities: np.ndarray
    responses: np.ndarray


def simulated_pool(n_questions: int = 400, n_llms: int = 40, seed: int = 0) -> Simulated:
    """LLMs of one normal ability each, questions of normal intercepts; two benchmarks, half the questions each."""
    generator = np.random.default_rng(seed)
    ability = generator.normal(size=n_llms)
    intercept = generator.normal(size=n_questions)
    slope = generator.uniform(0.2, 2.0, n_questions)
    probabilities = expit(intercept[:, None] + slope[:, None] * ability)
    responses = (generator.random(probabilities.shape) < probabilities).astype(np.float32)
    names = tuple(f"lab/{number:02d}" for number in range(n_llms))
    question = np.repeat(np.arange(n_questions), n_llms)
    matrix = ResponseMatrix(
        question_ids=np.arange(n_questions),
        questions=np.array([f"Question {number}?" for number in range(n_questions)], object),
        categories=np.array([("one", "two")[number % 2] for number in range(n_questions)], object),
        llm_names=names,
        indptr=np.arange(n_questions + 1) * n_llms,
        llm_indices=np.tile(np.arange(n_llms), n_questions).astype(np.int32),
        values=responses.ravel(),
        counts=np.ones(len(question), np.int32),
        contradictory=np.zeros(len(question), bool),
        duplicates="mean",
    )
    set_seed(seed)
    config = EmbedLLMConfig(llm_names=names, text_dim=TEXT_DIM, embed_dim=2, encoder_name="offline")
    model = EmbedLLM(config).eval()
    model.known_questions = KnownQuestions.from_responses(matrix, generator.normal(size=(n_questions, TEXT_DIM)))
    return Simulated(model, probabilities, responses)


def pool_of(simulated: Simulated, n_llms: int) -> EmbedLLM:
    """The model of the first LLMs alone, with its item-response model."""
    model = simulated.model
    for name in model.config.llm_names[n_llms:]:
        model = model.without_llm(name)
    model.item_response = fit_item_response(model)
    return model


def without_calibration(model: EmbedLLM) -> EmbedLLM:
    """The model with factors of 1."""
    model.item_response = replace(model.item_response, calibration=np.zeros((3, 3)))
    return model
