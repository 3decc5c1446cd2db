"""Cost against quality on a split: the model, the baselines, the oracle and the single LLMs on the same axes.

A single LLM has a point only on questions that it has answered. So each benchmark is measured on its complete part:
LLMs that answered nearly all of it, and the questions that all of these have answered. `all` is every question with
two observed LLMs, for routers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .._checks import brief, shorten
from .._errors import InputError
from .._tables import format_table
from ..data.llm_table import Costs, costs_of, read_costs
from ..data.responses import ResponseMatrix
from ..encoding.encoded_responses import EncodedResponses, encode_responses
from ..inference.base import bank_of
from ..metrics import cost_curves
from ..metrics.cost_curves import CostQualityCurve
from ..modeling_embedllm import EmbedLLM
from ..predictors import Predictor
from ..predictors.baselines import fit_baselines
from .measure import measurable
from .report import MODEL, without_nan

ALL = "all"
ORACLE = "oracle"
_COMPLETE_SHARE = 0.9  # of a benchmark's questions that an LLM must have answered
_COLUMNS = ("aiq", "area", "qnc", "peak_quality", "apgr", "cpt_50", "cpt_80")


@dataclass(frozen=True, eq=False)
class BenchmarkCurves:
    """One benchmark's curves.

    Attributes:
        n_questions (`int`), llm_names (`tuple[str, ...]`): Questions and LLMs of the complete part.
        llm_costs, llm_qualities (`np.ndarray` of shape `(n_llms,)`): Their costs and mean responses; the latter NaN
            for `all`.
        curves (`dict[str, CostQualityCurve]`): By router.
        summary (`dict[str, dict[str, float]]`): AIQ, area under the deferral curve, QNC and peak quality by router;
            APGR and CPT between the LLMs of `pair`; `single_llms` is the frontier of the points of the single LLMs.
        pair (`tuple[str, str] | None`): The cheapest and the most accurate LLM.
        best_llm (`str | None`): The single LLM with the highest AIQ.
    """

    n_questions: int
    llm_names: tuple[str, ...]
    llm_costs: np.ndarray
    llm_qualities: np.ndarray
    curves: dict[str, CostQualityCurve]
    summary: dict[str, dict[str, float]]
    pair: tuple[str, str] | None = None
    best_llm: str | None = None

    def to_dict(self) -> dict[str, object]:
        """The content as JSON has it."""
        points = zip(self.llm_names, self.llm_costs, self.llm_qualities, strict=True)
        llms = {name: {"cost": float(cost), "quality": float(quality)} for name, cost, quality in points}
        return {
            "n_questions": self.n_questions,
            "llms": without_nan(llms),
            "pair": None if self.pair is None else {"weak": self.pair[0], "strong": self.pair[1]},
            "best_llm": self.best_llm,
            "summary": without_nan(self.summary),
            "curves": {router: curve.to_dict() for router, curve in self.curves.items()},
        }


@dataclass(frozen=True, eq=False)
class CostReport:
    """Curves of each benchmark.

    Attributes:
        benchmarks (`dict[str, BenchmarkCurves]`): By benchmark, and `all`.
        without_cost (`tuple[str, ...]`): LLMs that are left out since the table has no cost for them.
        without_answers (`tuple[str, ...]`): LLMs that are left out since the model knows no answer of them.
    """

    benchmarks: dict[str, BenchmarkCurves]
    without_cost: tuple[str, ...] = ()
    without_answers: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The content as JSON has it."""
        parts = {name: part.to_dict() for name, part in self.benchmarks.items()}
        left_out = {"without_cost": list(self.without_cost), "without_answers": list(self.without_answers)}
        return {"benchmarks": parts, **left_out}

    def aiq(self) -> dict[str, dict[str, float]]:
        """AIQ by benchmark and router, single LLMs as in `BenchmarkCurves`."""
        return {
            benchmark: {router: values["aiq"] for router, values in part.summary.items()}
            for benchmark, part in self.benchmarks.items()
        }

    def aiq_table(self) -> str:
        """`aiq` as text, a row a router."""
        columns = self.aiq()
        routers = list(dict.fromkeys(router for values in columns.values() for router in values))
        rows = [[router, *(_cell(values, router) for values in columns.values())] for router in routers]
        return format_table(["AIQ", *columns], rows)

    def __str__(self) -> str:
        return format_cost_report(self)


