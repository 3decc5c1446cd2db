"""`Router`: which LLM of the pool should answer a question, also under a cost.

Probabilities are those of `blending`, which are calibrated on validation; their interval and the bound that
`min_success` is compared with are those of `confidence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import overload

import numpy as np

from .._errors import InputError
from ..data.llm_table import (
    Cost,
    Costs,
    Facts,
    are_by_token,
    costs_of,
    read_costs,
    read_llm_table,
    select_llms,
)
from ..encoding.question_encoder import QuestionEncoder
from ..modeling_embedllm import EmbedLLM
from ..predictors.confidence import bounds
from .base import EncodedModel, count_tokens

_ROUTING_ROWS = 8192  # questions that are encoded and scored at once; bounds memory
N_EVIDENCE = 5  # known questions that explain a decision


@dataclass(frozen=True)
class Candidate:
    """An LLM that may answer a question: fields as in `RoutingDecision`."""

    llm: str
    probability: float
    low: float
    high: float
    at_least: float
    cost: float | None


@dataclass(frozen=True)
class Evidence:
    """A known question near the one that was routed; its text is not kept.

    Attributes:
        question_id (`int`): The data set's `prompt_id`; -1 for a question that came with a later LLM.
        category (`str | None`): Its category, if it has one.
        similarity (`float`): Cosine of the text vectors.
        right, wrong (`tuple[str, ...]`): LLMs that answered it right (a response above one half) and wrong.
    """

    question_id: int
    category: str | None
    similarity: float
    right: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class RoutingDecision:
    """The LLM chosen for a question.

    Attributes:
        llm (`str`): Its name.
        probability (`float`): Of a right answer, in [0, 1].
        low, high (`float`): 90% interval of that for this question; see `confidence` for how it is made.
        at_least (`float`): Of answers with this probability at least this share is right, with 95% confidence.
        cost (`float | None`): What the LLM costs for this question, if costs were given.
        runner_up (`str | None`): Who would be next; None if there is nobody.
        insufficient_evidence (`bool`): Whether `min_success` was asked for and no LLM's `at_least` reaches it.
        ranking (`tuple[Candidate, ...]`): The best `top_k`, the chosen one first; empty unless asked for.
        evidence (`tuple[Evidence, ...]`): The nearest known questions; empty unless asked for with `explain`.
    """

    llm: str
    probability: float
    low: float
    high: float
    at_least: float
    cost: float | None = None
    runner_up: str | None = None
    insufficient_evidence: bool = False
    ranking: tuple[Candidate, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The fields by name, in values that JSON has; `ranking` and `evidence` only where they were asked for."""
        fields = asdict(self)
        for name in ("ranking", "evidence"):
            items = [{key: list(v) if isinstance(v, tuple) else v for key, v in one.items()} for one in fields[name]]
            fields[name] = items
            if not items:
                del fields[name]
        return fields


