"""Files of text vectors: written and read, and what is refused."""

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.numpy import save_file

from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.data.texts import question_keys
from embedllm_hf.encoding.embeddings_file import read_embeddings, save_embeddings

IDS = np.array([30, 10, 20])
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)
TENSORS = {"question_embeddings": VECTORS, "prompt_id": IDS}


def read(path, ids=IDS, keys=None):
    """The vectors of some questions; of those whose keys are not told, by id."""
    return read_embeddings(path, ids, np.zeros(len(ids), np.int64) if keys is None else keys)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "vectors.safetensors"
    save_embeddings(path, VECTORS, IDS, EncoderId("user/encoder", "r1"))
    return path


def test_vectors_come_in_the_order_of_the_ids_asked_for(file):
    """Each id has its own vector, whatever the order in the file, as float32; ids may be left out."""
    vectors, encoder = read(file, np.array([10, 20, 30]))
    np.testing.assert_array_equal(vectors, VECTORS[[1, 2, 0]])
    assert vectors.dtype == np.float32
    assert encoder == EncoderId("user/encoder")
    np.testing.assert_array_equal(read(file, np.array([20]))[0], VECTORS[[2]])


def test_a_text_finds_its_own_vector_whatever_its_id(tmp_path):
    """Where two splits use one id for two texts, ids would join them; a file that knows the texts does not."""
    path, keys = tmp_path / "v.safetensors", question_keys(["one", "two ", "three"])
    save_embeddings(path, VECTORS, IDS, EncoderId("user/encoder"), keys)
    asked = question_keys(["two", "one\r\n"])
    np.testing.assert_array_equal(read(path, np.array([30, 10]), asked)[0], VECTORS[[1, 0]])
    with pytest.raises(ValueError, match="no vector for 1 of 1 questions, that of `prompt_id` `30`"):
        read(path, np.array([30]), question_keys(["four"]))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"sha256"', b'"sha255"'))  # without a name, the hash is not looked at
    with pytest.raises(ValueError, match="damaged"):
        read(path, IDS, keys)
    damaged = bytearray(whole)
    damaged[damaged.index(keys.tobytes())] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged"):
        read(path, IDS, keys)


def test_a_file_keeps_half_precision_and_the_published_name(tmp_path):
    """What is written reads back within the rounding of float16; `offline` is named as the encoder that it wraps."""
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    save_embeddings(tmp_path / "v.safetensors", vectors, np.arange(5), EncoderId("offline"))
    found, encoder = read(tmp_path / "v.safetensors", np.arange(5))
    np.testing.assert_array_equal(found, vectors.astype(np.float16).astype(np.float32))
    assert encoder == EncoderId("sentence-transformers/all-MiniLM-L6-v2")


def test_a_file_may_name_no_encoder(tmp_path):
    """Without metadata there is none to compare."""
    save_file(TENSORS, tmp_path / "v.safetensors")
    vectors, encoder = read(tmp_path / "v.safetensors", IDS)
    np.testing.assert_array_equal(vectors, VECTORS)
    assert encoder is None


def test_questions_without_a_vector_are_counted_and_named(file):
    """Ids that the file lacks are refused with how many and which; so is an empty file of vectors."""
    with pytest.raises(ValueError, match=r"vectors\.safetensors: no vector for 2 of 3 questions, .*`15`, `99`"):
        read(file, np.array([10, 15, 99]))
    save_file({"question_embeddings": np.empty((0, 4)), "prompt_id": np.empty(0, np.int64)}, file)
    with pytest.raises(ValueError, match="no vector for 1 of 1 questions"):
        read(file, np.array([10]))


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(file, kept):
    """A file cut anywhere is named, with the remedy."""
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"vectors\.safetensors: not a whole safetensors file .*again"):
        read(file, IDS)


@pytest.mark.parametrize("missing", list(TENSORS))
def test_a_missing_tensor_is_named(tmp_path, missing):
    """The message has the missing tensor, those found and those expected."""
    tensors = {**TENSORS, "other": IDS}
    del tensors[missing]
    save_file(tensors, tmp_path / "v.safetensors")
    with pytest.raises(ValueError, match=rf"v\.safetensors: tensor `{missing}` is missing; found .*`other`"):
        read(tmp_path / "v.safetensors", IDS)


