"""Leaderboards: the pool ranked on questions or on a benchmark, with the probability that one LLM beats another there.

An LLM's share of right answers is taken to be normal. The answers to a question are independent only given the
question's own logits. These are normal around the predicted ones, with the standard deviation that was fitted on
validation (`predictors.confidence` has the formula); expectations over them are by Gauss-Hermite quadrature. So what
two LLMs have in common, a question that is harder than it looks, cancels in their difference. That the network may be
wrong about an LLM as a whole is not in it.

On a benchmark, LLMs are compared on the same sample of its questions (`item_response.sampling`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit, ndtr

from .._checks import check_names
from .._errors import InputError
from ..item_response.posterior import interval
from ..item_response.sampling import known_sample
from ..predictors.confidence import centre_of, question_sd
from .base import EncodedModel, Result, bank_of
from .forecaster import Forecaster, ScoreForecast, some_texts

_NODES = 15  # of the quadrature


@dataclass(frozen=True)
class LeaderboardRow(Result):
    """One LLM's place.

    Attributes:
        rank (`int`): From 1; ties are in the order of the pool.
        accuracy (`float`): Expected share of right answers.
        low, high (`float`): 90% interval of that share: on the questions that are given and no others, or on the
            benchmark, of which the model knows a sample.
        beats_next (`float | None`): Probability that its share, of the same questions, is higher than that of the
            next one; None for the last.
        only_one (`float | None`): Expected share of questions that it alone of those ranked answers correctly.
        without_answers (`bool`): Whether no answer of it is known. Such an LLM has no place: it stands after all
            others, with the forecast of one like them, and is compared with nobody.
    """

    rank: int
    llm: str
    accuracy: float
    low: float
    high: float
    beats_next: float | None
    only_one: float | None
    without_answers: bool = False


class Leaderboard(EncodedModel):
    """Ranks a pool; made as any `EncodedModel`."""

    def __call__(self, questions: Sequence[str], *, llms: Sequence[str] | None = None) -> list[LeaderboardRow]:
        """Rank LLMs, by default the whole pool, on one's own questions, none of them answered yet.

        Raises:
            KeyError: If an LLM is unknown.
            ValueError: If there are no questions or no LLMs, or a text is empty.
        """
        questions, (names, unknown) = some_texts(questions), self._chosen(llms)
        llm_indices = [self.model.llm_index(name) for name in names]
        probs = self.model.predict_proba(self.encoder.encode(questions))[:, llm_indices].astype(np.float64)
        forecaster, sd = Forecaster(self.model, self.encoder), question_sd(self.model.bank)
        means, covariance = score_distribution(probs, sd)
        intervals = [interval(mean, variance) for mean, variance in zip(means, np.diag(covariance), strict=True)]
        return [
            *_ranked(names, means, covariance, intervals, only_one_right(probs, sd)),
            *_unranked(len(names), [forecaster.questions(name, questions) for name in unknown]),
        ]

    def benchmark(
        self,
        benchmark: str,
        *,
        llms: Sequence[str] | None = None,
        known_only: bool = False,
        benchmark_size: int | None = None,
    ) -> list[LeaderboardRow]:
        """Rank LLMs, by default the whole pool, on a benchmark, or on one of its categories.

        Responses that were observed count as they are, the others by their probability. How difficult a known question
        is was seen, so questions have no spread of their own here. `Forecaster.benchmark` has the intervals, and the
        arguments `known_only` and `benchmark_size`.

        Raises:
            KeyError: If the benchmark or an LLM is unknown; the message offers close names.
            ValueError: If the model has no question bank, there are no LLMs, or the size is not possible.
        """
        names, unknown = self._chosen(llms)
        check_names("benchmark", [benchmark])
        size: dict[str, Any] = {"known_only": known_only, "benchmark_size": benchmark_size}
        sample, forecaster = known_sample(bank_of(self.model), benchmark, **size), Forecaster(self.model, self.encoder)
        scores = [forecaster.known_score(name, benchmark) for name in names]
        ranked = []
        if scores:
            alone = only_one_right(np.column_stack([score.values for score in scores]), 0.0)
            intervals = [sample.interval(score) for score in scores]
            ranked = _ranked(names, sample.means(scores), sample.covariance(scores), intervals, alone)
        return [
            *ranked,
            *_unranked(len(names), [forecaster.benchmark(name, benchmark, **size) for name in unknown]),
        ]

    def _chosen(self, llms: Sequence[str] | None) -> tuple[list[str], list[str]]:
        """Names of the LLMs to rank, and of those that cannot be ranked, since no answer of them is known."""
        pool, without_answers = self.model.config.llm_names, set(self.model.llms_without_answers)
        names = list(dict.fromkeys(pool if llms is None else check_names("llms", llms)))
        if not names:
            raise InputError("`llms` is empty, expected at least one LLM to rank.")
        for name in names:
            self.model.llm_index(name)
        return [n for n in names if n not in without_answers], [n for n in names if n in without_answers]


def _unranked(n_ranked: int, forecasts: Sequence[ScoreForecast]) -> list[LeaderboardRow]:
    """Rows of LLMs without answers, in the order given, after all that are ranked."""
    return [
        LeaderboardRow(rank, forecast.llm, forecast.accuracy, forecast.low, forecast.high, None, None, True)
        for rank, forecast in enumerate(forecasts, start=n_ranked + 1)
    ]


def _ranked(
    names: Sequence[str],
    means: np.ndarray,
    covariance: np.ndarray,
    intervals: Sequence[tuple[float, float]],
    alone: np.ndarray,
) -> list[LeaderboardRow]:
    """The rows of LLMs from their shares' means `(n_llms,)`, covariance and intervals; `alone` as `only_one_right`."""
    wins = win_probabilities(means, covariance)
    order = np.argsort(-means, kind="stable").tolist()
    return [
        LeaderboardRow(
            rank=place + 1,
            llm=names[llm],
            accuracy=float(means[llm]),
            low=float(intervals[llm][0]),
            high=float(intervals[llm][1]),
            beats_next=float(wins[llm, order[place + 1]]) if place + 1 < len(order) else None,
            only_one=float(alone[llm]),
        )
        for place, llm in enumerate(order)
    ]


