"""`RoutingPolicy`: who may answer, what it may cost, how sure it must be; and the order of LLMs that follows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import check_names, check_number, shorten, shown
from .._errors import InputError, InputTypeError
from ..data.llm_table import Cost, Costs, Facts, are_by_token, costs_of, read_costs, read_llm_table, select_llms


@dataclass(frozen=True)
class RoutingPolicy:
    """How LLMs are chosen; checked once, when it is made.

    Args:
        llms (`Sequence[str]`, *optional*): Choose among these LLMs only: names, patterns such as `"Qwen/*"`, or facts
            such as `"license:apache-2.0"`.
        exclude (`Sequence[str]`): Never choose these: the same.
        family, kind, license (`Sequence[str]`, *optional*): Choose among LLMs of these in `facts`; patterns too.
        max_params (`float`, *optional*): Choose among LLMs of at most so many billion parameters in `facts`.
        costs (*optional*): What an LLM costs, by name: a call in any unit, or a `TokenPrice`, which the question's
            length is counted for with the encoder's tokenizer; or a CSV file (see `data.llm_table`). LLMs without one
            are left out.
        facts (*optional*): `family`, `kind`, `license`, `params_billions` of the LLMs, by name; or a CSV file.
            Default: the file of the costs.
        cost_weight (`float`): The choice maximises `probability - cost_weight * cost`.
        max_cost (`float`, *optional*): Choose among LLMs that cost at most so much.
        min_success (`float`, *optional*): In (0, 1). With 95% confidence, over the draw of the model's validation
            questions, at least this share of the questions that are answered without a flag is answered right, on
            questions from the same source. The cheapest LLM is chosen whose `probability` reaches a threshold
            (without costs, the most probable one), the lowest at which exactly this choice, with these costs and
            limits, kept the share on the validation questions (`inference.promise`). If there is none, the most
            probable LLM is chosen, and flagged `insufficient_evidence`.
        strict (`bool`): Make it a bound of each answer instead: choose among LLMs whose `at_least` reaches
            `min_success`. Of the answers with such a probability at least this share is right, with 95% confidence.
            Far fewer questions are answered. It holds unasked, and a warning says so, where no threshold passes.

    Raises:
        ValueError: If an option is out of its range, or needs costs that are not there.
        FileNotFoundError: If there is no such file.
    """

    llms: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    family: Sequence[str] | None = None
    kind: Sequence[str] | None = None
    license: Sequence[str] | None = None
    max_params: float | None = None
    costs: Costs | None = None
    facts: Facts | None = None
    cost_weight: float = 0.0
    max_cost: float | None = None
    min_success: float | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        facts = self.costs if self.facts is None and isinstance(self.costs, str | Path) else self.facts
        # Files are read once, here.
        object.__setattr__(self, "facts", read_llm_table(facts) if isinstance(facts, str | Path) else facts)
        object.__setattr__(self, "costs", None if self.costs is None else read_costs(self.costs))
        self._check_types()
        if self.min_success is not None and self.cost_weight:
            raise InputError("`min_success` takes the cheapest LLM: `cost_weight` has no place beside it. Give one.")
        if self.costs is None and (self.cost_weight or self.max_cost is not None):
            raise InputError("`cost_weight` and `max_cost` need `costs`, a mapping of LLM names to costs, or a CSV.")
        if self.strict and self.min_success is None:
            raise InputError("`strict` is about `min_success`, which is not given. Give both.")

    def _check_types(self) -> None:
        """Refuse what is no list of names, no table and no number, and keep plain lists and numbers."""
        plain: dict[str, Any] = {"exclude": self.exclude or ()}
        for argument in ("llms", "exclude", "family", "kind", "license"):
            given = getattr(self, argument)
            if given is not None and not isinstance(given, str):
                plain[argument] = tuple(check_names(argument, given))
        if self.facts is not None and not _is_table(self.facts):
            raise InputTypeError(f"`facts` is {shown(self.facts)}, expected {{LLM: {{fact: value}}}}, or a CSV file.")
        if not isinstance(self.strict, bool):
            raise InputTypeError(f"`strict` is {shown(self.strict)}, expected True or False.")
        if self.min_success is not None:
            plain["min_success"] = check_min_success(self.min_success)
        plain["cost_weight"] = check_number("cost_weight", self.cost_weight, 0)
        for argument in ("max_cost", "max_params"):
            if getattr(self, argument) is not None:
                plain[argument] = check_number(argument, getattr(self, argument), 0)
        for argument, value in plain.items():
            object.__setattr__(self, argument, value)

    def changed(self, **options: Any) -> RoutingPolicy:
        """The same with other options.

        Raises:
            TypeError: If there is no such option.
        """
        unknown = options.keys() - self.__dataclass_fields__.keys()
        if unknown:
            raise InputTypeError(
                f"unknown option {shorten(unknown)}, expected some of {shorten(self.__dataclass_fields__, 20)}."
            )
        return replace(self, **options) if options else self

    def of_pool(self, llm_names: Sequence[str], without_answers: Collection[str] = ()) -> PoolPolicy:
        """The policy for a pool: its filters applied, LLMs without a cost or `without_answers` left out.

        One without answers may be chosen if `llms` names it; a pattern does not.

        Raises:
            KeyError: If an LLM is not in the pool, or a pattern fits none.
            ValueError: If no LLM is left to choose from.
        """
        assert not isinstance(self.facts, str | Path)  # both were read when the policy was made
        assert not isinstance(self.costs, str | Path)
        chosen = select_llms(
            llm_names,
            self.facts,
            llms=self.llms,
            exclude=self.exclude,
            having={"family": self.family, "kind": self.kind, "license": self.license},
            max_params=self.max_params,
        )
        fitting = [llm_names[index] for index in chosen]
        unknown = set(without_answers) - {self.llms if isinstance(self.llms, str) else None, *(self.llms or ())}
        unknown &= set(fitting)
        unpriced = set() if self.costs is None else set(fitting) - self.costs.keys()
        left = np.array([name not in unknown | unpriced for name in fitting], bool)
        if not left.any():
            raise InputError(
                f"no LLM of {len(llm_names)} is left to choose from: "
                + "; ".join(why for why in (_without_cost(unpriced), _without_answers(unknown - unpriced)) if why)
                + "."
            )
        names = tuple(name for name, stays in zip(fitting, left, strict=True) if stays)
        said = tuple(why for why in (_without_cost(unpriced), _without_answers(unknown)) if why)
        return PoolPolicy(self, self.costs, chosen[left], names, said)


@dataclass(frozen=True)
class PoolPolicy:
    """A policy for one pool.

    Attributes:
        policy (`RoutingPolicy`): The policy.
        costs (`Mapping[str, float | TokenPrice] | None`): Its costs.
        llm_indices (`np.ndarray` of shape `(n,)`, int): LLMs of the pool that may be chosen, ascending.
        llm_names (`tuple[str, ...]`): Their names.
        left_out (`tuple[str, ...]`): Lines about LLMs that the filters let pass, but that cannot be chosen.
    """

    policy: RoutingPolicy
    costs: Mapping[str, Cost] | None
    llm_indices: np.ndarray
    llm_names: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def is_by_token(self) -> bool:
        """Whether costs depend on a question's length."""
        costs = self.costs or {}
        return are_by_token({name: costs[name] for name in self.llm_names if name in costs})

    def cost(self, n_questions: int, n_tokens: np.ndarray | None = None) -> np.ndarray | None:
        """What questions cost at each LLM, `(n_questions, n)`; None without costs.

        Raises:
            ValueError: If all cost more than `max_cost`.
        """
        if self.costs is None:
            return None
        cost = costs_of(self.costs, self.llm_names, n_tokens)
        cost = np.broadcast_to(cost, (n_questions, len(self.llm_names)))
        limit = self.policy.max_cost
        if limit is not None and len(cost) and (cost.min(axis=1) > limit).any():
            row = int(cost.min(axis=1).argmax())
            which = f" for `questions[{row}]`" if self.is_by_token else ""
            raise InputError(
                f"`max_cost` is {limit:g}, but the cheapest LLM{which}, `{self.llm_names[cost[row].argmin()]}`, costs "
                f"{cost[row].min():g}. Raise it."
            )
        return cost

    def rank(
        self, probs: np.ndarray, reaches: np.ndarray | None, cost: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Order the LLMs for each question; arguments `(n_questions, n)`, of the LLMs that may be chosen.

        `reaches` says which of them reach `min_success`; None where it is not asked for.

        Returns:
            `tuple`: Positions in order and flags, as `rank_llms` gives them, and how many LLMs `max_cost` lets pass,
            `(n_questions,)`.
        """
        policy = self.policy
        allowed = None if policy.max_cost is None or cost is None else cost <= policy.max_cost
        order, flagged = rank_llms(probs, reaches, cost=cost, cost_weight=policy.cost_weight, allowed=allowed)
        return order, flagged, np.full(len(probs), probs.shape[1]) if allowed is None else allowed.sum(axis=1)


def rank_llms(
    probs: np.ndarray,
    reaches: np.ndarray | None = None,
    *,
    cost: np.ndarray | None = None,
    cost_weight: float = 0.0,
    allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Order LLMs for each question, the one to choose first.

    Args:
        probs (`np.ndarray` of shape `(n_questions, n_llms)`): Probabilities.
        reaches (`np.ndarray`, same shape, bool, *optional*): Put these LLMs first, the cheapest of them first.
        cost (`np.ndarray` of shape `(n_llms,)` or `(n_questions, n_llms)`, *optional*): Costs.
        cost_weight (`float`): The order is by `probs - cost_weight * cost`.
        allowed (`np.ndarray` of shape `(n_questions, n_llms)`, bool, *optional*): Put the others last, in any case.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: LLMs in order, `(n_questions, n_llms)`, and flags `(n_questions,)`: whether
        `reaches` was given and holds for no LLM. Ties go to the cheaper LLM, then to the first.
    """
    probs = np.asarray(probs, np.float64)
    price = np.broadcast_to(0.0 if cost is None else np.asarray(cost, np.float64), probs.shape)
    barred = np.zeros(probs.shape, bool) if allowed is None else ~allowed
    if reaches is None:
        return np.lexsort((price, cost_weight * price - probs, barred)), np.zeros(len(probs), bool)
    may_answer = np.asarray(reaches, bool) & ~barred
    first = np.where(may_answer, price, np.inf)
    return np.lexsort((price, -probs, first, barred)), ~may_answer.any(axis=1)


def _is_table(facts: object) -> bool:
    """Whether facts are a mapping of mappings."""
    return isinstance(facts, Mapping) and all(isinstance(one, Mapping) for one in facts.values())


def check_min_success(min_success: float) -> float:
    """A probability that can be guaranteed, in (0, 1); a `ValueError` for anything else."""
    expected = "a probability between 0 and 1, 0.8 for instance"
    return check_number("min_success", min_success, math.nextafter(0, 1), math.nextafter(1, 0), expected=expected)


def _without_cost(names: Collection[str]) -> str:
    return f"no cost is given for {shorten(names)}" if names else ""


def _without_answers(names: Collection[str]) -> str:
    return f"no answers are known of {shorten(names)}; onboard them with some, or name them in `llms`" if names else ""
