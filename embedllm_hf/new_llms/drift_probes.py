"""Which questions to put to an LLM of the pool, so that it shows soon whether it has changed.

A change of an LLM is taken to look like one from an LLM of the pool to another. It shows most in questions that
separate the pool's LLMs and that the LLM is right about half of the time. Question q is worth `p (1 - p) w_q' S w_q`:
the expected square of the change of p, its probability, divided by the variance of an answer, where w_q are its
discriminations and S is the covariance of the pool's abilities. That is Fisher's information, by which tests choose
their questions (Lord, Applications of item response theory to practical testing problems, 1980, chapter 5).

The test (`drift`) holds its level only if a recorded answer has no part in that its question is chosen. The bank's
item parameters are fitted to all recorded answers, which is enough to mislead it (see `model_cards/drift.md`). So the
questions are fitted anew without the LLM. A quarter of its recorded answers, by the questions' keys, tells its
ability, and the questions of the others are chosen from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from .._checks import check_choice, check_count
from .._errors import InputError
from ..bank.question_bank import NO_CATEGORY, QuestionBank
from ..inference.base import Result
from ..item_response.pool import MIN_LLMS, NetworkView, fit_pool
from ..item_response.posterior import place_llms
from ..modeling_embedllm import EmbedLLM
from .drift import fresh_answers, recorded_answers
from .onboarding import Answers
from .probing import ADAPTIVE, Target

DRIFT_STRATEGIES = (ADAPTIVE, "random")
_ONE_IN = 4  # of the recorded answers tells the ability


@dataclass(frozen=True)
class DriftProbes(Result):
    """The next questions for an LLM that may have changed.

    Attributes:
        question_ids (`tuple[int, ...]`): Their `prompt_id`, in the order to ask; fewer if no more are left.
        benchmarks (`tuple[str, ...]`): The benchmark of each.
        n_left (`int`): Questions that could be chosen, these among them.
    """

    question_ids: tuple[int, ...]
    benchmarks: tuple[str, ...]
    n_left: int


def drift_probes(
    model: EmbedLLM,
    name: str,
    answers: Answers | None = None,
    *,
    n: int = 1,
    benchmark: str | Sequence[str] | None = None,
    strategy: str = ADAPTIVE,
    seed: int = 0,
) -> DriftProbes:
    """Choose known questions that an LLM of the pool has a recorded answer to, and no fresh one.

    The order of questions does not depend on the fresh answers, so many may be chosen at once.

    Args:
        model (`EmbedLLM`): A trained model with its bank.
        name (`str`): The LLM.
        answers (`Mapping[str | int, float]`, *optional*): Its fresh answers so far, as for `drift`.
        n (`int`): How many.
        benchmark (`str` or `Sequence[str]`, *optional*): Only of this benchmark or category, or of these.
        strategy (`str`): `"adaptive"`, those that tell most, or `"random"`, of which `drift` estimates by how much a
            score has changed.
        seed (`int`): Of the random choice.

    Raises:
        KeyError: If the LLM, a benchmark or a question id is unknown.
        ValueError: If `n` is not positive, the strategy is unknown, the LLM has no recorded answers, the pool is too
            small to be fitted without it, or the answers are not usable.
    """
    n, seed = check_count("n", n), check_count("seed", seed, least=0)
    check_choice("strategy", strategy, DRIFT_STRATEGIES)
    bank, recorded = recorded_answers(model, name)
    asked = fresh_answers(bank, name, answers or {})
    may_be_asked = np.isin(np.arange(len(bank)), list(recorded)) & (bank.category_indices != NO_CATEGORY)
    rows = Target.of(bank, benchmark).rows
    if strategy == ADAPTIVE:
        order = rows[np.argsort(-telling(model, bank, name)[rows], kind="stable")]
        may_be_asked &= ~_tells_ability(bank)
    else:
        order = np.random.default_rng(seed).permutation(rows)
    may_be_asked[list(asked)] = False
    left = order[may_be_asked[order]]
    chosen, names = left[:n], list(bank.benchmarks)
    benchmarks = tuple(names[number] for number in bank.benchmark_of_question[chosen])
    return DriftProbes(tuple(bank.question_ids[chosen].tolist()), benchmarks, len(left))


def telling(model: EmbedLLM, bank: QuestionBank, name: str) -> np.ndarray:
    """What each question of a bank is worth, `(n_questions,)`, without the LLM's answers to those to choose from."""
    llm_index = bank.llm_names.index(name)
    others = np.flatnonzero(np.arange(len(bank.llm_names)) != llm_index)
    if len(others) < MIN_LLMS:
        raise InputError(
            f"the pool has {len(others)} LLMs beside `{name}`, expected at least {MIN_LLMS} to tell questions by. "
            "Choose at random: strategy `random`."
        )
    responses, features = bank.dense_responses(), np.column_stack([np.ones(len(bank)), bank.question_embeds])
    fit = fit_pool(NetworkView.of(model).of_llms(others), responses[:, others], features.astype(np.float64))
    mean, covariance = fit.new_llm_prior()
    own = np.flatnonzero(_tells_ability(bank) & ~np.isnan(responses[:, llm_index]))
    answers = [own], [responses[own, llm_index]]
    ability = place_llms(fit.intercepts, fit.discriminations, *answers, mean, covariance).mean[0]
    probabilities = expit(fit.intercepts + fit.discriminations @ ability)
    spread = ((fit.discriminations @ covariance) * fit.discriminations).sum(axis=1)
    return probabilities * (1 - probabilities) * spread


def _tells_ability(bank: QuestionBank) -> np.ndarray:
    """Questions whose recorded answers tell the LLM's ability, `(n_questions,)` bool; they are not chosen."""
    return bank.keys % _ONE_IN == 0
