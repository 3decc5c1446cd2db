"""The network with its bank: what forecasts are made with, and one LLM more or less."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from embedllm_hf import EmbedLLM
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.training.fit_bank import fit_bank
from tests.pool import LLMS, make_split, new_model, trained_model

EMBEDS = make_split(9, first_id=200).question_embeds


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> EmbedLLM:
    return trained_model(tmp_path_factory.mktemp("model"))


# --- the bank ---


def test_another_bank_stands_in_a_new_model(model):
    """Forecasts are made with the new bank at once, and the old model keeps its own, to the bit."""
    before = model.predict_proba(EMBEDS)
    bare = model.with_bank(None)
    assert bare.bank is None
    np.testing.assert_allclose(bare.predict_proba(EMBEDS), model.network_proba(EMBEDS), rtol=1e-6)
    assert (bare.predict_proba(EMBEDS) != before).any()
    np.testing.assert_array_equal(bare.with_bank(model.bank).predict_proba(EMBEDS), before)
    np.testing.assert_array_equal(model.predict_proba(EMBEDS), before)


def test_a_bank_is_not_assigned(model):
    """Only the library sets it."""
    with pytest.raises(AttributeError):
        model.bank = None


def test_a_bank_of_another_pool_is_refused(model):
    """Other names, the same names in another order, another width of text vectors."""
    fewer = model.bank.of_pool(LLMS[:5], range(5))
    with pytest.raises(ValueError, match=rf"another pool of LLMs than the model \(.*{LLMS[5]}"):
        model.with_bank(fewer)
    turned = model.bank.of_pool(LLMS[::-1], range(6)[::-1])
    with pytest.raises(ValueError, match=r"another pool.*the same in another order"):
        model.with_bank(turned)
    narrow = replace(model.bank, question_embeds=model.bank.question_embeds[:, :5], item_parameters=None)
    with pytest.raises(ValueError, match="text vectors of width 5, expected 8, those of `offline`"):
        model.with_bank(narrow)


def test_without_validation_responses_the_bank_is_fitted_too():
    """Item parameters need none; what only validation can choose is left at its default."""
    network, train = new_model(), make_split(40)
    bank = fit_bank(network, train, calibrate=False)
    assert bank.item_parameters is not None
    assert bank.knn is None
    assert fit_bank(network, train, make_split(20, first_id=40, seed=1), calibrate=False).knn is not None


def test_a_pool_of_two_has_no_item_parameters():
    """Two LLMs are too few to tell abilities apart."""
    train = make_split(40).select(llms=LLMS[:2])
    network = EmbedLLM.from_encoder("offline", llm_names=LLMS[:2], text_dim=8, embed_dim=2)
    assert fit_bank(network, train).item_parameters is None


# --- one LLM more or less ---


def test_adding_an_llm_changes_no_other(model):
    """The new LLM is the last column; every other vector is the same to the bit, and the old model stays as it was."""
    before = model.predict_proba(EMBEDS)
    grown = model.with_llm("lab/new", np.ones(4, np.float32), 0.5)
    assert grown.config.llm_names == [*LLMS, "lab/new"]
    np.testing.assert_array_equal(grown.llm_embeds[:-1], model.llm_embeds)
    np.testing.assert_array_equal(grown.llm_embeds[-1], np.ones(4))
    np.testing.assert_allclose(grown.network_proba(EMBEDS)[:, :-1], model.network_proba(EMBEDS), rtol=1e-6)
    np.testing.assert_allclose(grown.predict_proba(EMBEDS)[:, :-1], before, rtol=1e-6)
    assert grown.bank.is_new.tolist() == [False] * 6 + [True]
    np.testing.assert_array_equal(model.predict_proba(EMBEDS), before)
    assert model.config.llm_names == list(LLMS)


def test_removing_and_renaming(model):
    """A removed LLM takes its responses along; the others keep theirs in their new columns; a name can change."""
    smaller = model.without_llm(LLMS[1])
    assert smaller.config.llm_names == list(smaller.bank.llm_names) == [LLMS[0], *LLMS[2:]]
    np.testing.assert_array_equal(smaller.llm_embeds, np.delete(model.llm_embeds, 1, axis=0))
    for index, name in enumerate(smaller.config.llm_names):
        np.testing.assert_array_equal(smaller.bank.responses_of(index), model.bank.responses_of(LLMS.index(name)))
    renamed = model.with_llm_renamed(LLMS[1], "lab/other")
    assert renamed.config.llm_names[1] == renamed.bank.llm_names[1] == "lab/other"
    np.testing.assert_array_equal(renamed.llm_embeds, model.llm_embeds)
    np.testing.assert_array_equal(renamed.predict_proba(EMBEDS), model.predict_proba(EMBEDS))


def test_what_cannot_be_added_is_refused(model):
    """A name that the pool has, a vector of another width, a bias where there are none, an unknown LLM."""
    with pytest.raises(ValueError, match=f"the pool has an LLM `{LLMS[0]}` already"):
        model.with_llm(LLMS[0], np.zeros(4))
    with pytest.raises(ValueError, match=r"`llm_embed` has shape \(5,\), expected \(4,\)"):
        model.with_llm("lab/new", np.zeros(5))
    with pytest.raises(ValueError, match="`llm_bias` is given, but this model has no biases"):
        new_model(llm_bias=False).with_llm("lab/new", np.zeros(4), 0.5)
    with pytest.raises(KeyError, match="unknown LLM `lab/logik-a`"):
        model.without_llm("lab/logik-a")
    with pytest.raises(ValueError, match=f"`{LLMS[2]}` already"):
        model.with_llm_renamed(LLMS[0], LLMS[2])


@pytest.mark.parametrize("weight", ["question_proj.weight", "classifier.bias", "question_bias.weight"])
def test_one_weight_of_the_questions_side_tells_models_apart(model, weight):
    """However little it differs; the LLMs' own vectors and biases may differ."""
    other = model.with_llm_vectors([LLMS[0]], np.ones((1, 4)), np.ones(1))
    assert model.differing_weight(other) is None
    with torch.no_grad():
        value = other.state_dict()[weight].view(-1)
        value[-1] = torch.nextafter(value[-1], torch.tensor(torch.inf))
    assert model.differing_weight(other) == weight


def test_a_weight_that_one_model_lacks_tells_them_apart(model):
    """On either side."""
    bare = new_model(question_bias=False)
    bare.load_state_dict({name: value for name, value in model.state_dict().items() if name in bare.state_dict()})
    assert model.differing_weight(bare) == bare.differing_weight(model) == "question_bias.bias"


def test_questions_without_a_response_stay(model):
    """An LLM that is removed leaves its questions behind."""
    small = new_model().with_bank(QuestionBank.from_responses(make_split(12)))
    for name in LLMS[1:]:
        small = small.without_llm(name)
    assert len(small.bank) == 12
