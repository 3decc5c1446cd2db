"""The known questions as a sample of their benchmark: what is not known of its score when all of them are answered.

A benchmark is taken as the source that its known questions were drawn from, category by category, so that each has its
share of it. Its score is the expected share of right answers to a question of it. Of the n known questions an LLM's
mean is m. Let u be the share of the benchmark that is not among them: 1 - n/N of one with N questions, 1 of one
without end, 0 if the score is about the known questions alone. The interval holds each S that is not too far from m:

    (m - S)^2 <= z^2 (V + (1 - u) C + u d S (1 - S) / n)

C is the variance of m by the chance of known answers that were not observed, V that by what is not known of the LLM:
its ability. V + C is calibrated on held-out LLMs. The last term is the sample's: that of Wilson's score interval (J.
Am. Stat. Assoc. 22, 1927), so that it is not 0 if all answers are right, with the correction for a finite benchmark
(Cochran, Sampling Techniques, 1977, section 2.6). The design effect d (Kish, Survey Sampling, 1965) is the variance of
an answer within its category (Cochran, section 5.3) over m (1 - m): answers vary less within categories, and graded
ones less than right and wrong ones.

Two LLMs are compared on the same sample, so the last term of their difference is the variance of paired differences.

An answer that was not observed counts in d with its own chance, as if it had been. So an interval never becomes wider
because a question is asked; of an LLM with few answers it is a little too wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from .._checks import check_count
from .._errors import InputError
from ..bank.question_bank import QuestionBank
from .posterior import Z90, score_moments
from .transfer import posterior_shift

Shift = tuple[np.ndarray | slice, float]
_ROUNDING = 1e-9  # of a variance; less is none


@dataclass(frozen=True)
class KnownScore:
    """What is known of an LLM's answers to some questions.

    Attributes:
        values (`np.ndarray` of shape `(n,)`): Its responses where they were observed, elsewhere the probabilities of a
            right answer.
        chance (`np.ndarray` of shape `(n,)`): Variance of each answer that was not observed; 0 where it was.
        ability_variance (`float`): V of the module: the calibrated variance of the mean, less the next one.
        chance_variance (`float`): C of the module.
        n_observed (`int`): How many were observed.
    """

    values: np.ndarray
    chance: np.ndarray
    ability_variance: float
    chance_variance: float
    n_observed: int

    @classmethod
    def of(cls, probabilities: np.ndarray, responses: np.ndarray, weights: np.ndarray | None = None) -> KnownScore:
        """Of an LLM whose ability is certain.

        Args:
            probabilities (`np.ndarray` of shape `(n,)`): Of right answers.
            responses (`np.ndarray` of shape `(n,)`): NaN where not observed.
            weights (`np.ndarray` of shape `(n,)`, *optional*): Of each question in the score. Default: all alike.
        """
        weights = np.full(len(responses), 1 / len(responses)) if weights is None else weights
        observed, probabilities = ~np.isnan(responses), probabilities.astype(np.float64)
        chance = np.where(observed, 0.0, probabilities * (1 - probabilities))
        values = np.where(observed, responses, probabilities)
        return cls(values, chance, 0.0, float(weights**2 @ chance), int(observed.sum()))

    @classmethod
    def by_ability(
        cls,
        questions: tuple[np.ndarray, np.ndarray],
        responses: np.ndarray,
        ability: tuple[np.ndarray, np.ndarray],
        factor: float,
        shifts: Sequence[Shift] = (),
        weights: np.ndarray | None = None,
    ) -> KnownScore:
        """Of an LLM by the posterior of its ability.

        Args:
            questions (`tuple`): Intercepts `(n,)` and discriminations `(n, n_traits)`.
            responses, weights: As for `of`.
            ability (`tuple`): Mean and covariance.
            factor (`float`): That of `ItemParameters.interval_factor`.
            shifts (`Sequence`): Questions of a benchmark, and the `item_response.transfer.shift_variance` there.
        """
        weights = np.full(len(responses), 1 / len(responses)) if weights is None else weights
        probabilities = expit(questions[0] + questions[1] @ ability[0])
        variance = score_moments(*questions, weights, responses, *ability)[1]
        own = factor**2 * variance - cls.of(probabilities, responses, weights).chance_variance
        for inside, spread in shifts:
            shift, left = posterior_shift(probabilities[inside], responses[inside], weights[inside], spread)
            probabilities[inside] = np.clip(probabilities[inside] + shift, 0.0, 1.0)
            own += left
        known = cls.of(probabilities, responses, weights)
        return replace(known, ability_variance=own)


@dataclass(frozen=True)
class QuestionSample:
    """Questions that are known of what a score is about.

    Attributes:
        weights (`np.ndarray` of shape `(n,)`): Of each question in the score; they sum to 1.
        strata (`np.ndarray` of shape `(n,)`, int): The category of each.
        unseen (`float`): u of the module, in [0, 1].
    """

    weights: np.ndarray
    strata: np.ndarray
    unseen: float

    @classmethod
    def of(cls, strata: np.ndarray, unseen: float) -> QuestionSample:
        """Questions that count alike."""
        return cls(np.full(len(strata), 1 / len(strata)), strata, unseen)

    def means(self, scores: Sequence[KnownScore]) -> np.ndarray:
        """Each LLM's expected share of right answers, `(n_llms,)`."""
        return np.clip([self.weights @ score.values for score in scores], 0.0, 1.0)  # but for rounding they are

    def interval(self, score: KnownScore) -> tuple[float, float]:
        """The 90% interval of an LLM's score, in [0, 1]; see the module."""
        mean = float(self.means([score])[0])
        binary, squares = mean * (1 - mean), float((self.weights**2).sum())
        spread = self.unseen * (squares if binary < _ROUNDING else float(self._sampling([score])[0, 0]) / binary)
        variance = self._own_variance(score)
        scale = 1 + Z90**2 * spread
        centre = (mean + Z90**2 * spread / 2) / scale
        reach = Z90 * np.sqrt(spread * binary + (Z90 * spread / 2) ** 2 + scale * variance) / scale
        low, high = float(centre - reach), float(centre + reach)
        return max(0.0, min(low, mean)), min(1.0, max(high, mean))  # which hold the mean but for rounding

    def covariance(self, scores: Sequence[KnownScore]) -> np.ndarray:
        """Of the errors of LLMs' means as forecasts of what the score is about, `(n_llms, n_llms)`; see the module."""
        own = [self._own_variance(score) for score in scores]
        return np.diag(own) + (self.unseen * self._sampling(scores) if self.unseen else 0.0)

    def _own_variance(self, score: KnownScore) -> float:
        """V + (1 - u) C of the module; a factor below 1 may bring V below 0."""
        return max(0.0, score.ability_variance + (1 - self.unseen) * score.chance_variance)

    def _sampling(self, scores: Sequence[KnownScore]) -> np.ndarray:
        """Covariance of the means of such samples.

        Answers vary around their category's mean, whose freedom is taken off; a category of one question tells
        nothing, so one more answer, that varies as right and wrong ones do, is counted in.
        """
        values = np.column_stack([score.values for score in scores])
        _, strata, sizes = np.unique(self.strata, return_inverse=True, return_counts=True)
        sums = np.zeros((len(sizes), values.shape[1]))
        np.add.at(sums, strata, values)
        within = (values - (sums / sizes[:, None])[strata]) * self.weights[:, None]
        means, squares = self.means(scores), self.weights**2
        one_more = np.maximum(means * (1 - means), 0.0) * squares.mean()
        n = len(values)
        chance = squares @ np.column_stack([score.chance for score in scores])
        return (within.T @ within + np.diag(one_more)) * n / (n - len(sizes) + 1) + np.diag(chance)


def known_sample(
    bank: QuestionBank, benchmark: str, *, known_only: bool = False, benchmark_size: int | None = None
) -> QuestionSample:
    """The known questions of a benchmark or category as a sample of it; arguments as for `Forecaster.benchmark`."""
    strata = bank.category_indices[bank.benchmark_rows(benchmark)]
    if benchmark_size is None:
        return QuestionSample.of(strata, 0.0 if known_only else 1.0)
    if known_only:
        raise InputError(f"`benchmark_size` is {benchmark_size}, but `known_only` leaves the rest out. Give one.")
    size = check_count("benchmark_size", benchmark_size)
    if size < len(strata):
        raise InputError(
            f"`benchmark_size` is {size:,}, but the model knows {len(strata):,} questions of `{benchmark}`. "
            "Give the number of questions of the whole."
        )
    return QuestionSample.of(strata, 1 - len(strata) / size)
