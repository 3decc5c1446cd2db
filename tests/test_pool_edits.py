"""The network with its bank: what forecasts are made with, and one LLM more or less."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from embedllm_hf import EmbedLLM
from embedllm_hf._errors import UserError
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.new_llms.onboarding import onboard
from embedllm_hf.pool_edits import carry_answers
from embedllm_hf.training.fit_bank import fit_bank
from tests.pool import LLMS, TEXT_DIM, make_split, new_model, trained_model

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


# --- what comes in from outside ---


VECTORS = np.random.default_rng(0).normal(size=(2, TEXT_DIM)).astype(np.float32)


@pytest.mark.parametrize(
    "kind", [np.ndarray.tolist, torch.tensor, np.float64, lambda v: torch.tensor(v, requires_grad=True), pd.DataFrame]
)
def test_vectors_in_any_container_are_those_of_the_array(model, kind):
    """Lists, tensors and other widths of numbers, for the network and for both together."""
    np.testing.assert_allclose(model.predict_proba(kind(VECTORS)), model.predict_proba(VECTORS), atol=1e-6)
    np.testing.assert_allclose(model.network_proba(kind(VECTORS)), model.network_proba(VECTORS), atol=1e-6)
    assert model.predict_proba(np.empty((0, TEXT_DIM))).shape == (0, len(LLMS))


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[...]], "`question_embeds` holds object, expected numbers"),
        (None, "holds object, expected numbers"),
        (["a text"], "holds str.*, expected numbers"),
        (np.ones((1, TEXT_DIM), bool), "holds bool, expected numbers"),
        ([[1.0], [1.0, 2.0]], "no array of numbers"),
        (VECTORS[0], r"has shape \(8,\), but this model takes \(n_questions, 8\)"),
        ([], r"has shape \(0,\)"),
        (np.where(np.eye(2, TEXT_DIM), VECTORS, [[0], [np.nan]]), r"`question_embeds\[1\]` holds NaN, infinity"),
        (torch.full((1, TEXT_DIM), torch.inf), r"`question_embeds\[0\]` holds NaN, infinity"),
        (np.full((1, TEXT_DIM), 1e300), r"`question_embeds\[0\]` holds .* a number beyond float32"),
    ],
)
def test_what_is_no_vector_is_refused(model, vectors, message):
    """Before anything is computed, by each method that takes vectors."""
    for method in (model.predict_proba, model.predict_logits, model.network_proba, model.network_logits):
        with pytest.raises(UserError, match=message):
            method(vectors)


def test_no_nan_comes_out(model):
    """A weight that is none is named; vectors that overflow are, too."""
    broken = model.with_llm_renamed(LLMS[0], "lab/other")
    with torch.no_grad():
        broken.question_proj.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"weight `question_proj\.weight` holds NaN or infinity"):
        broken.predict_proba(VECTORS)
    with torch.no_grad():
        broken.question_proj.weight[:] = 1e30
    with pytest.raises(ValueError, match="numbers too large for this model"):
        broken.predict_proba(1e30 * VECTORS)


def test_a_quantised_model_is_refused(model):
    """Its layers have no weights that the formula could use."""
    quantised = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear})
    with pytest.raises(TypeError, match=r"classifier is of `torch.*quantized"):
        quantised.predict_proba(VECTORS)


def test_pairs_have_no_indices_from_the_end(model):
    """Negative and too large ones are refused by argument."""
    for rows, llms in (([-1], [0]), ([0], [-1]), ([2], [0]), ([0], [6])):
        with pytest.raises(ValueError, match=r"`(question|llm)_indices` holds"):
            model.pair_logits(VECTORS, np.array(rows), np.array(llms))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "name '' is empty"),
        (None, "name None is no text"),
        (3, "name 3 is no text"),
        (f"{LLMS[1]} ", f"write the LLM's name .* as '{LLMS[1]}'"),
        ("cafe\u0301", "write the LLM's name"),
        ("a\nb", "a sign that does not print"),
        ("a\x1b[2Jb", "a sign that does not print"),
        (f"{LLMS[1]}\u200b", "a sign that does not print"),
        (LLMS[1].replace("a", "\uff41"), "look the same"),
        (LLMS[1], f"`{LLMS[1]}` already"),
    ],
)
def test_what_is_no_name_of_its_own_is_refused(model, name, message):
    """By each edit that gives a name, as `onboard` does."""
    vector = np.ones(4, np.float32)
    for edit in (
        lambda: model.with_llm(name, vector),
        lambda: model.with_llm_renamed(LLMS[0], name),
        lambda: onboard(model, name, {}),
    ):
        with pytest.raises(UserError, match=message):
            edit()


def test_a_vector_that_is_none_is_refused(model):
    """NaN, infinity, a number beyond float32, text, another shape; so is a bias, and so is a list of them."""
    for value in (np.nan, np.inf, 1e39):
        with pytest.raises(ValueError, match="`llm_embed` holds NaN, infinity or a number beyond float32"):
            model.with_llm("lab/new", np.full(4, value))
        with pytest.raises(ValueError, match="`llm_embeds` holds NaN"):
            model.with_llm_vectors([LLMS[0]], np.full((1, 4), value), np.zeros(1))
    with pytest.raises(TypeError, match="`llm_embed` is no array of numbers"):
        model.with_llm("lab/new", "abcd")
    with pytest.raises(ValueError, match="`llm_bias` is nan, expected a number"):
        model.with_llm("lab/new", np.ones(4), np.nan)
    with pytest.raises(ValueError, match=r"have shapes \(\(2, 4\), \(1,\)\), expected \(\(1, 4\), \(1,\)\)"):
        model.with_llm_vectors(["lab/new"], np.ones((2, 4)), np.zeros(1))
    assert model.with_llm("lab/new", torch.ones(4)).config.llm_names[-1] == "lab/new"


def test_answers_to_equal_texts_are_carried_to_another_bank(model, tmp_path):
    """Two questions of one text, or a text that the other bank has once: each keeps its place, or their mean."""
    bank = model.bank
    twice = replace(bank, keys=np.concatenate([bank.keys[:-1], bank.keys[:1]]))
    once = replace(bank, keys=np.arange(len(bank.keys)) + 5)
    first, last = bank.question_ids[[0, -1]].tolist()
    grown = onboard(model.with_bank(twice), "lab/new", {first: 0, last: 1})
    shared = model.with_bank(twice).with_llm("lab/new", np.zeros(4)).bank
    answers = carry_answers(grown.bank, shared, "lab/new").responses_of(6)
    assert answers[[0, -1]].tolist() == [0, 1]
    assert np.isnan(answers[1:-1]).all()
    other = model.with_bank(replace(once, keys=np.concatenate([bank.keys[:1], once.keys[1:]])))
    other = other.with_llm("lab/new", np.zeros(4))
    other = other.with_bank(carry_answers(grown.bank, other.bank, "lab/new"))
    assert other.bank.responses_of(6)[0] == 0.5
    other.save_pretrained(tmp_path)
    np.testing.assert_array_equal(EmbedLLM.from_pretrained(tmp_path).bank.responses_of(6), other.bank.responses_of(6))
