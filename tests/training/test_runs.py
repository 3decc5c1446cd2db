"""Runs: the output folder, its lock, what starts anew and what has ended."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from embedllm_hf import EmbedLLM, EmbedLLMTrainer, EmbedLLMTrainingArguments
from embedllm_hf._files import locked
from embedllm_hf.training import network_trainer
from embedllm_hf.training.runs import check_output_dir, may_hold_model, run_in
from tests.pool import make_split, new_model

TRAIN, VALIDATION = make_split(80), make_split(40, first_id=80, seed=1)


def make_trainer(folder: Path, **args) -> EmbedLLMTrainer:
    AcceleratorState._reset_state(reset_partial_state=True)
    settings = {"num_train_epochs": 3, "learning_rate": 0.02, "disable_tqdm": True, **args}
    arguments = EmbedLLMTrainingArguments(output_dir=str(folder), **settings)
    model = new_model(seed=arguments.seed)
    return EmbedLLMTrainer(model, arguments, train_dataset=TRAIN, eval_dataset=VALIDATION)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("*"))


def test_output_folders_are_checked(tmp_path):
    """A file and a folder with a model are refused; the latter may be replaced, or go on where there is a run."""
    folder = tmp_path / "model"

    def check(**options):
        args = EmbedLLMTrainingArguments(output_dir=str(folder), **options)
        check_output_dir(folder, may_hold_model=may_hold_model(args))

    folder.write_text("")
    with pytest.raises(FileExistsError, match="is a file, expected a folder"):
        check()
    folder.unlink()
    folder.mkdir()
    check()
    (folder / "config.json").write_text("{}")
    for options in ({}, {"resume_from_checkpoint": True}):
        with pytest.raises(FileExistsError, match="holds a model already"):
            check(**options)
    check(overwrite_output_dir=True)
    (folder / "checkpoints").mkdir()
    check(resume_from_checkpoint=True)


# --- one at a time ---


def test_a_second_run_is_refused(tmp_path):
    """Another process that holds the folder is named, before any work, and nothing of its run is touched."""
    folder = tmp_path / "model"
    code = "import sys; from embedllm_hf._files import locked\nwith locked(sys.argv[1]):\n print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    other = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=Path.cwd(), **pipes)
    try:
        assert other.stdout.readline()
        with pytest.raises(OSError, match=f"{folder}.*process {other.pid}"):
            make_trainer(folder).train()
        assert not folder.exists()
    finally:
        other.communicate(b"\n", timeout=60)
    make_trainer(folder).train()
    assert (folder / "config.json").is_file()


def test_a_run_within_a_run_is_part_of_it(tmp_path):
    """The command line holds the folder for training and measuring; the lock ends with it."""
    args = EmbedLLMTrainingArguments(output_dir=str(tmp_path / "model"))
    with run_in(args):
        with run_in(args):
            pass
        with pytest.raises(OSError, match=str(os.getpid())), locked(args.output_dir):
            pass
    with locked(args.output_dir):
        pass
    assert list(tmp_path.iterdir()) == []


# --- resumed, or begun anew ---


def test_nothing_to_resume_from_is_said(tmp_path, caplog):
    """And training starts at the beginning."""
    make_trainer(tmp_path, resume_from_checkpoint=True).train()
    assert caplog.text.count("no checkpoint to resume from; training starts at the beginning") == 1


def test_checkpoints_go_when_the_model_is_saved(tmp_path):
    """A record of the end stays; without checkpoints nothing does."""
    make_trainer(tmp_path / "one", save_checkpoints=True).train()
    assert left_in(tmp_path / "one") == ["finished.json"]
    make_trainer(tmp_path / "two").train()
    assert not (tmp_path / "two" / "checkpoints").exists()


def test_a_run_that_has_ended_gives_its_model(tmp_path, monkeypatch, caplog):
    """Resumed, it is not trained again: weights, bank, history and seconds are those that it had."""
    first = make_trainer(tmp_path, save_checkpoints=True)
    first.train()
    (tmp_path / "checkpoints" / "network-000003.safetensors").write_text("killed before this was removed")
    monkeypatch.setattr(network_trainer.NetworkTrainer, "train", lambda self: pytest.fail("trained again"))
    again = make_trainer(tmp_path, save_checkpoints=True, resume_from_checkpoint=True)
    again.train()
    assert "this run has ended already" in caplog.text
    assert left_in(tmp_path) == ["finished.json"]
    assert (again.seconds, again.history.epochs) == (first.seconds, first.history.epochs)
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    assert len(again.model.bank) == 80
    assert again.evaluate(VALIDATION).scores == first.evaluate(VALIDATION).scores
    with pytest.raises(ValueError, match=r"`learning_rate` is 0\.3, the checkpoint's run had 0\.02"):
        make_trainer(tmp_path, resume_from_checkpoint=True, learning_rate=0.3).train()


def test_the_end_of_a_model_that_was_replaced_says_nothing(tmp_path):
    """A folder whose model was changed since is trained again."""
    make_trainer(tmp_path, save_checkpoints=True).train()
    other = new_model(seed=9)
    other.save_pretrained(tmp_path)
    make_trainer(tmp_path, save_checkpoints=True, resume_from_checkpoint=True).train()
    found = EmbedLLM.from_pretrained(tmp_path).state_dict()
    assert not torch.equal(found["llm_embedding.weight"], other.state_dict()["llm_embedding.weight"])


def test_a_fresh_run_is_not_resumed_from_an_earlier_one(tmp_path, monkeypatch):
    """B over A's folder, killed before its first checkpoint and resumed, is B, though A had left a checkpoint."""
    train = network_trainer.NetworkTrainer.train

    def die(self):
        raise KeyboardInterrupt

    def train_and_die(self):
        train(self)
        raise KeyboardInterrupt

    changed = {"learning_rate": 0.1, "save_checkpoints": True}
    monkeypatch.setattr(network_trainer.NetworkTrainer, "train", train_and_die)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path / "cut", save_checkpoints=True).train()
    assert left_in(tmp_path / "cut") == ["network-000003.safetensors"]
    monkeypatch.setattr(network_trainer.NetworkTrainer, "train", die)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path / "cut", overwrite_output_dir=True, **changed).train()
    assert left_in(tmp_path / "cut") == []
    monkeypatch.undo()
    resumed, whole = (
        make_trainer(tmp_path / "cut", resume_from_checkpoint=True, **changed),
        make_trainer(tmp_path / "whole", **changed),
    )
    resumed.train()
    whole.train()
    assert torch.equal(resumed.model.llm_embedding.weight, whole.model.llm_embedding.weight)


def test_leftovers_of_a_killed_write_go(tmp_path):
    """Hidden neighbours of checkpoints are removed by the next run, resumed or not; other files stay."""
    for options in ({"resume_from_checkpoint": True, "overwrite_output_dir": True}, {"overwrite_output_dir": True}):
        left = tmp_path / "checkpoints" / ".network-000007.safetensors.partial-abc"
        left.mkdir(parents=True)
        (left / "network-000007.safetensors").write_text("half")
        (tmp_path / "checkpoints" / "notes.txt").write_text("mine")
        make_trainer(tmp_path, save_checkpoints=True, **options).train()
        assert left_in(tmp_path) == ["finished.json", "notes.txt"]


def test_a_record_that_is_none_is_refused(tmp_path):
    """One line in place of a traceback."""
    make_trainer(tmp_path, save_checkpoints=True).train()
    for text in ("[", "[]", "{}", json.dumps({"run": 3, "weights": ""})):
        (tmp_path / "checkpoints" / "finished.json").write_text(text)
        with pytest.raises(ValueError, match=r"finished.json: not the record of a run"):
            make_trainer(tmp_path, resume_from_checkpoint=True).train()
