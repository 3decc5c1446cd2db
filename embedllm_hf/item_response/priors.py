"""What is expected of a newcomer before it answers: how the LLMs stand that have taken the same benchmarks.

Which benchmarks an LLM is given says something about it: a hard one is rarely given to a weak LLM. So the prior of an
ability, and of a vector, is that of the pool's LLMs that have answered at least half of the benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..bank.item_parameters import ItemResponse
from ..bank.question_bank import NO_CATEGORY, KnownQuestions
from .posterior import Posterior, place_llms

TAKEN_SHARE = 0.5  # of a benchmark's questions that an LLM has answered, for it to have taken the benchmark
_MIN_TAKERS = 8  # with fewer a benchmark has the whole pool's prior


Prior = tuple[np.ndarray, np.ndarray]  # mean and covariance


def benchmark_priors(
    newcomer_prior: Callable[[np.ndarray | None], Prior], known: KnownQuestions, responses: np.ndarray
) -> Prior:
    """Means `(n_benchmarks, dim)` and covariances of a newcomer's ability or vector, by the benchmark that it takes.

    Args:
        newcomer_prior (`Callable`): Gives the prior that some LLMs of the pool tell, from a mask of them; or that of
            all, from None.
        known (`KnownQuestions`): For the benchmarks, in their order.
        responses (`np.ndarray` of shape `(n_questions, n_llms)`): The pool's, NaN where not observed.
    """
    priors = []
    for benchmark in known.benchmarks:
        took = (~np.isnan(responses[known.benchmark_rows(benchmark)])).mean(axis=0) >= TAKEN_SHARE
        priors.append(newcomer_prior(took if took.sum() >= _MIN_TAKERS else None))
    means, covariances = zip(*priors, strict=True)
    return np.array(means), np.array(covariances)


def benchmarks_of(known: KnownQuestions, rows: np.ndarray) -> tuple[int, ...]:
    """Positions of the benchmarks that some questions are of; texts of one's own are of none."""
    return benchmarks_of_each(known, [rows])[0]


def benchmarks_of_each(known: KnownQuestions, rows: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    """The same for each LLM's rows."""
    of_category = {name: number for number, members in enumerate(known.benchmarks.values()) for name in members}
    positions = np.array([*(of_category[name] for name in known.categories), -1])
    indices = np.where(known.category_indices == NO_CATEGORY, len(known.categories), known.category_indices)
    return [tuple(one for one in np.unique(positions[indices[asked]]).tolist() if one >= 0) for asked in rows]


def place_abilities(
    item_response: ItemResponse,
    known: KnownQuestions,
    rows: Sequence[np.ndarray],
    responses: Sequence[np.ndarray],
    without_answers: Sequence[int] = (),
) -> Posterior:
    """Posterior of abilities of LLMs, each with its answered `rows` and the `responses` to them.

    Each has the prior of the benchmarks that it has answers to; without any, that of `without_answers`.
    """
    taken = [mine or tuple(without_answers) for mine in benchmarks_of_each(known, rows)]
    questions = item_response.intercepts.astype(np.float64), item_response.discriminations.astype(np.float64)
    return place_by_prior(questions, rows, responses, taken, item_response.newcomer_prior)


def place_by_prior(
    questions: tuple[np.ndarray, np.ndarray],
    rows: Sequence[np.ndarray],
    responses: Sequence[np.ndarray],
    taken: Sequence[tuple[int, ...]],
    prior_of: Callable[[tuple[int, ...]], Prior],
) -> Posterior:
    """`place_llms` with a prior for each LLM, that of the benchmarks that it has `taken`."""
    means, covariances = [None] * len(rows), [None] * len(rows)
    for benchmarks in sorted(set(taken)):
        members = [position for position, mine in enumerate(taken) if mine == benchmarks]
        answers = [rows[position] for position in members], [responses[position] for position in members]
        placed = place_llms(*questions, *answers, *prior_of(benchmarks))
        for position, mean, covariance in zip(members, placed.mean, placed.covariance, strict=True):
            means[position], covariances[position] = mean, covariance
    return Posterior(np.array(means), np.array(covariances))
