"""`Router`: question in, chosen LLM out: the one that is most probably right, or the best under a policy."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from scipy.special import expit

from .._checks import check_count, check_texts, shown
from .._errors import InputTypeError
from ..encoding.question_encoder import QuestionEncoder
from ..modeling_embedllm import EmbedLLM
from ..predictors.confidence import bounds
from .base import EncodedModel, bank_of, count_tokens
from .forecaster import AnswerForecast
from .policy import PoolPolicy, RoutingPolicy
from .promise import Promise, promise_of

logger = logging.getLogger(__name__)

N_EVIDENCE = 5  # known questions that explain a decision


@dataclass(frozen=True)
class Candidate(AnswerForecast):
    """An LLM that may answer a question, and its forecast.

    Attributes:
        cost (`float | None`): What the LLM costs for this question, if costs were given.
    """

    cost: float | None = None


@dataclass(frozen=True)
class Evidence:
    """A known question near the one that was routed; its text is not kept.

    Attributes:
        question_id (`int`): The data set's `prompt_id`.
        category (`str`): Its category.
        similarity (`float`): Cosine of the text vectors.
        right, wrong (`tuple[str, ...]`): LLMs that answered it right (a response above one half) and wrong.
    """

    question_id: int
    category: str
    similarity: float
    right: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class RoutingDecision(Candidate):
    """The LLM chosen for a question, with its forecast and cost.

    Attributes:
        runner_up (`str | None`): Who would be next; None if there is nobody.
        insufficient_evidence (`bool`): Whether `min_success` was asked for and no LLM reaches it, see `promise`.
        ranking (`tuple[Candidate, ...]`): The best `top_k`, the chosen one first; empty unless asked for.
        evidence (`tuple[Evidence, ...]`): The nearest known questions; empty unless asked for with `explain`.
    """

    runner_up: str | None = None
    insufficient_evidence: bool = False
    ranking: tuple[Candidate, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, in values that JSON has; `ranking` and `evidence` only where they were asked for."""
        return {name: value for name, value in super().to_dict().items() if value != []}


