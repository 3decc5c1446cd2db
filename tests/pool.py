"""A tiny pool with planted skills, in vectors: what most tests run on.

Two topics, two families of LLMs, each right on its own topic only, some cells hidden. So "which LLM?" has one obvious
answer for router, forecaster and onboarding alike. The text vectors are made, not encoded.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from embedllm_hf import ResponseMatrix

TOPICS = ("logic", "poetry")
LLMS = ("lab/logic-a", "lab/logic-b", "lab/logic-c", "lab/poetry-a", "lab/poetry-b", "lab/poetry-c")
TEXT_DIM = 8


@dataclass(frozen=True)
class Split:
    """Responses and the text vectors `(n_questions, 8)` of their questions."""

    responses: ResponseMatrix
    question_embeds: np.ndarray


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


def make_split(n_questions: int, *, first_id: int = 0, seed: int = 0, hidden: float = 0.2) -> Split:
    """A split of the pool."""
    frame = make_frame(n_questions, first_id=first_id, seed=seed, hidden=hidden)
    responses = ResponseMatrix.from_pandas(frame, llm_names=LLMS)
    return Split(responses, make_embeds(responses.question_ids))
