"""The group of processes, and how it ends."""

from types import SimpleNamespace

import pytest

from embedllm_hf.training import processes


@pytest.mark.parametrize(("n_processes", "expected"), [(1, ["destroy"]), (2, ["wait", "destroy"])])
def test_a_group_parts_after_a_moment(monkeypatch, n_processes, expected):
    """A process that ends right after a sum aborts every other time, since gloo still holds its tensors."""
    calls = []
    monkeypatch.setattr(processes.time, "sleep", lambda seconds: calls.append("wait"))
    state = SimpleNamespace(num_processes=n_processes, destroy_process_group=lambda: calls.append("destroy"))
    processes.part(state)
    assert calls == expected
