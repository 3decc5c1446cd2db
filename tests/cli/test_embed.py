"""Embedding a data set's questions: one vector each, resumable, shared over processes."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from embedllm_hf import EncodedResponses, QuestionEncoder, load_responses, load_splits
from embedllm_hf.cli import main
from tests.launching import run_on_one_and_on_two
from tests.pool import make_frame

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


def write_splits(folder, *columns):
    """Three splits of 120, 30 and 30 questions, with ids that begin anew in each, or some columns only."""
    folder.mkdir()
    for split, first_id, n_questions in (("train", 0, 120), ("validation", 1000, 30), ("test", 2000, 30)):
        frame = make_frame(n_questions, first_id=first_id)
        frame["prompt_id"] -= first_id
        frame[list(columns) or frame.columns].to_csv(folder / f"{split}.csv", index=False)
    return folder


@pytest.mark.parametrize("columns", [(), ("prompt", "model_name", "label", "category")])
def test_each_question_has_its_own_vector_whatever_its_id(tmp_path, capsys, columns):
    """Where ids are of a split only, or there are none, no vector is another question's, however the split is read."""
    folder, file = write_splits(tmp_path / "pool", *columns), tmp_path / "vectors.safetensors"
    assert main(["embed", "--dataset", str(folder), "--encoder", "offline", "--output", str(file)]) == 0
    assert "180 questions" in capsys.readouterr().out
    encoder, splits = QuestionEncoder("offline"), [split for _, split in load_splits(folder).items()]
    for responses in [*splits, load_responses(folder, split="test")]:
        found = EncodedResponses.from_file(responses, file).question_embeds
        np.testing.assert_allclose(found, encoder.encode(responses.questions), atol=1e-3)
