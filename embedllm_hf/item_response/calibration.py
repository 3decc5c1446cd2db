"""How wide an interval has to be: the model's own, times a factor from LLMs of the pool that are held out.

Fold by fold, the questions are fitted without some LLMs, which are then placed from a few answers each. How far their
scores lie from the forecasts, in the model's standard deviations, gives the factor. The network, which has seen these
LLMs, is not trained again. `model_cards/unseen_llms` has the coverage on LLMs that it has not seen either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from ..bank.item_parameters import REFERENCE_ANSWERS, STRATEGIES
from ..bank.question_bank import QuestionBank
from .pool import NetworkView, PoolFit, fit_pool
from .posterior import Z90, fixed_order, next_probes, place_llms, score_moments
from .priors import benchmark_priors

LEVEL = 0.9
N_ANSWERS = (0, 8, 16, 32, 64, 128)
_N_FOLDS = 6
_N_DRAWS = 4  # of questions chosen at random, for each LLM and benchmark
_MIN_SHARE = 0.8  # of a benchmark that an LLM has answered, for its score to be known
_MIN_ERRORS = 30  # fewer do not tell a factor


@dataclass(frozen=True)
class Placement:
    """What was known of an LLM's score after some answers.

    Attributes:
        answered (`np.ndarray` of shape `(n_answers,)`): Positions of the questions among the score's.
        mean, variance (`float`): Of the score, by the model.
        ability (`np.ndarray` of shape `(n_traits,)`): Posterior mean.
    """

    n_answers: int
    answered: np.ndarray
    mean: float
    variance: float
    ability: np.ndarray


def simulate_placements(
    intercepts: np.ndarray,
    discriminations: np.ndarray,
    responses: np.ndarray,
    prior: tuple[np.ndarray, np.ndarray],
    n_answers: Sequence[int],
    strategy: str,
    generators: Sequence[np.random.Generator],
) -> Iterator[list[Placement]]:
    """Place LLMs from ever more of their answers to the questions of one score, all of them at once.

    Args:
        intercepts, discriminations (`np.ndarray` of shapes `(n,)`, `(n, n_traits)`): The questions.
        responses (`np.ndarray` of shape `(n, n_llms)`): NaN where an LLM has no answer: it is not asked for that one,
            and its score is over the others.
        prior (`tuple`): Mean and covariance of a new LLM's ability.
        n_answers (`Sequence[int]`): Ascending, at most those that each LLM has; after how many to stop and look.
        strategy (`str`): In `STRATEGIES`. The adaptive choice asks one question at a time.
        generators (`Sequence[np.random.Generator]`): One an LLM, of the other two.

    Yields:
        `list[Placement]`: One an LLM, after each number of answers.
    """
    llm_indices = range(responses.shape[1])
    there = ~np.isnan(responses)
    weights = there / there.sum(axis=0)
    logits = intercepts + discriminations @ prior[0]
    orders = [_order(strategy, logits, there[:, llm], generators[llm]) for llm in llm_indices]
    asked = [np.zeros(0, int) for _ in llm_indices]
    placed = place_llms(intercepts, discriminations, asked, asked, *prior)
    for wanted in n_answers:
        while len(asked[0]) < wanted:
            if strategy == "adaptive":
                known = zip(placed.mean, placed.covariance, strict=True)
                for llm, ability in zip(llm_indices, known, strict=True):
                    allowed = there[:, llm].copy()
                    allowed[asked[llm]] = False
                    chosen, _ = next_probes(intercepts, discriminations, weights[:, llm], allowed, *ability, 1)
                    asked[llm] = np.concatenate([asked[llm], chosen])
            else:
                asked = [order[:wanted] for order in orders]
            answers = [responses[rows, llm] for llm, rows in zip(llm_indices, asked, strict=True)]
            placed = place_llms(intercepts, discriminations, asked, answers, *prior)
        found = []
        for llm, rows in zip(llm_indices, asked, strict=True):
            seen = np.full(len(responses), np.nan)
            seen[rows] = responses[rows, llm]
            ability = placed.mean[llm], placed.covariance[llm]
            moments = score_moments(intercepts, discriminations, weights[:, llm], seen, *ability)
            found.append(Placement(wanted, rows, *moments, placed.mean[llm]))
        yield found


def _order(strategy: str, logits: np.ndarray, there: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The order of a choice that does not look at answers, of the questions that are `there`; empty if adaptive."""
    rows = np.flatnonzero(there)
    return rows[:0] if strategy == "adaptive" else rows[fixed_order(strategy, logits[rows], generator)]


