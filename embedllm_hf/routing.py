"""`Router`: which LLM of the pool should answer a question, also under a cost.

Probabilities are those of `blending`, which are calibrated on validation. The interval of one is about the question at
hand: a question's own log odds lie around what its text tells as a normal with the standard deviation s that was
fitted on validation (1.2 where it was not). The probability p is the mean over that, so the normal's centre is about
`logit(p) * sqrt(1 + pi s^2 / 8)` (MacKay, 1992), and `low` and `high` are its 5% and 95% quantiles, as probabilities.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import overload

import numpy as np
from scipy.special import expit, logit

from ._checks import closest_names, shorten
from .data.llm_table import Costs, Facts, costs_of, params_of, read_costs, read_llm_table
from .encoded_model import EncodedModel
from .item_response.posterior import Z90
from .modeling_embedllm import EmbedLLM
from .question_encoder import QuestionEncoder

_ROUTING_ROWS = 8192  # questions that are encoded and scored at once; bounds memory
N_EVIDENCE = 5  # known questions that explain a decision


@dataclass(frozen=True)
class Candidate:
    """An LLM that may answer a question: its name, probability of a right answer with 90% interval, and cost."""

    llm: str
    probability: float
    low: float
    high: float
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
        low, high (`float`): 90% interval of that for this question; see the module for how it is made.
        cost (`float | None`): The LLM's cost, if costs were given.
        runner_up (`str | None`): Who would be next; None if there is nobody.
        insufficient_evidence (`bool`): Whether `min_success` was asked for and no LLM's `low` reaches it.
        ranking (`tuple[Candidate, ...]`): The best `top_k`, the chosen one first; empty unless asked for.
        evidence (`tuple[Evidence, ...]`): The nearest known questions; empty unless asked for with `explain`.
    """

    llm: str
    probability: float
    low: float
    high: float
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
        costs (*optional*): What an LLM costs, by name, in any unit; or a CSV file (see `data.llm_table`).
        facts (*optional*): `family`, `kind` and `params_billions` of the LLMs, by name; or a CSV file with them.

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
            llms (`Sequence[str]`, *optional*): Choose among these LLMs only: names, or patterns such as `"Qwen/*"`.
            exclude (`Sequence[str]`): Never choose these: names or patterns.
            family, kind (`Sequence[str]`, *optional*): Choose among LLMs of these families, or kinds, in `facts`.
            max_params (`float`, *optional*): Choose among LLMs of at most so many billion parameters in `facts`.
            costs (*optional*): As for the class, for this call.
            cost_weight (`float`): The choice maximises `probability - cost_weight * cost`.
            max_cost (`float`, *optional*): Choose among LLMs that cost at most so much.
            min_success (`float`, *optional*): In (0, 1). Choose the cheapest LLM whose `low` reaches it (without
                costs, the most probable one); if there is none, the most probable LLM, marked
                `insufficient_evidence`.
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
        columns = self._candidates(llms, exclude, family, kind, max_params)
        names = [self.model.config.llm_names[column] for column in columns]
        cost = None if prices is None else costs_of(prices, names)
        if max_cost is not None:
            kept = cost <= max_cost
            if not kept.any():
                raise ValueError(
                    f"`max_cost` is {max_cost:g}, but the cheapest LLM, `{names[cost.argmin()]}`, costs "
                    f"{cost.min():g}. Raise it."
                )
            columns, cost = columns[kept], cost[kept]
        limits = {"cost": cost, "cost_weight": cost_weight, "min_success": min_success}
        decisions: list[RoutingDecision] = []
        for start in range(0, len(questions), _ROUTING_ROWS):
            question_embeds = self.encoder.encode(questions[start : start + _ROUTING_ROWS])
            evidence = self._evidence(question_embeds) if explain else None
            decisions += self._decide(question_embeds, columns, limits, top_k, evidence)
        return decisions[0] if single else decisions

    def _decide(
        self, question_embeds: np.ndarray, columns: np.ndarray, limits: dict, top_k: int, evidence: list | None
    ) -> Iterator[RoutingDecision]:
        """Decide about a block of questions among the LLMs of some columns."""
        probs = self.predictor.predict_proba(question_embeds)[:, columns]
        low, high = probability_interval(probs, self.predictor.question_sd)
        order, insufficient = rank_llms(probs, low, **limits)
        cost = limits["cost"]
        for row, ranked in enumerate(order):
            best = [
                Candidate(
                    llm=self.model.config.llm_names[columns[position]],
                    probability=float(probs[row, position]),
                    low=float(low[row, position]),
                    high=float(high[row, position]),
                    cost=None if cost is None else float(cost[position]),
                )
                for position in ranked[: max(top_k, 2)].tolist()
            ]
            yield RoutingDecision(
                **vars(best[0]),
                runner_up=best[1].llm if len(best) > 1 else None,
                insufficient_evidence=bool(insufficient[row]),
                ranking=tuple(best[:top_k]) if top_k > 1 else (),
                evidence=() if evidence is None else evidence[row],
            )

    def _candidates(
        self,
        llms: Sequence[str] | None,
        exclude: Sequence[str],
        family: Sequence[str] | None,
        kind: Sequence[str] | None,
        max_params: float | None,
    ) -> np.ndarray:
        """Columns that are left after all filters, ascending."""
        names = self.model.config.llm_names
        if llms is not None and not len(llms):
            raise ValueError("`llms` is empty, expected at least one LLM to choose from.")
        left = np.ones(len(names), bool) if llms is None else _matching(llms, names)
        if len(exclude):
            left &= ~_matching(exclude, names)
        if any(limit is not None for limit in (family, kind, max_params)):
            if self.facts is None:
                raise ValueError("`family`, `kind` and `max_params` need `facts`. Pass `facts` to the router.")
            facts = [self.facts.get(name, {}) for name in names]
            for fact, allowed in (("family", family), ("kind", kind)):
                if allowed is not None:
                    _check_fact(fact, allowed, facts)
                    left &= np.array([known.get(fact) in allowed for known in facts])
            if max_params is not None:
                left &= np.array([params_of(known) <= max_params for known in facts])
        if not left.any():
            raise ValueError(f"no LLM of {len(names)} is left to choose from. Loosen the filters.")
        return np.flatnonzero(left)

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


