"""The blend: neighbours against hand-computed cases, its contract as a predictor, fitting, files."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy import sparse
from scipy.special import expit, logit

from embedllm_hf import (
    EmbedLLM,
    EmbedLLMConfig,
    EmbedLLMTrainer,
    EmbedLLMTrainingArguments,
    metrics,
)
from embedllm_hf.bank.blend import Blend
from embedllm_hf.bank.question_bank import KnownQuestions
from embedllm_hf.item_response import fit_item_response
from embedllm_hf.new_llms.onboarding import onboard
from embedllm_hf.predictors.neighbours import difficulty_offsets, llm_offsets, nearest_rows
from embedllm_hf.predictors.stacked import (
    QUESTION_SD,
    BlendedPredictor,
    category_table,
    fit_blend,
    fit_category_head,
    fit_question_sd,
    fit_weights,
)
from tests.pool import LLMS, TEXT_DIM, make_split


@pytest.fixture(scope="module")
def splits():
    return make_split(160), make_split(60, first_id=160, seed=1), make_split(60, first_id=220, seed=2)


@pytest.fixture(scope="module")
def model(splits, tmp_path_factory) -> EmbedLLM:
    """Trained and blended."""
    (train, validation, _), folder = splits, tmp_path_factory.mktemp("blend")
    torch.manual_seed(0)
    model = EmbedLLM(EmbedLLMConfig(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4, encoder_name="offline"))
    args = EmbedLLMTrainingArguments(output_dir=str(folder), num_train_epochs=5, block_size=32, disable_tqdm=True)
    fitted = (validation.responses, validation.question_embeds)
    EmbedLLMTrainer(model, args, train.responses, train.question_embeds, *fitted).train()
    model.eval().blend = fit_blend(model, *fitted)
    return model


@pytest.fixture(scope="module")
def predictor(model) -> BlendedPredictor:
    return BlendedPredictor(model)


# --- neighbours ---


def test_nearest_rows_are_those_of_a_sort():
    """The search agrees with sorting all cosines, in more than one block, and gives all rows of a small bank."""
    generator = np.random.default_rng(0)
    bank, queries = (generator.normal(size=(n, 5)).astype(np.float32) for n in (40, 700))
    bank, queries = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (bank, queries))
    rows, cosines = nearest_rows(queries, bank, 7)
    np.testing.assert_array_equal(rows, np.argsort(-(queries @ bank.T), axis=1)[:, :7])
    np.testing.assert_allclose(cosines, np.sort(queries @ bank.T, axis=1)[:, :-8:-1], atol=1e-6)
    assert nearest_rows(queries[:2], bank[:3], 7)[0].shape == (2, 3)


def test_equally_near_rows_come_in_their_order():
    """Of rows that are equally near the first comes first."""
    assert nearest_rows(np.array([[1.0, 0]]), np.array([[0, 1.0], [1, 0], [0, 1], [1, 0]]), 4)[0].tolist() == [
        [1, 3, 0, 2]
    ]


def test_llm_offsets_by_hand():
    """Two neighbours with weights 1 and exp(-2): one LLM answered both, one the far one, one none."""
    residuals = sparse.csr_array(np.array([[0.4, 0, 0], [-0.5, 0.2, 0]]))
    curvatures = sparse.csr_array(np.array([[0.24, 0, 0], [0.25, 0.16, 0]]))
    offsets = llm_offsets(np.array([[0, 1]]), np.array([[0.9, 0.7]]), residuals, curvatures)
    far = np.exp(-2)
    expected = [(0.4 - 0.5 * far) / (0.24 + 0.25 * far + 0.3), 0.2 * far / (0.16 * far + 0.3), 0]
    np.testing.assert_allclose(offsets, [expected], rtol=1e-6)


def test_difficulty_by_hand():
    """One neighbour is regression to the mean; two are the Gaussian process's formula; nobody's is no news."""
    bank = np.array([[1.0, 0], [0.6, 0.8]])
    one = difficulty_offsets(np.array([[0]]), np.array([[0.8]]), bank[:1], np.array([3.0]), np.array([2.0]))
    assert one[0] == pytest.approx(0.6 * np.exp(-0.8) / (0.6 + 0.5) * 1.5)
    sums, curvatures = np.array([3.0, -1.0]), np.array([2.0, 4.0])
    kernel = 0.6 * np.exp((bank @ bank.T - 1) / 0.25) + np.diag(1 / curvatures)
    to_question = 0.6 * np.exp((np.array([0.8, 0.5]) - 1) / 0.25)
    expected = to_question @ np.linalg.inv(kernel) @ (sums / curvatures)
    both = difficulty_offsets(np.array([[0, 1]]), np.array([[0.8, 0.5]]), bank, sums, curvatures)
    assert both[0] == pytest.approx(expected)
    nobody = difficulty_offsets(np.array([[0]]), np.array([[1.0]]), bank[:1], np.zeros(1), np.zeros(1))
    assert nobody[0] == 0


# --- the predictor ---


def test_the_prediction_is_its_formula(model, predictor, splits):
    """The blended log odds are the weighted sum of the four parts, computed here in a dense way."""
    question_embeds = splits[2].question_embeds
    known, blend = model.known_questions, model.blend
    bank = known.question_embeds.astype(np.float32)
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    unit = question_embeds / np.linalg.norm(question_embeds, axis=1, keepdims=True)
    table = category_table(model, known, known.categories)

    def base(vectors, directions):
        shares = np.exp(directions @ blend.category_weight + blend.category_bias)
        shares /= shares.sum(axis=1, keepdims=True)
        return [logit(model.predict_proba(vectors).astype(float)), logit((shares @ table).clip(0.01, 0.99))]

    z, t = base(known.question_embeds.astype(np.float32), bank)
    probs = expit(blend.base_weights[0] * z + blend.base_weights[1] * t + blend.base_weights[2])
    truth = np.stack([known.responses_of(column) for column in range(6)], axis=1)
    residuals = np.nan_to_num(truth - probs)
    curvatures = np.where(np.isnan(truth), 0, probs * (1 - probs))
    cosines = unit @ bank.T
    weights = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / 0.1)
    offsets = (weights @ residuals) / (weights @ curvatures + 0.3)  # the bank has fewer than 256 questions
    sums, curvature_sums = residuals.sum(axis=1), curvatures.sum(axis=1)
    difficulty = []
    for row in cosines:
        near = np.argsort(-row)[:64]
        kernel = 0.6 * np.exp((bank[near] @ bank[near].T - 1) / 0.25) + np.diag(1 / curvature_sums[near])
        to_question = 0.6 * np.exp((row[near] - 1) / 0.25)
        difficulty.append(to_question @ np.linalg.solve(kernel, sums[near] / curvature_sums[near]))
    parts = [*base(question_embeds, unit), np.array(difficulty)[:, None], offsets]
    log_odds = sum(weight * part for weight, part in zip(blend.weights, parts, strict=False)) + blend.weights[-1]
    np.testing.assert_allclose(predictor.predict_proba(question_embeds), expit(log_odds), atol=2e-5)


def test_it_predicts_better_than_the_network_alone(model, predictor, splits):
    """On unseen questions of the planted pool, after a short training, log loss is lower and the specialists win."""
    test = splits[2]
    truth = test.responses.responses()
    blended = predictor.predict_proba(test.question_embeds)
    assert metrics.log_loss(blended, truth) < metrics.log_loss(model.predict_proba(test.question_embeds), truth)
    assert metrics.routing_accuracy(blended, truth) > 0.8


def test_shape_range_and_batch_are_those_of_single_questions(predictor, splits):
    """`(n_questions, n_llms)` in [0, 1], a question alone as in a batch, none at all, the input as it was."""
    question_embeds = splits[2].question_embeds.copy()
    probs = predictor.predict_proba(question_embeds)
    assert probs.shape == (60, 6)
    assert probs.dtype == np.float32
    assert ((probs >= 0) & (probs <= 1)).all()
    alone = np.concatenate([predictor.predict_proba(question_embeds[row : row + 1]) for row in range(60)])
    np.testing.assert_allclose(alone, probs, atol=1e-5)
    many = predictor.predict_proba(np.tile(question_embeds, (20, 1)))  # in blocks
    np.testing.assert_allclose(many, np.tile(probs, (20, 1)), atol=1e-5)
    assert predictor.predict_proba(question_embeds[:0]).shape == (0, 6)
    np.testing.assert_array_equal(question_embeds, splits[2].question_embeds)
    with pytest.raises(ValueError, match=r"`question_embeds` has shape \(60, 5\)"):
        predictor.predict_proba(question_embeds[:, :5])


def test_a_given_category_is_used_and_an_unknown_one_is_read_from_the_text(predictor, splits):
    """A wrong category moves the prediction towards that category's LLMs; an unknown name changes nothing."""
    question_embeds, categories = splits[2].question_embeds, splits[2].responses.categories
    from_text = predictor.predict_proba(question_embeds)
    np.testing.assert_array_equal(predictor.predict_proba(question_embeds, ["new"] * 60), from_text)
    poetry = predictor.predict_proba(question_embeds, ["poetry"] * 60)
    logic = categories == "logic"
    assert (poetry[logic, 3:] > from_text[logic, 3:]).all()
    assert (poetry[logic, :3] < from_text[logic, :3]).all()
    mixed = predictor.predict_proba(question_embeds, ["poetry", *["new"] * 59])
    np.testing.assert_allclose(mixed[0], poetry[0], atol=1e-6)
    np.testing.assert_allclose(mixed[1:], from_text[1:], atol=1e-6)
    with pytest.raises(ValueError, match="`categories` has 2 entries, expected 60"):
        predictor.predict_proba(question_embeds, ["logic", "poetry"])