def is_scored(responses: np.ndarray) -> np.ndarray:
    """Which LLMs have `responses` `(n_questions, n_llms)` to most of a benchmark, so that their score is known."""
    return (~np.isnan(responses)).sum(axis=0) >= max(_MIN_SHARE * len(responses), 2)


def calibrate_intervals(
    network: NetworkView, bank: QuestionBank, responses: np.ndarray, features: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """The factors of `ItemParameters.calibration`, `(3, 3)`, from the pool alone; arguments as for `fit_pool`.

    The bank tells the benchmarks. Folds, and the questions chosen at random, come from the seed.
    """
    n_llms = responses.shape[1]
    folds = np.random.default_rng(seed).permutation(np.arange(n_llms) % min(_N_FOLDS, n_llms))
    errors: dict[str, list[tuple[int, float]]] = {strategy: [] for strategy in STRATEGIES}
    for fold in range(folds.max() + 1):
        rest, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        fit = fit_pool(network.of_llms(rest), responses[:, rest], features)
        priors = zip(*benchmark_priors(fit.new_llm_prior, bank, responses[:, rest]), strict=True)
        for number, (benchmark, prior) in enumerate(zip(bank.benchmarks, priors, strict=True)):
            rows = bank.benchmark_rows(benchmark)
            llm_indices = held_out[is_scored(responses[np.ix_(rows, held_out)])]
            for strategy in STRATEGIES:
                n_draws = 1 if strategy == "adaptive" else _N_DRAWS
                seeds = [[seed, int(llm), number, draw] for llm in llm_indices for draw in range(n_draws)]
                truth = responses[np.ix_(rows, np.repeat(llm_indices, n_draws))].astype(np.float64)
                errors[strategy].extend(_errors(fit, rows, truth, prior, strategy, seeds))
    return np.array([fit_factor(errors[strategy]) for strategy in STRATEGIES])


def _errors(
    fit: PoolFit, rows: np.ndarray, truth: np.ndarray, prior: tuple, strategy: str, seeds: list[list[int]]
) -> Iterator[tuple[int, float]]:
    """(answers, error in standard deviations) of forecasts of a benchmark's scores, from `truth` `(n, n_llms)`."""
    if not seeds:
        return
    counts = [count for count in N_ANSWERS if count <= (~np.isnan(truth)).sum(axis=0).min() / 2]
    questions, generators = (fit.intercepts[rows], fit.discriminations[rows]), map(np.random.default_rng, seeds)
    scores = np.nanmean(truth, axis=0)
    for placements in simulate_placements(*questions, truth, prior, counts, strategy, list(generators)):
        for placed, score in zip(placements, scores, strict=True):
            yield (
                placed.n_answers,
                abs(placed.mean - score) / np.sqrt(max(placed.variance, 1e-12)),
            )  # a sure one has none


def fit_factor(errors: Sequence[tuple[int, float]]) -> tuple[float, float, float]:
    """Logarithms of the factor without answers and with 64, and its slope in the logarithm of the answers.

    Without answers it is the errors' 90% quantile (split conformal prediction, with its `n + 1`); with answers a
    quantile regression of log error on log answers (Koenker and Bassett, Econometrica 1978). `errors` are pairs of
    answers and error, in the model's standard deviations.
    """
    counts = np.array([count for count, _ in errors], float)
    logs = np.log(np.maximum([error for _, error in errors], 1e-6)) - np.log(Z90)
    at_start, later = np.sort(logs[counts == 0]), counts > 0
    without = 0.0
    if len(at_start) >= 10:
        without = at_start[min(len(at_start), int(np.ceil((len(at_start) + 1) * LEVEL))) - 1]
    if later.sum() < _MIN_ERRORS:
        return float(without), 0.0, 0.0
    position, target = np.log(counts[later] / REFERENCE_ANSWERS), logs[later]
    if len(set(position)) == 1:
        return float(without), float(np.quantile(target, LEVEL)), 0.0

    def pinball(line: np.ndarray) -> float:
        gap = target - line[0] - line[1] * position
        return float(np.maximum(LEVEL * gap, (LEVEL - 1) * gap).mean())

    options = {"xatol": 1e-5, "fatol": 1e-9, "maxiter": 2000}
    line = minimize(pinball, [np.quantile(target, LEVEL), 0.0], method="Nelder-Mead", options=options).x
    return float(without), float(line[0]), float(line[1])
