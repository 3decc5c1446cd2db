"""How the Hub is asked: a timeout on every request of the library, nothing on those of others, and waits in bounds."""

import subprocess
import sys
import time
from email.utils import formatdate

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, close_session, constants, set_client_factory
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import get_session
from huggingface_hub.utils._http import default_client_factory

from embedllm_hf._errors import Unreachable
from embedllm_hf.hub import requests
from embedllm_hf.hub.client import fetch_snapshot
from embedllm_hf.hub.commits import Target, commit_on_top
from embedllm_hf.hub.errors import Trouble, explain_hub_errors
from embedllm_hf.hub.requests import api, asked, streamed
from tests.hub import HubServer
from tests.hub.clients import no_waiting
from tests.hub.faults import COMMITS
from tests.hub.protocol import Answer
from tests.hub_client import WEIGHTS


@pytest.fixture
def waits():
    with no_waiting() as seconds:
        yield seconds


@pytest.fixture
def timeouts():
    """The timeouts of the requests that leave, by method and path, from a session for this test."""
    seen = []

    def session():
        client = default_client_factory()
        client.event_hooks["request"].append(
            lambda request: seen.append((f"{request.method} {request.url.path}", request.extensions["timeout"]))
        )
        return client

    set_client_factory(session)
    yield seen
    set_client_factory(default_client_factory)


def everything(files):
    return files


def explained(at: str):
    return explain_hub_errors(at, None)


def test_every_request_of_the_library_has_a_timeout(hub, timeouts, monkeypatch):
    """Looking, making, preparing, uploading, committing, listing and downloading; an upload's grows with its size."""
    monkeypatch.setattr(requests, "UPLOAD_BYTES_PER_SECOND", 100)
    files = {"model.safetensors": WEIGHTS, "bank.safetensors": WEIGHTS[::-1], "README.md": b"---\ntags: [a]\n---\n"}
    added = [CommitOperationAdd(name, content) for name, content in files.items()]
    commit_on_top(Target("user/timed", revision="trial"), lambda there: added, message="Add")
    fetch_snapshot("user/timed", everything, revision="trial")
    assert len({request for request, _ in timeouts}) >= 12
    assert not [request for request, limits in timeouts if None in limits.values()]
    uploads = [limits["read"] for request, limits in timeouts if request.startswith("PUT")]
    assert uploads == [requests.UPLOAD_SECONDS + len(WEIGHTS) / 100] * 2
    assert {limits["read"] for request, limits in timeouts if "/api/models/user/timed/revision" in request} == {10}


def test_the_requests_of_others_are_left_alone(hub, timeouts):
    """The user's own calls keep the client's ways, in the same session, also after calls of the library."""
    hub.create_repo("user/own", {"a.txt": b"a"})
    fetch_snapshot("user/own", everything)
    timeouts.clear()
    HfApi().model_info("user/own")
    assert [set(limits.values()) for _, limits in timeouts] == [{None}]
    hub.faults.status(503, on=r"GET /api/models/")
    with pytest.raises(HfHubHTTPError, match="503"):
        HfApi().model_info("user/own")


def test_importing_the_package_leaves_the_client_alone():
    """No session is made or changed before the first request."""
    code = "import huggingface_hub.utils._http as http, embedllm_hf.data.upload; print(http._GLOBAL_CLIENT)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "None\n"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "soon"}, 1),
        ({"ratelimit": '"api";r=0;t=9', "Retry-After": "3"}, 9),
        ({}, 1),
    ],
)
def test_the_wait_is_what_the_hub_says(hub, waits, headers, expected):
    """Seconds, a date, or a rate limit; a second at least, also where nothing readable is said."""
    hub.create_repo("user/limited")
    hub.faults.status(429, on=r"GET /api/models/", headers=headers)
    assert asked(lambda: api().model_info("user/limited")).id == "user/limited"
    assert waits == [expected]


def test_the_wait_may_be_until_a_date(hub, waits):
    """To the second, as HTTP writes dates."""
    hub.create_repo("user/dated")
    hub.faults.status(429, on=r"GET /api/models/", retry_after=formatdate(time.time() + 20, usegmt=True))
    asked(lambda: api().model_info("user/dated"))
    assert waits == [pytest.approx(20, abs=5)]


