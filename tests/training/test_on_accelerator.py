"""Training on an accelerator, a made-up one where there is none: nothing stays behind on the processor."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.made_accelerator import IS_THERE

ROOT = Path(__file__).parents[2]
# Of these files, those on what training does and leaves; others compare tensors of both devices, or need autocast.
FILES = ("training/test_network_trainer.py", "training/test_encoder_trainer.py", "test_pool_edits.py")
TESTS = "resume_equals or large_pool or on_the_device or same_seed or learns_what or saved_and_loaded or one_weight"


def run_on_accelerator(*arguments: str) -> str:
    """Run tests in a process with the made-up accelerator; what pytest prints."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.made_accelerator"]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=280)
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not IS_THERE, reason="this torch has no back ends in Python")
def test_what_holds_on_a_processor_holds_on_an_accelerator():
    """Network and text encoder are trained there, on tables and on pairs, and resumed to the bit."""
    printed = run_on_accelerator(*(f"tests/{name}" for name in FILES), "-k", TESTS)
    assert re.search(r"^12 passed, \d+ deselected", printed, re.MULTILINE), printed[-3000:]


@pytest.mark.skipif(not IS_THERE, reason="this torch has no back ends in Python")
def test_the_made_accelerator_refuses_what_a_gpu_refuses(tmp_path):
    """Tensors of both in one operation, and NumPy; indices and numbers of the processor are taken, as there."""
    (tmp_path / "test_it.py").write_text(
        "import pytest, torch\n"
        "def test_it():\n"
        "    there, here = torch.ones(3, device='made'), torch.ones(3)\n"
        "    assert (there + there).cpu().tolist() == [2, 2, 2]\n"
        "    assert there[torch.tensor([0])].item() == (there * torch.tensor(1.0)).max().item() == 1\n"
        "    with pytest.raises(RuntimeError, match='add: tensors on `made` and, of shape .3,., on the processor'):\n"
        "        there + here\n"
        "    with pytest.raises(TypeError, match='no NumPy array'):\n"
        "        there.numpy()\n"
    )
    assert re.search("^1 passed", run_on_accelerator(str(tmp_path / "test_it.py")), re.MULTILINE)
