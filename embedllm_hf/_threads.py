"""How many threads some work is worth.

Threads that share a computation wait for each other after each of its parts. One that loses its core to another
process holds all of them up for a slice of the scheduler's time, some milliseconds; a small step has twenty parts.
Measured on two cores beside other work: steps of 1e8 to 1e9 operations took 1 to 40 ms on one thread and 40 to 400 ms
on two, which could have saved 6 ms at best. So a thread has to have work for many such slices.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPERATIONS_A_THREAD = 2.5e9  # some 30 ms of a core
_CGROUPS = Path("/sys/fs/cgroup")


def threads_worth(operations: float, cpus: int) -> int:
    """The number of threads for a step of so many floating-point operations, on a machine that gives so many CPUs."""
    return max(1, int(min(cpus, operations / _OPERATIONS_A_THREAD)))


def available_cpus(cgroups: Path = _CGROUPS) -> int:
    """The CPUs that this process may use: those it is bound to, or the quota of its container if that is less.

    `os.cpu_count` tells those of the machine, and torch starts as many threads.

    Args:
        cgroups (`Path`): Where Linux tells quotas, of its version 2 or 1.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in (cgroups, *_own(cgroups)) if (quota := _quota(folder)) is not None]
    return max(1, int(min([bound, *quotas])))


def _own(cgroups: Path) -> list[Path]:
    """The group of this process and those around it, where they are shown."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    own = [cgroups / line.split(":", 2)[2].lstrip("/") for line in lines if line.startswith("0::")]
    return [folder for path in own for folder in (path, *path.parents) if folder.is_relative_to(cgroups)]


def _quota(folder: Path) -> float | None:
    """The CPUs that a control group may use; None where it has no limit."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = ((folder / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no quotas here
        return None


@contextmanager
def threads_for(operations: float) -> Iterator[None]:
    """Have torch compute steps of so many operations on the threads that they are worth, of those it has."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, threads_worth(operations, available_cpus())))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