def cost_report(
    model: EmbedLLM,
    dataset: ResponseMatrix | EncodedResponses,
    *,
    costs: Costs,
    baselines: Mapping[str, Predictor] | None = None,
) -> CostReport:
    """Sweep the cost weight for the model, the baselines and the oracle.

    Args:
        model, dataset, baselines: As for `evaluate_model`.
        costs: A mapping of LLM names to costs, or a CSV file (`data.llm_table`). LLMs without one are left out,
            and so are LLMs of which the model knows no answer.

    Raises:
        ValueError: If the LLMs are not the model's, fewer than two of them have costs, or a cost is negative.
    """
    measured, prices = measurable(model, dataset), read_costs(costs)
    names, without_answers = model.config.llm_names, model.llms_without_answers
    priced = np.array([name in prices for name in names]) & ~np.isin(names, without_answers)
    if priced.sum() < 2:
        raise InputError(
            f"`costs` has {priced.sum()} of the pool's {len(names)} LLMs that answers are known of, expected at least "
            "two."
        )
    kept = np.array(names, object)[priced]
    llm_costs = costs_of(prices, kept.tolist())
    encoded = encode_responses(measured, model.encoder)
    responses, question_embeds = encoded.responses, encoded.question_embeds
    truth = responses.responses()[:, priced]
    predictions = {MODEL: model.predict_proba(question_embeds)[:, priced]}
    for name, baseline in (fit_baselines(bank_of(model)) if baselines is None else baselines).items():
        predictions[name] = baseline.predict_proba(question_embeds, responses.categories)[:, priced]
    predictions[ORACLE] = np.nan_to_num(truth, nan=0.0)
    parts, category_of = {}, responses.categories.astype(str)
    for benchmark, categories in responses.benchmarks.items():
        rows, llms = complete_part(truth, np.isin(category_of, categories))
        if len(rows) and len(llms) > 1 and np.ptp(llm_costs[llms]) > 0:
            cells = np.ix_(rows, llms)
            sliced = {name: probs[cells] for name, probs in predictions.items()}
            parts[benchmark] = _complete_curves(sliced, truth[cells], llm_costs[llms], kept[llms].tolist())
    routable = (~np.isnan(truth)).sum(axis=1) >= 2
    if routable.any() and np.ptp(llm_costs) > 0:
        sliced = {name: probs[routable] for name, probs in predictions.items()}
        parts[ALL] = _curves(sliced, truth[routable], llm_costs, kept.tolist())
    if not parts:
        raise InputError("no two LLMs of different costs share questions, so there is no curve to draw.")
    return CostReport(parts, tuple(name for name in names if name not in prices), without_answers)


def complete_part(truth: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of questions and LLMs whose responses are all observed; the LLMs answered at least 90% of `rows`.

    Args:
        truth (`np.ndarray` of shape `(n_questions, n_llms)`): Responses, NaN where not observed.
        rows (`np.ndarray` of shape `(n_questions,)`, bool): The questions to choose from.
    """
    observed = ~np.isnan(truth)
    llms = np.flatnonzero(observed[rows].mean(axis=0) >= _COMPLETE_SHARE) if rows.any() else np.empty(0, int)
    return np.flatnonzero(rows & observed[:, llms].all(axis=1)), llms


def _curves(predictions: dict, truth: np.ndarray, costs: np.ndarray, names: list[str]) -> BenchmarkCurves:
    """Curves and their AIQ and area, without single LLMs."""
    cost_range = (float(costs.min()), float(costs.max()))
    curves = {name: cost_curves.cost_quality_curve(probs, truth, costs) for name, probs in predictions.items()}
    summary = {
        name: {
            "aiq": cost_curves.aiq(curve.cost, curve.quality, cost_range),
            "area": cost_curves.deferral_area(curve.cost, curve.quality, cost_range),
            "peak_quality": float(curve.quality.max()),
        }
        for name, curve in curves.items()
    }
    return BenchmarkCurves(len(truth), tuple(names), costs, np.full(len(names), np.nan), curves, summary)


def _complete_curves(predictions: dict, truth: np.ndarray, costs: np.ndarray, names: list[str]) -> BenchmarkCurves:
    """Curves where every response is observed, so that single LLMs can be set beside them."""
    part = _curves(predictions, truth, costs, names)
    cost_range = (float(costs.min()), float(costs.max()))
    qualities = truth.mean(axis=0, dtype=np.float64)  # as the curves', which have to reach it
    strong = int(np.lexsort((costs, -qualities))[0])
    weak = int(np.lexsort((-qualities, costs))[0])
    comparable = qualities[strong] > qualities[weak]
    for name, values in part.summary.items():
        curve = part.curves[name]
        if costs[strong] > 0:
            target = qualities[strong], costs[strong]
            values["qnc"] = cost_curves.quality_neutral_cost(curve.cost, curve.quality, *target)
        if comparable:
            values |= cost_curves.two_llm_summary(predictions[name], truth, weak, strong)
    points = zip(costs[:, None], qualities[:, None], strict=True)
    single = [cost_curves.aiq(cost, quality, cost_range) for cost, quality in points]
    best = int(np.argmax(single))
    part.summary["best_llm"] = {"aiq": single[best], "peak_quality": float(qualities[best])}
    aiq = cost_curves.aiq(costs, qualities, cost_range)
    part.summary["single_llms"] = {"aiq": aiq, "peak_quality": float(qualities.max())}
    pair = (names[weak], names[strong]) if comparable else None
    return replace(part, llm_qualities=qualities, pair=pair, best_llm=names[best])


def format_cost_report(report: CostReport) -> str:
    """The summaries as text."""
    lines = []
    for benchmark, part in report.benchmarks.items():
        lines.append(f"{brief(benchmark)}: {part.n_questions:,} questions x {len(part.llm_names)} LLMs")
        columns = [column for column in _COLUMNS if any(column in values for values in part.summary.values())]
        rows = [[router, *(_cell(values, column) for column in columns)] for router, values in part.summary.items()]
        lines.append(format_table(["", *columns], rows))
        if part.best_llm is not None:
            lines.append(f"best_llm: {brief(part.best_llm)}; single_llms: mixing the best of all single LLMs")
        if part.pair is not None:
            lines.append(f"apgr, cpt: from {brief(part.pair[0])} to {brief(part.pair[1])}")
        lines.append("")
    if report.without_cost:
        lines.append(f"left out, since they have no cost: {shorten(report.without_cost, 20)}")
    if report.without_answers:
        lines.append(f"left out, since the model knows no answers of them: {shorten(report.without_answers, 20)}")
    return "\n".join(lines).rstrip()


def _cell(values: Mapping[str, float], name: str) -> str:
    return f"{values[name]:.4f}" if name in values and not np.isnan(values[name]) else "-"
