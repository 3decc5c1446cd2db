"""The stacked predictor: its formula, what it knows of categories and new LLMs, and its nearest known questions."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit, logit

from embedllm_hf import EmbedLLM, metrics
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.data.texts import question_keys
from embedllm_hf.new_llms.onboarding import onboard
from embedllm_hf.predictors.stacked import CategoryMeans
from embedllm_hf.predictors.stacked_fit import fit_blend
from tests.pool import LLMS, TEXT_DIM, make_split, new_model, trained_model

TEST = make_split(60, first_id=220, seed=2)
EMBEDS = TEST.question_embeds


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> EmbedLLM:
    return trained_model(tmp_path_factory.mktemp("stacked"))


@pytest.fixture(scope="module")
def probs(model) -> np.ndarray:
    return model.predict_proba(EMBEDS)


def means_of(model: EmbedLLM) -> np.ndarray:
    """The table by category."""
    return CategoryMeans.of(model, model.bank.listed, model.bank.blend).means


# --- the forecast ---


def test_the_prediction_is_its_formula(model):
    """The stacked logits are the weighted sum of the four parts, computed here in a dense way."""
    bank, blend = model.bank, model.bank.blend
    known = bank.question_embeds.astype(np.float32)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    asked = EMBEDS / np.linalg.norm(EMBEDS, axis=1, keepdims=True)

    def base(vectors, normalised):
        shares = np.exp(normalised @ blend.category_weight + blend.category_bias)
        shares /= shares.sum(axis=1, keepdims=True)
        return [model.network_logits(vectors).astype(float), logit((shares @ means_of(model)).clip(0.01, 0.99))]

    z, t = base(bank.question_embeds.astype(np.float32), known)
    fitted = expit(blend.base_weights[0] * z + blend.base_weights[1] * t + blend.base_weights[2])
    truth = bank.dense_responses()
    residuals = np.nan_to_num(truth - fitted)
    curvatures = np.where(np.isnan(truth), 0, fitted * (1 - fitted))
    cosines = asked @ known.T
    weights = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / 0.1)
    offsets = (weights @ residuals) / (weights @ curvatures + 0.3)  # there are fewer than 256 known questions
    sums, curvature_sums = residuals.sum(axis=1), curvatures.sum(axis=1)
    difficulty = []
    for row in cosines:
        near = np.argsort(-row)[:64]
        kernel = 0.6 * np.exp((known[near] @ known[near].T - 1) / 0.25) + np.diag(1 / curvature_sums[near])
        to_question = 0.6 * np.exp((row[near] - 1) / 0.25)
        difficulty.append(to_question @ np.linalg.solve(kernel, sums[near] / curvature_sums[near]))
    parts = [*base(EMBEDS, asked), np.array(difficulty)[:, None], offsets]
    logits = sum(weight * part for weight, part in zip(blend.weights, parts, strict=False)) + blend.weights[-1]
    np.testing.assert_allclose(model.predict_logits(EMBEDS), logits, atol=1e-4)
    np.testing.assert_allclose(model.predict_proba(EMBEDS), expit(logits), atol=2e-5)


def test_it_predicts_better_than_the_network_alone(model, probs):
    """On unseen questions of the planted pool log loss is lower, and the specialists win."""
    truth = TEST.responses.responses()
    assert metrics.log_loss(probs, truth) < metrics.log_loss(model.network_proba(EMBEDS), truth)
    assert metrics.routing_accuracy(probs, truth) > 0.8


def test_without_a_blend_or_a_bank_it_is_the_network(model):
    """Both are needed; without them logits are the network's, to the bit."""
    for bank in (None, replace(model.bank, blend=None)):
        bare = model.with_bank(bank)
        np.testing.assert_array_equal(bare.predict_logits(EMBEDS), model.network_logits(EMBEDS))


# --- categories ---


def test_a_given_category_is_used_and_an_unknown_one_is_read_from_the_text(model, probs):
    """A wrong category moves the prediction towards that category's LLMs; an unknown name changes nothing."""
    np.testing.assert_array_equal(model.predict_proba(EMBEDS, ["new"] * 60), probs)
    poetry = model.predict_proba(EMBEDS, ["poetry"] * 60)
    logic = TEST.responses.categories == "logic"
    assert (poetry[logic, 3:] > probs[logic, 3:]).all()
    assert (poetry[logic, :3] < probs[logic, :3]).all()
    mixed = model.predict_proba(EMBEDS, ["poetry", *["new"] * 59])
    np.testing.assert_allclose(mixed[0], poetry[0], atol=1e-6)
    np.testing.assert_allclose(mixed[1:], probs[1:], atol=1e-6)
    with pytest.raises(ValueError, match="`categories` has 2 entries, expected 60"):
        model.predict_proba(EMBEDS, ["logic", "poetry"])


