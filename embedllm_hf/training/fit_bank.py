"""Fits everything that a model knows beside its network."""

from __future__ import annotations

from dataclasses import replace

from ..bank.question_bank import QuestionBank
from ..encoding.encoded_responses import EncodedResponses
from ..item_response.fit import MIN_LLMS, fit_item_parameters
from ..network import EmbedLLMNetwork
from ..predictors.baselines import choose_knn
from ..predictors.stacked_fit import fit_blend


def fit_bank(
    network: EmbedLLMNetwork,
    train: EncodedResponses,
    validation: EncodedResponses | None = None,
    *,
    calibrate: bool = True,
) -> QuestionBank:
    """Fit the question bank of a trained network: item parameters, blend, calibration. `model.with_bank` takes it.

    Args:
        network (`EmbedLLMNetwork`): Trained on `train`.
        train (`EncodedResponses`): The questions that the bank keeps.
        validation (`EncodedResponses`, *optional*): Other questions, for the blend's weights and the calibration.
        calibrate (`bool`): Also calibrate the intervals of new LLMs, which takes most of the time.
    """
    bank = QuestionBank.from_responses(train)
    bank = replace(bank, blend=fit_blend(network, bank, validation))
    if validation is not None:
        bank = replace(bank, knn=choose_knn(bank, validation), validation=QuestionBank.from_responses(validation))
    if len(bank.llm_names) >= MIN_LLMS:
        bank = replace(bank, item_parameters=fit_item_parameters(network, bank, calibrate=calibrate))
    return bank
