"""What `min_success` guaranteed, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from ..data.llm_table import Costs, costs_of
from ..inference.policy import RoutingPolicy, rank_llms
from ..inference.promise import promise_of
from ..metrics import paired_difference
from ..modeling_embedllm import EmbedLLM
from ..predictors.confidence import bounds


@dataclass(frozen=True)
class KeptGuarantee:
    """Routing under `min_success` on questions with two observed LLMs, and its outcome.

    Attributes:
        min_success (`float`): The guarantee: of the answers that are not flagged at least this share is right.
        threshold (`float | None`): Of the probabilities, as validated; None where each answer's own bound decided.
        cheapest (`bool`): Whether the cheapest LLM that reaches it was taken; without costs the most probable one.
        share_answered (`float`): Share of questions that were answered without a flag.
        share_right (`float | None`): Mean response to these; None if there are none.
        low, high (`float | None`): Its 95% interval, a bootstrap over questions.
        mean_cost (`float | None`): Of the LLMs taken for these, if costs were given.
    """

    min_success: float
    threshold: float | None
    cheapest: bool
    share_answered: float
    share_right: float | None = None
    low: float | None = None
    high: float | None = None
    mean_cost: float | None = None

    def __str__(self) -> str:
        who = "the cheapest LLM that reaches it" if self.cheapest else "the most probable LLM"
        how = "by each answer's bound" if self.threshold is None else f"validated threshold {self.threshold:g}"
        stated = f"min_success {self.min_success:g} ({who}), {how}"
        if self.share_right is None:
            return f"{stated}: every question was flagged"
        cost = "" if self.mean_cost is None else f", mean cost {self.mean_cost:.4g}"
        return (
            f"{stated}: {self.share_answered:.1%} of questions answered without a flag, "
            f"{self.share_right:.1%} of them right, 95% interval [{self.low:.1%}, {self.high:.1%}]{cost}"
        )


def check_guarantee(
    model: EmbedLLM,
    logits: np.ndarray,
    truth: np.ndarray,
    min_success: float,
    costs: Costs | None = None,
    *,
    strict: bool = False,
) -> KeptGuarantee:
    """Route under `min_success` among observed LLMs, and count; the options are those of `RoutingPolicy`.

    `logits` and `truth` are `(n_questions, n_llms)`: the model's, and responses, NaN where not observed.

    Raises:
        ValueError: If no LLM is left to choose from, or costs are by the token.
    """
    policy = RoutingPolicy(costs=costs, min_success=min_success, strict=strict)
    pool_policy = policy.of_pool(model.config.llm_names, model.llms_without_answers)
    promise, llms = promise_of(model, pool_policy), pool_policy.llm_indices
    reaches = promise.reaches(expit(logits), bounds(model.bank, logits)[2])[:, llms]
    probs, truth = expit(logits[:, llms]), truth[:, llms]
    allowed = ~np.isnan(truth)
    cost = None if pool_policy.costs is None else costs_of(pool_policy.costs, pool_policy.llm_names)
    rows = np.flatnonzero(allowed.sum(axis=1) >= 2)
    order, flagged = rank_llms(probs[rows], reaches[rows], cost=cost, allowed=allowed[rows])
    rows, chosen = rows[~flagged], order[~flagged, 0]
    share = float(1 - flagged.mean()) if len(flagged) else 0.0
    kept = KeptGuarantee(min_success, promise.threshold, cost is not None, share)
    if not len(rows):
        return kept
    right = paired_difference(truth[rows, chosen], np.zeros(len(rows)))
    mean_cost = None if cost is None else float(cost[chosen].mean())
    return replace(kept, share_right=right.difference, low=right.low, high=right.high, mean_cost=mean_cost)
