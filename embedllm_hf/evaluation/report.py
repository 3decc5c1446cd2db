"""A model beside the baselines on one split: the report that `metrics.json` holds.

All figures are over observed pairs. The uncertainty of "EmbedLLM minus a baseline" is a paired bootstrap over
questions.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from .. import __version__, metrics
from .._errors import InputError
from ..data.llm_table import Costs, costs_of, read_costs
from ..data.responses import ResponseMatrix, benchmark_categories, check_pool
from ..inference.router import check_min_success, rank_llms
from ..item_response.known import known_probabilities
from ..modeling_embedllm import EmbedLLM
from ..predictors.baselines import Predictor
from ..predictors.confidence import bounds
from ..predictors.stacked import BlendedPredictor

METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": metrics.accuracy,
    "auc": metrics.auc,
    "log_loss": metrics.log_loss,
    "brier": metrics.brier_score,
    "ece": metrics.expected_calibration_error,
    "ece_llm_median": metrics.median_calibration_error,
    "routing_accuracy": metrics.routing_accuracy,
}
_PACKAGES = ("torch", "transformers", "accelerate", "numpy", "sentence-transformers")
MODEL, LLM_MEAN = "embedllm", "llm_mean"
NETWORK, WITH_CATEGORY = "embedllm_network", "embedllm_with_category"  # rows of a model with a blend
WITH_KNOWN = "embedllm_with_known"  # row of a split with questions that the model knows


@dataclass(frozen=True)
class DatasetInfo:
    """What was evaluated on.

    Attributes:
        id, revision, split (`str | None`): Hub id or the folder's name, commit of the Hub data set, and split.
        n_questions, n_llms, n_observed (`int`): Its size, and its (question, LLM) pairs with a response.
        duplicates (`str`): The rule for repeated rows of a pair.
        n_repeats (`int`): Rows beyond the first of their pair.
        n_contradictions (`int`): Pairs whose rows disagree.
    """

    id: str | None
    revision: str | None
    split: str | None
    n_questions: int
    n_llms: int
    n_observed: int
    duplicates: str
    n_repeats: int
    n_contradictions: int

    @classmethod
    def of(cls, responses: ResponseMatrix, **named: str | None) -> DatasetInfo:
        """The sizes of some responses, with `id`, `revision` and `split` as they are given."""
        summary = asdict(responses.summary())
        return cls(**named, **{item.name: summary[item.name] for item in fields(cls) if item.name not in named})


@dataclass(frozen=True)
class KeptPromise:
    """What `min_success` promised, and what came of it, on questions with two observed LLMs.

    Attributes:
        min_success (`float`): The promise: of the answers without the mark at least this share is right.
        cheapest (`bool`): Whether the cheapest LLM that reaches it was taken; without costs the most probable one.
        share_answered (`float`): Share of questions that were answered without the mark.
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
            return f"min_success {self.min_success:g} ({who}): no question was answered without the mark"
        cost = "" if self.mean_cost is None else f", mean cost {self.mean_cost:.4g}"
        return (
            f"min_success {self.min_success:g} ({who}): {self.share_answered:.1%} of questions answered without the "
            f"mark, {self.share_right:.1%} of them right, 95% interval [{self.low:.1%}, {self.high:.1%}]{cost}"
        )


@dataclass(frozen=True)
class EvaluationReport:
    """Metrics of a model and of the baselines on one split.

    Attributes:
        dataset (`DatasetInfo`): The split.
        scores (`dict[str, dict[str, float]]`): Metrics of each predictor, `embedllm` and the baselines; see
            `evaluate_model` for the rows of a model with a blend.
        oracle (`dict[str, float]`): Routing accuracy of the choice that is best in hindsight.
        benchmarks (`dict[str, dict[str, dict[str, float]]]`): The same metrics by benchmark and predictor.
        gains (`dict[str, dict[str, object]]`): EmbedLLM minus the best baseline, with a 95% interval, for accuracy and
            routing accuracy.
        routing_over_best_llm (`dict[str, object] | None`): The same for routing accuracy over `llm_mean`, which always
            takes the LLM with the best training mean.
        promise (`KeptPromise`): What `min_success` promised and kept.
        reliability (`list[ReliabilityBin]`): EmbedLLM's probabilities against what happened.
        train_seconds (`float | None`): Time of the training loop.
        seed (`int | None`): Of the training.
        versions (`dict[str, str]`): Of the packages.
    """

    dataset: DatasetInfo
    scores: dict[str, dict[str, float]]
    oracle: dict[str, float]
    benchmarks: dict[str, dict[str, dict[str, float]]]
    gains: dict[str, dict[str, object]]
    routing_over_best_llm: dict[str, object] | None
    promise: KeptPromise
    reliability: list[metrics.ReliabilityBin]
    train_seconds: float | None = None
    seed: int | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """The content of `metrics.json`; a value that is not defined is None, since JSON has no NaN."""
        report = asdict(self)
        scores = report.pop("scores")
        dataset = report.pop("dataset")
        return without_nan({"dataset": dataset, **scores, **report})

    def __str__(self) -> str:
        return format_report(self)


