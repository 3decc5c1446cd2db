"""The static encoder: its vectors are those of its formula, it loads as any encoder, and the command line makes it."""

import numpy as np
import pytest
from scipy import sparse

from embedllm_hf import EmbedLLM, EmbedLLMConfig, QuestionEncoder
from embedllm_hf.cli import main
from embedllm_hf.data.planted import planted_pool
from embedllm_hf.encoding.distill import RIDGE, SMOOTHING, distill_encoder, fit_token_vectors
from embedllm_hf.encoding.guest import encoder_digest
from tests.tiny_encoder import save_tiny_encoder

TEXTS = [str(text) for text in planted_pool("test").questions]  # topic after topic
HELD_OUT, FITTED = TEXTS[::8], [text for number, text in enumerate(TEXTS) if number % 8]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> QuestionEncoder:
    return QuestionEncoder("offline", cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def static(encoder, tmp_path_factory) -> QuestionEncoder:
    folder = tmp_path_factory.mktemp("static")
    distill_encoder(encoder, folder / "static", FITTED)
    return QuestionEncoder(str(folder / "static"), cache_dir=folder / "cache")


def test_token_vectors_are_those_of_the_formula():
    """Ridge regression of text vectors on shares of tokens, solved here densely; an unused token is the mean."""
    generator = np.random.default_rng(0)
    counts = generator.poisson(0.4, (30, 12)).astype(np.float32)
    counts[:, 0], counts[:, 5] = 1, 0
    embeds = generator.normal(size=(30, 4)).astype(np.float32)
    frequency = counts.sum(axis=0) / counts.sum()
    scale = SMOOTHING / (SMOOTHING + frequency)
    shares = counts / counts.sum(axis=1, keepdims=True) * scale
    ridge = RIDGE * (shares**2).sum() / 30
    mean = embeds.mean(axis=0)
    expected = np.linalg.solve(shares.T @ shares + ridge * np.eye(12), shares.T @ (embeds - mean))
    found = fit_token_vectors(sparse.csr_array(counts), embeds)
    np.testing.assert_allclose(found, scale[:, None] * expected + mean, atol=1e-3)
    np.testing.assert_allclose(found[5], mean, atol=1e-6)
    assert found.dtype == np.float32


def test_it_reads_texts_of_any_length(static):
    """So none is cut off."""
    assert static.cut_texts(["a word and another " * 500]) == []


def test_it_comes_close_to_the_encoder(encoder, static):
    """On texts that it was not fitted on, its vectors are nearer to the encoder's than other texts' vectors are."""
    truth, vectors = encoder.encode(HELD_OUT), static.encode(HELD_OUT)
    cosines = vectors @ truth.T
    assert np.diag(cosines).mean() > 0.6
    assert np.diag(cosines).mean() > cosines.mean() + 0.2


def test_it_is_an_encoder_like_any_other(encoder, static):
    """Vectors are `(n, text_dim)` float32 of length 1, and a text of any length is read whole."""
    vectors = static.encode(TEXTS[:3])
    assert vectors.shape == (3, encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    ends = static.encode(["salmon " * 600 + end for end in ("wine " * 50, "river " * 50)])
    assert ends[0] @ ends[1] < 0.9999
    np.testing.assert_allclose(
        static.encode(["What is 17 by 4? " * 100]), static.encode(["What is 17 by 4? "]), atol=1e-5
    )


def test_no_texts_are_refused(encoder, tmp_path):
    """Nothing can be learned from no texts, and nothing is written."""
    with pytest.raises(ValueError, match="`questions` is empty"):
        distill_encoder(encoder, tmp_path / "static", [])
    assert not any(tmp_path.iterdir())


def test_the_verb_makes_a_folder_that_encodes(encoder, tmp_path, capsys):
    """`embedllm distill` takes a model's own encoder and the questions of a data set."""
    config = EmbedLLMConfig(llm_names=["lab/a", "lab/b"], text_dim=384, encoder_name="offline")
    EmbedLLM(config).save_pretrained(tmp_path / "model")
    options = ["--model", str(tmp_path / "model"), "--dataset", "planted", "--output_dir", str(tmp_path / "static")]
    assert main(["distill", *options]) == 0
    assert f"embedllm train --encoder {tmp_path / 'static'}" in capsys.readouterr().out
    made = QuestionEncoder(str(tmp_path / "static"), cache_dir=tmp_path / "cache").encode(TEXTS[:20])
    cosines = made @ encoder.encode(TEXTS[:20]).T
    assert np.diag(cosines).mean() > cosines.mean() + 0.2


def test_an_encoder_in_the_folder_is_replaced_whole_and_only_when_asked(encoder, tmp_path):
    """Nothing of the older one stays, what is the user's does; without a word it is refused before any work."""
    folder = save_tiny_encoder(tmp_path)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"encoder holds an encoder already.*--overwrite_output_dir"):
        distill_encoder(encoder, folder, FITTED)
    distill_encoder(encoder, folder, FITTED, overwrite=True)
    distill_encoder(encoder, tmp_path / "new", FITTED)
    assert encoder_digest(folder) == encoder_digest(tmp_path / "new")
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in (tmp_path / "new").iterdir()} | {"notes.txt"}