def test_another_order_of_llms_permutes_the_predictions(model, predictor, splits):
    """The pool in another order gives the same columns in that order."""
    order = [4, 2, 0, 5, 1, 3]
    other = model._of_pool([LLMS[column] for column in order], order)
    question_embeds = splits[2].question_embeds
    expected = predictor.predict_proba(question_embeds)[:, order]
    np.testing.assert_allclose(BlendedPredictor(other).predict_proba(question_embeds), expected, atol=1e-5)


def test_an_llm_without_known_answers_is_covered(model, predictor, splits):
    """A new LLM with the vector of another one gets the network's mean by category, no offset, and the others stay."""
    column = LLMS.index("lab/logic-a")
    grown = model.with_llm("lab/new", model.llm_embeds[column], model.llm_bias[column].item())
    table = category_table(grown, grown.known_questions, ("logic", "poetry"))
    np.testing.assert_array_equal(table[:, :6], category_table(model, model.known_questions, ("logic", "poetry")))
    known = model.known_questions
    probs = model.predict_proba(known.question_embeds.astype(np.float32))[:, column]
    logic = known.category_indices == known.categories.index("logic")
    np.testing.assert_allclose(table[:, 6], [probs[logic].mean(), probs[~logic].mean()], atol=1e-6)
    question_embeds = splits[2].question_embeds
    again = BlendedPredictor(grown).predict_proba(question_embeds)
    np.testing.assert_allclose(again[:, :6], predictor.predict_proba(question_embeds), atol=1e-6)
    assert ((again[:, 6] > 0) & (again[:, 6] < 1)).all()


