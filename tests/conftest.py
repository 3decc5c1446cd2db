"""Fixtures for all tests. The Hugging Face clients read their environment at import: it is set here before."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hub import HubServer, forbid_outside_connections

_HOME = tempfile.TemporaryDirectory(prefix="hf_home_")
_HUB = HubServer().start()
for _name in [name for name in os.environ if name.startswith("HF_")]:
    del os.environ[_name]
os.environ.update(_HUB.env(home=_HOME.name))

from embedllm_hf.cli import main  # noqa: E402 - only now may a Hugging Face package be imported


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """The session's Hub, empty; `HF_ENDPOINT` points to it and `HF_TOKEN` is `hf_user`."""
    _HUB.reset()
    yield _HUB
    assert not _HUB.errors, "the test Hub itself failed"
    assert not _HUB.faults.pending, "a fault was ordered that no request met"


@pytest.fixture(scope="session")
def _outside_attempts() -> Iterator[list[str]]:
    """Forbids connections that leave loopback, for the whole session."""
    with forbid_outside_connections() as attempts:
        yield attempts


@pytest.fixture(autouse=True)
def _stays_on_this_machine(_outside_attempts: list[str]) -> Iterator[None]:
    """Fails a test that tried to leave loopback, even if a library has swallowed the error."""
    _outside_attempts.clear()
    yield
    assert not _outside_attempts, f"the test tried to reach {_outside_attempts}"


@dataclass
class QuickStart:
    """What `embedllm quickstart` left in `folder`, what it printed, and the processor time that it took."""

    folder: Path
    text: str
    seconds: float

    @property
    def model(self) -> Path:
        """The folder of its model."""
        return self.folder / "runs" / "quickstart" / "model"


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> QuickStart:
    """The quick start, in a process and a folder of its own, on a machine without a Hub and a screen."""
    folder = tmp_path_factory.mktemp("quickstart")
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"} | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "embedllm_hf", "quickstart"]
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), environment.get("PYTHONPATH", "")]))
    begin = os.times()
    done = subprocess.run(
        command, cwd=folder, env=environment | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    end = os.times()
    seconds = end.children_user + end.children_system - begin.children_user - begin.children_system
    return QuickStart(folder, done.stdout, seconds)


@pytest.fixture(scope="session")
def planted_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model trained by the command line on the planted pool."""
    folder = tmp_path_factory.mktemp("planted_model") / "model"
    command = ["train", "--dataset", "planted", "--encoder", "offline", "--output_dir", str(folder), "--disable_tqdm"]
    assert main(command) == 0
    return folder


@pytest.fixture(scope="session")
def data_folder() -> Callable[[str], Path]:
    """Gives the folder of a real data set; without it a test is skipped, or fails where CI demands it."""

    def folder_of(name: str) -> Path:
        folder = Path(__file__).parents[2] / "shared" / "data" / name
        if not folder.is_dir():
            message = f"REAL DATA MISSING: the folder shared/data/{name} is not beside the checkout"
            if os.environ.get("EMBEDLLM_REQUIRE_REAL_DATA"):
                pytest.fail(message)
            pytest.skip(message)
        return folder

    return folder_of


@pytest.fixture(scope="session")
def real_data(data_folder) -> Path:
    """The folder of the real responses that the README's figures are from."""
    return data_folder("open-llm-responses")
