"""Fixtures for all tests. The Hugging Face clients read their environment at import: it is set here before."""

import os
import tempfile
from collections.abc import Iterator

import pytest

from tests.hub import HubServer, forbid_outside_connections

_HOME = tempfile.TemporaryDirectory(prefix="hf_home_")
_HUB = HubServer().start()
for _name in [name for name in os.environ if name.startswith("HF_")]:
    del os.environ[_name]
os.environ.update(_HUB.env(home=_HOME.name))


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
