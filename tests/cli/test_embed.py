"""Embedding a data set's questions: one vector each, resumable, shared over processes."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from embedllm_hf import EncodedResponses, QuestionEncoder, load_splits
from embedllm_hf.cli import main
from tests.launching import run_on_one_and_on_two

OPTIONS = ["--dataset", "planted", "--encoder", "offline"]


def test_each_question_once(tmp_path, capsys):
    """The file has every question of every split once, with its vector, and names the encoder."""
    file = tmp_path / "vectors.safetensors"
    assert main(["embed", *OPTIONS, "--output", str(file)]) == 0
    assert "944 questions, 384 wide, by sentence-transformers/all-MiniLM-L6-v2" in capsys.readouterr().out
    assert len(set(load_file(file)["prompt_id"].tolist())) == 944
    encoder = QuestionEncoder("offline")
    for _, responses in load_splits("planted").items():
        encoded = EncodedResponses.from_file(responses, file)
        assert encoded.encoder.is_same(encoder.id)
        expected = encoder.encode(responses.questions)
        np.testing.assert_allclose(encoded.question_embeds, expected, atol=1e-3)  # the file is float16


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
    (tmp_path / "folder" / "x").touch()
    assert main(["embed", *OPTIONS, "--output", str(tmp_path / "folder")]) == 2
    assert f"cannot write {tmp_path / 'folder'}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
