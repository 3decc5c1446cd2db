"""The GPU's clock and memory, and which one it is."""

from __future__ import annotations

import gc
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable

import torch


def why_no_gpu() -> str | None:
    """Why torch has no GPU here; None if it has one."""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} was built without CUDA"
    return None if torch.cuda.is_available() else f"torch {torch.__version__} finds no device"


def seconds_of(work: Callable[[], object], device: str) -> float:
    """Seconds that a call takes, until the device has done what was asked of it."""
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def peak_of(work: Callable[[], object], device: str) -> float | None:
    """The most memory of the GPU that a call holds at once beside what was held before, in MB; None on a processor."""
    if device == "cpu":
        work()
        return None
    gc.collect()  # what earlier rows have left would be counted as held before, and freed meanwhile
    _wait(device)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    _wait(device)
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def machine(device: str) -> dict[str, object]:
    """What was measured on, fit for JSON."""
    versions = {"date": time.strftime("%Y-%m-%d"), "python": platform.python_version(), "torch": torch.__version__}
    if device == "cpu":
        return {"card": "none: the processor", "cores": os.cpu_count(), **versions}
    memory = f"{torch.cuda.get_device_properties(0).total_memory / 1e9:.0f} GB"
    card = {"card": torch.cuda.get_device_name(0), "memory": memory, "driver": _driver(), "cuda": torch.version.cuda}
    return {**card, "cores": os.cpu_count(), **versions}


def _driver() -> str:
    """The version of the driver, which torch does not tell."""
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    if shutil.which(asked[0]) is None:
        return "unknown"
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "unknown"


def _wait(device: str) -> None:
    """Until the GPU is done: calls return while it works."""
    if device != "cpu":
        torch.cuda.synchronize()
