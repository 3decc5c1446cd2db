"""The fit of questions and abilities: simulated truths are found, the bits are the same, and files keep them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from embedllm_hf import EmbedLLM
from embedllm_hf.item_response.fit import fit_item_parameters
from tests.placing import pool_of, simulated_pool
from tests.pool import trained_model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> EmbedLLM:
    return trained_model(tmp_path_factory.mktemp("trained"))


def test_the_fit_finds_the_simulated_probabilities():
    """Forecasts of known questions from the fitted abilities lie far nearer to the truth than the LLM's mean."""
    simulated = simulated_pool()
    fitted = pool_of(simulated, 24, calibrate=False).bank.item_parameters
    forecast = expit(fitted.intercepts[:, None] + fitted.discriminations @ fitted.abilities.T)
    truth = simulated.probabilities[:, :24]
    error = np.sqrt(((forecast - truth) ** 2).mean())
    by_mean = np.sqrt(((simulated.responses[:, :24].mean(axis=0) - truth) ** 2).mean())
    assert error < 0.125
    assert by_mean > 0.2


def test_the_fit_is_the_same_to_the_bit(model):
    """Fitting twice gives equal arrays, the calibration too."""
    again = fit_item_parameters(model, replace(model.bank, item_parameters=None))
    for name, value in vars(model.bank.item_parameters).items():
        np.testing.assert_array_equal(value, getattr(again, name), err_msg=name)


def test_unknown_texts_are_forecast_by_topic(model):
    """Parameters of a text alone say that the LLMs of its topic are better at it, and less surely than if known."""
    logic = np.eye(8)[:1]
    item = model.bank.item_parameters
    intercepts, discriminations = item.parameters_of_texts(logic)
    logits = intercepts[0] + item.abilities @ discriminations[0]
    assert logits[:3].min() > logits[3:].max()
    features = np.concatenate([[1.0], logic[0]])
    assert abs(intercepts[0]) < abs(features @ item.text_coefficients[:, 0])


def test_a_pool_that_cannot_be_fitted_is_refused(model):
    """Two LLMs are too few."""
    two = model
    for name in model.config.llm_names[2:]:
        two = two.without_llm(name)
    with pytest.raises(ValueError, match="the pool has 2 LLMs, expected at least 3"):
        fit_item_parameters(two, two.bank)


def test_saved_and_loaded_to_the_bit(model, tmp_path):
    """The model's folder holds them, and loading gives equal arrays; other pools get their rows."""
    model.save_pretrained(tmp_path)
    loaded = EmbedLLM.from_pretrained(tmp_path)
    for name, value in vars(model.bank.item_parameters).items():
        np.testing.assert_array_equal(value, getattr(loaded.bank.item_parameters, name), err_msg=name)
        assert value.dtype == getattr(loaded.bank.item_parameters, name).dtype
    smaller = loaded.without_llm(model.config.llm_names[1]).bank.item_parameters
    np.testing.assert_array_equal(smaller.abilities, np.delete(model.bank.item_parameters.abilities, 1, axis=0))
