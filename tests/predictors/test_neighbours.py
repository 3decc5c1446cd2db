"""The index of very many known questions: it finds what the matrix product finds, and predictions stay."""

import logging

import numpy as np
import pytest
from embedllm_hf.predictors.vector_index import VectorIndex

from embedllm_hf import EmbedLLM, EmbedLLMConfig
from embedllm_hf.bank.question_bank import KnownQuestions
from embedllm_hf.predictors import vector_index
from embedllm_hf.predictors.baselines import unit_rows
from embedllm_hf.predictors.neighbours import nearest_rows
from embedllm_hf.predictors.stacked import BlendedPredictor, fit_blend
from tests.pool import LLMS, TEXT_DIM, make_split


def clustered(n: int, width: int = 24) -> np.ndarray:
    """Vectors of length 1 around 50 topics."""
    generator = np.random.default_rng(0)
    topics = generator.normal(size=(50, width))
    return unit_rows(topics[generator.integers(0, 50, n)] + 0.6 * generator.normal(size=(n, width))).astype(np.float32)


@pytest.fixture
def small_limit(monkeypatch) -> None:
    """Banks of more than 100 vectors get an index, as those of more than a million do."""
    monkeypatch.setattr(vector_index, "LARGEST_EXACT", 100)


def test_up_to_the_limit_the_search_is_exact_without_an_index():
    """The matrix product's rows, and no index is built."""
    bank = clustered(300)
    index = VectorIndex(bank)
    assert index._lists is None
    for found, expected in zip(index.nearest(bank[:9], 7), nearest_rows(bank[:9], bank, 7), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("small_limit")
def test_both_searches_agree():
    """Where all lists are looked into they are the same; in a larger bank the index misses few, with exact cosines."""
    bank = np.concatenate([clustered(500)] * 2)  # 32 lists; of equal vectors the first one comes first
    for found, expected in zip(
        VectorIndex(bank).nearest(bank[:99], 40), nearest_rows(bank[:99], bank, 40), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    bank = clustered(20_000)  # 141 lists
    index, questions = VectorIndex(bank), clustered(20_200)[20_000:]
    assert index._lists.nlist == 141
    rows, cosines = index.nearest(questions, 64)
    exact, _ = nearest_rows(questions, bank, 64)
    shared = [len(set(ours) & set(theirs)) / 64 for ours, theirs in zip(rows.tolist(), exact.tolist(), strict=True)]
    assert np.mean(shared) > 0.95
    np.testing.assert_allclose(cosines, (bank[rows] @ questions[:, :, None])[..., 0], atol=1e-6)
    assert (np.diff(cosines, axis=1) <= 0).all()
    again = index.nearest(questions[5:6], 64)
    np.testing.assert_array_equal(again[0][0], rows[5])


@pytest.mark.usefixtures("small_limit")
def test_lists_that_hold_too_few_are_made_up_for():
    """As many as were asked for come back, those of the exact search."""
    bank = clustered(5000)
    rows, _ = VectorIndex(bank).nearest(bank[:3], 4990)
    assert rows.shape == (3, 4990)
    assert (rows >= 0).all()
    np.testing.assert_array_equal(rows, nearest_rows(bank[:3], bank, 4990)[0])


@pytest.mark.usefixtures("small_limit")
def test_a_blend_predicts_through_the_index():
    """A model with more known questions than the limit predicts and explains as by exact search."""
    train, test = make_split(160), make_split(30, first_id=160, seed=1)
    model = EmbedLLM(EmbedLLMConfig(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4, encoder_name="offline"))
    model.known_questions = KnownQuestions.from_responses(train.responses, train.question_embeds)
    model.blend = fit_blend(model)
    indexed = BlendedPredictor(model)
    probs, near = indexed.predict_proba(test.question_embeds), indexed.nearest(test.question_embeds, 5)
    assert indexed._bank.index._lists is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_index, "LARGEST_EXACT", 1000)
        exact = BlendedPredictor(model)
        np.testing.assert_allclose(probs, exact.predict_proba(test.question_embeds), atol=1e-6)
        np.testing.assert_array_equal(near[0], exact.nearest(test.question_embeds, 5)[0])


@pytest.mark.usefixtures("small_limit")
def test_without_the_extra_the_search_stays_exact(monkeypatch, caplog):
    """A warning says what would help."""
    monkeypatch.setattr(vector_index, "find_spec", lambda name: None)
    bank = clustered(300)
    with caplog.at_level(logging.WARNING):
        rows, _ = VectorIndex(bank).nearest(bank[:4], 3)
    np.testing.assert_array_equal(rows, nearest_rows(bank[:4], bank, 3)[0])
    assert 'Searching 300 known questions one by one; pip install "embedllm_hf[index]"' in caplog.text
