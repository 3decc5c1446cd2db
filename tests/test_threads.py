"""How many threads: a rule of numbers alone, and what a container gives."""

import os

import pytest
import torch

from embedllm_hf._threads import available_cpus, threads_for, threads_worth


@pytest.mark.parametrize("cpus", [1, 2, 4, 64])
def test_small_steps_take_one_thread(cpus):
    """A step of the default network, and one of the paper's, whatever the machine."""
    for operations in (0.0, 1e7, 1e8, 1e9, 3e9):
        assert threads_worth(operations, cpus) == 1


def test_large_steps_take_what_there_is():
    """As many as have work for long enough, up to all."""
    assert [threads_worth(1e10, cpus) for cpus in (1, 2, 4, 64)] == [1, 2, 4, 4]
    assert [threads_worth(float("inf"), cpus) for cpus in (1, 2, 64)] == [1, 2, 64]


@pytest.mark.parametrize(
    ("file", "content", "quota"),
    [
        ("cpu.max", "100000 100000\n", 1),
        ("cpu.max", "50000 100000\n", 1),
        ("cpu.max", "max 100000\n", None),
        ("cpu.max", "", None),
        ("cpu.max", "100000 0\n", None),
        ("cpu/cpu.cfs_quota_us", "100000\n", 1),
        ("cpu/cpu.cfs_quota_us", "-1\n", None),
    ],
)
def test_a_container_gives_its_quota(tmp_path, file, content, quota):
    """In either version of control groups; one CPU at least, without a quota those it is bound to."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)
    if file.startswith("cpu/"):
        (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cpus(tmp_path) == (quota or len(os.sched_getaffinity(0)))


def test_what_the_process_is_bound_to_counts(tmp_path, monkeypatch):
    """A quota of more CPUs than those is no more, one between whole numbers is rounded down."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    assert available_cpus(tmp_path) == 8
    (tmp_path / "cpu.max").write_text("350000 100000")
    assert available_cpus(tmp_path) == 3
    (tmp_path / "cpu.max").write_text("3500000 100000")
    assert available_cpus(tmp_path) == 8


def test_threads_are_given_back():
    """Also after an error, and there are never more than torch was told to use."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(ZeroDivisionError), threads_for(1e8):
            _ = 1 / (torch.get_num_threads() - 1)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        with threads_for(float("inf")):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
