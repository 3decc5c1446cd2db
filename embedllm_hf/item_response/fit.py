"""Fits the item parameters of a bank: questions, abilities, what to expect of new LLMs, intervals that cover."""

from __future__ import annotations

import numpy as np

from .._errors import InputError
from ..bank.item_parameters import DEFAULT_STRATEGY, STRATEGIES, ItemParameters
from ..bank.question_bank import QuestionBank
from ..network import EmbedLLMNetwork
from .calibration import calibrate_intervals
from .pool import MIN_LLMS, NetworkView, fit_pool, fit_residuals
from .priors import benchmark_priors


def fit_item_parameters(network: EmbedLLMNetwork, bank: QuestionBank, *, calibrate: bool = True) -> ItemParameters:
    """Fit the item-response model of a trained network's pool; the same to the bit each time.

    Args:
        network, bank: A trained network and its training questions.
        calibrate (`bool`): Also calibrate the intervals on LLMs of the pool that are held out in folds, which takes
            most of the time. Otherwise they are the model's own, mostly too narrow.

    Raises:
        ValueError: If the pool has fewer than three LLMs.
    """
    n_llms = len(bank.llm_names)
    if n_llms < MIN_LLMS:
        raise InputError(f"the pool has {n_llms} LLMs, expected at least {MIN_LLMS}. Add responses.")
    view, responses = NetworkView.of(network), bank.dense_responses()
    features = np.column_stack([np.ones(len(bank)), bank.question_embeds.astype(np.float64)])
    fit = fit_pool(view, responses, features)
    priors = {"prior": fit.new_llm_prior(), "vector_prior": view.new_llm_prior()}
    by_benchmark = {
        "benchmark_prior": benchmark_priors(fit.new_llm_prior, bank, responses),
        "benchmark_vector_prior": benchmark_priors(view.new_llm_prior, bank, responses),
    }
    calibration = calibrate_intervals(view, bank, responses, features) if calibrate else np.zeros((len(STRATEGIES), 3))
    fitted = {**vars(fit), "residuals": fit_residuals(view, responses, features)}
    return ItemParameters(
        **{name: value.astype(np.float32) for name, value in fitted.items()},
        strategies=np.full(n_llms, STRATEGIES.index(DEFAULT_STRATEGY), np.int8),
        **{f"{name}_mean": mean for name, (mean, _) in priors.items()},
        **{f"{name}_covariance": covariance for name, (_, covariance) in priors.items()},
        **{f"{name}_means": means for name, (means, _) in by_benchmark.items()},
        **{f"{name}_covariances": covariances for name, (_, covariances) in by_benchmark.items()},
        calibration=calibration,
    )
