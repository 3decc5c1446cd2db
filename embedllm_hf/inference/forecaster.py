"""`Forecaster`: how well an LLM of the pool will do, on a question or on a benchmark.

Where the model has item parameters, known questions are forecast by them, and intervals hold the uncertainty of the
LLM's ability, times the factor that was calibrated on held-out LLMs. Elsewhere the probabilities are the model's, as
for the router, and intervals hold the chance of the answers alone. The questions that a model knows are a sample of
their benchmark, which intervals of its score hold, too (`item_response.sampling`).

An LLM of which no answer is known may be as any of the pool that has answers: it is forecast by their mean, with an
interval that holds their spread; one that was added with a vector is forecast by that. Either forecast is marked
`without_answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from .._checks import check_names, check_texts
from .._errors import InputError
from ..bank.item_parameters import STRATEGIES
from ..item_response.priors import item_parameters_of
from ..item_response.sampling import KnownScore, QuestionSample, Shift, known_sample
from ..item_response.transfer import shift_variance
from ..modeling_embedllm import EmbedLLM
from ..predictors.confidence import bounds, variance_of_another
from .base import EncodedModel, Result, bank_of

_UNIFORM_VARIANCE = 1 / 12  # of a score of which nothing is known


@dataclass(frozen=True)
class AnswerForecast(Result):
    """Whether an LLM will answer a question correctly.

    Attributes:
        probability (`float`): Of a right answer, in [0, 1].
        low, high (`float`): 90% interval of that for this question; see `predictors.confidence`.
        at_least (`float`): Of answers with this probability at least this share is right, with 95% confidence.
        without_answers (`bool`): Whether no answer of the LLM is known, so that little is known.
    """

    llm: str
    probability: float
    low: float
    high: float
    at_least: float
    without_answers: bool = False


@dataclass(frozen=True)
class ScoreForecast(Result):
    """A forecast of an LLM's share of right answers: on a benchmark, or on some questions and no others.

    Attributes:
        accuracy (`float`): Expected share of right answers, in [0, 1]: the mean over the questions that are given, or
            that the model knows of the benchmark.
        low, high (`float`): 90% interval of the share: from the uncertainty of the LLM's ability, if the model has
            item parameters, from the chance of answers that were not observed, and, on a benchmark, from the chance
            of the questions that the model knows of it.
        n_questions (`int`): Questions in the mean.
        n_observed (`int`): Of them, those whose response is known and counted as it is.
        without_answers (`bool`): Whether no answer of the LLM is known, so that little is known.
    """

    llm: str
    accuracy: float
    low: float
    high: float
    n_questions: int
    n_observed: int
    without_answers: bool = False


class Forecaster(EncodedModel):
    """Forecasts correctness and scores; made as any `EncodedModel`."""

    def probabilities(self, llm: str, questions: Sequence[str]) -> np.ndarray:
        """Probability in [0, 1] that an LLM of the pool answers each question correctly, `(n_questions,)`.

        Raises:
            KeyError: If the LLM is unknown.
            ValueError: If a text is empty.
        """
        questions, llm_index = check_texts("questions", questions), self.model.llm_index(llm)
        return self.model.predict_proba(self.encoder.encode(questions))[:, llm_index]

    def answers(self, llm: str, questions: Sequence[str]) -> list[AnswerForecast]:
        """`probabilities` with their intervals; arguments and errors are the same."""
        questions, llm_index = check_texts("questions", questions), self.model.llm_index(llm)
        logits = self.model.predict_logits(self.encoder.encode(questions))
        numbers = [part[:, llm_index].tolist() for part in (expit(logits), *bounds(self.model.bank, logits))]
        unknown = self._has_no_answers(llm_index)
        return [
            AnswerForecast(llm, p, low, high, least, unknown) for p, low, high, least in zip(*numbers, strict=True)
        ]

    def questions(self, llm: str, questions: Sequence[str]) -> ScoreForecast:
        """Forecast an LLM's mean on one's own questions.

        A question that the model knows is forecast as such, with the LLM's response if it was observed; that takes
        item parameters. Any other counts by its probability.

        Raises:
            KeyError: If the LLM is unknown.
            ValueError: If there are no questions, or a text is empty.
        """
        questions, llm_index, bank = some_texts(questions), self.model.llm_index(llm), self.model.bank
        embeds, these = self.encoder.encode(questions), QuestionSample.of(np.zeros(len(questions), int), 0.0)
        all_logits = self.model.predict_logits(embeds)
        logits = all_logits[:, llm_index]
        if bank is not None and bank.is_unplaced[llm_index]:
            return self._forecast(llm_index, self._of_the_pool(llm, expit(all_logits)), these)
        item, responses = None if bank is None else bank.item_parameters, np.full(len(questions), np.nan)
        if bank is None or item is None or not item.has_ability(llm_index):
            return self._forecast(llm_index, KnownScore.of(expit(logits), responses), these)
        rows = bank.rows_of_texts(questions)
        known = rows >= 0
        _, discriminations = item.parameters_of_texts(embeds)
        # The model says how probable a right answer is to a new text, the text's discriminations how much the forecast
        # leans on the ability.
        intercepts = logits - discriminations @ item.abilities[llm_index]
        intercepts[known] = item.intercepts[rows[known]]
        discriminations[known] = item.discriminations[rows[known]]
        responses[known] = bank.responses_of(llm_index)[rows[known]]
        return self._forecast(llm_index, self._by_ability(llm_index, (intercepts, discriminations), responses), these)

    def benchmark(
        self, llm: str, benchmark: str, *, known_only: bool = False, benchmark_size: int | None = None
    ) -> ScoreForecast:
        """Forecast an LLM's score on a benchmark (`mmlu_pro`), or on a category (`mmlu_pro_law`).

        The score is the expected share of right answers to the benchmark's questions, of which the model knows a
        sample: all of them answered still leave an interval. Responses that were observed count as they are; the
        others by their probability. Of an LLM that has answered some of the benchmark, or nothing of it, and other
        questions, the interval is wider by how far the pool's scores on it lie from the forecasts of their answers
        elsewhere; and the probabilities are moved to where its own answers to the benchmark lie.

        Args:
            llm, benchmark (`str`): Names of the pool's and of the bank's.
            known_only (`bool`): Forecast the score on the questions that the model knows instead: of an LLM that has
                answered all of these the interval has width 0.
            benchmark_size (`int`, *optional*): How many questions the whole benchmark or category has, those that the
                model knows among them; the score is then that on exactly these, and the interval narrower. Default: a
                source of questions without end.

        Raises:
            KeyError: If the LLM or the benchmark is unknown; the message offers close names.
            ValueError: If the model has no question bank, knows more questions than `benchmark_size`, or this comes
                with `known_only`.
        """
        llm_index, bank = self.model.llm_index(llm), bank_of(self.model)
        check_names("benchmark", [benchmark])
        sample = known_sample(bank, benchmark, known_only=known_only, benchmark_size=benchmark_size)
        return self._forecast(llm_index, self.known_score(llm, benchmark), sample)

    def known_score(self, llm: str, benchmark: str) -> KnownScore:
        """What `benchmark` is told from: an LLM's answers to the known questions; errors are the same."""
        llm_index, bank = self.model.llm_index(llm), bank_of(self.model)
        rows, item = bank.benchmark_rows(benchmark), bank.item_parameters
        if bank.is_unplaced[llm_index]:
            return self._of_the_pool(llm, known_probabilities(self.model, rows))
        responses = bank.responses_of(llm_index)
        if item is None or not item.has_ability(llm_index):
            probs = self.model.network_proba(bank.question_embeds[rows])[:, llm_index]
            return KnownScore.of(probs, responses[rows])
        shift = slice(None), shift_variance(bank, benchmark, np.flatnonzero(~np.isnan(responses)))
        return self._by_ability(llm_index, item.questions(rows), responses[rows], [shift])

    def _of_the_pool(self, llm: str, probabilities: np.ndarray) -> KnownScore:
        """Of an LLM without answers: its score is as those of the others, `probabilities` `(n_questions, n_llms)`."""
        known = bank_of(self.model).n_answers > 0
        if not known.any():
            raise InputError(f"no answers are known of `{llm}` or any other LLM of the pool. Onboard it with some.")
        others = probabilities[:, known].astype(np.float64)
        variance = float(variance_of_another(others.mean(axis=0)[None], _UNIFORM_VARIANCE)[0])
        return KnownScore(others.mean(axis=1), np.zeros(len(others)), variance, 0.0, 0)

    def _by_ability(
        self,
        llm_index: int,
        questions: tuple[np.ndarray, np.ndarray],
        responses: np.ndarray,
        shifts: Sequence[Shift] = (),
    ) -> KnownScore:
        """Of an LLM with an ability: to questions, by intercepts and discriminations, with its responses `(n,)`."""
        bank = bank_of(self.model)
        item = item_parameters_of(bank)
        factor = item.interval_factor(STRATEGIES[item.strategies[llm_index]], int(bank.n_answers[llm_index]))
        ability = item.abilities[llm_index].astype(np.float64), item.ability_covariances[llm_index].astype(np.float64)
        return KnownScore.by_ability(questions, responses, ability, factor, shifts)

    def _forecast(self, llm_index: int, score: KnownScore, sample: QuestionSample) -> ScoreForecast:
        """A score with its interval."""
        mean, n_questions = float(sample.means([score])[0]), len(score.values)
        bounds_, unknown = sample.interval(score), self._has_no_answers(llm_index)
        name = self.model.config.llm_names[llm_index]
        return ScoreForecast(name, mean, *bounds_, n_questions, score.n_observed, unknown)

    def _has_no_answers(self, llm_index: int) -> bool:
        return self.model.bank is not None and not self.model.bank.n_answers[llm_index]


def some_texts(questions: Sequence[str]) -> list[str]:
    """Texts of which there is at least one."""
    found = check_texts("questions", questions)
    if not found:
        raise InputError("`questions` is empty, expected at least one text.")
    return found


def known_probabilities(model: EmbedLLM, rows: np.ndarray) -> np.ndarray:
    """What is known of each LLM's answer to some `rows` of the model's bank, `(n_questions, n_llms)`.

    That is the response where it was observed, elsewhere the probability of a right answer: by the item parameters, or
    the network's for an LLM without ability.
    """
    bank = bank_of(model)
    probs, known = model.network_proba(bank.question_embeds[rows]), bank.known_logits(rows)
    if known is not None:
        probs = np.where(np.isnan(known), probs, expit(known))
    responses = bank.dense_responses()[rows]
    return np.where(np.isnan(responses), probs, responses)
