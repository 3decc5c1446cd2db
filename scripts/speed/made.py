"""Made-up responses, text vectors and files of the sizes that the rows need."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from embedllm_hf.data.responses import ResponseMatrix


def make_responses(n_questions: int, n_llms: int, answers: int | None = None, *, seed: int = 0) -> ResponseMatrix:
    """Random responses; each question is answered by all LLMs, or by about `answers` of them."""
    generator = np.random.default_rng(seed)
    if answers is None:
        llms = np.tile(np.arange(n_llms, dtype=np.int32), (n_questions, 1))
    else:
        llms = np.sort(generator.integers(0, n_llms, (n_questions, answers), dtype=np.int32), axis=1)
    first = np.concatenate([np.ones((n_questions, 1), bool), llms[:, 1:] != llms[:, :-1]], axis=1)
    n_observed = int(first.sum())
    return ResponseMatrix(
        question_ids=np.arange(n_questions),
        questions=np.array([f"question {index}" for index in range(n_questions)], object),
        categories=np.full(n_questions, "all", object),
        llm_names=tuple(f"lab/{index}" for index in range(n_llms)),
        indptr=np.concatenate([[0], np.cumsum(first.sum(axis=1))]),
        llm_indices=llms[first],
        values=(generator.random(n_observed) < 0.6).astype(np.float32),
        counts=np.ones(n_observed, np.int32),
        contradictory=np.zeros(n_observed, bool),
        duplicates="mean",
    )


def make_embeds(n_questions: int, text_dim: int, *, seed: int = 0) -> np.ndarray:
    """Random text vectors of length 1, `(n_questions, text_dim)`."""
    vectors = np.random.default_rng(seed).normal(size=(n_questions, text_dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


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
