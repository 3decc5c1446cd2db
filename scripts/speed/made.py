"""The one door to the library: made-up pools and files of the sizes that the rows need, real data, and training."""

from __future__ import annotations

import csv
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from embedllm_hf.configuration_embedllm import EmbedLLMConfig
from embedllm_hf.data.responses import ResponseMatrix
from embedllm_hf.data.sources import load_splits
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from embedllm_hf.modeling_embedllm import EmbedLLM
from embedllm_hf.training.arguments import EmbedLLMTrainingArguments
from embedllm_hf.training.fit_bank import fit_bank
from embedllm_hf.training.network_trainer import NetworkTrainer

from .settings import SpeedSettings

# --- data ---


def make_responses(n_questions: int, n_llms: int, answers: int | None = None, *, seed: int = 0) -> ResponseMatrix:
    """Random responses; each question is answered by all LLMs, or by about `answers` of them."""
    generator = np.random.default_rng(seed)
    if answers is None:
        llms = np.tile(np.arange(n_llms, dtype=np.int32), (n_questions, 1))
    else:
        llms = np.sort(generator.integers(0, n_llms, (n_questions, answers), dtype=np.int32), axis=1)
    first = np.concatenate([np.ones((n_questions, 1), bool), llms[:, 1:] != llms[:, :-1]], axis=1)
    n_observed = int(first.sum())
    values = (generator.random(n_observed) < 0.6).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(first.sum(axis=1))])
    return ResponseMatrix(
        question_ids=np.arange(n_questions),
        questions=np.array([f"question {index}" for index in range(n_questions)], object),
        categories=np.full(n_questions, "all", object),
        llm_names=tuple(f"lab/{index}" for index in range(n_llms)),
        matrix=sparse.csr_array((values, llms[first], indptr), shape=(n_questions, n_llms)),
        counts=np.ones(n_observed, np.int32),
        contradictory=np.zeros(n_observed, bool),
        duplicates="mean",
    )


def make_embeds(n_questions: int, text_dim: int, *, seed: int = 0) -> np.ndarray:
    """Random text vectors of length 1, `(n_questions, text_dim)`."""
    vectors = np.random.default_rng(seed).normal(size=(n_questions, text_dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_data(n_questions: int, n_llms: int, text_dim: int, answers: int | None = None) -> EncodedResponses:
    """Random responses with random text vectors."""
    return EncodedResponses(make_responses(n_questions, n_llms, answers), make_embeds(n_questions, text_dim))


def load_real(dataset: str, question_embeddings: str) -> tuple[EncodedResponses, EncodedResponses]:
    """Training and validation split of real data, with the text vectors of a file, of whatever encoder."""
    data = load_splits(dataset)
    train, validation = (
        EncodedResponses.from_file(data[name], question_embeddings) for name in ("train", "validation")
    )
    return replace(train, encoder=None), replace(validation, encoder=None)


def write_csv(folder: Path, n_rows: int, *, n_llms: int = 112, seed: int = 0) -> None:
    """Write `train.csv` and `model_order.csv` in the original's layout: prompts of about 800 bytes, once per LLM."""
    generator = np.random.default_rng(seed)
    words = ["alpha", "beta,", "gamma", "delta\n", "epsilon", '"zeta"', "eta", "theta", "what is", "the"]
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt_id", "model_id", "category_id", "label", "model_name", "prompt", "category"])
        for question in range(-(-n_rows // n_llms)):
            prompt = " ".join(generator.choice(words, size=int(generator.integers(100, 190))))
            labels = generator.integers(0, 2, n_llms)
            writer.writerows(
                (question, llm, question % 20, labels[llm], f"lab/{llm}", prompt, f"topic_{question % 20}")
                for llm in range(min(n_llms, n_rows - question * n_llms))
            )
    order = "".join(f"{llm},lab/{llm}\n" for llm in range(n_llms))
    (folder / "model_order.csv").write_text(f"model_id,model_name\n{order}", encoding="utf-8")


# --- models ---


def make_network(llm_names: tuple[str, ...], text_dim: int, **sizes: Any) -> EmbedLLM:
    """A network that was not trained."""
    return EmbedLLM(EmbedLLMConfig(llm_names=llm_names, text_dim=text_dim, **sizes)).eval()


def make_pool(settings: SpeedSettings) -> EmbedLLM:
    """A model that was not trained, with a whole bank, of the size of `settings.pool`."""
    n_questions, n_llms, n_answers, text_dim = settings.pool
    data = make_data(n_questions, n_llms, text_dim, n_answers)
    model = make_network(data.responses.llm_names, text_dim)
    return model.with_bank(fit_bank(model, data, calibrate=False))


def train_network(
    config: EmbedLLMConfig, train: EncodedResponses, validation: EncodedResponses | None = None, **args: Any
) -> tuple[EmbedLLM, float]:
    """Train a network; the model and the seconds of the loop, its measurements included."""
    model = EmbedLLM(config)
    with tempfile.TemporaryDirectory() as folder:
        arguments = EmbedLLMTrainingArguments(folder, disable_tqdm=True, **args)
        return model, NetworkTrainer(model, arguments, train, validation).train().seconds
