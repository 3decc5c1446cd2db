"""The history of a training run, its checkpoints, and the folder that it writes to."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors import SafetensorError

from .._errors import ExistingFile
from .._files import disk_error
from .arguments import EmbedLLMTrainingArguments

NETWORK, TEXT_ENCODER = "last", "text_encoder"  # what there are checkpoints of


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean training loss (None: before the first) and validation loss (None: no such split), in nats."""

    epoch: int
    train_loss: float | None
    validation_loss: float | None


@dataclass
class TrainingHistory:
    """What training has seen so far; saved in checkpoints.

    Attributes:
        epochs (`list[EpochRecord]`): One entry per finished epoch.
        best_epoch (`int | None`): The epoch whose weights are kept.
        best_weights (`dict[str, torch.Tensor]`): Those weights.
        seconds (`float`): Time spent in the loop, validation included.
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    best_epoch: int | None = None
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    def state_dict(self) -> dict:
        """For Accelerate's checkpoints: plain values and tensors."""
        return {**vars(self), "epochs": [asdict(record) for record in self.epochs]}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave."""
        vars(self).update({**state, "epochs": [EpochRecord(**record) for record in state["epochs"]]})

    def note(self, record: EpochRecord) -> bool:
        """Add an epoch; returns whether it is the best so far, or there is nothing to judge it by."""
        earlier = [other.validation_loss for other in self.epochs if other.validation_loss is not None]
        self.epochs.append(record)
        is_best = record.validation_loss is None or not earlier or record.validation_loss < min(earlier)
        if is_best:
            self.best_epoch = record.epoch
        return is_best

    def epochs_since_best(self) -> int:
        """Finished epochs after the best one."""
        return 0 if self.best_epoch is None else len(self.epochs) - 1 - self.best_epoch


def checkpoint_folder(args: EmbedLLMTrainingArguments, what: str) -> Path:
    """Where the checkpoint of the network, or of the text encoder, stands."""
    return Path(args.output_dir) / "checkpoints" / what


def drop_checkpoints(args: EmbedLLMTrainingArguments) -> None:
    """Remove the checkpoints of an earlier run, which a later one would else resume from."""
    for what in (NETWORK, TEXT_ENCODER):
        shutil.rmtree(checkpoint_folder(args, what), ignore_errors=True)


def save_checkpoint(accelerator: Accelerator, folder: Path) -> None:
    """Replace the checkpoint in a folder by the current state, never leaving half of one.

    Raises:
        OSError: If the disk is full or the folder cannot be written; the last checkpoint stays.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        accelerator.save_state(str(partial))
    except (OSError, RuntimeError, SafetensorError) as error:  # torch reports a failed write as RuntimeError
        shutil.rmtree(partial, ignore_errors=True)
        raise disk_error(folder, error) from error
    accelerator.wait_for_everyone()  # each process writes the state of its random numbers
    if accelerator.is_main_process:
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    accelerator.wait_for_everyone()


def check_output_dir(output_dir: str | Path, *, may_hold_model: bool) -> None:
    """Refuse an output folder that holds a model, before any work is done.

    Raises:
        FileExistsError: Unless `may_hold_model`, since that is overwritten or goes on.
    """
    folder = Path(output_dir)
    if folder.exists() and not folder.is_dir():
        raise ExistingFile(f"`output_dir`: {folder} is a file, expected a folder. Choose another name.")
    if (folder / "config.json").exists() and not may_hold_model:
        raise ExistingFile(
            f"`output_dir`: {folder} holds a model already. Choose another folder, or pass --overwrite_output_dir."
        )