def evaluate_model(
    model: EmbedLLM,
    responses: ResponseMatrix,
    question_embeds: np.ndarray,
    *,
    baselines: Mapping[str, Predictor],
    dataset_id: str | None = None,
    revision: str | None = None,
    split: str | None = None,
    train_seconds: float | None = None,
    seed: int | None = None,
    costs: Costs | None = None,
    min_success: float = 0.8,
) -> EvaluationReport:
    """Measure a model and the baselines on one split.

    `embedllm` is what is predicted from a question's text alone. Of a model with a blend (`blending`) there are also
    the rows `embedllm_network`, its network without the known questions, and `embedllm_with_category`, where each
    question's category is given, as it is to `llm_category_mean`. Of a split with questions that the model knows
    there is also `embedllm_with_known`: for those, the item-response model's forecast.

    Args:
        model (`EmbedLLM`): A trained model.
        responses (`ResponseMatrix`): The split, its columns as in `model.config.llm_names`.
        question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`): Its text vectors.
        baselines (`Mapping[str, Predictor]`): From `fit_baselines` on the training split.
        dataset_id, revision, split (`str`, *optional*): Named in the report; of a folder only the name.
        train_seconds, seed (*optional*): Of the training, for the report.
        costs (*optional*): As for the router, a number an LLM; who has none is not chosen under `min_success`.
        min_success (`float`): The promise to check, in (0, 1).

    Raises:
        ValueError: If the LLMs or widths are not the model's, nothing is observed, or `min_success` is no probability.
    """
    check_pool(responses, split or "responses")
    check_min_success(min_success)
    if list(responses.llm_names) != list(model.config.llm_names):
        raise InputError(
            "`responses` has other LLMs than the model, or in another order. Load them with "
            "`llm_names=model.config.llm_names`."
        )
    if len(question_embeds) != responses.n_questions:
        raise InputError(
            f"`question_embeds` has {len(question_embeds)} rows, expected {responses.n_questions}: "
            "one text vector a question, in the order of `responses`."
        )
    predictions = _predict(model, responses, question_embeds)
    for name, baseline in baselines.items():
        predictions[name] = baseline.predict_proba(question_embeds, responses.categories)
    truth = responses.responses()
    by_benchmark = {}
    for benchmark, categories in benchmark_categories(responses.categories).items():
        rows = np.isin(responses.categories.astype(str), categories)
        if not np.isnan(truth[rows]).all():
            by_benchmark[benchmark] = {name: _measure(probs[rows], truth[rows]) for name, probs in predictions.items()}
    scores = {name: _measure(probs, truth) for name, probs in predictions.items()}
    return EvaluationReport(
        dataset=DatasetInfo.of(responses, id=_public_id(dataset_id), revision=revision, split=split),
        scores=scores,
        oracle={"routing_accuracy": metrics.oracle_accuracy(truth)},
        benchmarks=by_benchmark,
        gains=_gains(predictions, scores, truth),
        routing_over_best_llm=_routing_gain(predictions, LLM_MEAN, truth) if LLM_MEAN in predictions else None,
        promise=check_promise(BlendedPredictor(model), predictions[MODEL], truth, min_success, costs),
        reliability=metrics.reliability_bins(predictions[MODEL], truth),
        train_seconds=train_seconds,
        seed=seed,
        versions=package_versions(),
    )


def _predict(model: EmbedLLM, responses: ResponseMatrix, question_embeds: np.ndarray) -> dict[str, np.ndarray]:
    """The model's predictions by row of the report, each `(n_questions, n_llms)`."""
    predictor = BlendedPredictor(model)
    predictions = {MODEL: predictor.predict_proba(question_embeds)}
    if predictor.blend is not None:
        predictions[NETWORK] = model.predict_proba(question_embeds)
        if set(predictor.blend.categories) & set(responses.categories.astype(str)):
            predictions[WITH_CATEGORY] = predictor.predict_proba(question_embeds, responses.categories)
    known = known_probabilities(model, responses.questions)
    if known is not None:
        predictions[WITH_KNOWN] = np.where(np.isnan(known), predictions[MODEL], known)
    return predictions


def _public_id(dataset_id: str | None) -> str | None:
    """A Hub id as it is; of a folder the name, since its place means nothing on another machine."""
    if dataset_id is None or not Path(dataset_id).is_dir():
        return dataset_id
    return Path(dataset_id).resolve().name