@pytest.mark.parametrize(
    ("retry_after", "n_waits", "told"),
    [(25, 2, "in 25 seconds"), (61, 0, "in 61 seconds"), ("Wed, 21 Oct 2099 07:28:00 GMT", 0, r"in \d+ hours")],
)
def test_the_waits_have_a_budget(hub, waits, retry_after, n_waits, told):
    """A minute in all; a Hub that asks for more is told at once, with when to come again."""
    hub.create_repo("user/throttled")
    hub.faults.status(429, on=r"GET /api/models/", retry_after=retry_after, times=99)
    with pytest.raises(Unreachable, match=rf"^u/x: too many requests \(429\). Try again {told}\.$"), explained("u/x"):
        asked(lambda: api().model_info("user/throttled"))
    hub.faults.clear()
    assert len(waits) == n_waits


def test_faults_are_repeated_twice(hub, waits):
    """After a second and after four more; three faults are too many, and are not repeated from the beginning."""
    hub.create_repo("user/faulty")
    hub.faults.status(502, on=r"GET /api/models/", times=2)
    asked(lambda: api().model_info("user/faulty"))
    assert waits == [1, 4]
    hub.faults.status(502, on=r"GET /api/models/", times=99)
    hub.requests.clear()
    with pytest.raises(Trouble, match=r"a fault of its own \(502\)"):
        asked(lambda: api().model_info("user/faulty"))
    hub.faults.clear()
    assert len(hub.requests) == 3


def test_a_hub_that_is_away_is_not_waited_for_where_a_cache_can_serve(hub, waits, monkeypatch):
    """One try and no more for silence and for a refused connection, and the cache serves with one warning."""
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
    hub.create_repo("user/warm", {"a.txt": b"a"})
    before = fetch_snapshot("user/warm", everything)
    hub.requests.clear()
    hub.faults.silence(on=r"GET /api/models/", times=99)
    assert fetch_snapshot("user/warm", everything) == before
    hub.faults.clear()
    with hub.unreachable():
        assert fetch_snapshot("user/warm", everything) == before
    assert waits == []
    assert len(hub.requests) <= 1


def test_a_session_that_is_made_anew_is_looked_after(hub, waits):
    """The client closes its session after some errors, and makes another one."""
    hub.create_repo("user/session")
    first = get_session()
    asked(lambda: api().model_info("user/session"))
    close_session()
    hub.faults.status(503, on=r"GET /api/models/")
    asked(lambda: api().model_info("user/session"))
    assert get_session() is not first
    assert waits == [1]


def test_a_stream_is_never_shorter_than_it_is():
    """An error in the middle ends it with that error, and what it read before is there."""

    def items():
        yield 1
        raise ConnectionResetError("reset")

    stream = streamed(items)
    assert next(stream) == 1
    with pytest.raises(Trouble, match="the connection to the Hub failed"):
        next(stream)


def test_a_commit_is_not_repeated_by_the_request_itself(hub, waits):
    """Only who knows whether it was done may send it again."""
    hub.create_repo("user/once")
    hub.faults.status(503, on=COMMITS)
    where = {"repo_id": "user/once", "commit_message": "Add"}
    with pytest.raises(Trouble, match="503"):
        requests.tried(lambda: api().create_commit(operations=[CommitOperationAdd("a.txt", b"a")], **where))
    assert len(hub.seen(COMMITS)) == 1


def test_no_token_reaches_another_host(hub, waits):
    """Neither by a redirect of a question nor by one of a file."""
    hub.create_repo("user/led-away", {"a.txt": b"a"})
    with HubServer() as other:
        for on in (r"GET /api/models/", r"HEAD .*/resolve/", r"GET .*/resolve/"):
            away = Answer({}, 302, {"Location": f"{other.url}/login"})
            hub.faults.answer(lambda answer, away=away: away, on=on, times=99)
            with pytest.raises(Unreachable, match="what answered is not the Hub"):
                fetch_snapshot("user/led-away", everything)
            hub.faults.clear()
        assert {request.with_token for request in hub.requests} == {True}
        assert {request.with_token for request in other.requests} == {False}
