"""`Promise`: when an LLM may answer under `min_success`, by a threshold that was validated or by each answer's bound.

Validated (the default): an LLM may answer where its `probability` reaches a threshold. It is the lowest at which the
rule of the policy itself kept the share on the model's validation questions, by `metrics.fixed_sequence`: with its
LLMs, costs and limits, so that the choice of the cheapest that reaches it needs no correction. What is promised:

    with 95% confidence, over the draw of the validation questions, at least `min_success` of the questions that are
    answered without a flag are answered right, in the long run, on questions from the same source.

It is about all these answers together: those just above the threshold are less often right. Three things it leaves
open. On a validation question the choice is among the LLMs whose answer was observed; where these are few of the pool,
the choice among all of it was not tested. The network's best epoch and the blend's few weights were chosen by the same
answers. And prices by the token are tried at several lengths of a question, since the texts are not kept, of which the
highest threshold counts. `model_cards/guarantee.md` has what came of it on four data sets.

Strict (`strict=True`): an LLM may answer where its `at_least` reaches `min_success`, which is about each answer (see
`predictors.confidence`). It also decides where no threshold passes, where the model keeps no validation questions, and
about LLMs without an answer to any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ..data.llm_table import costs_of
from ..metrics.fixed_sequence import last_that_keeps
from ..modeling_embedllm import EmbedLLM
from .policy import PoolPolicy, rank_llms

THRESHOLDS = np.arange(100, -1, -1) / 100
QUESTION_TOKENS = (16, 128, 1024, 8192)  # lengths that prices by the token are tried at


@dataclass(frozen=True)
class Promise:
    """When LLMs may answer under `min_success`.

    Attributes:
        min_success (`float`): The promised share.
        is_validated (`np.ndarray` of shape `(n_llms,)`, bool): LLMs of the pool that the threshold is for.
        threshold (`float | None`): Of their probabilities; None where each answer's bound decides.
        why_strict (`str`): Why it does, where it was not asked for.
    """

    min_success: float
    is_validated: np.ndarray
    threshold: float | None = None
    why_strict: str = ""

    def reaches(self, probs: np.ndarray, at_least: np.ndarray) -> np.ndarray:
        """Which LLMs may answer; all `(n_questions, n_llms)`, of the whole pool."""
        strict = at_least >= self.min_success
        if self.threshold is None:
            return strict
        return np.where(self.is_validated, probs >= self.threshold, strict)


def promise_of(model: EmbedLLM, pool_policy: PoolPolicy) -> Promise:
    """The promise of a policy that has a `min_success`, for a model's pool; the same whenever it is asked for."""
    policy, nobody = pool_policy.policy, np.zeros(len(model.config.llm_names), bool)
    assert policy.min_success is not None
    if policy.strict:
        return Promise(policy.min_success, nobody)
    validation = None if model.bank is None else model.bank.validation
    if validation is None:
        return Promise(policy.min_success, nobody, why_strict="the model keeps no validation questions")
    truth = validation.dense_responses()[:, pool_policy.llm_indices]
    probs = expit(model.predictor.validation_logits[:, pool_policy.llm_indices])
    counted = (~np.isnan(truth)).sum(axis=1) >= min(2, truth.shape[1])
    truth, probs, passed = truth[counted], probs[counted], []
    for cost in _costs(pool_policy):
        limit = policy.max_cost
        allowed = truth if cost is None or limit is None else np.where(cost <= limit, truth, np.nan)
        passed.append(validated_threshold(probs, allowed, policy.min_success, cost))
    thresholds = [threshold for threshold in passed if threshold is not None]
    if len(thresholds) < len(passed):
        why = f"no threshold keeps it on the model's {counted.sum():,} validation questions with 95% confidence"
        return Promise(policy.min_success, nobody, why_strict=why)
    return Promise(policy.min_success, validation.n_answers > 0, max(thresholds))


def validated_threshold(
    probs: np.ndarray, truth: np.ndarray, min_success: float, cost: np.ndarray | None = None
) -> float | None:
    """The lowest threshold at which the cheapest LLM that reaches it, else the most probable, keeps the share right.

    Args:
        probs, truth (`np.ndarray` of shape `(n_questions, n_llms)`): Forecasts, and responses in [0, 1], NaN where
            there is none or the LLM may not be chosen.
        min_success (`float`): The share, in (0, 1).
        cost (`np.ndarray` of shape `(n_llms,)`, *optional*): Costs.

    Returns:
        `float | None`: One of `THRESHOLDS`; None if none is shown to keep it.
    """
    observed = ~np.isnan(truth)
    if not observed.any():
        return None
    order = rank_llms(probs, observed, cost=cost, allowed=observed)[0]  # as if each of them reached it
    ranked = [np.take_along_axis(part, order, axis=1) for part in (np.where(observed, probs, -1.0), truth)]
    reached = np.maximum.accumulate(ranked[0], axis=1)  # the highest probability so far: who first reaches a threshold
    forecasts, answers = [], []
    for threshold in THRESHOLDS:
        rows = np.flatnonzero(reached[:, -1] >= threshold)
        chosen = (reached[rows] < threshold).sum(axis=1)
        forecasts.append(ranked[0][rows, chosen])
        answers.append(ranked[1][rows, chosen])
    last = last_that_keeps(answers, forecasts, min_success)
    return None if last is None else float(THRESHOLDS[last])


def _costs(pool_policy: PoolPolicy) -> Sequence[np.ndarray | None]:
    """Costs of the LLMs that may be chosen, `(n,)`; several where they depend on a question's length."""
    if pool_policy.costs is None:
        return [None]
    if not pool_policy.is_by_token:
        return [costs_of(pool_policy.costs, pool_policy.llm_names)]
    return list(costs_of(pool_policy.costs, pool_policy.llm_names, np.array(QUESTION_TOKENS)))
