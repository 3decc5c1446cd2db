"""`Forecaster`: how well an LLM of the pool will do, on a question or on a benchmark.

Where the model has an item-response model, known questions are forecast by it, and intervals hold what is not known of
the LLM's ability, times the factor that was calibrated on held-out LLMs. Elsewhere the probabilities are those of
`blending`, as for the router, and intervals hold the chance of the answers alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import expit, logit

from .._errors import InputError
from ..bank.item_parameters import STRATEGIES
from ..bank.question_bank import question_keys
from ..item_response.posterior import interval, score_moments
from ..item_response.transfer import transfer_variance
from ..modeling_embedllm import EmbedLLM
from ..predictors.confidence import bounds
from .base import EncodedModel


@dataclass(frozen=True)
class AnswerForecast:
    """Whether an LLM will answer a question correctly.

    Attributes:
        llm (`str`): The LLM.
        probability (`float`): Of a right answer, in [0, 1].
        low, high (`float`): 90% interval of that for this question; see `confidence`.
        at_least (`float`): Of answers with this probability at least this share is right, with 95% confidence.
    """

    llm: str
    probability: float
    low: float
    high: float
    at_least: float

    def to_dict(self) -> dict[str, object]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class ScoreForecast:
    """A forecast of a mean over questions.

    Attributes:
        llm (`str`): The LLM.
        accuracy (`float`): Expected share of right answers, in [0, 1].
        low, high (`float`): 90% interval of that share: from what is not known of the LLM, if the model has an
            item-response model, and from the chance of the answers that were not observed.
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


