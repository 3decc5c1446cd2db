"""What the benchmark measures at which size, and what a row of its table is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class SpeedSettings:
    """Sizes of the measurements; the defaults are the paper's scale.

    Attributes:
        n_questions, n_llms, text_dim, embed_dim, n_epochs (`int`): The paper's training run.
        n_scored (`int`): Questions of the scoring rows.
        pool (`tuple[int, int, int, int]`): Questions, LLMs, answers a question and text width of the pool that single
            questions are put to and new LLMs are placed in; as in open-llm-responses.
        n_new_llms, n_answers (`int`): LLMs that are placed at once, and the answers of each.
        csv_rows (`int`): Rows of the generated CSV file; the original has 3.3 million.
        llm_counts (`tuple[int, ...]`): Pool sizes of the growth row.
        repeats (`int`): Measurements of which the median counts.
        dataset, question_embeddings (`str`, *optional*): Real data for the row that needs them, and their text vectors
            as a safetensors file.
    """

    n_questions: int = 28_500
    n_llms: int = 112
    text_dim: int = 768
    embed_dim: int = 232
    n_epochs: int = 50
    n_scored: int = 100_000
    pool: tuple[int, int, int, int] = (10_708, 72, 28, 384)
    n_new_llms: int = 1_000
    n_answers: int = 64
    csv_rows: int = 330_000
    llm_counts: tuple[int, ...] = (1_000, 10_000, 100_000)
    repeats: int = 3
    dataset: str | None = None
    question_embeddings: str | None = None

    @classmethod
    def quick(cls) -> SpeedSettings:
        """Everything small: for tests of the code, not for figures."""
        return cls(400, 12, 32, 16, 2, 500, (300, 12, 8, 32), 5, 8, 400, (20, 40), 1)


@dataclass(frozen=True)
class SpeedRow:
    """One row of the table.

    Attributes:
        name (`str`): What is compared.
        ratio (`float`): The figure.
        target (`str`): What it should be.
        detail (`str`): The two sides, in seconds or bytes.
    """

    name: str
    ratio: float
    target: str
    detail: str


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
