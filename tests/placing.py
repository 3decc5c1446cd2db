"""A small pool that follows an item-response model exactly."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.special import expit

from embedllm_hf import EmbedLLM, EncodedResponses, ResponseMatrix, load_responses
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.item_response.fit import fit_item_parameters

from .pool import TEXT_DIM


@dataclass(frozen=True)
class Simulated:
    """A model whose network knows nothing, and the whole truth `(n_questions, n_llms)` behind its pool.

    The model's bank has questions and responses, and nothing fitted.
    """

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
    entries = np.tile(np.arange(n_llms, dtype=np.int32), n_questions)
    starts = np.arange(n_questions + 1, dtype=np.int32) * n_llms
    matrix = ResponseMatrix(
        question_ids=np.arange(n_questions),
        questions=np.array([f"Question {number}?" for number in range(n_questions)], object),
        categories=np.array([("one", "two")[number % 2] for number in range(n_questions)], object),
        llm_names=names,
        matrix=sparse.csr_array((responses.ravel(), entries, starts), shape=responses.shape),
        counts=np.ones(responses.size, np.int32),
        contradictory=np.zeros(responses.size, bool),
        duplicates="mean",
    )
    model = EmbedLLM.from_encoder("offline", llm_names=names, text_dim=TEXT_DIM, embed_dim=2, seed=seed).eval()
    encoded = EncodedResponses(matrix, generator.normal(size=(n_questions, TEXT_DIM)))
    return Simulated(model.with_bank(QuestionBank.from_responses(encoded)), probabilities, responses)


def with_items(model: EmbedLLM, *, calibrate: bool = True) -> EmbedLLM:
    """The model with item parameters fitted to its bank's questions."""
    return model.with_bank(
        replace(model.bank, item_parameters=fit_item_parameters(model, model.bank, calibrate=calibrate))
    )


def with_answers(bank: QuestionBank, responses: np.ndarray) -> QuestionBank:
    """The bank with other responses, `(n_questions, n_llms)`, NaN not observed."""
    rows, llms = np.nonzero(~np.isnan(responses))
    values = responses[rows, llms].astype(np.float32)
    matrices = [sparse.csr_array((data, (rows, llms)), shape=responses.shape) for data in (values, 0 * values + 1)]
    return replace(bank, responses=matrices[0], weights=matrices[1])


def pool_of(simulated: Simulated, n_llms: int, *, calibrate: bool = True) -> EmbedLLM:
    """The model of the first LLMs alone, with its item parameters."""
    model = simulated.model
    for name in model.config.llm_names[n_llms:]:
        model = model.without_llm(name)
    return with_items(model, calibrate=calibrate)


def without_calibration(model: EmbedLLM) -> EmbedLLM:
    """The model with factors of 1."""
    item = replace(model.bank.item_parameters, calibration=np.zeros((3, 3)))
    return model.with_bank(replace(model.bank, item_parameters=item))


# --- a new LLM in the planted pool of the quick start ---


def strong_in_law() -> dict[int, float]:
    """Answers of an LLM that knows law and nothing else, to 40 known questions."""
    train = load_responses("planted", split="train")
    return {int(id_): float(train.categories[row] == "law") for row, id_ in enumerate(train.question_ids[:40])}


def write_answers(path: Path, answers: Mapping[int, float]) -> Path:
    """A CSV file of answers, its path returned."""
    path.write_text("prompt_id,label\n" + "".join(f"{id_},{label:g}\n" for id_, label in answers.items()))
    return path