def test_means_by_category_by_hand():
    """Drawn to the LLM's mean as by 10 answers, clipped; the network's word where an LLM was not asked."""
    matrix = sparse.csr_array((np.float32([1, 0, 0, 1]), [0, 1, 0, 0], [0, 2, 3, 4]), shape=(3, 2))
    bank = QuestionBank(
        llm_names=("a", "b"),
        keys=np.arange(3),
        question_ids=np.arange(3),
        question_embeds=np.eye(3, TEXT_DIM, dtype=np.float16),
        category_indices=np.array([0, 0, 1], np.int32),
        categories=("x", "y"),
        responses=matrix,
        weights=matrix,
        is_new=np.zeros(2, bool),
    )
    model = EmbedLLM.from_encoder("offline", llm_names=["a", "b"], text_dim=TEXT_DIM)
    means = CategoryMeans.of(model, bank, fit_blend(model, bank)).means
    first = (1 + 10 * 2 / 3) / 12, (1 + 10 * 2 / 3) / 11
    asked_elsewhere = model.network_proba(np.eye(3, TEXT_DIM)[2:])[0, 1]
    np.testing.assert_allclose(means, [[first[0], 0.01], [first[1], asked_elsewhere]], rtol=1e-6)


# --- new LLMs ---


def test_an_llm_without_known_answers_is_covered(model, probs):
    """A new LLM with the vector of another one gets the network's mean by category, and the others stay."""
    llm_index, bank = LLMS.index("lab/logic-a"), model.bank
    grown = model.with_llm("lab/new", model.llm_embeds[llm_index], model.llm_bias[llm_index].item())
    np.testing.assert_array_equal(means_of(grown)[:, :6], means_of(model))
    own = model.network_proba(bank.question_embeds)[:, llm_index]
    logic = bank.category_indices == bank.categories.index("logic")
    np.testing.assert_allclose(means_of(grown)[:, 6], [own[logic].mean(), own[~logic].mean()], atol=1e-6)
    again = grown.predict_proba(EMBEDS)
    np.testing.assert_allclose(again[:, :6], probs, atol=1e-6)
    assert ((again[:, 6] > 0) & (again[:, 6] < 1)).all()


def test_a_new_llm_moves_no_other_forecast(model, probs):
    """With one LLM onboarded the forecasts of all others stay, up to the rounding of a wider product."""
    answers = {int(question): number % 2 for number, question in enumerate(model.bank.question_ids[:20])}
    grown = onboard(model, "lab/new", answers)
    after = grown.predict_proba(EMBEDS)
    assert after.shape == (60, 7)
    np.testing.assert_allclose(after[:, :-1], probs, rtol=2e-6)
    assert grown.without_llm(LLMS[0]).bank.is_new.tolist() == [False] * 5 + [True]


@pytest.mark.parametrize("blended", [True, False])
def test_a_new_llms_own_texts_are_no_ones_neighbours(model, blended):
    """Though they are the very questions that are asked: forecasts and the nearest known questions stay."""
    model = model if blended else model.with_bank(replace(model.bank, blend=None))
    grown = model.with_llm("lab/new", model.llm_embeds[0])
    n_known, n_own = len(model.bank), len(EMBEDS)
    bank = grown.bank.with_texts(question_keys([f"own {number}" for number in range(n_own)]), EMBEDS)
    rows, answers = np.arange(n_known, n_known + n_own), np.ones(n_own)
    asked = grown.with_bank(bank.with_responses(rows, np.full(n_own, 6), answers))
    np.testing.assert_array_equal(asked.predict_proba(EMBEDS), grown.predict_proba(EMBEDS))
    for found, expected in zip(asked.predictor.nearest(EMBEDS, 5), model.predictor.nearest(EMBEDS, 5), strict=True):
        np.testing.assert_array_equal(found, expected)


# --- the nearest known questions ---


def test_nearest_known_questions(model):
    """A known question is its own nearest one, in any block; none asked, none found; a bare network knows none."""
    rows, cosines = model.predictor.nearest(model.bank.question_embeds, 3)
    assert rows[:, 0].tolist() == list(range(80))
    np.testing.assert_allclose(cosines[:, 0], 1, atol=1e-5)
    assert [found.shape for found in model.predictor.nearest(EMBEDS[:0], 3)] == [(0, 3), (0, 3)]
    with pytest.raises(ValueError, match="the model has no question bank to compare with"):
        new_model().predictor.nearest(np.zeros((1, TEXT_DIM)), 3)