@pytest.mark.parametrize("vectors", [VECTORS[:2], np.zeros((4, 4), np.float32), np.zeros(3, np.float32)])
def test_vectors_that_do_not_fit_their_ids_are_refused(tmp_path, vectors):
    """Fewer or more vectors than ids, or numbers in place of vectors, are not paired with questions by chance."""
    save_file({"question_embeddings": vectors, "prompt_id": IDS}, tmp_path / "v.safetensors")
    with pytest.raises(ValueError, match=r"v\.safetensors: .*`question_embeddings` has shape"):
        read(tmp_path / "v.safetensors", IDS)


def test_a_file_that_is_not_there_is_named(tmp_path):
    """The option and the path are in the message."""
    with pytest.raises(FileNotFoundError, match=r"`question_embeddings`: there is no file .*none\.safetensors"):
        read(tmp_path / "none.safetensors", IDS)


def test_damage_is_found_wherever_it_is(file):
    """A flipped bit of a vector, an id or the encoder's name."""
    whole = file.read_bytes()
    for position in range(len(whole) - 70, len(whole)):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(ValueError, match="damaged, its content is not what was written"):
            read(file, IDS)
    file.write_bytes(whole.replace(b"user/encoder", b"user/encodes"))
    with pytest.raises(ValueError, match="damaged"):
        read(file, IDS)


def test_the_same_vectors_make_the_same_file(file, tmp_path):
    """To the byte."""
    save_embeddings(tmp_path / "again.safetensors", VECTORS, IDS, EncoderId("user/encoder", "r1"))
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_numbers_that_half_precision_does_not_hold_are_kept(tmp_path):
    """They are written as float32, not as infinity."""
    path = tmp_path / "v.safetensors"
    save_embeddings(path, VECTORS * 1e5, IDS, EncoderId("user/encoder"))
    np.testing.assert_array_equal(read(path, IDS)[0], VECTORS * np.float32(1e5))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_named_with_its_question(tmp_path, value):
    """In writing as in reading; a question that is not asked for does not count."""
    wrong, path = VECTORS.copy(), tmp_path / "v.safetensors"
    wrong[1, 2] = value
    with pytest.raises(ValueError, match=r"`question_embeds` holds NaN or infinity for 1 of 3 questions, .* 10 for"):
        save_embeddings(path, wrong, IDS, EncoderId("user/encoder"))
    save_file(TENSORS | {"question_embeddings": wrong}, path)
    with pytest.raises(
        ValueError, match=r"v\.safetensors: .* holds NaN or infinity for 1 of 3 questions, `prompt_id` 10"
    ):
        read(path, IDS)
    assert len(read(path, np.array([20, 30]))[0]) == 2


def test_bfloat16_is_read(tmp_path):
    """As other libraries write it."""
    path = tmp_path / "v.safetensors"
    tensors = {"question_embeddings": torch.tensor(VECTORS).bfloat16(), "prompt_id": torch.tensor(IDS)}
    safetensors.torch.save_file(tensors, path)
    np.testing.assert_array_equal(read(path, IDS)[0], VECTORS)


def test_a_byte_a_number_is_close(tmp_path):
    """Within half a step of each vector's own scale; a scale too few, or one for other vectors, is refused."""
    from safetensors.numpy import load_file, save_file

    path, vectors = tmp_path / "v.safetensors", np.random.default_rng(1).normal(size=(50, 30)).astype(np.float32)
    vectors[3] = 0
    save_embeddings(path, vectors, np.arange(50), EncoderId("user/encoder"), int8=True)
    found, _ = read(path, np.arange(50))
    assert (np.abs(found - vectors) <= np.abs(vectors).max(axis=1, keepdims=True) / 127 * 0.501).all()
    whole = load_file(path)
    assert whole["question_embeddings"].dtype == np.int8
    del whole["sha256"]  # as in a file of others
    for wrong in (
        {**whole, "scale": whole["scale"][1:]},
        {**whole, "question_embeddings": found},
        {name: value for name, value in whole.items() if name != "scale"},
    ):
        save_file(wrong, path)
        with pytest.raises(ValueError, match="expected a `scale` for each vector of int8"):
            read(path, np.arange(50))
