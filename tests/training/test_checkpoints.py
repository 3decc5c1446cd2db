"""Checkpoints: what they hold, whole ones and damaged ones, and that they are of one run."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors import safe_open

from embedllm_hf import EmbedLLMTrainingArguments
from embedllm_hf.training import checkpoints
from embedllm_hf.training.checkpoints import Checkpoints, EpochRecord, TrainingHistory
from embedllm_hf.training.network_trainer import NetworkTrainer
from tests.pool import make_split, new_model

TRAIN, VALIDATION = make_split(60), make_split(20, first_id=60, seed=1)


def make_trainer(folder: Path, *, train=TRAIN, validation=VALIDATION, embed_dim: int = 4, **args) -> NetworkTrainer:
    AcceleratorState._reset_state(reset_partial_state=True)
    settings = {"num_train_epochs": 4, "learning_rate": 0.02, "disable_tqdm": True, **args}
    arguments = EmbedLLMTrainingArguments(output_dir=str(folder), **settings)
    return NetworkTrainer(new_model(seed=arguments.seed, embed_dim=embed_dim), arguments, train, validation)


def resumed(folder: Path, **args) -> NetworkTrainer:
    trainer = make_trainer(folder, resume_from_checkpoint=True, **args)
    trainer.train()
    return trainer


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def _cut(tmp_path_factory) -> Path:
    """What a run leaves that is killed when its third checkpoint is in place, and the second not yet removed."""
    folder = tmp_path_factory.mktemp("cut")
    patch = pytest.MonkeyPatch()
    unlink = Path.unlink

    def die(path, **options):
        if path.name == "network-000002.safetensors":
            raise KeyboardInterrupt
        unlink(path, **options)

    patch.setattr(Path, "unlink", die)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(folder, save_checkpoints=True).train()
    patch.undo()
    return folder


@pytest.fixture
def cut(_cut, tmp_path) -> Path:
    return shutil.copytree(_cut, tmp_path / "cut")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, torch.Tensor]:
    """The weights of a run without interruption."""
    trainer = make_trainer(tmp_path_factory.mktemp("whole"))
    trainer.train()
    return trainer.model.state_dict()


def assert_same(trainer: NetworkTrainer, weights: dict[str, torch.Tensor]) -> None:
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, weights[name]), name


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


def test_a_history_comes_back_from_json():
    """Records, the best epoch and the seconds; the weights are kept apart."""
    history = TrainingHistory(seconds=2.5)
    history.note(EpochRecord(0, 0.3, 0.4))
    other = TrainingHistory()
    other.update(json.loads(json.dumps(history.to_dict())))
    assert other == history


# --- whole ones ---


def test_the_newest_is_resumed_from(cut, whole, caplog):
    """Killed with two in place, a run goes on from the newer one, to the bit, and the next one replaces both."""
    assert files_of(cut) == ["network-000002.safetensors", "network-000003.safetensors"]
    trainer = resumed(cut, save_checkpoints=True)
    assert [record.epoch for record in trainer.history.epochs] == [0, 1, 2, 3]
    assert_same(trainer, whole)
    assert files_of(cut) == ["network-000004.safetensors"]
    assert "damaged" not in caplog.text


@pytest.mark.parametrize("how", ["cut", "emptied", "flipped in a tensor", "flipped in the text"])
def test_a_damaged_one_is_skipped(cut, whole, caplog, how):
    """With one warning that names it; the older one is as good, to the bit."""
    path = cut / "checkpoints" / "network-000003.safetensors"
    content = bytearray(path.read_bytes())
    if how == "flipped in the text":
        content[content.index(b"0.02")] += 1
    else:
        content[-5] ^= 1
    size = {"cut": len(content) // 2, "emptied": 0}.get(how, len(content))
    path.write_bytes(content[:size])
    assert_same(resumed(cut), whole)
    assert caplog.text.count("is damaged") == 1
    assert "network-000003" in caplog.text


def test_without_a_whole_one_the_run_is_refused(cut):
    """Training for hours once more is the user's choice."""
    for path in (cut / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"none of its 2 checkpoints .* is whole.*without --resume_from_checkpoint"):
        resumed(cut)


def test_a_failed_one_leaves_the_last(cut, monkeypatch):
    """A disk that fills up is named, nothing of the new checkpoint stays, and the old ones do."""
    before = files_of(cut)

    def fill_up(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", fill_up)
    with pytest.raises(OSError, match=r"cannot write .*network-000004.safetensors: the disk is full"):
        resumed(cut, save_checkpoints=True)
    assert files_of(cut) == before


def test_nothing_is_pickled(cut):
    """Tensors and JSON in safetensors, and nothing else."""
    for name in files_of(cut):
        with safe_open(cut / "checkpoints" / name, "pt") as file:
            assert {key.split(".")[0] for key in file.keys()} == {"model", "optimizer", "best", "random"}
            assert json.loads(file.metadata()["state"])["state"]["history"]["epochs"]


# --- of one run ---


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"learning_rate": 0.1}, "`learning_rate` is 0.1, the checkpoint's run had 0.02"),
        ({"num_train_epochs": 5}, "`num_train_epochs` is 5, the checkpoint's run had 4"),
        ({"seed": 1}, "`seed` is 1, the checkpoint's run had 0"),
        ({"block_size": 3}, "`block_size` is 3, the checkpoint's run had 256"),
        ({"embed_dim": 5}, "`embed_dim` is 5, the checkpoint's run had 4"),
        ({"train_encoder": True}, "`train_encoder` is True, the checkpoint's run had False"),
        ({"train": make_split(60, seed=5)}, "with other training responses than"),
        ({"validation": make_split(20, first_id=60, seed=5)}, "with other validation responses than"),
        ({"validation": None}, "with other validation responses than"),
        ({"train": replace(TRAIN, question_embeds=np.float32(2) * TRAIN.question_embeds)}, "other training text vec"),
    ],
)
def test_another_run_is_refused(cut, changed, message):
    """In words that say what differs, in place of a mixture of two runs."""
    with pytest.raises(ValueError, match=message):
        resumed(cut, **changed)


def test_other_initial_weights_are_another_run(cut):
    """A model that was trained before does not go on from the checkpoint of a new one."""
    trainer = make_trainer(cut, resume_from_checkpoint=True)
    with torch.no_grad():
        trainer.model.llm_embedding.weight[0, 0] += 1
    other = NetworkTrainer(trainer.model, trainer.args, TRAIN, VALIDATION)
    with pytest.raises(ValueError, match="other initial weights"):
        other.train()


def test_what_does_not_change_the_result_may_change(cut, whole):
    """Paths, bars and how often to save."""
    moved = cut.rename(cut.with_name("moved"))
    assert_same(resumed(moved, encoder_save_steps=3, remote_code=True, overwrite_output_dir=True), whole)


def test_checkpoints_are_of_their_part(cut):
    """Those of the network are none of the text encoder."""
    assert Checkpoints(str(cut), checkpoints.TEXT_ENCODER, {})._files() == []
