"""A model beside the baselines on one split: the report that `metrics.json` holds.

All figures are over observed pairs. The uncertainty of "EmbedLLM minus the best baseline" is a paired bootstrap over
questions.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from . import __version__, metrics
from .baselines import Predictor
from .blending import BlendedPredictor
from .data.responses import ResponseMatrix, benchmark_categories, check_pool
from .modeling_embedllm import EmbedLLM

METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": metrics.accuracy,
    "auc": metrics.auc,
    "log_loss": metrics.log_loss,
    "brier": metrics.brier_score,
    "ece": metrics.expected_calibration_error,
    "routing_accuracy": metrics.routing_accuracy,
}
_PACKAGES = ("torch", "transformers", "accelerate", "numpy", "sentence-transformers")
MODEL = "embedllm"
NETWORK, WITH_CATEGORY = "embedllm_network", "embedllm_with_category"  # rows of a model with a blend


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
    reliability: list[metrics.ReliabilityBin]
    train_seconds: float | None = None
    seed: int | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """The content of `metrics.json`; a value that is not defined is None, since JSON has no NaN."""
        report = asdict(self)
        scores = report.pop("scores")
        dataset = report.pop("dataset")
        return _without_nan({"dataset": dataset, **scores, **report})

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
) -> EvaluationReport:
    """Measure a model and the baselines on one split.

    `embedllm` is what is predicted from a question's text alone. Of a model with a blend (`blending`) there are also
    the rows `embedllm_network`, its network without the known questions, and `embedllm_with_category`, where each
    question's category is given, as it is to `llm_category_mean`.

    Args:
        model (`EmbedLLM`): A trained model.
        responses (`ResponseMatrix`): The split, its columns as in `model.config.llm_names`.
        question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`): Its text vectors.
        baselines (`Mapping[str, Predictor]`): From `fit_baselines` on the training split.
        dataset_id, revision, split (`str`, *optional*): Named in the report; of a folder only the name.
        train_seconds, seed (*optional*): Of the training, for the report.

    Raises:
        ValueError: If the LLMs or widths are not the model's, or nothing is observed.
    """
    check_pool(responses, split or "responses")
    if len(question_embeds) != responses.n_questions:
        raise ValueError(
            f"`question_embeds` has {len(question_embeds)} rows, expected {responses.n_questions}, one a question."
        )
    if list(responses.llm_names) != list(model.config.llm_names):
        raise ValueError(
            "`responses` has other LLMs than the model, or in another order. Load them with "
            "`llm_names=model.config.llm_names`."
        )
    if len(question_embeds) != responses.n_questions:
        raise ValueError(
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
    summary = responses.summary()
    return EvaluationReport(
        dataset=DatasetInfo(
            id=_public_id(dataset_id),
            revision=revision,
            split=split,
            n_questions=summary.n_questions,
            n_llms=summary.n_llms,
            n_observed=summary.n_observed,
            duplicates=summary.duplicates,
            n_repeats=summary.n_repeats,
            n_contradictions=summary.n_contradictions,
        ),
        scores=scores,
        oracle={"routing_accuracy": metrics.oracle_accuracy(truth)},
        benchmarks=by_benchmark,
        gains=_gains(predictions, scores, truth),
        reliability=metrics.reliability_bins(predictions[MODEL], truth),
        train_seconds=train_seconds,
        seed=seed,
        versions=_versions(),
    )


def _predict(model: EmbedLLM, responses: ResponseMatrix, question_embeds: np.ndarray) -> dict[str, np.ndarray]:
    """The model's predictions by row of the report, each `(n_questions, n_llms)`."""
    predictor = BlendedPredictor(model)
    predictions = {MODEL: predictor.predict_proba(question_embeds)}
    if predictor.blend is not None:
        predictions[NETWORK] = model.predict_proba(question_embeds)
        if set(predictor.blend.categories) & set(responses.categories.astype(str)):
            predictions[WITH_CATEGORY] = predictor.predict_proba(question_embeds, responses.categories)
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

    def hits(probs: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(truth), np.nan, (probs > 0.5) == (truth > 0.5))

    def routed(probs: np.ndarray) -> np.ndarray:
        return metrics.routed_responses(probs, truth)

    gains = {}
    for metric, outcome in (("accuracy", hits), ("routing_accuracy", routed)):
        rivals = {
            name: score[metric]
            for name, score in scores.items()
            if name not in (MODEL, NETWORK, WITH_CATEGORY) and not np.isnan(score[metric])
        }
        if rivals:
            best = max(rivals, key=rivals.__getitem__)
            gap = metrics.paired_difference(outcome(predictions[MODEL]), outcome(predictions[best]))
            gains[metric] = {"over": best, **gap.to_dict()}
    return gains


def _versions() -> dict[str, str]:
    installed = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"embedllm_hf": __version__, "python": platform.python_version(), **installed}


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
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
    lines += [
        f"{metric}: EmbedLLM minus {gain['over']} = {gain['difference']:+.4f}, "
        f"95% interval [{gain['low']:+.4f}, {gain['high']:+.4f}]"
        for metric, gain in report.gains.items()
    ]
    return "\n".join(lines)


def _row(name: str, cells: object) -> str:
    return f"{name[:23]:<23}" + "".join(f"{cell:>{max(18, len(cell) + 2)}}" for cell in cells)
