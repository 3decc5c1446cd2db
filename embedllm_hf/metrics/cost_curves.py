"""Cost against quality of a router: sweeps of the cost weight, and the summaries of three papers.

- AIQ: RouterBench (Hu et al., 2024, arXiv 2403.12031).
- PGR, APGR, CPT, for two LLMs: RouteLLM (Ong et al., 2024, arXiv 2406.18665).
- Area under the deferral curve and QNC: UniRoute (Jitkrittum et al., 2025, arXiv 2502.08773).

Costs are `(n_llms,)` in any unit; a point of a curve is the mean cost and the mean response of the LLMs that were
chosen. As for routing accuracy, only observed LLMs can be chosen, and only questions with two of them count.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy.integrate import trapezoid

from .._checks import check_number
from .._errors import InputError

_N_WEIGHTS = 200
_SAME_QUALITY = (
    1e-6  # a mean in float32 may lie so far above the same mean in float64, which a router then never reaches
)


@dataclass(frozen=True, eq=False)
class CostQualityCurve:
    """Points of a router, from the dearest to the cheapest, each array `(n_points,)`."""

    cost_weight: np.ndarray  # ascending; the last is infinite, where only cost counts
    cost: np.ndarray  # mean of the chosen LLMs
    quality: np.ndarray  # their mean response

    def to_dict(self) -> dict[str, list[float]]:
        """The points by name; the infinite weight is None, since JSON has no infinity."""
        columns = {name: values.tolist() for name, values in asdict(self).items()}
        columns["cost_weight"] = [weight if np.isfinite(weight) else None for weight in columns["cost_weight"]]
        return columns


def cost_quality_curve(
    probs: np.ndarray, responses: np.ndarray, costs: np.ndarray, *, cost_weights: np.ndarray | None = None
) -> CostQualityCurve:
    """Choose by `probability - weight * cost` for a range of weights.

    Args:
        probs (`np.ndarray` of shape `(n_questions, n_llms)`): Probability of a right answer.
        responses (`np.ndarray`, same shape): In [0, 1], NaN where not observed.
        costs (`np.ndarray` of shape `(n_llms,)`): 0 or more.
        cost_weights (`np.ndarray`, *optional*): Weights. Default: 0 and 200 from where they begin to matter to where
            they decide. Infinity comes last in any case.

    Returns:
        `CostQualityCurve`: Of equally good LLMs the cheaper was chosen, then the first column.

    Raises:
        ValueError: If shapes differ, a cost is negative or missing, or no question has two observed LLMs.
    """
    probs, responses, costs = (np.asarray(array, np.float64) for array in (probs, responses, costs))
    if probs.shape != responses.shape or costs.shape != probs.shape[1:]:
        raise InputError(
            f"`probs`, `responses` and `costs` have shapes {probs.shape}, {responses.shape} and {costs.shape}, "
            "expected (n_questions, n_llms) twice and (n_llms,)."
        )
    if not ((costs >= 0) & np.isfinite(costs)).all():
        raise InputError("`costs` holds a value that is negative or missing. Leave LLMs without a cost out.")
    observed = ~np.isnan(responses)
    counted = observed.sum(axis=1) >= 2
    if not counted.any():
        raise InputError("no question has two observed LLMs, so there is nothing to choose.")
    probs, responses, observed = probs[counted], responses[counted], observed[counted]
    if cost_weights is None:
        cost_weights = np.concatenate([[0.0], np.geomspace(1e-4, 1e4, _N_WEIGHTS) / max(costs.max(), 1e-12)])
    weights = np.append(np.sort(np.asarray(cost_weights, np.float64)), np.inf)
    rows, points = np.arange(len(probs)), []
    for weight in weights:
        utility = probs - weight * costs if np.isfinite(weight) else np.broadcast_to(-costs, probs.shape)
        utility = np.where(observed, utility, -np.inf)
        best = utility >= utility.max(axis=1, keepdims=True) - 1e-12
        if not np.isfinite(weight):  # among the cheapest the most probable
            best &= np.where(best, probs, -np.inf) >= np.where(best, probs, -np.inf).max(axis=1, keepdims=True)
        chosen = np.where(best, costs, np.inf).argmin(axis=1)
        points.append((costs[chosen].mean(), responses[rows, chosen].mean()))
    cost, quality = np.array(points).T
    return CostQualityCurve(weights, cost, quality)


def frontier(cost: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the non-decreasing convex hull of some points, from the cheapest to the best.

    Between two points a router can mix, so what lies below the line between them is never needed. Costs and qualities
    are `(n,)`; those of the corners ascend, and quality is concave.
    """
    corners: list[tuple[float, float]] = []
    for x, y in sorted(zip(np.asarray(cost, float).tolist(), np.asarray(quality, float).tolist(), strict=True)):
        if corners and x == corners[-1][0]:
            if y <= corners[-1][1]:
                continue
            corners.pop()
        while len(corners) > 1 and _turns_left(corners[-2], corners[-1], (x, y)):
            corners.pop()
        corners.append((x, y))
    best = max(range(len(corners)), key=lambda position: corners[position][1])
    xs, ys = zip(*corners[: best + 1], strict=True)
    return np.array(xs), np.array(ys)


