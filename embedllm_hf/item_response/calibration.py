"""How wide an interval has to be: the model's own, times a factor that is learned from LLMs of the pool held out.

Fold by fold, the questions are fitted without some LLMs, which are then placed from a few answers each; how far their
scores lie from the forecasts, in the model's standard deviations, gives the factor. The network is not trained again,
although it has seen the held-out LLMs. `model_cards/unseen_llms` measures the coverage that comes of it, on LLMs that
neither the network nor the factor has seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from ..data.item_response import STRATEGIES
from ..data.known_questions import KnownQuestions
from .fitting import NetworkView, PoolFit, fit_pool
from .posterior import Z90, next_probes, place_llms, score_moments, stratified_order

LEVEL = 0.9
N_ANSWERS = (0, 8, 16, 32, 64, 128)
_N_FOLDS = 6
_MIN_SHARE = 0.8  # of a benchmark that an LLM has answered, for its score to be known
_MIN_ERRORS = 30  # fewer do not tell a factor


@dataclass(frozen=True)
class Placement:
    """What was known of an LLM's score after some answers.

    Attributes:
        n_answers (`int`): How many.
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
    loadings: np.ndarray,
    responses: np.ndarray,
    prior: tuple[np.ndarray, np.ndarray],
    n_answers: Sequence[int],
    strategy: str,
    generator: np.random.Generator,
) -> Iterator[Placement]:
    """Place an LLM whose answers are all there, from ever more of them.

    Args:
        intercepts, loadings (`np.ndarray` of shapes `(n,)`, `(n, n_traits)`): Questions of one score.
        responses (`np.ndarray` of shape `(n,)`): The LLM's, none missing.
        prior (`tuple`): Mean and covariance of a newcomer's ability.
        n_answers (`Sequence[int]`): Ascending; after how many to stop and look.
        strategy (`str`): In `STRATEGIES`. The adaptive choice asks one question at a time.
        generator (`np.random.Generator`): Of the other two.
    """
    weights = np.full(len(responses), 1 / len(responses))
    asked = np.zeros(0, int)
    log_odds = intercepts + loadings @ prior[0]
    order = generator.permutation(len(responses)) if strategy == "random" else stratified_order(log_odds, generator)
    ability, covariance = prior
    for wanted in n_answers:
        while len(asked) < wanted:
            if strategy != "adaptive":
                asked = order[:wanted]
            else:
                allowed = np.ones(len(responses), bool)
                allowed[asked] = False
                chosen, _ = next_probes(intercepts, loadings, weights, allowed, ability, covariance, 1)
                asked = np.concatenate([asked, chosen])
            posterior = place_llms(intercepts, loadings, [asked], [responses[asked]], *prior)
            ability, covariance = posterior.mean[0], posterior.covariance[0]
        seen = np.full(len(responses), np.nan)
        seen[asked] = responses[asked]
        mean, variance = score_moments(intercepts, loadings, weights, seen, ability, covariance)
        yield Placement(wanted, asked, mean, variance, ability)


def scored_benchmarks(known: KnownQuestions, responses: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Benchmarks of which an LLM with these `responses` `(n_questions,)` has answered most, with the rows it has."""
    found = []
    for benchmark in known.benchmarks:
        rows = known.benchmark_rows(benchmark)
        answered = rows[~np.isnan(responses[rows])]
        if len(answered) >= max(_MIN_SHARE * len(rows), 2):
            found.append((benchmark, answered))
    return found


def calibrate_intervals(
    network: NetworkView, known: KnownQuestions, responses: np.ndarray, features: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """The factors of `ItemResponse.calibration`, `(3, 3)`, from the pool alone.

    Args:
        network, responses, features: As for `fit_pool`.
        known (`KnownQuestions`): For the benchmarks.
        seed (`int`): Of the folds and of the questions chosen at random.
    """
    n_llms = responses.shape[1]
    folds = np.random.default_rng(seed).permutation(np.arange(n_llms) % min(_N_FOLDS, n_llms))
    errors: dict[str, list[tuple[int, float]]] = {strategy: [] for strategy in STRATEGIES}
    for fold in range(folds.max() + 1):
        rest = np.flatnonzero(folds != fold)
        fit = fit_pool(network.of_llms(rest), responses[:, rest], features)
        for column in np.flatnonzero(folds == fold):
            for strategy in STRATEGIES:
                found = _errors(fit, known, responses[:, column], strategy, [seed, int(column)])
                errors[strategy].extend(found)
    return np.array([fit_factor(errors[strategy]) for strategy in STRATEGIES])


def _errors(
    fit: PoolFit, known: KnownQuestions, responses: np.ndarray, strategy: str, seed: list[int]
) -> Iterator[tuple[int, float]]:
    """(answers, error in standard deviations) of one held-out LLM's forecasts."""
    prior = fit.newcomer_prior()
    for number, (_, rows) in enumerate(scored_benchmarks(known, responses)):
        generator = np.random.default_rng([*seed, number])
        counts = [count for count in N_ANSWERS if count <= len(rows) / 2]
        truth = responses[rows].astype(np.float64)
        questions = fit.intercepts[rows], fit.discriminations[rows]
        for placed in simulate_placements(*questions, truth, prior, counts, strategy, generator):
            yield placed.n_answers, abs(placed.mean - truth.mean()) / np.sqrt(placed.variance)


def fit_factor(errors: Sequence[tuple[int, float]]) -> tuple[float, float, float]:
    """Logarithms of the factor without answers and with 64, and its slope in the logarithm of the answers.

    Without answers it is the errors' 90% quantile (split conformal prediction, with its `n + 1`); with answers a
    quantile regression of log error on log answers (Koenker and Bassett, Econometrica 1978).

    Args:
        errors (`Sequence[tuple[int, float]]`): Answers, and error in the model's standard deviations.
    """
    counts = np.array([count for count, _ in errors], float)
    logs = np.log(np.maximum([error for _, error in errors], 1e-6)) - np.log(Z90)
    at_start, later = np.sort(logs[counts == 0]), counts > 0
    without = 0.0
    if len(at_start) >= 10:
        without = at_start[min(len(at_start), int(np.ceil((len(at_start) + 1) * LEVEL))) - 1]
    if later.sum() < _MIN_ERRORS:
        return float(without), 0.0, 0.0
    position, target = np.log(counts[later] / 64), logs[later]
    if len(set(position)) == 1:
        return float(without), float(np.quantile(target, LEVEL)), 0.0

    def pinball(line: np.ndarray) -> float:
        gap = target - line[0] - line[1] * position
        return float(np.maximum(LEVEL * gap, (LEVEL - 1) * gap).mean())

    options = {"xatol": 1e-5, "fatol": 1e-9, "maxiter": 2000}
    line = minimize(pinball, [np.quantile(target, LEVEL), 0.0], method="Nelder-Mead", options=options).x
    return float(without), float(line[0]), float(line[1])