def test_without_a_blend_or_known_questions_it_is_the_network(model, splits):
    """Both are needed; without them predictions are the network's, to the bit."""
    question_embeds = splits[2].question_embeds
    for missing in ("blend", "known_questions"):
        other = model._of_pool(list(LLMS), list(range(6)))
        setattr(other, missing, None)
        bare = BlendedPredictor(other)
        np.testing.assert_array_equal(bare.predict_proba(question_embeds), model.predict_proba(question_embeds))
        assert bare.question_sd == QUESTION_SD


def test_nearest_known_questions(model, predictor):
    """A known question is its own nearest one; without known questions there are none."""
    known = model.known_questions
    rows, cosines = predictor.nearest(known.question_embeds[:5].astype(np.float32), 3)
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(cosines[:, 0], 1, atol=1e-5)
    with pytest.raises(ValueError, match="keeps no known questions to compare with"):
        BlendedPredictor(EmbedLLM(model.config)).nearest(np.zeros((1, TEXT_DIM)), 3)


# --- fitting ---


def test_head_tells_the_topics(splits):
    """The softmax regression reads the topic of unseen questions from their vectors."""
    train, _, test = splits
    weight, bias = fit_category_head(train.question_embeds, train.responses.question_ids % 2, 2)
    predicted = (test.question_embeds @ weight + bias).argmax(axis=1)
    assert (predicted == test.responses.question_ids % 2).mean() > 0.95
    assert weight.dtype == bias.dtype == np.float32