def _drawn(probs: np.ndarray, sd: float) -> Iterator[tuple[float, np.ndarray]]:
    """Quadrature over the questions' own logits: weights that sum to 1, probabilities `(n_questions, n_llms)`."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    centre = centre_of(logit(np.clip(probs, 1e-6, 1 - 1e-6)), sd)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        yield float(weight), expit(centre + sd * node)


def score_distribution(probs: np.ndarray, sd: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(n_llms,)` and covariance `(n_llms, n_llms)` of the LLMs' shares of right answers; see the module.

    An LLM's variance on a question is `p(1-p)`, spread and chance together.

    Args:
        probs (`np.ndarray` of shape `(n_questions, n_llms)`): Probabilities of a right answer, which are means over
            the questions' own spread.
        sd (`float`): That spread, in logits.
    """
    n_questions, n_llms = probs.shape
    together, mean = np.zeros((n_llms, n_llms)), np.zeros_like(probs)
    for weight, drawn in _drawn(probs, sd):
        together += weight * (drawn.T @ drawn)
        mean += weight * drawn
    covariance = (together - mean.T @ mean) / n_questions**2
    np.fill_diagonal(covariance, (probs * (1 - probs)).sum(axis=0) / n_questions**2)
    return probs.mean(axis=0), covariance


def win_probabilities(means: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Probability that the row's LLM has a higher share than the column's, `(n_llms, n_llms)`."""
    variances = np.diag(covariance)
    spread = np.sqrt(np.maximum(variances[:, None] + variances[None] - 2 * covariance, 1e-18))
    wins = ndtr((means[:, None] - means[None]) / spread)
    np.fill_diagonal(wins, 0.5)
    return wins


def only_one_right(probs: np.ndarray, sd: float) -> np.ndarray:
    """Expected share of questions that each LLM alone answers correctly, `(n_llms,)`; see `score_distribution`."""
    share = np.zeros(probs.shape[1])
    for weight, drawn in _drawn(probs, sd):
        nobody = np.log1p(-drawn).sum(axis=1, keepdims=True)
        share += weight * (drawn * np.exp(nobody - np.log1p(-drawn))).mean(axis=0)
    return share
