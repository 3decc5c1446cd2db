"""A model beside the baselines on labelled questions: the report that `metrics.json` holds.

All figures are over observed pairs. The uncertainty of "EmbedLLM minus a baseline" is a paired bootstrap over
questions.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit

from .. import __version__, metrics
from .._checks import brief, shorten
from .._errors import InputError, InputTypeError
from .._tables import format_table
from ..data.benchmarks import benchmark_categories
from ..data.llm_table import Costs
from ..data.responses import ResponseMatrix, ResponseSummary, check_pool
from ..data.splits import unseen_questions
from ..encoding.encoded_responses import EncodedResponses, encode_responses
from ..inference.base import bank_of
from ..inference.policy import check_min_success
from ..modeling_embedllm import EmbedLLM
from ..predictors import Predictor
from ..predictors.baselines import fit_baselines
from .guarantee import KeptGuarantee, check_guarantee

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
_PACKAGES = ("torch", "transformers", "accelerate", "numpy", "sentence-transformers")
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


def evaluate_model(
    model: EmbedLLM,
    dataset: ResponseMatrix | EncodedResponses,
    *,
    baselines: Mapping[str, Predictor] | None = None,
    costs: Costs | None = None,
    min_success: float = 0.8,
    train_seconds: float | None = None,
    seed: int | None = None,
) -> EvaluationReport:
    """Measure a model and the baselines on labelled questions.

    `embedllm` is the forecast from a question's text alone. A model with a blend also has the rows `embedllm_network`,
    its network alone, and `embedllm_with_category`, where each question's category is given, as it is to
    `llm_category_mean`.

    Questions whose texts the model knows are left out and counted (`dataset.n_left_out`). Where it knows all of them,
    as on its training split, they are measured, with the row `embedllm_with_known`, the forecast of the item
    parameters, and the report says that none is unseen.

    Args:
        model (`EmbedLLM`): A trained model.
        dataset (`ResponseMatrix` or `EncodedResponses`): The questions, LLMs as in `model.config.llm_names`. Without
            text vectors they are encoded with the model's encoder.
        baselines (`Mapping[str, Predictor]`, *optional*): By name. Default: `fit_baselines` on the model's bank.
        costs (*optional*): As for `RoutingPolicy`, a number an LLM; LLMs without one are not chosen under
            `min_success`.
        min_success (`float`): The guarantee to check, in (0, 1).
        train_seconds, seed (*optional*): Of the training, for the report.

    Raises:
        ValueError: If the LLMs or the encoder are not the model's, nothing is observed, `min_success` is no
            probability, or there are neither baselines nor a bank.
    """
    measured = measurable(model, dataset)
    check_min_success(min_success)
    if baselines is None:
        baselines = fit_baselines(bank_of(model))
    encoded = encode_responses(measured, model.encoder)
    responses = encoded.responses
    logits = model.predict_logits(encoded.question_embeds)
    predictions = _predict(model, encoded, logits)
    for name, baseline in baselines.items():
        predictions[name] = baseline.predict_proba(encoded.question_embeds, responses.categories)
    truth = responses.responses()
    without_answers = list(model.llms_without_answers)
    routable = np.where(np.isin(model.config.llm_names, without_answers), np.nan, truth)  # a copy
    scores = _measure(predictions, truth, routable, slice(None))
    return EvaluationReport(
        dataset=responses.summary(),
        scores=scores,
        oracle={"routing_accuracy": metrics.oracle_accuracy(routable)},
        benchmarks=_by_benchmark(predictions, truth, routable, responses.categories.astype(str)),
        gains=_gains(predictions, scores, {"accuracy": truth, ROUTING: routable}),
        routing_over_best_llm=_gain(predictions, LLM_MEAN, routable, metrics.routed_responses),
        guarantee=check_guarantee(model, logits, routable, min_success, costs),
        reliability=metrics.reliability_bins(predictions[MODEL], truth),
        without_answers=without_answers,
        train_seconds=train_seconds,
        seed=seed,
        versions=package_versions(),
    )


def measurable(model: EmbedLLM, dataset: ResponseMatrix | EncodedResponses) -> ResponseMatrix | EncodedResponses:
    """The part of a data set that a model is measured on: questions whose texts it does not know, all if it knows all.

    Raises:
        ValueError: If nothing is observed, or the LLMs are not the model's.
    """
    responses = dataset.responses if isinstance(dataset, EncodedResponses) else dataset
    if not isinstance(responses, ResponseMatrix):
        name = type(dataset).__name__
        raise InputTypeError(f"`dataset` is a `{name}`, expected a `ResponseMatrix`: `load_responses(...)`.")
    check_pool(responses, responses.origin.split or "dataset")
    if list(responses.llm_names) != list(model.config.llm_names):
        raise InputError(
            "`dataset` has other LLMs than the model, or in another order. Load it with "
            "`llm_names=model.config.llm_names`."
        )
    if model.bank is None:
        return dataset
    unseen = unseen_questions(responses, model.bank.keys)
    if unseen.n_questions in (0, responses.n_questions):
        return dataset
    check_pool(unseen, f"{responses.origin.split or 'dataset'}, questions that the model does not know")
    return dataset.with_responses(unseen) if isinstance(dataset, EncodedResponses) else unseen


def _predict(model: EmbedLLM, encoded: EncodedResponses, logits: np.ndarray) -> dict[str, np.ndarray]:
    """The model's predictions by row of the report, each `(n_questions, n_llms)`."""
    predictions, bank = {MODEL: expit(logits).astype(np.float32)}, model.bank
    if bank is None:
        return predictions
    responses, question_embeds = encoded.responses, encoded.question_embeds
    if bank.blend is not None:
        predictions[NETWORK] = model.network_proba(question_embeds)
        if bank.blend.has_categories and set(bank.categories) & set(responses.categories.astype(str)):
            predictions[WITH_CATEGORY] = model.predict_proba(question_embeds, responses.categories)
    known = bank.known_logits(bank.rows_of_texts(responses.questions.tolist()))
    if known is not None:
        predictions[WITH_KNOWN] = np.where(np.isnan(known), predictions[MODEL], expit(known))
    return predictions