def test_weights_are_found_again_from_many_answers():
    """Answers drawn from known weights give them back; without answers to speak of the prior stays."""
    generator = np.random.default_rng(0)
    features = [generator.normal(size=(4000, 50)) for _ in range(2)]
    responses = (generator.random((4000, 50)) < expit(0.8 * features[0] + 0.3 * features[1] - 0.2)).astype(float)
    responses[generator.random((4000, 50)) < 0.3] = np.nan
    prior = np.array([0.5, 0.5, 0.0])
    found = fit_weights(features, responses, np.ones_like(responses), prior)
    np.testing.assert_allclose(found, [0.8, 0.3, -0.2], atol=0.03)
    few = [feature[:1, :2] for feature in features]
    np.testing.assert_allclose(fit_weights(few, np.ones((1, 2)), np.ones((1, 2)), prior), prior, atol=0.002)
    nothing = fit_weights(features, responses, np.zeros_like(responses), prior)
    np.testing.assert_array_equal(nothing, prior)


def test_spread_of_questions_is_found_again():
    """Questions drawn with a small spread give it back; without spread it is near its least value."""
    generator = np.random.default_rng(0)
    for spread in (0.5, 0.0):
        own = spread * generator.normal(size=(5000, 1))
        probs = np.full((5000, 40), 0.5)
        responses = (generator.random(probs.shape) < expit(own + np.zeros(40))).astype(float)
        assert fit_question_sd(probs, responses) == pytest.approx(max(spread, 0.1), abs=0.05)


def test_table_by_hand():
    """Means in the category, drawn to the LLM's mean as by 10 answers, clipped."""
    known = KnownQuestions(
        keys=np.arange(3),
        question_ids=np.arange(3),
        question_embeds=np.eye(3, TEXT_DIM, dtype=np.float16),
        category_indices=np.array([0, 0, 1], np.int32),
        indptr=np.array([0, 2, 3, 4]),
        llm_indices=np.array([0, 1, 0, 0], np.int32),
        values=np.array([1, 0, 0, 1], np.float32),
        categories=("x", "y"),
    )
    model = EmbedLLM(EmbedLLMConfig(llm_names=["a", "b"], text_dim=TEXT_DIM, encoder_name="offline"))
    table = category_table(model, known, ("x", "y"))
    first = (1 + 10 * 2 / 3) / 12, (1 + 10 * 2 / 3) / 11
    asked_elsewhere = model.predict_proba(np.eye(3, TEXT_DIM)[2:])[0, 1]  # the network's word for what was not asked
    np.testing.assert_allclose(table, [[first[0], 0.01], [first[1], asked_elsewhere]], rtol=1e-6)
    untold = replace(known, category_indices=np.array([0, -1, 1], np.int32))
    assert category_table(model, untold, ("x",))[0, 0] == pytest.approx((1 + 10 * 2 / 3) / 11)


def test_without_validation_the_weights_are_the_priors(model):
    """The prior does without a validation split."""
    blend = fit_blend(model)
    assert blend.weights.tolist() == [0.65, 0.40, 0.50, 0.55, 0.0]
    assert blend.question_sd == QUESTION_SD
    np.testing.assert_array_equal(blend.category_weight, model.blend.category_weight)


def test_there_is_no_blend_where_the_network_alone_is_better(model, splits):
    """Responses drawn as the network says, beside known questions that say the opposite: None."""
    other = model._of_pool(list(LLMS), list(range(6)))
    known = model.known_questions
    probs = model.predict_proba(splits[1].question_embeds)
    assert fit_blend(other, splits[1].responses, splits[1].question_embeds) is not None
    other.known_questions = replace(known, values=1 - known.values)
    rows, columns = splits[1].responses.question_indices, splits[1].responses.llm_indices
    agreeing = replace(splits[1].responses, values=(probs[rows, columns] > 0.5).astype(np.float32))
    assert fit_blend(other, agreeing, splits[1].question_embeds) is None


def test_a_known_question_without_a_category_is_taken_along(model, splits):
    """One that came with a later LLM has none (-1): the head is fitted without it, and its residuals count."""
    other = model._of_pool(list(LLMS), list(range(6)))
    indices = model.known_questions.category_indices.copy()
    indices[:10] = -1
    other.known_questions = replace(model.known_questions, category_indices=indices)
    other.blend = fit_blend(other, splits[1].responses, splits[1].question_embeds)
    probs = BlendedPredictor(other).predict_proba(splits[2].question_embeds)
    assert np.abs(probs - BlendedPredictor(model).predict_proba(splits[2].question_embeds)).mean() < 0.05


