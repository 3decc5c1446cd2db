"""Starting Python on one process or on several, on CPU, and making sure that there were so many."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "scripts" / "accelerate"
PATIENCE = 600  # seconds: what takes 15 s alone takes a few minutes beside other work
patient = pytest.mark.timeout(2 * PATIENCE + 60)  # for tests that call `finish` up to twice


def start(*command: str) -> subprocess.Popen:
    """Start Python on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, **pipes)


def launch(argv: list[str], *options: str, config: str = "multi_gpu.yaml") -> subprocess.Popen:
    """Start two processes by a configuration file, or with more options one of two machines with one process each."""
    command = ["-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / config), "--num_processes", "2"]
    if not options:
        options = ("--main_process_port", free_port())
    return start(*command, "--mixed_precision", "no", *options, "tests/on_cpu.py", *argv)


def finish(*processes: subprocess.Popen, n_processes: int) -> str:
    """Wait for them; all must have taken part in one group. Returns what they printed."""
    deadline = time.monotonic() + PATIENCE
    try:
        outputs = [process.communicate(timeout=deadline - time.monotonic())[0] for process in processes]
    finally:
        for process in processes:
            process.terminate()  # what has not ended; a launcher ends its processes
    output = "\n".join(outputs)
    assert [process.returncode for process in processes] == [0] * len(processes), output[-2000:]
    for index in range(n_processes):
        assert output.count(f"process {index} of {n_processes}\n") == 1, output[-2000:]
    return output


def run_on_one_and_on_two(one: list[str], two: list[str]) -> None:
    """Run a command line on one process, and another one on two."""
    finish(start("tests/on_cpu.py", *one), n_processes=1)
    finish(launch(two), n_processes=2)


def free_port() -> str:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