def _turns_left(first: tuple[float, float], second: tuple[float, float], third: tuple[float, float]) -> bool:
    """Whether `second` lies on or below the line from `first` to `third`."""
    return (second[1] - first[1]) * (third[0] - first[0]) <= (third[1] - first[1]) * (second[0] - first[0])


def aiq(cost: np.ndarray, quality: np.ndarray, cost_range: tuple[float, float]) -> float:
    """Average quality over a range of costs, under the non-decreasing convex hull; in [0, 1] (RouterBench).

    To the right of the last corner quality stays; to the left of the first one the router is mixed with answering
    nothing, which costs nothing and is never right.

    Args:
        cost, quality (`np.ndarray` of shape `(n,)`): Points of the router; one point for a single LLM.
        cost_range (`tuple[float, float]`): Lowest and highest cost, the same for all that are compared.

    Raises:
        ValueError: If the range is empty.
    """
    return _mean_quality(*frontier(np.append(cost, 0.0), np.append(quality, 0.0)), cost_range)


def deferral_area(cost: np.ndarray, quality: np.ndarray, cost_range: tuple[float, float]) -> float:
    """Area under the deferral curve, its points joined as they are, over a cost range scaled to length 1 (UniRoute).

    Arguments as for `aiq`; of points of one cost the best counts, and outside its points the curve is level.
    """
    return _mean_quality(*_best_by_cost(cost, quality), cost_range)


def quality_neutral_cost(cost: np.ndarray, quality: np.ndarray, target: float, reference_cost: float) -> float:
    """QNC: the least cost at which a router is as good as the most accurate LLM, over that LLM's cost (UniRoute).

    0 or more, lower is better, below 1 is cheaper; NaN if the router is never as good.

    Args:
        cost, quality (`np.ndarray` of shape `(n,)`): Points of the router; between neighbours it can be mixed.
        target, reference_cost (`float`): Quality of the most accurate LLM, and its cost, above 0.
    """
    xs, ys = _best_by_cost(cost, quality)
    reached = np.flatnonzero(ys >= target - _SAME_QUALITY)
    if not len(reached):
        return float("nan")
    first = reached[0]
    if first == 0:
        return float(xs[0] / reference_cost)
    share = min(1.0, (target - ys[first - 1]) / (ys[first] - ys[first - 1]))
    return float((xs[first - 1] + share * (xs[first] - xs[first - 1])) / reference_cost)


