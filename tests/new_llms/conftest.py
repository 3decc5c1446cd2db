"""The simulated pool that several modules place, probe and test LLMs with."""

import pytest

from tests.placing import Simulated, simulated_pool


@pytest.fixture(scope="session")
def simulated() -> Simulated:
    """Forty LLMs and four hundred questions; nobody writes into it."""
    return simulated_pool()
