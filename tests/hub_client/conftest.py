"""What the tests of the Hub double share."""

import pytest
from huggingface_hub import HfApi


@pytest.fixture
def api() -> HfApi:
    return HfApi()
