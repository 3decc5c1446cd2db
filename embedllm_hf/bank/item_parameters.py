"""`ItemParameters`: the item-response model of a pool.

The multidimensional two-parameter logistic model (Reckase, Multidimensional Item Response Theory, 2009, chapter 4): an
LLM has an ability `t` of a few traits, a question an intercept `b` and a discrimination a trait `w`, and

    P(right) = sigmoid(b + w . t).

The last trait is the LLM's own slope on the difficulty that the question has for the mean LLM. `item_response/` fits
these numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._checks import check_shapes

STRATEGIES = ("adaptive", "random", "stratified")  # how the questions were chosen that an LLM answered
DEFAULT_STRATEGY = "random"
CALIBRATED_UP_TO = 256  # answers; an interval from more of them has the factor of this many
_FEWEST_ANSWERS = 4  # the factor's line in log(answers) is not drawn out below
REFERENCE_ANSWERS = 64


@dataclass(frozen=True, eq=False)
class ItemParameters:
    """Questions and LLMs in the space of abilities; rows as in `QuestionBank`, LLMs as in the pool.

    Attributes:
        intercepts (`np.ndarray` of shape `(n_questions,)`): Logits of an LLM whose ability is zero.
        discriminations (`np.ndarray` of shape `(n_questions, n_traits)`): What each trait adds to them.
        residuals (`np.ndarray` of shape `(n_questions,)`): How much easier a known question is than its text says: it
            is added to the network's logits.
        abilities (`np.ndarray` of shape `(n_llms, n_traits)`): NaN for an LLM that was added without answers.
        ability_covariances (`np.ndarray` of shape `(n_llms, n_traits, n_traits)`): Their posterior covariance.
        strategies (`np.ndarray` of shape `(n_llms,)`, int8): How the LLM's questions were chosen, in `STRATEGIES`.
        prior_mean, prior_covariance (`np.ndarray` of shapes `(n_traits,)`, `(n_traits, n_traits)`): Of a new LLM
            of which nothing is known.
        benchmark_prior_means, benchmark_prior_covariances (`np.ndarray`): Of a new LLM that takes a benchmark,
            `(n_benchmarks, n_traits)` and its square, in the order of `QuestionBank.benchmarks`.
        benchmark_vector_prior_means, benchmark_vector_prior_covariances (`np.ndarray`): The same of its
            `(vector, bias)`.
        text_coefficients (`np.ndarray` of shape `(1 + text_dim, 1 + n_traits)`): An unknown question's intercept and
            discriminations are `(1, x) @ text_coefficients`, x its text vector.
        text_variances (`np.ndarray` of shape `(n_traits,)`): Variance of intercept and discriminations, without the
            last one, around what the text says; from the known questions.
        vector_prior_mean, vector_prior_covariance (`np.ndarray`): Of a new LLM's `(vector, bias)` in the network,
            `(embed_dim + 1,)` and its square.
        calibration (`np.ndarray` of shape `(3, 3)`): For each strategy: logarithm of the interval's factor without
            answers, with 64, and its slope in the logarithm of the number of answers.
    """

    intercepts: np.ndarray
    discriminations: np.ndarray
    residuals: np.ndarray
    abilities: np.ndarray
    ability_covariances: np.ndarray
    strategies: np.ndarray
    prior_mean: np.ndarray
    prior_covariance: np.ndarray
    text_coefficients: np.ndarray
    text_variances: np.ndarray
    vector_prior_mean: np.ndarray
    vector_prior_covariance: np.ndarray
    calibration: np.ndarray
    benchmark_prior_means: np.ndarray
    benchmark_prior_covariances: np.ndarray
    benchmark_vector_prior_means: np.ndarray
    benchmark_vector_prior_covariances: np.ndarray

    def __post_init__(self) -> None:
        n_questions, n_llms, n_traits = len(self.intercepts), len(self.abilities), self.n_traits
        width, n_benchmarks = len(self.vector_prior_mean), len(self.benchmark_prior_means)
        shapes = {
            "discriminations": (n_questions, n_traits),
            "residuals": (n_questions,),
            "abilities": (n_llms, n_traits),
            "ability_covariances": (n_llms, n_traits, n_traits),
            "strategies": (n_llms,),
            "prior_covariance": (n_traits, n_traits),
            "text_coefficients": (len(self.text_coefficients), 1 + n_traits),
            "text_variances": (n_traits,),
            "vector_prior_covariance": (width, width),
            "calibration": (len(STRATEGIES), 3),
            "benchmark_prior_covariances": (n_benchmarks, n_traits, n_traits),
            "benchmark_vector_prior_means": (n_benchmarks, width),
            "benchmark_vector_prior_covariances": (n_benchmarks, width, width),
        }
        check_shapes(self, shapes)

    @property
    def n_traits(self) -> int:
        """Number of traits, the slope on difficulty included."""
        return len(self.prior_mean)

    def questions(self, rows: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Intercepts `(n,)` and discriminations `(n, n_traits)` of some known questions, float64."""
        return self.intercepts[rows].astype(np.float64), self.discriminations[rows].astype(np.float64)

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """Logits of each LLM's right answer to some known questions, `(n, n_llms)`; NaN for an LLM without ability.

        The ability is fitted to all responses of the LLM, those to these questions among them.
        """
        return self.intercepts[rows, None] + self.discriminations[rows] @ self.abilities.T

    def has_ability(self, llm_index: int) -> bool:
        """Whether an LLM of the pool has been placed among the abilities."""
        return bool(np.isfinite(self.abilities[llm_index]).all())

    def new_llm_prior(self, benchmarks: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the ability of a new LLM that takes some benchmarks, given by their positions.

        Of several it is the mean and covariance of their mixture in equal parts.
        """
        if not len(benchmarks):
            return self.prior_mean, self.prior_covariance
        return _mixture(self.benchmark_prior_means, self.benchmark_prior_covariances, benchmarks)

    def new_llm_vector_prior(self, benchmarks: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The same of its `(vector, bias)` in the network."""
        if not len(benchmarks):
            return self.vector_prior_mean, self.vector_prior_covariance
        return _mixture(self.benchmark_vector_prior_means, self.benchmark_vector_prior_covariances, benchmarks)

    def interval_factor(self, strategy: str, n_answers: int) -> float:
        """What the model's standard deviation is multiplied by, so that 90% intervals hold 90% of held-out LLMs."""
        without, at_reference, slope = self.calibration[STRATEGIES.index(strategy)]
        if not n_answers:
            return float(np.exp(without))
        counted = min(max(n_answers, _FEWEST_ANSWERS), CALIBRATED_UP_TO)
        return float(np.exp(at_reference + slope * np.log(counted / REFERENCE_ANSWERS)))

    def parameters_of_texts(self, question_embeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Intercepts `(n,)` and discriminations `(n, n_traits)` of questions that nobody of the pool has answered.

        They come from the text vectors `(n, text_dim)`. Since such a question may be easier or harder than its text
        says, both are scaled towards zero by `1 / sqrt(1 + pi / 8 * variance)`: MacKay (1992), The evidence framework
        applied to classification networks, equation 10; the variance is that of a mean new LLM's logits.
        """
        features = np.column_stack([np.ones(len(question_embeds)), np.asarray(question_embeds, np.float64)])
        mean_new_llm = np.concatenate([[1.0], self.prior_mean[:-1]])
        scale = 1 / np.sqrt(1 + np.pi / 8 * (mean_new_llm**2 @ self.text_variances))
        parameters = scale * (features @ self.text_coefficients)
        return parameters[:, 0], parameters[:, 1:]

    # --- more questions, more LLMs ---

    def with_texts(self, question_embeds: np.ndarray) -> ItemParameters:
        """The same with unknown questions at the end, with the parameters of their text vectors `(n, text_dim)`."""
        intercepts, discriminations = self.parameters_of_texts(question_embeds)
        more = {"intercepts": intercepts, "discriminations": discriminations, "residuals": np.zeros(len(intercepts))}
        joined = {name: np.concatenate([getattr(self, name), new]).astype(np.float32) for name, new in more.items()}
        return replace(self, **joined)

    def with_llms(
        self, llm_indices: Sequence[int], abilities: np.ndarray, covariances: np.ndarray, strategies: Sequence[str]
    ) -> ItemParameters:
        """The same with the abilities `(n, n_traits)` of some LLMs set."""
        chosen = [STRATEGIES.index(strategy) for strategy in strategies]
        new = {"abilities": abilities, "ability_covariances": covariances, "strategies": chosen}
        changed = {name: getattr(self, name).copy() for name in new}
        for name, value in new.items():
            changed[name][list(llm_indices)] = value
        return replace(self, **changed)

    def of_questions(self, rows: np.ndarray) -> ItemParameters:
        """The same of some questions, in the order of their `rows`."""
        return replace(
            self, **{name: getattr(self, name)[rows] for name in ("intercepts", "discriminations", "residuals")}
        )

    def of_benchmarks(self, positions: Sequence[int | None]) -> ItemParameters:
        """The same for other benchmarks: these positions; a new LLM that takes one without has the pool's prior."""
        changed = {}
        for prior in ("prior", "vector_prior"):
            for moment in ("mean", "covariance"):
                everywhere, own = getattr(self, f"{prior}_{moment}"), getattr(self, f"benchmark_{prior}_{moment}s")
                changed[f"benchmark_{prior}_{moment}s"] = np.array(
                    [everywhere if position is None else own[position] for position in positions]
                )
        return replace(self, **changed)

    def of_pool(self, llm_indices: Sequence[int], n_more: int = 0) -> ItemParameters:
        """The same questions for a pool of this one's `llm_indices` and `n_more` LLMs that have no ability yet."""
        chosen = list(llm_indices)
        empty = {"abilities": np.nan, "ability_covariances": np.nan, "strategies": STRATEGIES.index(DEFAULT_STRATEGY)}
        new = {}
        for name, fill in empty.items():
            old = getattr(self, name)
            new[name] = np.concatenate([old[chosen], np.full((n_more, *old.shape[1:]), fill, old.dtype)])
        return replace(self, **new)


def _mixture(means: np.ndarray, covariances: np.ndarray, chosen: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a mixture, in equal parts, of the `chosen` of some distributions."""
    parts = means[list(chosen)]
    mean = parts.mean(axis=0)
    gaps = parts - mean
    return mean, covariances[list(chosen)].mean(axis=0) + gaps.T @ gaps / len(gaps)
