"""The checks for a GPU run on a processor, tell what is not as expected, and are skipped where there is no GPU."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from embedllm_hf import EmbedLLM
from embedllm_hf.training.checkpoints import TrainingState
from scripts.gpu.__main__ import FAILED, PASSED, SKIPPED, main

ROOT = Path(__file__).parents[3]
ON_CPU = ["--device", "cpu", "--quick"]


@pytest.fixture(autouse=True)
def _own_accelerate(monkeypatch):
    """The command sets a variable for its process, and leaves Accelerate as its last training had it."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def verdicts(path: Path) -> dict[str, bool | None]:
    return {row["name"]: row["passed"] for row in json.loads(path.read_text())["rows"]}


@pytest.mark.slow
def test_every_row_runs_on_a_processor(tmp_path, capsys):
    """Each check is made and as expected; those that only a GPU can judge have no verdict."""
    assert main([*ON_CPU, "--output", str(tmp_path / "gpu.json")]) == PASSED
    found, printed = verdicts(tmp_path / "gpu.json"), capsys.readouterr().out
    assert len(found) == 8
    assert all(name in printed for name in found)
    open_ones = [name for name, passed in found.items() if passed is None]
    assert [name.split(":")[0] for name in open_ones] == [
        "training step over its bare matrix products",
        "peak memory of training, MB",
        "training in fp16",
    ]
    assert set(found.values()) == {True, None}
    assert f"torch {torch.__version__}" in printed


def test_a_row_that_is_not_as_expected_fails(tmp_path, monkeypatch, capsys):
    """A resumed training that lost its optimiser's moments differs, which the exit code and the table say."""
    monkeypatch.setattr(TrainingState, "_restore_optimizer", lambda *state: None)
    assert main([*ON_CPU, "resume", "--output", str(tmp_path / "gpu.json")]) == FAILED
    assert list(verdicts(tmp_path / "gpu.json").values()) == [False]
    assert "| FAILED |" in capsys.readouterr().out


def test_half_precision_that_is_none_fails(tmp_path, monkeypatch):
    """Losses that are float32's to the last bit are no sign of half precision."""
    plain = torch.autocast("cpu", enabled=False)
    monkeypatch.setattr("accelerate.accelerator.get_mixed_precision_context_manager", lambda *options: plain)
    assert main([*ON_CPU, "half", "--output", str(tmp_path / "gpu.json")]) == FAILED
    assert list(verdicts(tmp_path / "gpu.json").values()) == [False, None]


def test_a_row_that_stops_with_an_error_fails_alone(monkeypatch, tmp_path, capsys):
    """The error is told, and the other rows are run."""

    def out_of_memory(*arguments):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(EmbedLLM, "predict_proba", out_of_memory)
    assert main([*ON_CPU, "forecasts", "resume", "--output", str(tmp_path / "gpu.json")]) == FAILED
    assert list(verdicts(tmp_path / "gpu.json").values()) == [False, True]
    assert "OutOfMemoryError: no room" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cuda", "reason"), [(None, "was built without CUDA"), ("13.0", f"torch {torch.__version__} finds no device")]
)
def test_without_a_gpu_nothing_is_checked(monkeypatch, capsys, cuda, reason):
    """Whether torch has no CUDA or CUDA no device: one loud line, and a code of its own."""
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == SKIPPED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("SKIPPED: no GPU: ")
    assert reason in printed.err


def test_an_unknown_row_is_told(capsys):
    """Before anything is measured, with the names that there are."""
    with pytest.raises(SystemExit):
        main([*ON_CPU, "speed"])
    assert "unknown row speed; known are pace, " in capsys.readouterr().err


def test_the_script_passes_the_code_on(tmp_path):
    """`check_gpu.sh` in a clone whose environment is there ends with the code of what it runs."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/check_gpu.sh", "scripts/_environment.sh", "setup.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    size = subprocess.run(["cksum", "setup.py"], cwd=tmp_path, capture_output=True, text=True).stdout.split()[0]
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    (tmp_path / ".venv" / f".installed-offline-{size}").touch()
    python.write_text(f'#!/bin/sh\ncd "{ROOT}" && exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["bash", "scripts/check_gpu.sh"], cwd=tmp_path, capture_output=True, text=True, timeout=200,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (SKIPPED, "")
    assert done.stderr.startswith("SKIPPED: no GPU: ")
