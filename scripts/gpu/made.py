"""Made-up pools in which there is something to learn, and training of them: `scripts.speed.made` with skills."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState
from scipy import sparse
from scipy.special import expit

from embedllm_hf.configuration_embedllm import EmbedLLMConfig
from embedllm_hf.data.splits import split_questions
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from embedllm_hf.modeling_embedllm import EmbedLLM
from scripts.speed.made import make_data, train_network


def make_splits(n_questions: int, n_llms: int, text_dim: int) -> tuple[EncodedResponses, EncodedResponses]:
    """Four fifths and a fifth of a pool whose responses depend on the text vectors; each LLM has its own skills."""
    data = make_data(n_questions, n_llms, text_dim)
    generator = np.random.default_rng(1)
    skills = generator.normal(size=(text_dim, n_llms), scale=2.0)
    right = generator.random((n_questions, n_llms)) < expit(0.4 + data.question_embeds @ skills)
    values, table = right.ravel().astype(np.float32), data.responses.matrix
    matrix = sparse.csr_array((values, table.indices, table.indptr), shape=table.shape)
    responses = replace(data.responses, matrix=matrix)
    rest, taken = split_questions(responses, 0.2, seed=0)
    whole = EncodedResponses(responses, data.question_embeds)
    return whole.with_responses(rest), whole.with_responses(taken)


def begin_alike() -> None:
    """Have the next training begin as every other does: with the same random weights, in arithmetic of its choice.

    Accelerate keeps the arithmetic of a process's first training and refuses another one, so it is told to forget.
    """
    AcceleratorState._reset_state()
    torch.manual_seed(0)


def train(
    config: EmbedLLMConfig, splits: tuple[EncodedResponses, EncodedResponses | None], **args: Any
) -> tuple[EmbedLLM, float]:
    """Train a network on the first split, judged by the second if there is one; the model and the loop's seconds."""
    begin_alike()
    return train_network(config, *splits, **args)
