"""The search for the nearest known questions, exact and by index, and what their residuals show, by hand."""

import logging

import numpy as np
import pytest
from scipy import sparse

from embedllm_hf.predictors import neighbours
from embedllm_hf.predictors.neighbours import Neighbours, difficulty_offsets, llm_offsets, normalise
from tests.pool import make_split, trained_model


def clustered(n: int, width: int = 24) -> np.ndarray:
    """Vectors of length 1 around 50 topics."""
    generator = np.random.default_rng(0)
    topics = generator.normal(size=(50, width))
    return normalise(topics[generator.integers(0, 50, n)] + 0.6 * generator.normal(size=(n, width)))


@pytest.fixture
def small_limit(monkeypatch) -> None:
    """More than 100 known questions get an index, as more than a million do."""
    monkeypatch.setattr(neighbours, "LARGEST_EXACT", 100)


def exact(embeds: np.ndarray) -> Neighbours:
    """The exact search, whatever the limit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "LARGEST_EXACT", 1_000_000)
        return Neighbours(embeds)


# --- the search ---


def test_vectors_are_scaled_to_length_one():
    """As float32, whatever they come in; a zero row stays zero."""
    scaled = normalise(np.array([[3, 4], [0, 0]], np.float16))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_the_nearest_are_those_of_a_sort():
    """The search agrees with sorting all cosines, whatever the lengths, and gives all of a few known questions."""
    generator = np.random.default_rng(0)
    known, questions = (generator.normal(size=(n, 5)).astype(np.float32) for n in (40, 700))
    cosines = normalise(questions) @ normalise(known).T
    rows, found = Neighbours(known).nearest(normalise(questions), 7)
    np.testing.assert_array_equal(rows, np.argsort(-cosines, axis=1)[:, :7])
    np.testing.assert_allclose(found, np.sort(cosines, axis=1)[:, :-8:-1], atol=1e-6)
    assert Neighbours(known[:3]).nearest(questions[:2], 7)[0].shape == (2, 3)


def test_equally_near_rows_come_in_their_order():
    """Of rows that are equally near the first comes first."""
    known = Neighbours(np.array([[0, 1.0], [1, 0], [0, 1], [1, 0]]))
    assert known.nearest(np.array([[1.0, 0]]), 4)[0].tolist() == [[1, 3, 0, 2]]


# --- the index ---


def test_up_to_the_limit_there_is_no_index(monkeypatch):
    """It is built from the first question beyond."""
    known = clustered(300)
    monkeypatch.setattr(neighbours, "LARGEST_EXACT", 300)
    assert Neighbours(known)._lists is None
    monkeypatch.setattr(neighbours, "LARGEST_EXACT", 299)
    assert Neighbours(known)._lists is not None


@pytest.mark.usefixtures("small_limit")
def test_both_searches_agree():
    """Where all lists are looked into they are the same; among more the index misses few, with exact cosines."""
    known = np.concatenate([clustered(500)] * 2)  # 32 lists; of equal vectors the first one comes first
    both = (search.nearest(known[:99], 40) for search in (Neighbours(known), exact(known)))
    for found, expected in zip(*both, strict=True):
        np.testing.assert_array_equal(found, expected)
    known = clustered(20_000)  # 141 lists
    index, questions = Neighbours(known), clustered(20_200)[20_000:]
    assert index._lists.nlist == 141
    rows, cosines = index.nearest(questions, 64)
    expected, _ = exact(known).nearest(questions, 64)
    shared = [len(set(ours) & set(theirs)) / 64 for ours, theirs in zip(rows.tolist(), expected.tolist(), strict=True)]
    assert np.mean(shared) > 0.95
    np.testing.assert_allclose(cosines, (known[rows] @ questions[:, :, None])[..., 0], atol=1e-6)
    assert (np.diff(cosines, axis=1) <= 0).all()
    np.testing.assert_array_equal(index.nearest(questions[5:6], 64)[0][0], rows[5])


@pytest.mark.usefixtures("small_limit")
def test_lists_that_hold_too_few_are_made_up_for():
    """As many as were asked for come back, those of the exact search."""
    known = clustered(5000)
    rows, _ = Neighbours(known).nearest(known[:3], 4990)
    assert rows.shape == (3, 4990)
    np.testing.assert_array_equal(rows, exact(known).nearest(known[:3], 4990)[0])


def test_a_model_predicts_through_the_index(tmp_path, monkeypatch):
    """A model with more known questions than the limit predicts and explains as by exact search."""
    model, embeds = trained_model(tmp_path), make_split(30, first_id=160, seed=1).question_embeds
    probs, near = model.predict_proba(embeds), model.predictor.nearest(embeds, 5)
    monkeypatch.setattr(neighbours, "LARGEST_EXACT", 79)
    indexed = model.with_bank(model.bank)
    np.testing.assert_allclose(indexed.predict_proba(embeds), probs, atol=1e-6)
    assert indexed.predictor._neighbours._lists is not None
    np.testing.assert_array_equal(indexed.predictor.nearest(embeds, 5)[0], near[0])


@pytest.mark.usefixtures("small_limit")
def test_without_the_extra_the_search_stays_exact(monkeypatch, caplog):
    """A warning says what would help."""
    monkeypatch.setattr(neighbours, "find_spec", lambda name: None)
    known = clustered(300)
    with caplog.at_level(logging.WARNING):
        rows, _ = Neighbours(known).nearest(known[:4], 3)
    np.testing.assert_array_equal(rows, exact(known).nearest(known[:4], 3)[0])
    assert 'Searching 300 known questions one by one; pip install "embedllm_hf[index]"' in caplog.text


# --- what the neighbours show ---


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
    known = np.array([[1.0, 0], [0.6, 0.8]])
    one = difficulty_offsets(np.array([[0]]), np.array([[0.8]]), known[:1], np.array([3.0]), np.array([2.0]))
    assert one[0] == pytest.approx(0.6 * np.exp(-0.8) / (0.6 + 0.5) * 1.5)
    sums, curvatures = np.array([3.0, -1.0]), np.array([2.0, 4.0])
    kernel = 0.6 * np.exp((known @ known.T - 1) / 0.25) + np.diag(1 / curvatures)
    to_question = 0.6 * np.exp((np.array([0.8, 0.5]) - 1) / 0.25)
    expected = to_question @ np.linalg.inv(kernel) @ (sums / curvatures)
    both = difficulty_offsets(np.array([[0, 1]]), np.array([[0.8, 0.5]]), known, sums, curvatures)
    assert both[0] == pytest.approx(expected)
    nobody = difficulty_offsets(np.array([[0]]), np.array([[1.0]]), known[:1], np.zeros(1), np.zeros(1))
    assert nobody[0] == 0
