"""`Forecaster`: how well an LLM of the pool will do, on a question or on a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .modeling_embedllm import EmbedLLM
from .question_encoder import QuestionEncoder, encoder_of

_NORMAL_90 = 1.6449  # half width of a central 90% interval of the normal distribution, in standard deviations


@dataclass(frozen=True)
class ScoreForecast:
    """A forecast of a mean over questions.

    Attributes:
        llm (`str`): The LLM.
        accuracy (`float`): Expected share of right answers, in [0, 1].
        low, high (`float`): 90% interval of that share, from the chance of the answers that were not observed.
        n_questions (`int`): Questions in the mean.
        n_observed (`int`): Of them, those whose response is known and counted as it is.
    """

    llm: str
    accuracy: float
    low: float
    high: float
    n_questions: int
    n_observed: int

    def to_dict(self) -> dict[str, object]:
        """The fields by name."""
        return asdict(self)


class Forecaster:
    """Forecasts correctness and scores.

    Args:
        model (`EmbedLLM`): A trained model.
        encoder (`QuestionEncoder`, *optional*): Default: the one that the model was trained with.

    Raises:
        ValueError: If the encoder is not the one that the model was trained with.
    """

    def __init__(self, model: EmbedLLM, encoder: QuestionEncoder | None = None) -> None:
        self.model = model
        self.encoder = encoder_of(model.config, encoder)

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *, encoder: QuestionEncoder | None = None, **kwargs: object
    ) -> Forecaster:
        """Load from a Hub id or a folder; takes the arguments of `EmbedLLM.from_pretrained`."""
        return cls(EmbedLLM.from_pretrained(path, **kwargs), encoder)

    def probabilities(self, llm: str, questions: Sequence[str]) -> np.ndarray:
        """Probability that an LLM answers each question correctly.

        Args:
            llm (`str`): Name of an LLM of the pool.
            questions (`Sequence[str]`): Texts.

        Returns:
            `np.ndarray` of shape `(n_questions,)`: In [0, 1].

        Raises:
            KeyError: If the LLM is unknown.
            ValueError: If a text is empty.
        """
        column = self.model.llm_index(llm)
        return self.model.predict_proba(self.encoder.encode(questions))[:, column]

    def questions(self, llm: str, questions: Sequence[str]) -> ScoreForecast:
        """Forecast an LLM's mean on one's own questions, none of them answered yet.

        Raises:
            KeyError: If the LLM is unknown.
            ValueError: If there are no questions, or a text is empty.
        """
        if not len(questions):
            raise ValueError("`questions` is empty, expected at least one text.")
        probabilities = self.probabilities(llm, questions)
        return _score(llm, probabilities, np.full(len(probabilities), np.nan))

    def benchmark(self, llm: str, benchmark: str) -> ScoreForecast:
        """Forecast an LLM's score on a benchmark whose questions the model knows.

        Responses that were observed count as they are; the others by their probability.

        Args:
            llm (`str`): Name of an LLM of the pool.
            benchmark (`str`): A benchmark (`mmlu_pro`) or one of its categories (`mmlu_pro_law`).

        Raises:
            KeyError: If the LLM or the benchmark is unknown; the message offers close names.
            ValueError: If the model keeps no known questions.
        """
        column = self.model.llm_index(llm)
        known = self.model.known_questions
        if known is None:
            raise ValueError(
                "the model keeps no known questions, so it has no benchmarks. Train it with this package."
            )
        rows = known.benchmark_rows(benchmark)
        probabilities = self.model.predict_proba(known.question_embeds[rows].astype(np.float32))[:, column]
        return _score(llm, probabilities, known.responses_of(column)[rows])


def _score(llm: str, probabilities: np.ndarray, responses: np.ndarray) -> ScoreForecast:
    """Mean of responses where observed (not NaN) and probabilities elsewhere, both `(n_questions,)`."""
    observed = ~np.isnan(responses)
    mean = float(np.where(observed, responses, probabilities).mean())
    variance = np.where(observed, 0.0, probabilities * (1 - probabilities)).sum() / len(probabilities) ** 2
    reach = _NORMAL_90 * float(np.sqrt(variance))
    return ScoreForecast(
        llm=llm,
        accuracy=mean,
        low=max(0.0, mean - reach),
        high=min(1.0, mean + reach),
        n_questions=len(probabilities),
        n_observed=int(observed.sum()),
    )