def _measure(probs: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {name: metric(probs, truth) for name, metric in METRICS.items()}


def _gains(predictions: dict, scores: dict, truth: np.ndarray) -> dict[str, dict[str, object]]:
    """EmbedLLM minus the baseline that is best in each of two metrics, with paired intervals."""
    gains = {}
    for metric, gain in (("accuracy", _accuracy_gain), ("routing_accuracy", _routing_gain)):
        rivals = {
            name: score[metric]
            for name, score in scores.items()
            if name not in (MODEL, NETWORK, WITH_CATEGORY, WITH_KNOWN) and not np.isnan(score[metric])
        }
        if rivals:
            gains[metric] = gain(predictions, max(rivals, key=rivals.__getitem__), truth)
    return gains


def _accuracy_gain(predictions: dict, over: str, truth: np.ndarray) -> dict[str, object]:
    ours, theirs = (
        np.where(np.isnan(truth), np.nan, (predictions[name] > 0.5) == (truth > 0.5)) for name in (MODEL, over)
    )
    return {"over": over, **metrics.paired_difference(ours, theirs).to_dict()}


def _routing_gain(predictions: dict, over: str, truth: np.ndarray) -> dict[str, object] | None:
    ours, theirs = (metrics.routed_responses(predictions[name], truth) for name in (MODEL, over))
    if np.isnan(ours).all():
        return None
    return {"over": over, **metrics.paired_difference(ours, theirs).to_dict()}


def check_promise(
    predictor: BlendedPredictor,
    probs: np.ndarray,
    truth: np.ndarray,
    min_success: float,
    costs: Costs | None = None,
) -> KeptPromise:
    """Route under `min_success` among observed LLMs, and count.

    Args:
        predictor (`BlendedPredictor`): Where the probabilities are from.
        probs, truth (`np.ndarray` of shape `(n_questions, n_llms)`): Probabilities and responses, NaN not observed.
        min_success (`float`): In (0, 1).
        costs (*optional*): As for `evaluate_model`.
    """
    allowed, cost = ~np.isnan(truth), None
    if costs is not None:
        prices, names = read_costs(costs), predictor.model.config.llm_names
        allowed = allowed & np.array([name in prices for name in names])
        cost = costs_of({name: 0.0 for name in names} | prices, names)
    rows = np.flatnonzero(allowed.sum(axis=1) >= 2)
    at_least = bounds(predictor, probs)[2]
    order, marked = rank_llms(probs[rows], at_least[rows], cost=cost, min_success=min_success, allowed=allowed[rows])
    rows, chosen = rows[~marked], order[~marked, 0]
    share = float(1 - marked.mean()) if len(marked) else 0.0
    if not len(rows):
        return KeptPromise(min_success, cost is not None, share)
    right = metrics.paired_difference(truth[rows, chosen], np.zeros(len(rows)))
    mean_cost = None if cost is None else float(cost[chosen].mean())
    return KeptPromise(min_success, cost is not None, share, right.difference, right.low, right.high, mean_cost)


def package_versions() -> dict[str, str]:
    """Versions of this package, of Python and of what the numbers depend on."""
    installed = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"embedllm_hf": __version__, "python": platform.python_version(), **installed}


def without_nan(value: object) -> object:
    """The same with None for NaN, however deep, since JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


# --- the table for people ---


def format_report(report: EvaluationReport) -> str:
    """The report as text: overall, by benchmark, and the gains."""
    info = report.dataset
    named = " ".join(part for part in (info.id, info.split) if part) or "responses"
    lines = [
        f"{named}: {info.n_questions:,} questions x {info.n_llms} LLMs, {info.n_observed:,} responses "
        f"(duplicates: {info.duplicates})",
        "",
        _row("", METRICS),
    ]
    lines += [_row(name, [f"{score[metric]:.4f}" for metric in METRICS]) for name, score in report.scores.items()]
    oracle = ["-"] * (len(METRICS) - 1) + [f"{report.oracle['routing_accuracy']:.4f}"]
    lines += [_row("oracle", oracle), "", "accuracy / routing accuracy by benchmark:"]
    names = list(report.scores)
    lines.append(_row("", names))
    for benchmark, scores in report.benchmarks.items():
        pairs = [
            f"{scores[name]['accuracy']:.3f} / {scores[name]['routing_accuracy']:.3f}".rjust(len(name))
            for name in names
        ]
        lines.append(_row(benchmark, pairs))
    lines.append("")
    gains = list(report.gains.items())
    if report.routing_over_best_llm is not None:
        gains.append(("routing_accuracy", report.routing_over_best_llm))
    lines += [
        f"{metric}: EmbedLLM minus {gain['over']} = {gain['difference']:+.4f}, "
        f"95% interval [{gain['low']:+.4f}, {gain['high']:+.4f}]"
        for metric, gain in gains
    ]
    lines.append(str(report.promise))
    return "\n".join(lines)


def _row(name: str, cells: object) -> str:
    return f"{name[:23]:<23}" + "".join(f"{cell:>{max(18, len(cell) + 2)}}" for cell in cells)
