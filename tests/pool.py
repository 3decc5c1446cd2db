"""A tiny pool with planted skills, in vectors: what most tests run on.

Two topics, two families of LLMs, each right on its own topic only, some cells hidden. So "which LLM?" has one obvious
answer for router, forecaster and onboarding alike. The text vectors are made, not encoded.
"""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from embedllm_hf import EmbedLLM, EmbedLLMConfig, EmbedLLMTrainingArguments, EncodedResponses, ResponseMatrix
from embedllm_hf.training.fit_bank import fit_bank
from embedllm_hf.training.network_trainer import NetworkTrainer

TOPICS = ("logic", "poetry")
LLMS = ("lab/logic-a", "lab/logic-b", "lab/logic-c", "lab/poetry-a", "lab/poetry-b", "lab/poetry-c")
TEXT_DIM = 8
NEVER = "lab/never"
Network = TypeVar("Network", bound=torch.nn.Module)


def make_frame(n_questions: int, *, first_id: int = 0, seed: int = 0, hidden: float = 0.2) -> pd.DataFrame:
    """The pool as a long table: even questions are logic, odd ones poetry; a tenth of the answers defies the skill."""
    generator = np.random.default_rng(seed)
    rows = []
    for question in range(first_id, first_id + n_questions):
        topic = TOPICS[question % 2]
        for model_id, llm in enumerate(LLMS):
            skilled = topic in llm
            right = skilled if generator.random() < 0.9 else not skilled
            if generator.random() >= hidden:
                rows.append((question, model_id, llm, int(right), f"A {topic} question, number {question}?", topic))
    return pd.DataFrame(rows, columns=["prompt_id", "model_id", "model_name", "label", "prompt", "category"])


def make_embeds(question_ids: np.ndarray) -> np.ndarray:
    """Text vectors that tell the topic, with noise that depends on the question alone."""
    vectors = np.stack([np.random.default_rng(int(question)).normal(size=TEXT_DIM) * 0.3 for question in question_ids])
    vectors[np.arange(len(question_ids)), np.asarray(question_ids) % 2] += 1.0
    return vectors.astype(np.float32)


def make_split(n_questions: int, *, first_id: int = 0, seed: int = 0, hidden: float = 0.2) -> EncodedResponses:
    """A split of the pool, its vectors as if they were of the offline encoder."""
    frame = make_frame(n_questions, first_id=first_id, seed=seed, hidden=hidden)
    responses = ResponseMatrix.from_pandas(frame, llm_names=LLMS)
    return EncodedResponses(responses, make_embeds(responses.question_ids))


def new_model(**config: object) -> EmbedLLM:
    """An untrained model of the pool."""
    return EmbedLLM.from_encoder("offline", llm_names=LLMS, text_dim=TEXT_DIM, **{"embed_dim": 4, **config})


def randomised(kind: type[Network], config: EmbedLLMConfig) -> Network:
    """A network or a model with nothing at zero, biases included, in evaluation mode."""
    torch.manual_seed(0)
    network = kind(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
    return network.eval()


def train_network(folder: Path, train: EncodedResponses, validation: EncodedResponses | None = None) -> EmbedLLM:
    """A bare network of the pool, trained without a bank."""
    model = new_model()
    args = EmbedLLMTrainingArguments(output_dir=str(folder), disable_tqdm=True)
    NetworkTrainer(model, args, train, validation).train()
    return model


def trained_model(folder: Path) -> EmbedLLM:
    """A model of the six planted LLMs, trained on 80 questions, with its whole bank."""
    train, validation = make_split(80), make_split(30, first_id=80, seed=1)
    model = train_network(folder, train, validation)
    return model.with_bank(fit_bank(model, train, validation))


# --- with an LLM of which nothing is known ---


def with_one_unasked(split: EncodedResponses) -> EncodedResponses:
    """The split with one LLM more, without any answer, of a pool that is right on few questions only."""
    responses = split.responses
    data = responses.matrix.data * (np.arange(responses.matrix.nnz) % 5 == 0)
    shape = (responses.n_questions, responses.n_llms + 1)
    matrix = sparse.csr_array((data, responses.matrix.indices, responses.matrix.indptr), shape=shape)
    names = (*responses.llm_names, NEVER)
    return EncodedResponses(replace(responses, llm_names=names, matrix=matrix), split.question_embeds)


def model_with_one_unasked(folder: Path) -> EmbedLLM:
    """A trained model of seven LLMs, with its whole bank; the last was never asked, and would come first by chance."""
    train, validation = (with_one_unasked(split) for split in (make_split(80), make_split(30, first_id=80, seed=1)))
    model = EmbedLLM.from_encoder("offline", llm_names=train.responses.llm_names, text_dim=TEXT_DIM, embed_dim=4)
    NetworkTrainer(
        model, EmbedLLMTrainingArguments(output_dir=str(folder), disable_tqdm=True), train, validation
    ).train()
    return model.with_bank(fit_bank(model, train, validation))
