"""What `min_success` guaranteed, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ..data.llm_table import Costs, costs_of, read_costs
from ..inference.policy import rank_llms
from ..metrics import paired_difference
from ..modeling_embedllm import EmbedLLM
from ..predictors.confidence import bounds


@dataclass(frozen=True)
class KeptGuarantee:
    """Routing under `min_success` on questions with two observed LLMs, and its outcome.

    Attributes:
        min_success (`float`): The guarantee: of the answers that are not flagged at least this share is right.
        cheapest (`bool`): Whether the cheapest LLM that reaches it was taken; without costs the most probable one.
        share_answered (`float`): Share of questions that were answered without a flag.
        share_right (`float | None`): Mean response to these; None if there are none.
        low, high (`float | None`): Its 95% interval, a bootstrap over questions.
        mean_cost (`float | None`): Of the LLMs taken for these, if costs were given.
    """

    min_success: float
    cheapest: bool
    share_answered: float
    share_right: float | None = None
    low: float | None = None
    high: float | None = None
    mean_cost: float | None = None

    def __str__(self) -> str:
        who = "the cheapest LLM that reaches it" if self.cheapest else "the most probable LLM"
        if self.share_right is None:
            return f"min_success {self.min_success:g} ({who}): every question was flagged"
        cost = "" if self.mean_cost is None else f", mean cost {self.mean_cost:.4g}"
        return (
            f"min_success {self.min_success:g} ({who}): {self.share_answered:.1%} of questions answered without a "
            f"flag, {self.share_right:.1%} of them right, 95% interval [{self.low:.1%}, {self.high:.1%}]{cost}"
        )


def check_guarantee(
    model: EmbedLLM, logits: np.ndarray, truth: np.ndarray, min_success: float, costs: Costs | None = None
) -> KeptGuarantee:
    """Route under `min_success` among observed LLMs, and count; `min_success` and `costs` as for `evaluate_model`.

    `logits` and `truth` are `(n_questions, n_llms)`: the model's, and responses, NaN where not observed.
    """
    allowed, cost = ~np.isnan(truth), None
    if costs is not None:
        prices, names = read_costs(costs), model.config.llm_names
        allowed = allowed & np.array([name in prices for name in names])
        cost = costs_of({name: 0.0 for name in names} | prices, names)
    rows = np.flatnonzero(allowed.sum(axis=1) >= 2)
    at_least = bounds(model.bank, logits)[2]
    limits = {"cost": cost, "min_success": min_success, "allowed": allowed[rows]}
    order, flagged = rank_llms(expit(logits[rows]), at_least[rows], **limits)
    rows, chosen = rows[~flagged], order[~flagged, 0]
    share = float(1 - flagged.mean()) if len(flagged) else 0.0
    if not len(rows):
        return KeptGuarantee(min_success, cost is not None, share)
    right = paired_difference(truth[rows, chosen], np.zeros(len(rows)))
    mean_cost = None if cost is None else float(cost[chosen].mean())
    return KeptGuarantee(min_success, cost is not None, share, right.difference, right.low, right.high, mean_cost)