def test_a_single_category_is_left_out(model, splits):
    """With one category for all there is no head, and prediction goes without."""
    other = model._of_pool(list(LLMS), list(range(6)))
    zeros = np.zeros_like(model.known_questions.category_indices)
    other.known_questions = replace(model.known_questions, category_indices=zeros, categories=("all",))
    other.blend = fit_blend(other, splits[1].responses, splits[1].question_embeds)
    assert (other.blend.categories, len(other.blend.base_weights), len(other.blend.weights)) == ((), 2, 4)
    truth = splits[2].responses.responses()
    plain, given = (
        BlendedPredictor(other).predict_proba(splits[2].question_embeds, categories)
        for categories in (None, ["all"] * 60)
    )
    np.testing.assert_array_equal(plain, given)
    assert metrics.accuracy(plain, truth) > 0.8


def test_what_cannot_be_blended_is_refused(model, splits):
    """No known questions, vectors that are missing or too few, other LLMs."""
    responses, question_embeds = splits[1].responses, splits[1].question_embeds
    with pytest.raises(ValueError, match="keeps no known questions, which the blend is made of"):
        fit_blend(EmbedLLM(model.config), responses, question_embeds)
    with pytest.raises(ValueError, match="`validation_embeds` is missing, expected 60"):
        fit_blend(model, responses)
    with pytest.raises(ValueError, match="`validation_embeds` is of 59 questions, expected 60"):
        fit_blend(model, responses, question_embeds[1:])
    with pytest.raises(ValueError, match="`validation` has other LLMs than the model"):
        fit_blend(model, responses.select(llms=LLMS[::-1]), question_embeds)


# --- files ---


def test_saved_with_the_model_and_loaded_it_is_the_same(model, predictor, splits, tmp_path):
    """The blend comes back to the bit, and so do predictions; a save without it removes the file."""
    model.save_pretrained(tmp_path)
    loaded = EmbedLLM.from_pretrained(tmp_path)
    for name, value in vars(model.blend).items():
        np.testing.assert_array_equal(getattr(loaded.blend, name), value)
    question_embeds = splits[2].question_embeds
    again = BlendedPredictor(loaded).predict_proba(question_embeds)
    np.testing.assert_array_equal(again, predictor.predict_proba(question_embeds))
    loaded.blend = None
    loaded.save_pretrained(tmp_path)
    assert not (tmp_path / Blend.FILE).exists()


@pytest.mark.parametrize("change", ["cut", "missing", "extra", "categories"])
def test_a_damaged_blend_is_refused(model, tmp_path, change):
    """The error names the file and the remedy."""
    model.blend.save(tmp_path)
    path = tmp_path / Blend.FILE
    arrays, metadata = load_file(path), {"categories": '["logic", "poetry"]'}
    if change == "missing":
        del arrays["weights"]
    elif change == "extra":
        arrays["more"] = np.zeros(1)
    elif change == "categories":
        metadata["categories"] = '["logic"]'
    save_file(arrays, path, metadata=metadata)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"blend\.safetensors: not a whole blend .*Train or fetch it again"):
        Blend.load(path)


def test_a_newcomer_moves_no_other_forecast(model, splits):
    """With one LLM onboarded the blended forecasts of all others stay, up to the rounding of a wider product."""
    before = BlendedPredictor(model).predict_proba(splits[2].question_embeds)
    answers = {int(question): number % 2 for number, question in enumerate(model.known_questions.question_ids[:20])}
    with_traits = copy.copy(model)
    with_traits.item_response = fit_item_response(model, calibrate=False)
    grown = onboard(with_traits, "lab/new", answers)
    after = BlendedPredictor(grown).predict_proba(splits[2].question_embeds)
    assert after.shape[1] == before.shape[1] + 1
    np.testing.assert_allclose(after[:, :-1], before, rtol=2e-6)
    smaller = grown.without_llm(LLMS[0])
    assert smaller.blend.among_fitted(smaller.config.n_llms).tolist() == [True] * (len(LLMS) - 1) + [False]
