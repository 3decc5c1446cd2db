"""`accelerate launch`: its configuration files are read, and two processes train what one trains."""

from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file

from embedllm_hf import EmbedLLM
from embedllm_hf.cli import main
from tests.launching import CONFIGS, finish, free_port, launch, patient

TRAIN = ["train", "--dataset", "planted", "--encoder", "offline", "--num_train_epochs", "2", "--disable_tqdm"]
RECIPE = """
import sys
from embedllm_hf import EmbedLLM, EmbedLLMTrainer, EmbedLLMTrainingArguments, load_splits

data = load_splits("planted")
model = EmbedLLM.from_encoder("offline", llm_names=data.llm_names)
args = EmbedLLMTrainingArguments(output_dir=sys.argv[1], num_train_epochs=2, disable_tqdm=True)
trainer = EmbedLLMTrainer(model, args, train_dataset=data.train, eval_dataset=data.validation)
trainer.train()
report = trainer.evaluate(data.test)
print("measured" if report else "left to the main process")
"""

# The command line, which ends when its first checkpoint is in place.
CUT = """
import os, sys
from embedllm_hf.cli import main
from embedllm_hf.training.checkpoints import Checkpoints

save = Checkpoints.save

def save_and_end(*what):
    save(*what)
    os._exit(0)

Checkpoints.save = save_and_end
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def of_one_process(tmp_path_factory) -> EmbedLLM:
    folder = tmp_path_factory.mktemp("one") / "model"
    assert main([*TRAIN, "--output_dir", str(folder)]) == 0
    return EmbedLLM.from_pretrained(folder)


def check_same(folder: Path, expected: EmbedLLM) -> None:
    """The weights in a folder are the expected ones up to the order of summation, and so is the report."""
    found = EmbedLLM.from_pretrained(folder)
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=1e-4, atol=1e-5)
    assert found.metrics["embedllm"] == pytest.approx(expected.metrics["embedllm"], abs=1e-4)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_the_file(path):
    """Every file is a configuration of several processes, and says in its first line what it is for."""
    config = load_config_from_file(str(path))
    assert config.num_processes > 1
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.slow
@patient
def test_two_processes_run_the_recipe(of_one_process, tmp_path):
    """The recipe in Python runs on two processes as on one: both train, the main one measures and saves."""
    (tmp_path / "recipe.py").write_text(RECIPE)
    output = finish(launch([str(tmp_path / "recipe.py"), str(tmp_path / "model")]), n_processes=2)
    assert output.count("measured") == output.count("left to the main process") == 1
    check_same(tmp_path / "model", of_one_process)


@pytest.mark.slow
@patient
def test_weights_in_pieces_train_what_one_process_trains(of_one_process, tmp_path):
    """FSDP, on the command line, killed and resumed: the model is put together again, and one process reports."""
    (tmp_path / "cut.py").write_text(CUT)
    command = [*TRAIN, "--save_checkpoints", "--output_dir", str(tmp_path / "model")]
    finish(launch([str(tmp_path / "cut.py"), *command], config="fsdp.yaml"), n_processes=2)
    checkpoints = tmp_path / "model" / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["network-000001.safetensors"]
    output = finish(launch([*command, "--resume_from_checkpoint"], config="fsdp.yaml"), n_processes=2)
    assert output.count("saved to") == 1
    assert [path.name for path in checkpoints.iterdir()] == ["finished.json"]
    check_same(tmp_path / "model", of_one_process)


@pytest.mark.slow
@patient
def test_two_machines_train_what_one_trains(of_one_process, tmp_path):
    """Two launches that take each other for two machines do so, too."""
    address = ["--main_process_ip", "127.0.0.1", "--main_process_port", free_port(), "--num_machines", "2"]
    command = [*TRAIN, "--output_dir", str(tmp_path)]
    ranks = [["--machine_rank", str(rank)] for rank in range(2)]
    machines = [launch(command, *address, *rank, config="multi_node.yaml") for rank in ranks]
    assert finish(*machines, n_processes=2).count("saved to") == 1
    check_same(tmp_path, of_one_process)