class Router(EncodedModel):
    """Chooses an LLM for a question: the one that is most probably right, or the best under a cost.

    Args:
        model (`EmbedLLM`): A trained model.
        encoder (`QuestionEncoder`, *optional*): Default: the one that the model was trained with.
        costs (*optional*): What an LLM costs, by name: a call in any unit, or a `TokenPrice`, which the question's
            length is counted for with the encoder's tokenizer; or a CSV file (see `data.llm_table`).
        facts (*optional*): `family`, `kind`, `licence`, `params_billions` of the LLMs, by name; or a CSV file.

    Raises:
        ValueError: If the encoder is not the one that the model was trained with, or a cost is negative.

    Example:
        >>> router = Router.from_pretrained("runs/quickstart")
        >>> router("What is 17 multiplied by 23?").llm
        'planted/abacus-large'
    """

    _OPTIONS = ("costs", "facts")

    def __init__(
        self,
        model: EmbedLLM,
        encoder: QuestionEncoder | None = None,
        *,
        costs: Costs | None = None,
        facts: Facts | None = None,
    ) -> None:
        super().__init__(model, encoder)
        self.costs = None if costs is None else read_costs(costs)
        self.facts = read_llm_table(facts) if isinstance(facts, str | Path) else facts

    @overload
    def __call__(self, questions: str, **options: object) -> RoutingDecision: ...
    @overload
    def __call__(self, questions: Sequence[str], **options: object) -> list[RoutingDecision]: ...
    def __call__(
        self,
        questions,
        *,
        llms: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        family: Sequence[str] | None = None,
        kind: Sequence[str] | None = None,
        licence: Sequence[str] | None = None,
        max_params: float | None = None,
        costs: Costs | None = None,
        cost_weight: float = 0.0,
        max_cost: float | None = None,
        min_success: float | None = None,
        top_k: int = 1,
        explain: bool = False,
    ):
        """Route one question, or a list of them.

        Of LLMs that are equally good the cheaper one is taken, then the first of the pool.

        Args:
            questions (`str` or `Sequence[str]`): One text gives one decision, a list gives a list.
            llms (`Sequence[str]`, *optional*): Choose among these LLMs only: names, patterns such as `"Qwen/*"`, or
                facts such as `"licence:apache-2.0"`.
            exclude (`Sequence[str]`): Never choose these: the same.
            family, kind, licence (`Sequence[str]`, *optional*): Choose among LLMs of these in `facts`; patterns too.
            max_params (`float`, *optional*): Choose among LLMs of at most so many billion parameters in `facts`.
            costs (*optional*): As for the class, for this call.
            cost_weight (`float`): The choice maximises `probability - cost_weight * cost`.
            max_cost (`float`, *optional*): Choose among LLMs that cost at most so much.
            min_success (`float`, *optional*): In (0, 1). Choose the cheapest LLM whose `at_least` reaches it (without
                costs, the most probable one); if there is none, the most probable LLM, marked
                `insufficient_evidence`. Of the answers without the mark at least this share is right.
            top_k (`int`): With 2 or more, decisions carry a `ranking` of so many LLMs.
            explain (`bool`): Give each decision the five nearest known questions, and who got them right.

        Raises:
            KeyError: If an LLM is not in the pool, or a pattern fits none.
            ValueError: If a text is empty, no LLM is left to choose from, an LLM that is left has no cost, or an
                option is out of its range.
        """
        if isinstance(questions, str):
            questions, single = [questions], True
        else:
            single = False
        prices = self.costs if costs is None else read_costs(costs)
        _check_options(prices, cost_weight, max_cost, min_success, top_k)
        columns = select_llms(
            self.model.config.llm_names,
            self.facts,
            llms=llms,
            exclude=exclude,
            having={"family": family, "kind": kind, "licence": licence},
            max_params=max_params,
        )
        decisions: list[RoutingDecision] = []
        for start in range(0, len(questions), _ROUTING_ROWS):
            block = questions[start : start + _ROUTING_ROWS]
            limits = {"cost_weight": cost_weight, "min_success": min_success}
            limits |= self._cost_limits(block, columns, prices, max_cost, start)
            question_embeds = self.encoder.encode(block)
            evidence = self._evidence(question_embeds) if explain else None
            decisions += self._decide(question_embeds, columns, limits, top_k, evidence)
        return decisions[0] if single else decisions

    def _cost_limits(
        self,
        questions: Sequence[str],
        columns: np.ndarray,
        prices: Mapping[str, Cost] | None,
        max_cost: float | None,
        start: int,
    ) -> dict[str, np.ndarray | None]:
        """`cost` and `allowed` for `rank_llms`: what questions cost at some LLMs, and whether that is not too much."""
        if prices is None:
            return {"cost": None, "allowed": None}
        names = [self.model.config.llm_names[column] for column in columns]
        by_token = are_by_token({name: prices[name] for name in names if name in prices})
        cost = costs_of(prices, names, count_tokens(self.encoder, questions) if by_token else None)
        cost = np.broadcast_to(cost, (len(questions), len(columns)))
        if max_cost is None:
            return {"cost": cost, "allowed": None}
        allowed = cost <= max_cost
        for row in np.flatnonzero(~allowed.any(axis=1))[:1]:
            which = f" for `questions[{start + row}]`" if by_token else ""
            raise InputError(
                f"`max_cost` is {max_cost:g}, but the cheapest LLM{which}, `{names[cost[row].argmin()]}`, costs "
                f"{cost[row].min():g}. Raise it."
            )
        return {"cost": cost, "allowed": allowed}

    def _decide(
        self, question_embeds: np.ndarray, columns: np.ndarray, limits: dict, top_k: int, evidence: list | None
    ) -> Iterator[RoutingDecision]:
        """Decide about a block of questions among the LLMs of some columns."""
        probs = self.predictor.predict_proba(question_embeds)
        low, high, at_least = (bound[:, columns] for bound in bounds(self.predictor, probs))
        probs = probs[:, columns]
        order, insufficient = rank_llms(probs, at_least, **limits)
        cost, allowed = limits["cost"], limits["allowed"]
        n_allowed = np.full(len(probs), len(columns)) if allowed is None else allowed.sum(axis=1)
        for row, ranked in enumerate(order):
            best = [
                Candidate(
                    llm=self.model.config.llm_names[columns[position]],
                    probability=float(probs[row, position]),
                    low=float(low[row, position]),
                    high=float(high[row, position]),
                    at_least=float(at_least[row, position]),
                    cost=None if cost is None else float(cost[row, position]),
                )
                for position in ranked[: min(max(top_k, 2), n_allowed[row])].tolist()
            ]
            yield RoutingDecision(
                **vars(best[0]),
                runner_up=best[1].llm if len(best) > 1 else None,
                insufficient_evidence=bool(insufficient[row]),
                ranking=tuple(best[:top_k]) if top_k > 1 else (),
                evidence=() if evidence is None else evidence[row],
            )

    def _evidence(self, question_embeds: np.ndarray) -> list[tuple[Evidence, ...]]:
        """The nearest known questions of each question, and who got them right."""
        rows, cosines = self.predictor.nearest(question_embeds, N_EVIDENCE)
        known, names = self.model.known_questions, self.model.config.llm_names

        def describe(row: int, cosine: float) -> Evidence:
            entries = slice(known.indptr[row], known.indptr[row + 1])
            answers = list(zip(known.llm_indices[entries].tolist(), known.values[entries] > 0.5, strict=True))
            return Evidence(
                question_id=int(known.question_ids[row]),
                category=(*known.categories, None)[known.category_indices[row]],  # -1: none was given
                similarity=float(cosine),
                right=tuple(names[column] for column, is_right in answers if is_right),
                wrong=tuple(names[column] for column, is_right in answers if not is_right),
            )

        return [tuple(map(describe, *near)) for near in zip(rows.tolist(), cosines.tolist(), strict=True)]


