"""A training that diverges says so, and nothing that is not a number is kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from embedllm_hf import EmbedLLM, EmbedLLMTrainer, EmbedLLMTrainingArguments
from embedllm_hf.training import network_trainer
from embedllm_hf.training.divergence import blame, check_finite, check_loss, place_in_epoch
from tests.launching import PATIENCE, launch, patient
from tests.pool import LLMS, make_split, new_model
from tests.tiny_encoder import save_tiny_encoder

TRAIN, VALIDATION = make_split(120), make_split(40, first_id=120, seed=1)


def make_trainer(folder: Path, model: EmbedLLM | None = None, *, texts: bool = False, **args) -> EmbedLLMTrainer:
    AcceleratorState._reset_state(reset_partial_state=True)
    settings = {"num_train_epochs": 8, "disable_tqdm": True, "save_checkpoints": True, **args}
    arguments = EmbedLLMTrainingArguments(output_dir=str(folder), **settings)
    train, validation = (TRAIN.responses, VALIDATION.responses) if texts else (TRAIN, VALIDATION)
    return EmbedLLMTrainer(model or new_model(), arguments, train_dataset=train, eval_dataset=validation)


def kept_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"learning_rate": 1e6}, r"epoch \d.*`learning_rate` 1e\+06 and `weight_decay` 1. Lower them"),
        ({"learning_rate": 30.0}, r"epoch \d.*`learning_rate` 30 and `weight_decay` 1. Lower them"),
        ({"learning_rate": 10.0}, r"epoch \d.*`learning_rate` 10 and `weight_decay` 1. Lower them"),
        ({"weight_decay": 1e11}, r"epoch \d.*`learning_rate` 0.005 and `weight_decay` 1e\+11. Lower them"),
    ],
)
def test_a_network_that_diverges_says_so(tmp_path, args, message):
    """With epoch and rates, also where the loss is finite but beyond all measure; nothing is kept."""
    with pytest.raises(ValueError, match=f"training diverged: the .* in {message}"):
        make_trainer(tmp_path, **args).train()
    assert not (tmp_path / "config.json").exists()


def test_the_block_is_named(tmp_path, monkeypatch):
    """The first one whose loss is not finite, and no checkpoint is made of it."""
    gather, calls = network_trainer.QuestionBlocks.gather, []

    def poisoned(self, rows):
        block = gather(self, rows)
        calls.append(block)
        if len(calls) == 14:  # of ten a epoch
            block.question_embeds.fill_(torch.inf)
        return block

    monkeypatch.setattr(network_trainer.QuestionBlocks, "gather", poisoned)
    with pytest.raises(
        ValueError, match=r"the loss is not finite in epoch 2, block 4 of 10, with `learning_rate` 0\.005"
    ):
        make_trainer(tmp_path).train()
    assert [path.name for path in kept_in(tmp_path)] == ["network-000001.safetensors"]


def test_a_validation_loss_alone(tmp_path, monkeypatch):
    """Logits that overflow on the validation split only."""
    monkeypatch.setattr(EmbedLLM, "network_logits", lambda self, embeds: np.full((len(embeds), 6), np.inf, "f"))
    with pytest.raises(ValueError, match="the validation loss is not finite in epoch 1"):
        make_trainer(tmp_path).train()
    assert kept_in(tmp_path) == []


def test_weights_alone(tmp_path, monkeypatch):
    """A last step that spoils the weights is seen before they are kept."""
    step = torch.optim.AdamW.step

    def spoiling(self, *args, **options):
        step(self, *args, **options)
        if self.param_groups[0]["lr"] == 0:  # the last step of the schedule's
            self.param_groups[0]["params"][0].data.fill_(torch.nan)

    monkeypatch.setattr(torch.optim.AdamW, "step", spoiling)
    monkeypatch.setattr(network_trainer, "get_scheduler", lambda *_: _Zero(_[1]))
    with pytest.raises(ValueError, match="weights are not finite in epoch 1"):
        make_trainer(tmp_path).train()


class _Zero(torch.optim.lr_scheduler.LambdaLR):
    """A schedule that is at 0 after nine steps."""

    def __init__(self, optimizer) -> None:
        super().__init__(optimizer, lambda step: float(step < 9))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return save_tiny_encoder(tmp_path_factory.mktemp("tiny"))


def test_a_text_encoder_that_diverges_says_so(tmp_path, tiny):
    """With the encoder's rate and the block; no model and no spoilt checkpoint is there."""
    model = EmbedLLM.from_encoder(str(tiny), llm_names=LLMS, embed_dim=4)
    args = {"train_encoder": True, "encoder_learning_rate": 1e11, "encoder_epochs": 1, "encoder_block_size": 16}
    with pytest.raises(ValueError, match=r"not finite in epoch 1.*`encoder_learning_rate` 1e\+11"):
        make_trainer(tmp_path, model, texts=True, encoder_save_steps=1, **args).train()
    assert not (tmp_path / "config.json").exists()


@pytest.mark.slow
@patient
def test_two_processes_stop_together(tmp_path):
    """Both say so, and neither waits for the other."""
    command = ["train", "--dataset", "planted", "--encoder", "offline", "--disable_tqdm", "--learning_rate", "1e6"]
    process = launch([*command, "--output_dir", str(tmp_path / "model")])
    output = process.communicate(timeout=PATIENCE)[0]
    assert "training diverged: the loss is not finite in epoch 1" in output
    assert process.returncode != 0
    assert not (tmp_path / "model" / "config.json").exists()


def test_what_is_finite_passes():
    """Numbers, tensors, and nothing at all."""
    check_finite("it is", [1.0, None, torch.ones(3), torch.arange(3)], "epoch 1", "`x` 1.")
    with pytest.raises(ValueError, match=r"training diverged: it is not finite in epoch 1, with `x` 1\."):
        check_finite("it is", [torch.tensor([1.0, torch.inf])], "epoch 1", "`x` 1.")
    assert place_in_epoch(0, torch.ones(3)) == "epoch 1"
    assert place_in_epoch(2, torch.tensor([1.0, torch.nan, torch.inf])) == "epoch 3, block 2 of 3"
    assert blame(0.1, 1.0) == "`learning_rate` 0.1. Lower --learning_rate."


def test_a_loss_beyond_all_measure_is_a_divergence():
    """Though it is finite; a large one is none yet, and neither is a missing one."""
    for loss in (None, 0.7, 9_999.0):
        check_loss("the loss", loss, "epoch 1", "`x` 1.")
    with pytest.raises(ValueError, match=r"training diverged: the loss is 3\.3e\+09 in epoch 2, with `x` 1\."):
        check_loss("the loss", 3.3e9, "epoch 2", "`x` 1.")
