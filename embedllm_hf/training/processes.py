"""This process's place among those that `accelerate launch` has started, on accelerators or on processors."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelerate import Accelerator, PartialState

_PATIENCE = timedelta(hours=4)  # one process encodes while the others wait, which by default give up within minutes


def process_state() -> PartialState:
    """Accelerate's state of the group of processes; every later `Accelerator` shares it.

    On a machine without accelerators Accelerate takes each process of a group for one that is alone, unless it is told
    that the group runs on processors.
    """
    import torch
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    in_group = int(os.environ.get("WORLD_SIZE", "1")) > 1
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or (in_group and not torch.accelerator.is_available())
    return PartialState(cpu=cpu, timeout=_PATIENCE)


def part(state: PartialState) -> None:
    """Break up the group of processes, after which each goes on by itself or ends.

    The threads of gloo let go of the tensors of the group's last sum a moment after it, for which they need Python's
    lock; in a process that has ended by then they abort it.
    """
    if state.num_processes > 1:
        time.sleep(0.2)
    state.destroy_process_group()


def share_of(accelerator: Accelerator) -> dict[str, Any]:
    """This process's device and its share of each block, as `QuestionBlocks` takes them."""
    return {
        "device": accelerator.device,
        "process_index": accelerator.process_index,
        "n_processes": accelerator.num_processes,
    }
