"""What every predictor promises, run over EmbedLLM and all baselines alike."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from embedllm_hf import EmbedLLM, EmbedLLMConfig, ResponseMatrix
from embedllm_hf.predictors.baselines import LLMCategoryMean, LLMMean, NearestQuestions, Predictor
from tests.pool import LLMS, TEXT_DIM, make_split

ORDER = [3, 0, 5, 1, 4, 2]


class ModelAsPredictor:
    """An EmbedLLM with the signature of the protocol; it does not look at categories."""

    def __init__(self, model: EmbedLLM) -> None:
        self.model = model

    def predict_proba(self, question_embeds: np.ndarray, categories: np.ndarray | None = None) -> np.ndarray:
        return self.model.predict_proba(question_embeds)


def make_model(responses: ResponseMatrix, question_embeds: np.ndarray) -> ModelAsPredictor:
    """An untrained model; the vector and bias of each LLM depend on its name, not on its column."""
    torch.manual_seed(0)
    model = EmbedLLM(EmbedLLMConfig(llm_names=responses.llm_names, text_dim=TEXT_DIM, embed_dim=4, noise_std=0.5))
    with torch.no_grad():
        for column, name in enumerate(responses.llm_names):
            generator = torch.Generator().manual_seed(LLMS.index(name))
            model.llm_embedding.weight[column] = torch.randn(4, generator=generator)
            model.llm_bias[column] = torch.randn((), generator=generator)
        for parameter in (*model.question_proj.parameters(), *model.classifier.parameters()):
            generator = torch.Generator().manual_seed(parameter.numel())
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return ModelAsPredictor(model)


FITS: dict[str, Callable[[ResponseMatrix, np.ndarray], Predictor]] = {
    "embedllm": make_model,
    "llm_mean": lambda responses, _: LLMMean.fit(responses),
    "llm_category_mean": lambda responses, _: LLMCategoryMean.fit(responses),
    "knn": NearestQuestions.fit,
}
TRAIN, TEST = make_split(300), make_split(30, first_id=300)


@pytest.fixture(params=list(FITS))
def fit(request) -> Callable[[ResponseMatrix, np.ndarray], Predictor]:
    return FITS[request.param]


@pytest.fixture
def predictor(fit) -> Predictor:
    return fit(TRAIN.responses, TRAIN.question_embeds)


@pytest.fixture
def probs(predictor) -> np.ndarray:
    return predictor.predict_proba(TEST.question_embeds, TEST.responses.categories)


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
        alone = predictor.predict_proba(TEST.question_embeds[[row]], TEST.responses.categories[[row]])
        np.testing.assert_allclose(alone[0], probs[row], rtol=1e-5)


def test_asking_twice_gives_the_same(predictor, probs):
    """Prediction has no randomness, noise in training or not."""
    again = predictor.predict_proba(TEST.question_embeds, TEST.responses.categories)
    np.testing.assert_array_equal(again, probs)


def test_the_order_of_the_llms_permutes_the_columns(fit, probs):
    """Fitted on the pool in another order, each LLM keeps its probabilities."""
    permuted = fit(TRAIN.responses.select(llms=[LLMS[i] for i in ORDER]), TRAIN.question_embeds)
    other = permuted.predict_proba(TEST.question_embeds, TEST.responses.categories)
    np.testing.assert_allclose(other, probs[:, ORDER], rtol=1e-5)


def test_the_order_of_the_training_questions_does_not_matter(fit, probs):
    """Fitted on the training questions backwards, the probabilities are the same."""
    backwards = np.arange(300)[::-1]
    other = fit(TRAIN.responses.select(backwards), TRAIN.question_embeds[backwards])
    again = other.predict_proba(TEST.question_embeds, TEST.responses.categories)
    np.testing.assert_allclose(again, probs, rtol=1e-5)


def test_inputs_stay_as_they_were(fit):
    """Neither fitting nor predicting writes into what it was given."""
    train_embeds, embeds = TRAIN.question_embeds.copy(), TEST.question_embeds.copy()
    categories = TEST.responses.categories.copy()
    fit(TRAIN.responses, train_embeds).predict_proba(embeds, categories)
    np.testing.assert_array_equal(train_embeds, TRAIN.question_embeds)
    np.testing.assert_array_equal(embeds, TEST.question_embeds)
    np.testing.assert_array_equal(categories, TEST.responses.categories)


def test_the_prediction_is_the_callers_own(predictor, probs):
    """Writing into a prediction does not change the next one."""
    expected = probs.copy()
    probs[:] = 0.5
    again = predictor.predict_proba(TEST.question_embeds, TEST.responses.categories)
    np.testing.assert_array_equal(again, expected)


def test_text_vectors_may_be_of_double_precision(predictor, probs):
    """float64 vectors give the same as float32."""
    doubled = predictor.predict_proba(TEST.question_embeds.astype(np.float64), TEST.responses.categories)
    np.testing.assert_allclose(doubled, probs, rtol=1e-5)


def test_no_questions_give_no_rows(predictor):
    """Nothing asked, nothing predicted, still one column an LLM."""
    nothing = predictor.predict_proba(np.empty((0, TEXT_DIM), np.float32), np.empty(0, object))
    assert nothing.shape == (0, 6)


@pytest.mark.parametrize("name", ["embedllm", "knn"])
def test_vectors_of_the_wrong_width_are_refused(name):
    """Who looks at text vectors names the argument, the width found and the width expected."""
    predictor = FITS[name](TRAIN.responses, TRAIN.question_embeds)
    with pytest.raises(ValueError, match=r"`question_embeds` has shape \(2, 5\).*8"):
        predictor.predict_proba(np.ones((2, 5), np.float32))
