"""The history of a training run, and its checkpoints: everything that training changes, in one safetensors file.

A checkpoint holds weights, the optimiser's moments, the schedule, the states of random numbers and the history.
Nothing in it is pickled: tensors stand beside each other, the rest is JSON in the file's metadata, with a digest over
both. Files are numbered, each is put in place whole, and older ones are removed only then, so a run that is killed at
any moment finds a whole one. What a run is, and whether a checkpoint is of the same one, is told in `runs`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor, distribute_tensor

from .._errors import InputError
from .._files import whole_file
from .runs import check_same_run, checkpoints_folder, digest_of_tensors

logger = logging.getLogger(__name__)

NETWORK, TEXT_ENCODER = "network", "text_encoder"  # what there are checkpoints of
_NAME = re.compile(r"(network|text_encoder)-(\d{6,})\.safetensors")


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the weights are kept apart."""
        values = {name: value for name, value in vars(self).items() if name != "best_weights"}
        return {**values, "epochs": [asdict(record) for record in self.epochs]}

    def update(self, values: Mapping[str, Any]) -> None:
        """Take over what `to_dict` gave."""
        vars(self).update({**values, "epochs": [EpochRecord(**record) for record in values["epochs"]]})

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


@dataclass(frozen=True)
class TrainingState:
    """Everything that a training loop changes, of which a checkpoint is made. Every process has to take part.

    Attributes:
        accelerator (`Accelerator`): Its gradient scaler has a state, too.
        module (`torch.nn.Module`): What is trained, whole or in FSDP's pieces.
        optimizer, scheduler: Of torch, or as Accelerate wraps them.
        history (`TrainingHistory`): So far.
    """

    accelerator: Accelerator
    module: torch.nn.Module
    optimizer: Any
    scheduler: Any
    history: TrainingHistory

    def collect(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """The tensors by name, on the processor, and all other values."""
        tensors = {f"model.{name}": value for name, value in self.module.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
        tensors |= {f"best.{name}": value for name, value in self.history.best_weights.items()}
        for process, states in enumerate(gather_object([self._random_states()])):
            tensors |= {f"random.{process}.{device}": state for device, state in states.items()}
        scaler, schedule = self.accelerator.scaler, self.scheduler.state_dict()
        values = {
            "learning_rates": [group["lr"] for group in self.optimizer.param_groups],
            "schedule": {name: value for name, value in schedule.items() if name != "lr_lambdas"},
            "scaler": None if scaler is None else scaler.state_dict(),
            "history": self.history.to_dict(),
        }
        return _apart({name: _whole(value) for name, value in tensors.items()}), values

    def restore(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        """Put everything back as `collect` found it."""
        own = self.module.state_dict()
        weights = {name: _as(value, own[name]) for name, value in _part(tensors, "model").items()}
        self.module.load_state_dict(weights)
        self._restore_optimizer(_part(tensors, "optimizer"), values["learning_rates"])
        self.scheduler.load_state_dict({**self.scheduler.state_dict(), **values["schedule"]})
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(values["scaler"])
        self.history.update(values["history"])
        self.history.best_weights = _part(tensors, "best")
        states = _part(tensors, f"random.{self.accelerator.process_index}")
        for device, state in states.items():
            (torch if device == "cpu" else torch.get_device_module(device)).set_rng_state(state)

    def _random_states(self) -> dict[str, torch.Tensor]:
        """The states of torch's random numbers in this process, by kind of device; training draws from no others."""
        kind = self.accelerator.device.type
        states = {"cpu": torch.get_rng_state()}
        return states if kind == "cpu" else {**states, kind: torch.get_device_module(kind).get_rng_state()}

    def _restore_optimizer(self, moments: Mapping[str, torch.Tensor], learning_rates: list[float]) -> None:
        """The optimiser's moments, in pieces where its parameters are; what else it holds is as the arguments say."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        by_index: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in moments.items():
            index, _, kind = name.partition(".")
            by_index.setdefault(int(index), {})[kind] = _as(value, parameters[int(index)])
        groups = self.optimizer.state_dict()["param_groups"]
        groups = [{**group, "lr": rate} for group, rate in zip(groups, learning_rates, strict=True)]
        self.optimizer.load_state_dict({"state": by_index, "param_groups": groups})


class Checkpoints:
    """The numbered checkpoints of one part of a run, in `checkpoints` of its output folder.

    Args:
        output_dir (`str`): The run's folder.
        what (`str`): `NETWORK` or `TEXT_ENCODER`.
        run (`dict`): What the run is, from `describe_run`.
    """

    def __init__(self, output_dir: str, what: str, run: Mapping[str, Any]) -> None:
        self.folder, self.what, self.run = checkpoints_folder(output_dir), what, dict(run)

    def save(self, state: TrainingState) -> None:
        """Add a checkpoint of the current state, and remove the older ones. All processes take part.

        Raises:
            OSError: If the disk is full or the folder cannot be written; the last checkpoint stays.
        """
        tensors, values = state.collect()
        if state.accelerator.is_main_process:
            older = self._files()
            number = 1 + (_number(older[0]) if older else 0)
            text = json.dumps({"run": self.run, "state": values}, allow_nan=False)
            with whole_file(self.folder / f"{self.what}-{number:06d}.safetensors") as partial:
                save_file(tensors, partial, metadata={"state": text, "sha256": _digest(tensors, text)})
            for path in older:
                path.unlink(missing_ok=True)
        state.accelerator.wait_for_everyone()

    def resume(self, state: TrainingState) -> bool:
        """Put the newest whole checkpoint's state back; returns whether there is one.

        Raises:
            ValueError: If it is of another run, which is told by what differs, or there are checkpoints of which none
                is whole.
        """
        files = self._files()
        found = None
        for path in files:
            found = self._read(path)
            if found is not None:
                break
        chosen = path.name if found is not None else None
        if broadcast_object_list([chosen])[0] != chosen:
            raise InputError(f"{self.folder}: this process sees other checkpoints than the main one. Use one folder.")
        if found is None:
            if files:
                raise InputError(
                    f"{self.folder}: none of its {len(files)} checkpoints of this run is whole. Start anew without "
                    "--resume_from_checkpoint."
                )
            return False
        tensors, content = found
        check_same_run(self.run, content["run"], path)
        state.restore(tensors, content["state"])
        return True

    def _files(self) -> list[Path]:
        """The checkpoints that there are, the newest first."""
        named = [path for path in checkpoint_files(self.folder) if path.name.startswith(f"{self.what}-")]
        return sorted(named, key=_number, reverse=True)

    def _read(self, path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The tensors and values of a checkpoint, or a warning and None if it is not as it was written."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            text = metadata.get("state", "")
            if metadata.get("sha256") != _digest(tensors, text):
                raise InputError("its content is not what was written")
            return tensors, json.loads(text)
        except (OSError, SafetensorError, ValueError) as error:
            logger.warning("%s is damaged (%s) and is left out; an older checkpoint is looked for.", path, error)
            return None


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints in a folder, of network and text encoder."""
    return [path for path in folder.glob("*.safetensors") if _NAME.fullmatch(path.name)]


def _number(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return int(found[2])


def _part(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with a word and a dot, without it."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def _whole(value: torch.Tensor) -> torch.Tensor:
    """A tensor on the processor, put together if it is in pieces, for which every process has to ask."""
    return (value.full_tensor() if isinstance(value, DTensor) else value).detach().cpu().contiguous()


def _as(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor in pieces, where another one of its shape is."""
    if isinstance(like, DTensor) and value.shape == like.shape:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value


def _apart(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors that share no memory, which tied weights do and a file's tensors may not."""
    seen: set[int] = set()
    found = {}
    for name, value in tensors.items():
        found[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    return found


def _digest(tensors: Mapping[str, torch.Tensor], text: str) -> str:
    """SHA-256 over all tensors, by name, and the text."""
    return hashlib.sha256(f"{digest_of_tensors(tensors)} {text}".encode()).hexdigest()