class Forecaster(EncodedModel):
    """Forecasts correctness and scores; made as any `EncodedModel`."""

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
        return self.predictor.predict_proba(self.encoder.encode(questions))[:, column]

    def answers(self, llm: str, questions: Sequence[str]) -> list[AnswerForecast]:
        """`probabilities` with their intervals; arguments and errors are the same."""
        column = self.model.llm_index(llm)
        probs = self.predictor.predict_proba(self.encoder.encode(questions))
        columns = [part[:, column].tolist() for part in (probs, *bounds(self.predictor, probs))]
        return [AnswerForecast(llm, *values) for values in zip(*columns, strict=True)]

    def questions(self, llm: str, questions: Sequence[str]) -> ScoreForecast:
        """Forecast an LLM's mean on one's own questions.

        A question that the model knows is forecast as such, with the LLM's response if it was observed; that takes an
        item-response model. Any other counts by its probability.

        Raises:
            KeyError: If the LLM is unknown.
            ValueError: If there are no questions, or a text is empty.
        """
        if not len(questions):
            raise InputError("`questions` is empty, expected at least one text.")
        column, item_response = self.model.llm_index(llm), self.model.item_response
        embeds = self.encoder.encode(questions)
        probabilities = self.predictor.predict_proba(embeds)[:, column].astype(np.float64)
        if item_response is None or not item_response.has_ability(column):
            return _score(llm, probabilities, np.full(len(probabilities), np.nan))
        rows = self.model.known_questions.rows_of_keys(question_keys(questions))
        known = rows >= 0
        intercepts, loadings = item_response.parameters_of_texts(embeds)
        # The blend says how probable a right answer is to a new text, the text's discriminations how much the forecast
        # leans on the ability.
        intercepts = logit(probabilities.clip(1e-9, 1 - 1e-9)) - loadings @ item_response.abilities[column]
        intercepts[known] = item_response.intercepts[rows[known]]
        loadings[known] = item_response.discriminations[rows[known]]
        responses = np.full(len(rows), np.nan)
        responses[known] = self.model.known_questions.responses_of(column)[rows[known]]
        return self._with_ability(llm, intercepts, loadings, responses)

    def benchmark(self, llm: str, benchmark: str) -> ScoreForecast:
        """Forecast an LLM's score on a benchmark whose questions the model knows.

        Responses that were observed count as they are; the others by their probability. The interval of an LLM that
        has answered none of the benchmark is wider, by how far the pool's scores on it lie from what their answers
        elsewhere say.

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
            raise no_benchmarks()
        rows = known.benchmark_rows(benchmark)
        item_response = self.model.item_response
        if item_response is not None and item_response.has_ability(column):
            intercepts, loadings = item_response.intercepts[rows], item_response.discriminations[rows]
            responses = known.responses_of(column)
            shift = 0.0
            if np.isnan(responses[rows]).all() and not np.isnan(responses).all():
                shift = transfer_variance(item_response, known, rows, self.model.config.n_llms)
            return self._with_ability(llm, intercepts, loadings, responses[rows], shift)
        probabilities = self.model.predict_proba(known.question_embeds[rows].astype(np.float32))[:, column]
        return _score(llm, probabilities, known.responses_of(column)[rows])

    def _with_ability(
        self, llm: str, intercepts: np.ndarray, loadings: np.ndarray, responses: np.ndarray, shift: float = 0.0
    ) -> ScoreForecast:
        """Forecast the mean over questions `(n,)`, `(n, n_traits)` from an LLM's ability and its responses `(n,)`.

        `shift` is the variance of what its ability elsewhere does not tell of these questions.
        """
        item_response, column = self.model.item_response, self.model.llm_index(llm)
        ability, covariance = item_response.abilities[column], item_response.ability_covariances[column]
        weights = np.full(len(responses), 1 / len(responses))
        questions = (values.astype(np.float64) for values in (intercepts, loadings, weights, responses))
        mean, variance = score_moments(*questions, ability.astype(np.float64), covariance.astype(np.float64))
        n_answers = int((self.model.known_questions.llm_indices == column).sum())
        factor = item_response.interval_factor(STRATEGIES[item_response.strategies[column]], n_answers)
        return _forecast(llm, mean, variance * factor**2 + shift, 1.0, responses)


def no_benchmarks() -> ValueError:
    """The error for a model without known questions."""
    return InputError("the model keeps no known questions, so it has no benchmarks. Train it with this package.")


def known_probabilities(model: EmbedLLM, rows: np.ndarray) -> np.ndarray:
    """What is known of each LLM's answer to some known questions.

    Args:
        model (`EmbedLLM`): With known questions.
        rows (`np.ndarray` of shape `(n_questions,)`): Their positions.

    Returns:
        `np.ndarray` of shape `(n_questions, n_llms)`: The response where it was observed, elsewhere the probability of
        a right answer: the item-response model's, or the network's for an LLM that it has not placed.
    """
    known, item_response = model.known_questions, model.item_response
    probs = model.predict_proba(known.question_embeds[rows].astype(np.float32)).astype(np.float64)
    for column in range(probs.shape[1]):
        if item_response is not None and item_response.has_ability(column):
            ability = item_response.abilities[column]
            probs[:, column] = expit(item_response.intercepts[rows] + item_response.discriminations[rows] @ ability)
        responses = known.responses_of(column)[rows]
        probs[:, column] = np.where(np.isnan(responses), probs[:, column], responses)
    return probs


def _score(llm: str, probabilities: np.ndarray, responses: np.ndarray) -> ScoreForecast:
    """Mean of responses where observed (not NaN) and probabilities elsewhere, both `(n_questions,)`."""
    observed = ~np.isnan(responses)
    mean = float(np.where(observed, responses, probabilities).mean())
    variance = np.where(observed, 0.0, probabilities * (1 - probabilities)).sum() / len(probabilities) ** 2
    return _forecast(llm, mean, float(variance), 1.0, responses)


def _forecast(llm: str, mean: float, variance: float, factor: float, responses: np.ndarray) -> ScoreForecast:
    """A mean with its interval; `factor` is what the standard deviation is multiplied by."""
    low, high = interval(mean, variance, factor)
    n_observed = int((~np.isnan(responses)).sum())
    return ScoreForecast(llm, mean, low, high, n_questions=len(responses), n_observed=n_observed)
