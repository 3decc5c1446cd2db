"""What is expected of a new LLM before it answers: how the LLMs stand that have taken the same benchmarks.

Which benchmarks an LLM is given says something about it: a hard one is rarely given to a weak LLM. So the prior of an
ability, and of a vector, is that of the pool's LLMs that have answered at least half of the benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .._errors import InputError
from ..bank.item_parameters import ItemParameters
from ..bank.question_bank import QuestionBank
from .pool import MIN_LLMS
from .posterior import Posterior, place_llms

TAKEN_SHARE = 0.5  # of a benchmark's questions that an LLM must have answered to have taken the benchmark
_MIN_TAKERS = 8  # with fewer a benchmark has the whole pool's prior

Prior = tuple[np.ndarray, np.ndarray]  # mean and covariance


def item_parameters_of(bank: QuestionBank) -> ItemParameters:
    """A bank's item parameters; a `ValueError` if it has none, since the pool is too small."""
    if bank.item_parameters is None:
        found = f"its pool of {len(bank.llm_names)} LLMs is too small. Train on {MIN_LLMS} LLMs or more."
        raise InputError(f"the model has no item parameters, which place LLMs: {found}")
    return bank.item_parameters


def benchmark_priors(
    new_llm_prior: Callable[[np.ndarray | slice], Prior], bank: QuestionBank, responses: np.ndarray
) -> Prior:
    """Means `(n_benchmarks, dim)` and covariances of a new LLM's ability or vector, by the benchmark that it takes.

    Args:
        new_llm_prior (`Callable`): Gives the prior that some LLMs of the pool tell, from a mask or a slice of them.
        bank, responses: The benchmarks' questions; the pool's `(n_questions, n_llms)`, NaN where not observed.
    """
    priors = []
    for benchmark in bank.benchmarks:
        took = (~np.isnan(responses[bank.benchmark_rows(benchmark)])).mean(axis=0) >= TAKEN_SHARE
        priors.append(new_llm_prior(took if took.sum() >= _MIN_TAKERS else slice(None)))
    means, covariances = zip(*priors, strict=True)
    return np.array(means), np.array(covariances)


def benchmarks_of(bank: QuestionBank, rows: np.ndarray) -> tuple[int, ...]:
    """Positions of the benchmarks that some questions are of; a new LLM's own texts are of none."""
    return tuple(one for one in np.unique(bank.benchmark_of_question[rows]).tolist() if one >= 0)


def place_abilities(
    bank: QuestionBank,
    rows: Sequence[np.ndarray],
    responses: Sequence[np.ndarray],
    without_answers: Sequence[int] = (),
) -> Posterior:
    """Posterior of abilities of LLMs, each with its answered `rows` and the `responses` to them.

    Each has the prior of the benchmarks that it has answers to; without any, that of `without_answers`.
    """
    item = item_parameters_of(bank)
    taken = [benchmarks_of(bank, mine) or tuple(without_answers) for mine in rows]
    return place_by_prior(item.questions(), rows, responses, taken, item.new_llm_prior)


def place_by_prior(
    questions: tuple[np.ndarray, np.ndarray],
    rows: Sequence[np.ndarray],
    responses: Sequence[np.ndarray],
    taken: Sequence[tuple[int, ...]],
    prior_of: Callable[[tuple[int, ...]], Prior],
) -> Posterior:
    """`place_llms` with a prior for each LLM, that of the benchmarks that it has `taken`."""
    width = questions[1].shape[1]
    found = Posterior(np.empty((len(rows), width)), np.empty((len(rows), width, width)))
    for benchmarks in sorted(set(taken)):
        members = [llm for llm, mine in enumerate(taken) if mine == benchmarks]
        answers = [rows[llm] for llm in members], [responses[llm] for llm in members]
        placed = place_llms(*questions, *answers, *prior_of(benchmarks))
        found.mean[members], found.covariance[members] = placed.mean, placed.covariance
    return found
