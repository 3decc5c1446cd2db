"""The quick mode of the Hub's faults: every kind of them, met by a read and by a write."""

from collections.abc import Iterator

import pytest

from scripts.faults.hub import READS, WRITES, Campaign, impatient
from scripts.faults.hub_kinds import KINDS, Kind
from tests.hub import HubServer

_SECONDS = 0.2  # of every timeout
_WRITTEN = ("data set", "LLM", "data set", "model")  # in turn


@pytest.fixture(scope="module")
def other() -> Iterator[HubServer]:
    """Another host, which the Hub may send a client to."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def campaign(other) -> Campaign:
    """What is made once for all kinds; the Hub is each test's own."""
    return Campaign(None, other)


def numbered(wanted: str) -> list[tuple[int, Kind]]:
    return [(number, kind) for number, kind in enumerate(KINDS) if getattr(kind, wanted) is not None]


@pytest.mark.parametrize(("number", "kind"), numbered("read"), ids=lambda value: getattr(value, "name", ""))
def test_a_read_survives_or_says_why(hub, campaign, other, number, kind):
    """The right content, from the Hub or the cache, or one line that is true; no token reaches another host."""
    campaign.hub = hub
    subject = READS["data set" if number % 3 == 0 else "encoder"]
    with impatient(_SECONDS):
        assert campaign.read(kind, subject, warm=number % 2 == 1) in ("survived", "told")
    assert not [request for request in other.requests if request.with_token]


@pytest.mark.parametrize(("number", "kind"), numbered("write"), ids=lambda value: getattr(value, "name", ""))
def test_a_write_is_done_once_or_says_why_not(hub, campaign, other, number, kind):
    """What is told as done is there once, what is told as failed is not there, and can be repeated."""
    campaign.hub = hub
    subject = WRITES[_WRITTEN[number % 4]]
    with impatient(_SECONDS):
        assert campaign.write(kind, subject) in ("survived", "told")
    assert not [request for request in other.requests if request.with_token]


def test_there_are_kinds_enough():
    """Forty at least in both directions, each with a name of its own."""
    assert min(len(numbered("read")), len(numbered("write"))) >= 40
    assert len({kind.name for kind in KINDS}) == len(KINDS)
