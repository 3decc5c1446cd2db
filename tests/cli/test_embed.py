"""Embedding a data set's questions: one vector each, resumable, shared over processes."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from embedllm_hf import QuestionEncoder, load_responses
from embedllm_hf.cli import main
from embedllm_hf.data.sources import SPLIT_NAMES
from embedllm_hf.encoding.question_encoder import load_question_embeddings

from .launching import run_on_one_and_on_two

OPTIONS = ["--dataset", "planted", "--encoder", "offline"]


def test_each_question_once(tmp_path, capsys):
    """The file has every question of every split once, with its vector, and names the encoder."""
    file = tmp_path / "vectors.safetensors"
    assert main(["embed", *OPTIONS, "--output", str(file)]) == 0
    assert "944 questions, 384 wide, by sentence-transformers/all-MiniLM-L6-v2" in capsys.readouterr().out
    assert len(set(load_file(file)["prompt_id"].tolist())) == 944
    for split in SPLIT_NAMES:
        responses = load_responses("planted", split=split)
        vectors = load_question_embeddings(file, responses.question_ids, encoder_name="offline")
        expected = QuestionEncoder("offline").encode(responses.questions)
        np.testing.assert_allclose(vectors, expected, atol=1e-3)  # the file is float16


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
    np.testing.assert_allclose(
        vectors, QuestionEncoder("offline", cache_dir=tmp_path / "new").encode(texts), atol=1e-6
    )


@pytest.mark.slow
def test_two_processes_make_the_file_of_one(tmp_path):
    """Shared over two CPU processes, the file is that of one process."""
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    run_on_one_and_on_two(*(["embed", *OPTIONS, "--output", str(file)] for file in files))
    one, two = map(load_file, files)
    np.testing.assert_array_equal(one["prompt_id"], two["prompt_id"])
    np.testing.assert_allclose(one["question_embeddings"], two["question_embeddings"], atol=1e-3)


def test_a_file_that_cannot_be_written_is_named(tmp_path, capsys):
    """The line names the file, and nothing is left."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text(json.dumps({}))
    assert main(["embed", *OPTIONS, "--output", str(tmp_path / "folder")]) == 2
    assert f"cannot write {tmp_path / 'folder'}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
