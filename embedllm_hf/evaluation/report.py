"""The report of a measured model: the content of `metrics.json`, and a text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .. import metrics
from .._checks import brief, shorten
from .._tables import format_table
from ..data.responses import ResponseSummary
from .guarantee import KeptGuarantee

ROUTING = "routing_accuracy"
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": metrics.accuracy,
    "auc": metrics.auc,
    "log_loss": metrics.log_loss,
    "brier": metrics.brier_score,
    "ece": metrics.expected_calibration_error,
    "ece_llm_median": metrics.median_calibration_error,
    ROUTING: metrics.routing_accuracy,
}
MODEL, LLM_MEAN = "embedllm", "llm_mean"
NETWORK, WITH_CATEGORY = "embedllm_network", "embedllm_with_category"  # rows of a model with a blend
WITH_KNOWN = "embedllm_with_known"  # row of questions of which the model knows some
OWN_ROWS = (MODEL, NETWORK, WITH_CATEGORY, WITH_KNOWN)


@dataclass(frozen=True)
class EvaluationReport:
    """Metrics of a model and of the baselines on one split.

    Attributes:
        dataset (`ResponseSummary`): The split.
        scores (`dict[str, dict[str, float]]`): Metrics of each predictor, `embedllm` and the baselines; see
            `evaluate_model` for the rows of a model with a blend.
        oracle (`dict[str, float]`): Routing accuracy of the choice that is best in hindsight.
        benchmarks (`dict[str, dict[str, dict[str, float]]]`): The same metrics by benchmark and predictor.
        gains (`dict[str, dict]`): EmbedLLM minus the best baseline, with a 95% interval, for accuracy and routing
            accuracy.
        routing_over_best_llm (`dict | None`): The same for routing accuracy over `llm_mean`, which always takes the
            LLM with the best training mean.
        guarantee (`KeptGuarantee`): What `min_success` guaranteed, and what came of it.
        reliability (`list[ReliabilityBin]`): EmbedLLM's probabilities against what happened.
        without_answers (`list[str]`): LLMs of which the model knows no answer. No router may choose them: routing is
            measured without them, and so is the oracle.
        train_seconds (`float | None`), seed (`int | None`): Time of the training loop, and seed of the training.
        versions (`dict[str, str]`): Of the packages.
    """

    dataset: ResponseSummary
    scores: dict[str, dict[str, float]]
    oracle: dict[str, float]
    benchmarks: dict[str, dict[str, dict[str, float]]]
    gains: dict[str, dict[str, Any]]
    routing_over_best_llm: dict[str, Any] | None
    guarantee: KeptGuarantee
    reliability: list[metrics.ReliabilityBin]
    without_answers: list[str] = field(default_factory=list)
    train_seconds: float | None = None
    seed: int | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The content of `metrics.json`; a value that is not defined is None, since JSON has no NaN."""
        report = asdict(self)
        return without_nan({"dataset": report.pop("dataset"), **report.pop("scores"), **report})

    def __str__(self) -> str:
        return format_report(self)


def without_nan(value: Any) -> Any:
    """The same with None for NaN, however deep, since JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


# --- the text for people ---

_MOST_BENCHMARKS = 20  # rows that leave the result and its verdict on one screen
_SIGNS = (
    "more is better of accuracy, auc and routing_accuracy; less of log_loss, brier and the calibration errors, ece"
)


def format_report(report: EvaluationReport) -> str:
    """The report as text: what came out in sentences, and the figures overall and by benchmark."""
    info = report.dataset
    named = brief(" ".join(part for part in (info.id, info.split) if part)) or "responses"
    scores = [[name, *(_number(score[metric]) for metric in METRICS)] for name, score in report.scores.items()]
    scores.append(["oracle", *["-"] * (len(METRICS) - 1), _number(report.oracle[ROUTING])])
    pairs = [
        [benchmark, *(f"{_number(s['accuracy'], 3)} / {_number(s[ROUTING], 3)}" for s in by_name.values())]
        for benchmark, by_name in list(report.benchmarks.items())[:_MOST_BENCHMARKS]
    ]
    n_more = len(report.benchmarks) - len(pairs)
    return "\n".join(
        [
            f"{named}: {info.n_questions:,} questions x {info.n_llms} LLMs, {info.n_observed:,} responses "
            f"(duplicates: {info.duplicates})",
            *_remarks(report),
            "",
            *_sentences(report),
            "",
            format_table(["", *METRICS], scores),
            _SIGNS,
            "",
            "accuracy / routing accuracy by benchmark:",
            format_table(["", *report.scores], pairs),
            *([f"and {n_more:,} more, which the JSON has (--output, metrics.json)"] if n_more else []),
        ]
    )


def _remarks(report: EvaluationReport) -> Iterator[str]:
    """What was left out, and whether the questions are unseen."""
    if report.without_answers:
        yield f"left out of routing, since the model knows no answers of them: {shorten(report.without_answers)}"
    if report.dataset.n_left_out:
        yield f"left out, since their texts are known: {report.dataset.n_left_out:,} questions"
    if WITH_KNOWN in report.scores:
        yield "the model knows these questions: none of them is unseen"


def _sentences(report: EvaluationReport) -> Iterator[str]:
    """What came of forecasts, routing and the guarantee, each beside the best baseline and always the best LLM."""
    gains, ours = report.gains, report.scores[MODEL]
    yield f"EmbedLLM forecasts {_share(ours['accuracy'])} of the responses right"
    if "accuracy" in gains:
        yield _beside(report, "accuracy", gains["accuracy"])
    yield f"the LLM that it chooses is right on {_share(ours[ROUTING])} of the questions"
    rivals = {gain["over"]: gain for gain in (gains.get(ROUTING), report.routing_over_best_llm) if gain is not None}
    for gain in rivals.values():
        yield _beside(report, ROUTING, gain)
    yield f"  {_share(report.oracle[ROUTING])} with the best choice in hindsight"
    yield str(report.guarantee)


def _beside(report: EvaluationReport, metric: str, gain: dict[str, Any]) -> str:
    """A baseline's figure, and how much it is exceeded by."""
    name = gain["over"]
    who = f"always the best LLM ({name})" if (metric, name) == (ROUTING, LLM_MEAN) else name
    interval = f"95% interval [{gain['low']:+.4f}, {gain['high']:+.4f}]"
    return f"  {_share(report.scores[name][metric])} with {who}: difference {gain['difference']:+.4f}, {interval}"


def _number(value: float, digits: int = 4) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"
