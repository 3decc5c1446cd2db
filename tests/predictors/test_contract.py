"""What every predictor guarantees, run over the bare network, the whole model and all baselines alike."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from embedllm_hf import EmbedLLM, EncodedResponses
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.predictors import Predictor
from embedllm_hf.predictors.baselines import LLMCategoryMean, LLMMean, NearestQuestions
from embedllm_hf.predictors.stacked_fit import fit_blend
from tests.pool import LLMS, TEXT_DIM, make_split

ORDER = [3, 0, 5, 1, 4, 2]


def make_network(encoded: EncodedResponses) -> EmbedLLM:
    """An untrained model; the vector and bias of each LLM depend on its name, not on its column."""
    names = encoded.responses.llm_names
    model = EmbedLLM.from_encoder("offline", llm_names=names, text_dim=TEXT_DIM, embed_dim=4, noise_std=0.5)
    with torch.no_grad():
        for llm_index, name in enumerate(names):
            generator = torch.Generator().manual_seed(LLMS.index(name))
            model.llm_embedding.weight[llm_index] = torch.randn(4, generator=generator)
            model.llm_bias[llm_index] = torch.randn((), generator=generator)
    return model


def make_stacked(encoded: EncodedResponses) -> EmbedLLM:
    """The same with a bank and the weights of the priors."""
    model, bank = make_network(encoded), QuestionBank.from_responses(encoded)
    return model.with_bank(replace(bank, blend=fit_blend(model, bank)))


FITS: dict[str, Callable[[EncodedResponses], Predictor]] = {
    "network": make_network,
    "stacked": make_stacked,
    "llm_mean": lambda encoded: LLMMean.fit(QuestionBank.from_responses(encoded)),
    "llm_category_mean": lambda encoded: LLMCategoryMean.fit(QuestionBank.from_responses(encoded)),
    "knn": lambda encoded: NearestQuestions.fit(QuestionBank.from_responses(encoded)),
}
TRAIN, TEST = make_split(300), make_split(30, first_id=300)
ASKED = (TEST.question_embeds, TEST.responses.categories)


@pytest.fixture(params=list(FITS))
def fit(request) -> Callable[[EncodedResponses], Predictor]:
    return FITS[request.param]


@pytest.fixture
def predictor(fit) -> Predictor:
    return fit(TRAIN)


@pytest.fixture
def probs(predictor) -> np.ndarray:
    return predictor.predict_proba(*ASKED)


def test_one_row_a_question_one_column_an_llm(probs):
    """The shape is `(n_questions, n_llms)`."""
    assert probs.shape == (30, 6)


def test_values_are_probabilities_and_not_all_the_same(probs):
    """Every value lies in (0, 1), and LLMs differ."""
    assert ((probs > 0) & (probs < 1)).all()
    assert len(np.unique(probs[0])) == 6


def test_a_batch_is_its_questions_one_by_one(predictor, probs):
    """A question's probabilities do not depend on what it is asked with."""
    for row in range(len(probs)):
        alone = predictor.predict_proba(*(values[[row]] for values in ASKED))
        np.testing.assert_allclose(alone[0], probs[row], rtol=1e-5)


def test_many_questions_are_as_few(predictor, probs):
    """More of them than are worked on at once."""
    many = predictor.predict_proba(np.tile(TEST.question_embeds, (20, 1)), np.tile(TEST.responses.categories, 20))
    np.testing.assert_allclose(many, np.tile(probs, (20, 1)), rtol=1e-5)


def test_asking_twice_gives_the_same(predictor, probs):
    """Prediction has no randomness, noise in training or not."""
    np.testing.assert_array_equal(predictor.predict_proba(*ASKED), probs)


def test_the_order_of_the_llms_permutes_the_columns(fit, probs):
    """Fitted on the pool in another order, each LLM keeps its probabilities."""
    other = fit(TRAIN.select(llms=[LLMS[i] for i in ORDER])).predict_proba(*ASKED)
    np.testing.assert_allclose(other, probs[:, ORDER], rtol=1e-5)


def test_the_order_of_the_training_questions_does_not_matter(fit, probs):
    """Fitted on the training questions backwards, the probabilities are the same."""
    other = fit(TRAIN.select(np.arange(300)[::-1])).predict_proba(*ASKED)
    np.testing.assert_allclose(other, probs, rtol=1e-4)  # the category head is fitted by steps


def test_inputs_stay_as_they_were(fit):
    """Neither fitting nor predicting writes into what it was given."""
    train = replace(TRAIN, question_embeds=TRAIN.question_embeds.copy())
    embeds, categories = (values.copy() for values in ASKED)
    fit(train).predict_proba(embeds, categories)
    np.testing.assert_array_equal(train.question_embeds, TRAIN.question_embeds)
    np.testing.assert_array_equal(embeds, TEST.question_embeds)
    np.testing.assert_array_equal(categories, TEST.responses.categories)


def test_the_prediction_is_the_callers_own(predictor, probs):
    """Writing into a prediction does not change the next one."""
    expected = probs.copy()
    probs[:] = 0.5
    np.testing.assert_array_equal(predictor.predict_proba(*ASKED), expected)


def test_text_vectors_may_be_of_double_precision(predictor, probs):
    """float64 vectors give the same as float32."""
    doubled = predictor.predict_proba(TEST.question_embeds.astype(np.float64), TEST.responses.categories)
    np.testing.assert_allclose(doubled, probs, rtol=1e-5)


def test_no_questions_give_no_rows(predictor):
    """Nothing asked, nothing predicted, still one column an LLM."""
    nothing = predictor.predict_proba(np.empty((0, TEXT_DIM), np.float32), np.empty(0, object))
    assert nothing.shape == (0, 6)


@pytest.mark.parametrize("name", ["network", "stacked", "knn"])
def test_vectors_of_the_wrong_width_are_refused(name):
    """Who looks at text vectors names the argument, the width found and the width expected."""
    with pytest.raises(ValueError, match=r"`question_embeds` has shape \(2, 5\).*8"):
        FITS[name](TRAIN).predict_proba(np.ones((2, 5), np.float32))
