"""Portfolios: the few LLMs that answer most between them, under a limit of number or cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .._checks import check_count, check_number
from .._errors import InputError
from ..data.llm_table import Costs, costs_of, read_costs
from ..modeling_embedllm import EmbedLLM
from .base import Result, bank_of

EXACT_LLMS = 15  # pools up to this size are searched whole


@dataclass(frozen=True)
class Portfolio(Result):
    """A few LLMs that answer much between them.

    Attributes:
        llms (`tuple[str, ...]`): The LLMs, the one that adds most first.
        expected_accuracy (`float`): Mean probability of the most probable of them: the accuracy that routing over
            them would have if the probabilities were exact.
        steps (`tuple[float, ...]`): The same with the first LLM, the first two, and so on.
        cost (`float | None`): Their summed cost, if costs were given.
        pool_accuracy (`float`): The same as `expected_accuracy` with the whole pool.
        exact (`bool`): Whether every choice was tried; otherwise it is greedy.
        without_answers (`tuple[str, ...]`): LLMs that are left out since no answer of them is known.
        without_cost (`tuple[str, ...]`): LLMs that are left out since they have no cost, if costs were given.
    """

    llms: tuple[str, ...]
    expected_accuracy: float
    steps: tuple[float, ...]
    cost: float | None
    pool_accuracy: float
    exact: bool
    without_answers: tuple[str, ...] = ()
    without_cost: tuple[str, ...] = ()


def portfolio(
    model: EmbedLLM,
    *,
    size: int | None = None,
    budget: float | None = None,
    costs: Costs | None = None,
    question_embeds: np.ndarray | None = None,
) -> Portfolio:
    """Choose LLMs that together answer most, under a limit of number, of summed cost, or both (`choose_portfolio`).

    Args:
        model (`EmbedLLM`): A trained model.
        size, budget (*optional*): At most so many LLMs, and at most so much summed cost, in the unit of `costs`.
        costs (*optional*): A mapping of LLM names to costs, or a CSV file (`data.llm_table`); LLMs without one are
            left out, as are LLMs of which no answer is known.
        question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`, *optional*): Text vectors of the questions
            that the LLMs will be asked. Default: the known questions.

    Raises:
        ValueError: If neither limit is given, a budget comes without costs, or nothing fits into it.
    """
    if size is None and budget is None:
        raise InputError("neither `size` nor `budget` is given, so the best choice is the whole pool. Give one.")
    if size is not None:
        size = check_count("size", size)
    if budget is not None:
        budget = check_number("budget", budget, 0)
    if budget is not None and costs is None:
        raise InputError("`budget` needs `costs`. Pass a mapping of LLM names to costs, or a CSV.")
    names, without_answers = list(model.config.llm_names), model.llms_without_answers
    prices = None if costs is None else read_costs(costs)
    without_cost = () if prices is None else tuple(name for name in names if name not in prices)
    left_out = {*without_answers, *without_cost}
    llm_indices = [index for index, name in enumerate(names) if name not in left_out]
    if len(without_cost) == len(names):
        raise InputError("no LLM of the pool has a cost. Name the LLMs in `costs` as the pool does.")
    if not llm_indices:
        raise InputError("no answers are known of any LLM that could be chosen. Onboard them with some.")
    cost = None if prices is None else costs_of(prices, [names[index] for index in llm_indices])
    if budget is not None and cost is not None and not (cost <= budget).any():
        raise InputError(
            f"`budget` is {budget:g}, but the cheapest costs {cost.min():g}. Raise it, or check the costs."
        )
    if question_embeds is None:
        question_embeds = bank_of(model).question_embeds
    probs = model.predict_proba(question_embeds)[:, llm_indices].astype(np.float64)
    if not len(probs):
        raise InputError("`question_embeds` is empty, expected the vectors of at least one question.")
    chosen, exact = choose_portfolio(probs, size=size, cost=cost, budget=budget)
    steps = tuple(probs[:, chosen[: count + 1]].max(axis=1).mean() for count in range(len(chosen)))
    return Portfolio(
        llms=tuple(names[llm_indices[position]] for position in chosen),
        expected_accuracy=float(steps[-1]),
        steps=tuple(map(float, steps)),
        cost=None if cost is None else float(cost[chosen].sum()),
        pool_accuracy=float(probs.max(axis=1).mean()),
        exact=exact,
        without_answers=without_answers,
        without_cost=without_cost,
    )


def choose_portfolio(
    probs: np.ndarray, *, size: int | None = None, cost: np.ndarray | None = None, budget: float | None = None
) -> tuple[list[int], bool]:
    """LLMs that maximise the mean over questions of the highest probability, under limits.

    That mean is monotone and submodular in the set of LLMs. So under a limit of their number the greedy choice
    reaches 63% (1 - 1/e) of the best one's (Nemhauser, Wolsey and Fisher, 1978); under a budget the better of the
    greedy choice by gain over cost and the best single LLM reaches half of that (Khuller, Moss and Naor, 1999). Pools
    of up to 15 LLMs are searched whole.

    Args:
        probs (`np.ndarray` of shape `(n_questions, n_llms)`): Probabilities of a right answer.
        size (`int`, *optional*): Most LLMs.
        cost (`np.ndarray` of shape `(n_llms,)`, *optional*): Costs.
        budget (`float`, *optional*): Most summed cost; at least one LLM fits.

    Returns:
        `tuple[list[int], bool]`: Their indices, the one that adds most first, and whether every choice was tried.
    """
    n_llms = probs.shape[1]
    limit = n_llms if size is None else min(size, n_llms)
    price = np.zeros(n_llms) if cost is None else cost
    allowed = np.inf if budget is None else budget * (1 + 1e-12)
    if n_llms <= EXACT_LLMS:
        best = _whole_search(probs, limit, price, allowed)
        return _greedy(probs[:, best], limit, np.zeros(len(best)), np.inf, best), True
    by_gain = _greedy(probs, limit, price, allowed, range(n_llms))
    if budget is None:
        return by_gain, False
    rivals = [by_gain, _greedy(probs, limit, price, allowed, range(n_llms), by_cost=True)]
    affordable = np.flatnonzero(price <= allowed)
    rivals.append([int(affordable[probs[:, affordable].mean(axis=0).argmax()])])
    return max(rivals, key=lambda chosen: probs[:, chosen].max(axis=1).mean()), False


def _whole_search(probs: np.ndarray, limit: int, price: np.ndarray, allowed: float) -> list[int]:
    """The best set of LLMs; of equally good ones the smallest, then the cheapest."""
    best: list[int] = []
    best_key = (-1.0, 0, 0.0)
    for count in range(1, limit + 1):
        for chosen in combinations(range(len(price)), count):
            total = price[list(chosen)].sum()
            if total <= allowed:
                key = (round(probs[:, chosen].max(axis=1).mean(), 12), -count, -total)
                if key > best_key:
                    best, best_key = list(chosen), key
    return best


def _greedy(
    probs: np.ndarray, limit: int, price: np.ndarray, allowed: float, named: Sequence[int], *, by_cost: bool = False
) -> list[int]:
    """Add the LLM that gains most, or most for its price, until nothing fits or gains."""
    chosen: list[int] = []
    reached, left = np.zeros(len(probs)), allowed
    while len(chosen) < limit:
        gains = np.maximum(probs, reached[:, None]).mean(axis=0) - reached.mean()
        value = gains / np.maximum(price, 1e-12) if by_cost else gains
        value[(price > left) | (gains <= 1e-12)] = -np.inf
        value[chosen] = -np.inf
        llm_index = int(value.argmax())
        if value[llm_index] == -np.inf:
            break
        chosen.append(llm_index)
        reached, left = np.maximum(reached, probs[:, llm_index]), left - price[llm_index]
    return [named[index] for index in chosen]