def _measure(
    predictions: dict, truth: np.ndarray, routable: np.ndarray, rows: np.ndarray | slice
) -> dict[str, dict[str, float]]:
    """All metrics of all predictors on some questions; routing among the responses that are `routable`."""
    of_metric = {metric: routable if metric == ROUTING else truth for metric in METRICS}
    return {
        name: {metric: measure(probs[rows], of_metric[metric][rows]) for metric, measure in METRICS.items()}
        for name, probs in predictions.items()
    }


def _by_benchmark(
    predictions: dict, truth: np.ndarray, routable: np.ndarray, categories: np.ndarray
) -> dict[str, dict]:
    """`_measure` of each benchmark with a response."""
    rows_of = {name: np.isin(categories, parts) for name, parts in benchmark_categories(categories).items()}
    return {
        name: _measure(predictions, truth, routable, rows)
        for name, rows in rows_of.items()
        if not np.isnan(truth[rows]).all()
    }


def _gains(predictions: dict, scores: dict, truth: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """EmbedLLM minus the baseline that is best in each of two metrics, with paired intervals; `truth` by metric."""
    gains = {}
    for metric, outcomes in (("accuracy", _hits), (ROUTING, metrics.routed_responses)):
        rivals = {name: score[metric] for name, score in scores.items() if name not in OWN_ROWS}
        defined = {name: value for name, value in rivals.items() if not np.isnan(value)}
        found = _gain(predictions, max(defined, key=defined.__getitem__), truth[metric], outcomes) if defined else None
        if found is not None:
            gains[metric] = found
    return gains


def _hits(probs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether each response is as forecast, NaN where there is none."""
    return np.where(np.isnan(truth), np.nan, (probs > 0.5) == (truth > 0.5))


def _gain(predictions: dict, over: str, truth: np.ndarray, outcomes: Callable) -> dict[str, Any] | None:
    """EmbedLLM minus another predictor in the mean of `outcomes`, if there is one and any outcome is defined."""
    if over not in predictions:
        return None
    ours, theirs = (outcomes(predictions[name], truth) for name in (MODEL, over))
    if np.isnan(ours).all():
        return None
    return {"over": over, **metrics.paired_difference(ours, theirs).to_dict()}


def package_versions() -> dict[str, str]:
    """Versions of this package, of Python and of what the numbers depend on."""
    installed = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"embedllm_hf": __version__, "python": platform.python_version(), **installed}


def without_nan(value: Any) -> Any:
    """The same with None for NaN, however deep, since JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


# --- the table for people ---

_MOST_BENCHMARKS = 20  # rows that leave the result and its verdict on one screen


def _number(value: float, digits: int = 4) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def format_report(report: EvaluationReport) -> str:
    """The report as text: overall, by benchmark, and the gains."""
    info = report.dataset
    named = brief(" ".join(part for part in (info.id, info.split) if part)) or "responses"
    scores = [[name, *(_number(score[metric]) for metric in METRICS)] for name, score in report.scores.items()]
    scores.append(["oracle", *["-"] * (len(METRICS) - 1), _number(report.oracle[ROUTING])])
    pairs = [
        [benchmark, *(f"{_number(s['accuracy'], 3)} / {_number(s[ROUTING], 3)}" for s in by_name.values())]
        for benchmark, by_name in list(report.benchmarks.items())[:_MOST_BENCHMARKS]
    ]
    n_more = len(report.benchmarks) - len(pairs)
    gains, over_llm = list(report.gains.items()), report.routing_over_best_llm
    if over_llm is not None and over_llm["over"] not in {gain["over"] for name, gain in gains if name == ROUTING}:
        gains.append((ROUTING, over_llm))
    lines = [
        f"{metric}: EmbedLLM minus {gain['over']} = {gain['difference']:+.4f}, "
        f"95% interval [{gain['low']:+.4f}, {gain['high']:+.4f}]"
        for metric, gain in gains
    ]
    if report.without_answers:
        who = shorten(report.without_answers)
        lines.append(f"left out of routing, since the model knows no answers of them: {who}")
    if info.n_left_out:
        lines.append(f"left out, since their texts are known: {info.n_left_out:,} questions")
    if WITH_KNOWN in report.scores:
        lines.append("the model knows these questions: none of them is unseen")
    return "\n".join(
        [
            f"{named}: {info.n_questions:,} questions x {info.n_llms} LLMs, {info.n_observed:,} responses "
            f"(duplicates: {info.duplicates})",
            "",
            format_table(["", *METRICS], scores),
            "",
            "accuracy / routing accuracy by benchmark:",
            format_table(["", *report.scores], pairs),
            *([f"and {n_more:,} more, which the JSON has (--output, metrics.json)"] if n_more else []),
            "",
            *lines,
            str(report.guarantee),
        ]
    )