def _best_by_cost(cost: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct costs in order, and the best quality at each."""
    xs, where = np.unique(np.asarray(cost, float), return_inverse=True)
    ys = np.full(len(xs), -np.inf)
    np.maximum.at(ys, where, np.asarray(quality, float))
    return xs, ys


def _mean_quality(cost: np.ndarray, quality: np.ndarray, cost_range: tuple[float, float]) -> float:
    """Mean height, over a range of costs, of the line through points of ascending cost; outside them it is level."""
    low, high = cost_range
    if not 0 <= low < high:
        raise InputError(f"`cost_range` is {cost_range}, expected 0 <= low < high.")
    at = np.unique(np.concatenate([[low, high], cost[(cost > low) & (cost < high)]]))
    return float(trapezoid(np.interp(at, cost, quality), at)) / (high - low)


def cost_quality(probs: np.ndarray, responses: np.ndarray, costs: np.ndarray) -> dict[str, float]:
    """The summaries of one router, over the costs from the cheapest to the dearest LLM.

    These are `aiq`, `deferral_area` and `quality_neutral_cost`, against the LLM with the highest mean response. With
    two LLMs, of which one is better, also `apgr`, `cpt_50` and `cpt_80` on the questions that both have answered. NaN
    where not defined. Arguments and errors as for `cost_quality_curve`.
    """
    probs, responses, costs = (np.asarray(array, np.float64) for array in (probs, responses, costs))
    curve = cost_quality_curve(probs, responses, costs)
    cost_range = float(costs.min()), float(costs.max())
    qualities = np.array([np.nanmean(column) if (~np.isnan(column)).any() else -np.inf for column in responses.T])
    strong = int(np.lexsort((costs, -qualities))[0])
    nan = qnc = float("nan")
    if costs[strong] > 0:
        qnc = quality_neutral_cost(curve.cost, curve.quality, qualities[strong], costs[strong])
    summary = {
        "aiq": aiq(curve.cost, curve.quality, cost_range),
        "deferral_area": deferral_area(curve.cost, curve.quality, cost_range),
        "quality_neutral_cost": qnc,
    }
    if len(costs) == 2:
        both = ~np.isnan(responses).any(axis=1)
        truth, weak = responses[both], 1 - strong
        if truth[:, strong].sum() > truth[:, weak].sum():
            summary |= two_llm_summary(probs[both], truth, weak, strong)
        else:
            summary |= dict.fromkeys(("apgr", "cpt_50", "cpt_80"), nan)
    return summary


# --- two LLMs, after RouteLLM ---


def recovered_gap(scores: np.ndarray, weak: np.ndarray, strong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PGR: how much of the gap between two LLMs is recovered by sending a share of the questions to the strong one.

        PGR(share) = (quality(share) - quality of the weak) / (quality of the strong - quality of the weak)

    Args:
        scores (`np.ndarray` of shape `(n_questions,)`): Who goes to the strong LLM first: those with high scores. Of
            equal scores each is as probable to go first.
        weak, strong (`np.ndarray` of shape `(n_questions,)`): Responses of the two LLMs.

    Returns:
        Shares of calls to the strong LLM and PGR, each `(n_questions + 1,)`, from 0 to 1.

    Raises:
        ValueError: If shapes differ, or the strong LLM is not better.
    """
    scores, weak, strong = (np.asarray(array, np.float64) for array in (scores, weak, strong))
    if not scores.shape == weak.shape == strong.shape or scores.ndim != 1:
        raise InputError(f"`scores`, `weak`, `strong` have shapes {scores.shape}, {weak.shape}, {strong.shape}.")
    gain = strong - weak
    if not gain.sum() > 0:
        raise InputError("`strong` is not better than `weak` on these questions, so there is no gap to recover.")
    _, group = np.unique(-scores, return_inverse=True)
    mean_gain = np.bincount(group, gain) / np.bincount(group)
    in_order = mean_gain[np.sort(group)]
    recovered = np.concatenate([[0.0], np.cumsum(in_order)]) / gain.sum()
    recovered[-1] = 1.0  # whatever the sum's order has made of it: `cpt` looks for it
    return np.linspace(0, 1, len(scores) + 1), recovered


def apgr(scores: np.ndarray, weak: np.ndarray, strong: np.ndarray) -> float:
    """Average PGR over all shares of calls to the strong LLM; 0.5 is what chance gives. Arguments: `recovered_gap`."""
    shares, recovered = recovered_gap(scores, weak, strong)
    return float(trapezoid(recovered, shares))


def cpt(scores: np.ndarray, weak: np.ndarray, strong: np.ndarray, *, recovery: float) -> float:
    """CPT: the least share of calls to the strong LLM that recovers so much of the gap, in (0, 1].

    For CPT(50%) `recovery` is 0.5. The other arguments: `recovered_gap`.
    """
    check_number("recovery", recovery, math.nextafter(0, 1), 1, expected="a share of the gap in (0, 1]")
    shares, recovered = recovered_gap(scores, weak, strong)
    return float(shares[np.flatnonzero(recovered >= recovery - 1e-12)[0]])


def two_llm_summary(probs: np.ndarray, responses: np.ndarray, weak: int, strong: int) -> dict[str, float]:
    """`apgr`, `cpt_50` and `cpt_80` of a router between two LLMs, columns of `(n_questions, n_llms)`; none is NaN."""
    gap = probs[:, strong] - probs[:, weak], responses[:, weak], responses[:, strong]
    return {"apgr": apgr(*gap), "cpt_50": cpt(*gap, recovery=0.5), "cpt_80": cpt(*gap, recovery=0.8)}