# --- pure functions ---


def rank_llms(
    probs: np.ndarray,
    at_least: np.ndarray,
    *,
    cost: np.ndarray | None = None,
    cost_weight: float = 0.0,
    min_success: float | None = None,
    allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Order LLMs for each question, the one to choose first.

    Args:
        probs, at_least (`np.ndarray` of shape `(n_questions, n_llms)`): Probabilities and their lower bounds.
        cost (`np.ndarray` of shape `(n_llms,)` or `(n_questions, n_llms)`, *optional*): Costs.
        cost_weight (`float`): The order is by `probs - cost_weight * cost`.
        min_success (`float`, *optional*): Put LLMs whose lower bound reaches it first, the cheapest of them first.
        allowed (`np.ndarray` of shape `(n_questions, n_llms)`, bool, *optional*): Put the others last, in any case.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: Columns in order, `(n_questions, n_llms)`, and whether `min_success` was
        given and no lower bound reaches it, `(n_questions,)`. Ties go to the cheaper one, then to the first column.
    """
    probs = np.asarray(probs, np.float64)
    price = np.broadcast_to(0.0 if cost is None else np.asarray(cost, np.float64), probs.shape)
    barred = np.zeros(probs.shape, bool) if allowed is None else ~allowed
    if min_success is None:
        return np.lexsort((price, cost_weight * price - probs, barred)), np.zeros(len(probs), bool)
    reaches = (at_least >= min_success) & ~barred
    first = np.where(reaches, price, np.inf)
    return np.lexsort((price, -probs, first, barred)), ~reaches.any(axis=1)


def check_min_success(min_success: float) -> None:
    """Raise a `ValueError` unless it is a probability that can be promised, in (0, 1)."""
    if not 0 < min_success < 1:
        raise InputError(f"`min_success` is {min_success}, expected a probability between 0 and 1, 0.8 for instance.")


def _check_options(
    costs: Mapping[str, float] | None,
    cost_weight: float,
    max_cost: float | None,
    min_success: float | None,
    top_k: int,
) -> None:
    """Refuse options that are out of range or need costs that are not there."""
    if min_success is not None:
        check_min_success(min_success)
    if not 0 <= cost_weight < np.inf:
        raise InputError(f"`cost_weight` is {cost_weight}, expected a number of 0 or more.")
    if min_success is not None and cost_weight:
        raise InputError("`min_success` takes the cheapest LLM, so `cost_weight` has no place beside it. Give one.")
    if costs is None and (cost_weight or max_cost is not None):
        raise InputError("`cost_weight` and `max_cost` need `costs`. Pass a mapping of LLM names to costs, or a CSV.")
    if max_cost is not None and not max_cost >= 0:
        raise InputError(f"`max_cost` is {max_cost}, expected a number of 0 or more.")
    if top_k < 1:
        raise InputError(f"`top_k` is {top_k}, expected 1 or more.")
