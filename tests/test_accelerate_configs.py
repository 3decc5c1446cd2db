"""The configuration files for several GPUs and several machines: Accelerate reads them, and two processes start."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file

from embedllm_hf import EmbedLLM

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "scripts" / "accelerate"
TRAIN = [
    "scripts/train.py",
    "--dataset",
    "planted",
    "--encoder",
    "offline",
    "--num_train_epochs",
    "2",
    "--disable_tqdm",
]


def launch(config: str, *options: str) -> subprocess.Popen:
    """Start a training run by a configuration file, on CPU whatever it says."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / config), "--cpu"]
    command += ["--mixed_precision", "no", "--num_cpu_threads_per_process", "1", *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output[-2000:]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_the_file(path):
    """Every file is a configuration of several processes, and says in its first line how to use it."""
    config = load_config_from_file(str(path))
    assert config.num_processes > 1
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.slow
def test_two_machines_train_what_one_trains(tmp_path):
    """Two launches that take each other for two machines, and one with two processes, end with the same weights."""
    finish(launch("multi_gpu.yaml", "--num_processes", "2", "--main_process_port", free_port(), *TRAIN,
                  "--output_dir", str(tmp_path / "one")))  # fmt: skip
    port = free_port()
    machines = [
        launch(
            "multi_node.yaml", "--num_machines", "2", "--num_processes", "2", "--machine_rank", str(rank),
            "--main_process_ip", "127.0.0.1", "--main_process_port", port, *TRAIN,
            "--output_dir", str(tmp_path / "two"),
        )
        for rank in range(2)
    ]  # fmt: skip
    for machine in machines:
        finish(machine)
    one, two = (EmbedLLM.from_pretrained(tmp_path / name).state_dict() for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-3, atol=1e-4)
