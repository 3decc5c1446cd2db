"""The history that checkpoints hold, and folders that are refused or stay whole."""

import errno

import pytest
from accelerate import Accelerator

from embedllm_hf import EmbedLLMTrainingArguments
from embedllm_hf.training.checkpoints import EpochRecord, TrainingHistory, check_output_dir, save_checkpoint


def test_the_first_of_the_best_epochs_is_kept():
    """An epoch is the best if its validation loss is lower than all before; equal ones are not."""
    history = TrainingHistory()
    losses = (0.7, 0.5, 0.5, 0.6)
    assert [history.note(EpochRecord(epoch, 0.1, loss)) for epoch, loss in enumerate(losses)] == [
        True,
        True,
        False,
        False,
    ]
    assert (history.best_epoch, history.epochs_since_best()) == (1, 2)


def test_a_history_comes_back_from_its_state():
    """Records and the best epoch; the state itself holds plain values only."""
    history = TrainingHistory(seconds=2.5)
    history.note(EpochRecord(0, 0.3, 0.4))
    state = history.state_dict()
    assert state["epochs"] == [{"epoch": 0, "train_loss": 0.3, "validation_loss": 0.4}]
    other = TrainingHistory()
    other.load_state_dict(state)
    assert other == history


def test_a_failed_checkpoint_leaves_the_last_one(tmp_path, monkeypatch):
    """A disk that fills up is named, half a checkpoint is removed, and the whole one stays."""
    accelerator = Accelerator()
    save_checkpoint(accelerator, tmp_path / "last")
    before = sorted(path.name for path in (tmp_path / "last").iterdir())

    def fill_up(folder):
        (tmp_path / "last.partial").mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(accelerator, "save_state", fill_up)
    with pytest.raises(OSError, match=r"cannot write .*last: the disk is full"):
        save_checkpoint(accelerator, tmp_path / "last")
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
    assert sorted(path.name for path in (tmp_path / "last").iterdir()) == before


def test_output_folders_are_checked(tmp_path):
    """A file and a folder with a model are refused; the latter passes with either of two options."""
    folder = tmp_path / "model"
    fresh = EmbedLLMTrainingArguments().may_hold_model
    folder.write_text("")
    with pytest.raises(FileExistsError, match="is a file, expected a folder"):
        check_output_dir(folder, may_hold_model=fresh)
    folder.unlink()
    folder.mkdir()
    check_output_dir(folder, may_hold_model=fresh)
    (folder / "config.json").write_text("{}")
    with pytest.raises(FileExistsError, match="holds a model already"):
        check_output_dir(folder, may_hold_model=fresh)
    for option in ("overwrite_output_dir", "resume_from_checkpoint"):
        check_output_dir(folder, may_hold_model=EmbedLLMTrainingArguments(**{option: True}).may_hold_model)
