"""A model beside the baselines on labelled questions: the report that `metrics.json` holds.

All figures are over observed pairs. The uncertainty of "EmbedLLM minus a baseline" is a paired bootstrap over
questions.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import expit

from .. import __version__, metrics
from .._errors import InputError, InputTypeError
from ..data.llm_table import Costs
from ..data.responses import ResponseMatrix, check_pool
from ..data.splits import unseen_questions
from ..encoding.encoded_responses import EncodedResponses, encode_responses
from ..inference.base import bank_of
from ..inference.policy import check_min_success
from ..modeling_embedllm import EmbedLLM
from ..predictors import Predictor
from ..predictors.baselines import fit_baselines
from .guarantee import check_guarantee
from .report import LLM_MEAN, METRICS, MODEL, NETWORK, OWN_ROWS, ROUTING, WITH_CATEGORY, WITH_KNOWN, EvaluationReport

_PACKAGES = ("torch", "transformers", "accelerate", "numpy", "sentence-transformers")


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
            probability, `costs` has none of the LLMs, or there are neither baselines nor a bank.
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
        benchmarks=_by_benchmark(predictions, truth, routable, responses),
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
    predictions: dict, truth: np.ndarray, routable: np.ndarray, responses: ResponseMatrix
) -> dict[str, dict]:
    """`_measure` of each benchmark with a response."""
    categories = responses.categories.astype(str)
    rows_of = {name: np.isin(categories, parts) for name, parts in responses.benchmarks.items()}
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