class Router(EncodedModel):
    """Chooses an LLM for a question.

    LLMs of which the model knows no answer are chosen only where `llms` names them, and marked; LLMs without a cost
    are not chosen where costs are given. A warning says which are left out. The threshold of `min_success` is computed
    from the model's validation questions, once a policy.

    Args:
        model, encoder: As for `EncodedModel`.
        policy (`RoutingPolicy`, *optional*): Who may answer, costs, guarantee. Default: the most probable LLM of all.

    Raises:
        ValueError: If the encoder is not the one that the model was trained with, or the policy leaves no LLM.
        KeyError: If the policy names an LLM that is not in the pool.

    Example:
        >>> router = Router.from_pretrained("runs/quickstart/model")
        >>> router("What is 17 multiplied by 23?").llm
        'openai/o1-mini-2024-09-12'
    """

    _OPTIONS = ("policy",)

    def __init__(
        self, model: EmbedLLM, encoder: QuestionEncoder | None = None, *, policy: RoutingPolicy | None = None
    ) -> None:
        super().__init__(model, encoder)
        self.policy = RoutingPolicy() if policy is None else policy
        self._said: set[str] = set()
        self._promises: dict[tuple, Promise] = {}
        self._pool_policy = self._of_pool(self.policy)
        self._promise(self._pool_policy)

    def _of_pool(self, policy: RoutingPolicy, **options: Any) -> PoolPolicy:
        """A policy for the model's pool, with other options; who is left out is said once."""
        if not isinstance(policy, RoutingPolicy):
            raise InputTypeError(f"`policy` is {shown(policy)}, expected a `RoutingPolicy`.")
        pool_policy = policy.changed(**options).of_pool(self.model.config.llm_names, self.model.llms_without_answers)
        for line in pool_policy.left_out:
            self._say(f"left out of the choice: {line}.")
        return pool_policy

    def _promise(self, pool_policy: PoolPolicy) -> Promise | None:
        """When LLMs reach the policy's `min_success`, computed once; None without one. A fallback is said once."""
        policy, costs = pool_policy.policy, pool_policy.costs or {}
        if policy.min_success is None:
            return None
        limits = policy.min_success, policy.strict, policy.max_cost
        key = *limits, pool_policy.llm_names, tuple(costs.get(name) for name in pool_policy.llm_names)
        if key not in self._promises:
            self._promises[key] = promise_of(self.model, pool_policy)
        promise = self._promises[key]
        if promise.why_strict:
            self._say(
                f"`min_success` {policy.min_success:g}: {promise.why_strict}, so each answer's own bound decides, as "
                "with `strict=True`."
            )
        return promise

    def _say(self, line: str) -> None:
        if line not in self._said:
            logger.warning("%s", line)
            self._said.add(line)

    @overload
    def __call__(self, questions: str, **options: Any) -> RoutingDecision: ...
    @overload
    def __call__(self, questions: list[str] | tuple[str, ...], **options: Any) -> list[RoutingDecision]: ...
    def __call__(
        self, questions, *, policy: RoutingPolicy | None = None, top_k: int = 1, explain: bool = False, **options: Any
    ):
        """Route one question, or a list of them.

        Of LLMs that are equally good the cheaper one is taken, then the first of the pool.

        Args:
            questions (`str` or `list[str]`): One text gives one decision, a list gives a list.
            policy (`RoutingPolicy`, *optional*): Another policy for this call.
            top_k (`int`): With 2 or more, decisions carry a `ranking` of so many LLMs.
            explain (`bool`): Give each decision the five nearest known questions, and who got them right.
            options: Fields of `RoutingPolicy` that differ for this call.

        Raises:
            TypeError: If `questions` is no text and no list of them.
            ValueError: If a text is empty, no LLM is left to choose from, or an option is out of its range.
        """
        if isinstance(questions, str):
            return self([questions], policy=policy, top_k=top_k, explain=explain, **options)[0]
        questions, top_k = check_texts("questions", questions), check_count("top_k", top_k)
        pool_policy = self._pool_policy
        if policy is not None or options:
            pool_policy = self._of_pool(self.policy if policy is None else policy, **options)
        n_tokens = count_tokens(self.encoder, questions) if pool_policy.is_by_token else None
        cost = pool_policy.cost(len(questions), n_tokens)
        question_embeds = self.encoder.encode(questions)
        evidence = self._evidence(question_embeds) if explain else [()] * len(questions)
        return self._decide(question_embeds, pool_policy, cost, top_k, evidence)

    def _decide(
        self,
        question_embeds: np.ndarray,
        pool_policy: PoolPolicy,
        cost: np.ndarray | None,
        top_k: int,
        evidence: Sequence[tuple[Evidence, ...]],
    ) -> list[RoutingDecision]:
        """Decide about questions `(n_questions, text_dim)` with their costs `(n_questions, n)`."""
        logits = self.model.predict_logits(question_embeds)
        parts = expit(logits), *bounds(self.model.bank, logits)
        named = zip(("probability", "low", "high", "at_least"), parts, strict=True)
        numbers = {name: part[:, pool_policy.llm_indices] for name, part in named}
        unknown, promise = set(self.model.llms_without_answers), self._promise(pool_policy)
        reaches = None if promise is None else promise.reaches(parts[0], parts[3])[:, pool_policy.llm_indices]
        order, flagged, n_allowed = pool_policy.rank(numbers["probability"], reaches, cost)
        decisions = []
        for row, ranked in enumerate(order):
            best = [
                Candidate(
                    pool_policy.llm_names[position],
                    **{name: float(part[row, position]) for name, part in numbers.items()},
                    without_answers=pool_policy.llm_names[position] in unknown,
                    cost=None if cost is None else float(cost[row, position]),
                )
                for position in ranked[: min(max(top_k, 2), n_allowed[row])].tolist()
            ]
            decisions.append(
                RoutingDecision(
                    **vars(best[0]),
                    runner_up=best[1].llm if len(best) > 1 else None,
                    insufficient_evidence=bool(flagged[row]),
                    ranking=tuple(best[:top_k]) if top_k > 1 else (),
                    evidence=evidence[row],
                )
            )
        return decisions

    def _evidence(self, question_embeds: np.ndarray) -> list[tuple[Evidence, ...]]:
        """The nearest known questions of each question, and who got them right."""
        rows, cosines = self.model.predictor.nearest(question_embeds, N_EVIDENCE)
        bank = bank_of(self.model)

        def describe(row: int, cosine: float) -> Evidence:
            answers = bank.responses[[row]]
            right = answers.data > 0.5
            return Evidence(
                question_id=int(bank.question_ids[row]),
                category=bank.categories[bank.category_indices[row]],
                similarity=float(cosine),
                right=tuple(bank.llm_names[index] for index in answers.indices[right]),
                wrong=tuple(bank.llm_names[index] for index in answers.indices[~right]),
            )

        return [tuple(map(describe, *near)) for near in zip(rows.tolist(), cosines.tolist(), strict=True)]
