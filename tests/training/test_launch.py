"""The configuration files for several GPUs and several machines: Accelerate reads them, and two processes train."""

from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file

from embedllm_hf import EmbedLLM

from .launching import CONFIGS, finish, free_port, launch, start

TRAIN = ["train", "--dataset", "planted", "--encoder", "offline", "--num_train_epochs", "2", "--disable_tqdm"]


@pytest.fixture(scope="module")
def weights_of_one_process(tmp_path_factory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("one")
    finish(start("tests/on_cpu.py", *TRAIN, "--output_dir", str(folder)), n_processes=1)
    return EmbedLLM.from_pretrained(folder).state_dict()


def check_weights(folder: Path, expected: dict[str, torch.Tensor]) -> None:
    """The weights in a folder are the expected ones, up to the order of summation."""
    for name, value in EmbedLLM.from_pretrained(folder).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_the_file(path):
    """Every file is a configuration of several processes, and says in its first line what it is for."""
    config = load_config_from_file(str(path))
    assert config.num_processes > 1
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.slow
@pytest.mark.parametrize("config", ["multi_gpu.yaml", "fsdp.yaml"])
def test_two_processes_train_what_one_trains(config, weights_of_one_process, tmp_path):
    """Two processes that share each block of questions end with the weights of one, and one of them reports."""
    output = finish(launch([*TRAIN, "--output_dir", str(tmp_path)], config=config), n_processes=2)
    assert output.count("saved to") == 1
    check_weights(tmp_path, weights_of_one_process)


@pytest.mark.slow
def test_two_machines_train_what_one_trains(weights_of_one_process, tmp_path):
    """Two launches that take each other for two machines do so, too."""
    address = ["--main_process_ip", "127.0.0.1", "--main_process_port", free_port(), "--num_machines", "2"]
    command = [*TRAIN, "--output_dir", str(tmp_path)]
    ranks = [["--machine_rank", str(rank)] for rank in range(2)]
    machines = [launch(command, *address, *rank, config="multi_node.yaml") for rank in ranks]
    assert finish(*machines, n_processes=2).count("saved to") == 1
    check_weights(tmp_path, weights_of_one_process)