def probability_interval(probs: np.ndarray, question_sd: float) -> tuple[np.ndarray, np.ndarray]:
    """90% interval of the probability on the question at hand; see the module.

    Args:
        probs (`np.ndarray`): Probabilities in [0, 1], of any shape.
        question_sd (`float`): Standard deviation of a question's own log odds.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: Low and high, of that shape.
    """
    centre = logit(np.clip(np.asarray(probs, np.float64), 1e-6, 1 - 1e-6)) * np.sqrt(1 + np.pi * question_sd**2 / 8)
    return expit(centre - Z90 * question_sd), expit(centre + Z90 * question_sd)


def rank_llms(
    probs: np.ndarray,
    low: np.ndarray,
    *,
    cost: np.ndarray | None = None,
    cost_weight: float = 0.0,
    min_success: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Order LLMs for each question, the one to choose first.

    Args:
        probs, low (`np.ndarray` of shape `(n_questions, n_llms)`): Probabilities and their lower bounds.
        cost (`np.ndarray` of shape `(n_llms,)`, *optional*): Costs.
        cost_weight (`float`): The order is by `probs - cost_weight * cost`.
        min_success (`float`, *optional*): Put LLMs whose lower bound reaches it first, the cheapest of them first.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: Columns in order, `(n_questions, n_llms)`, and whether `min_success` was
        given and no lower bound reaches it, `(n_questions,)`. Ties go to the cheaper one, then to the first column.
    """
    probs = np.asarray(probs, np.float64)
    price = np.zeros(probs.shape[1]) if cost is None else np.asarray(cost, np.float64)
    utility = probs - cost_weight * price
    price = np.broadcast_to(price, probs.shape)
    if min_success is None:
        return np.lexsort((price, -utility)), np.zeros(len(probs), bool)
    reaches = low >= min_success
    first = np.where(reaches, price, np.inf)
    return np.lexsort((price, -probs, first)), ~reaches.any(axis=1)


def _matching(wanted: Iterable[str], names: Sequence[str]) -> np.ndarray:
    """Which of `names` are wanted, by name or pattern, `(n_llms,)` bool."""
    if isinstance(wanted, str):
        wanted = [wanted]
    matches = np.zeros(len(names), bool)
    for pattern in wanted:
        if pattern in names:
            matches[list(names).index(pattern)] = True
            continue
        fitting = np.array([fnmatch.fnmatchcase(name, pattern) for name in names], bool)
        if not fitting.any():
            kind = "no LLM fits the pattern" if set(pattern) & set("*?[") else "unknown LLM"
            raise KeyError(f"{kind} `{pattern}` (of {len(names)} known): {closest_names(pattern, names)}")
        matches |= fitting
    return matches


def _check_fact(fact: str, allowed: Sequence[str], facts: Sequence[Mapping]) -> None:
    """Refuse a family or kind that no LLM has."""
    known = sorted({str(one[fact]) for one in facts if one.get(fact)})
    wrong = [value for value in allowed if value not in known]
    if isinstance(allowed, str) or wrong:
        found = repr(allowed) if isinstance(allowed, str) else shorten(wrong)
        raise ValueError(f"`{fact}` is {found}, expected a list of some of {shorten(known, 10)}.")


def _check_options(
    costs: Mapping[str, float] | None,
    cost_weight: float,
    max_cost: float | None,
    min_success: float | None,
    top_k: int,
) -> None:
    """Refuse options that are out of range or need costs that are not there."""
    if min_success is not None and not 0 < min_success < 1:
        raise ValueError(f"`min_success` is {min_success}, expected a probability between 0 and 1, 0.8 for instance.")
    if not 0 <= cost_weight < np.inf:
        raise ValueError(f"`cost_weight` is {cost_weight}, expected a number of 0 or more.")
    if min_success is not None and cost_weight:
        raise ValueError("`min_success` takes the cheapest LLM, so `cost_weight` has no place beside it. Give one.")
    if costs is None and (cost_weight or max_cost is not None):
        raise ValueError("`cost_weight` and `max_cost` need `costs`. Pass a mapping of LLM names to costs, or a CSV.")
    if max_cost is not None and not max_cost >= 0:
        raise ValueError(f"`max_cost` is {max_cost}, expected a number of 0 or more.")
    if top_k < 1:
        raise ValueError(f"`top_k` is {top_k}, expected 1 or more.")
