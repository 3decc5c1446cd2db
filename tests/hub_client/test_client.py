"""The client: whatever the Hub or the network fails at becomes one of the library's own errors, with its remedy."""

import errno
import os

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import LocalTokenNotFoundError

from embedllm_hf._errors import FileError, InputError, MissingFile, Refused, Unreachable, UserError
from embedllm_hf.hub.client import fetch_snapshot
from embedllm_hf.hub.commits import Target, commit_on_top
from embedllm_hf.hub.errors import explain_hub_errors
from tests.hub.clients import no_waiting
from tests.hub.faults import COMMITS


@pytest.fixture(autouse=True)
def _no_waiting():
    with no_waiting():
        yield


def everything(files):
    return files


def put(repo_id: str, content: bytes = b"new", **options):
    def add(there):
        return [CommitOperationAdd("a.txt", content)]

    return commit_on_top(Target(repo_id, **options), add, message="Add a")


@pytest.mark.parametrize(
    ("order", "kind", "message"),
    [
        ({"status": 401, "code": "RepoNotFound"}, MissingFile, "no such repository, or it is private.*HF_TOKEN"),
        ({"status": 401}, Refused, r"the Hub refused \(401\)"),
        ({"status": 403}, Refused, r"the Hub refused \(403\).*hf auth login"),
        ({"status": 403, "code": "GatedRepo"}, Refused, "access must be granted"),
        ({"status": 404, "code": "RevisionNotFound"}, MissingFile, "no such revision"),
        ({"status": 418}, FileError, "418"),
        ({"status": 429, "times": 9, "retry_after": 7}, FileError, r"too many requests \(429\). Try again in 7 sec"),
        ({"status": 500, "times": 3}, FileError, r"a fault of its own \(500\). Try later"),
    ],
)
def test_a_refused_fetch_is_one_line(hub, order, kind, message):
    """The kind of error, the repository and the remedy, for each status that reading can meet."""
    hub.create_repo("user/fetched", {"a.txt": b"a"})
    hub.faults.status(on=r"GET /api/models/", **order)
    with pytest.raises(kind, match=rf"^user/fetched: .*{message}") as raised:
        fetch_snapshot("user/fetched", everything)
    hub.faults.clear()
    assert "\n" not in str(raised.value)


def test_what_cannot_be_reached(hub):
    """A commit needs the Hub; a fetch needs it only for what was never fetched."""
    hub.create_repo("user/reached", {"a.txt": b"a"})
    before = fetch_snapshot("user/reached", everything)
    with hub.unreachable():
        assert fetch_snapshot("user/reached", everything) == before
        with pytest.raises(Unreachable, match=r"user/never: not in the cache, and the connection.*Check the network"):
            fetch_snapshot("user/never", everything)
        with pytest.raises(Unreachable, match="user/reached: the connection to the Hub failed"):
            put("user/reached")
    with pytest.raises(MissingFile, match="user/never: not in the cache"):
        fetch_snapshot("user/never", everything, local_files_only=True)


def test_what_is_no_id(hub):
    """A name that the Hub could not have is bad input, not a missing repository."""
    with pytest.raises(InputError, match="`not an id` is neither a folder nor a Hub id"):
        fetch_snapshot("not an id", everything)


def test_a_fault_of_the_hub_is_waited_for_twice(hub):
    """Two faults of its own and a success: one commit; a refusal is not repeated."""
    hub.faults.status(503, on=COMMITS, times=2)
    with no_waiting():
        put("user/third")
    assert len(list(hub.repo("user/third").history())) == 2
    hub.requests.clear()
    hub.faults.status(403, on=COMMITS)
    with pytest.raises(Refused, match="user/third"):
        put("user/third", b"newer")
    assert len(hub.seen(COMMITS)) == 1


def wrapped(cause: Exception) -> RuntimeError:
    error = RuntimeError("An error occurred while uploading")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), FileError, "^u/x@v1: the disk is full"),
        (LocalTokenNotFoundError("Token is required\nbut none was found"), FileError, "^u/x@v1: Token is required$"),
        (wrapped(ConnectionResetError("reset")), Unreachable, r"^u/x@v1: the connection to the Hub failed \(reset\)"),
        (InputError("ours"), InputError, "^ours$"),
    ],
)
def test_errors_inside_the_block(error, kind, message):
    """A full disk, the client's own words, what it wraps, and ours, which pass."""
    with pytest.raises(kind, match=message), explain_hub_errors("u/x", "v1"):
        raise error


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), wrapped(KeyError("x")), OSError(errno.EACCES, "no"), KeyError("x")]
)
def test_what_is_not_the_hubs_passes_unchanged(error):
    """Bugs and the system's errors are not dressed up as the Hub's."""
    with pytest.raises(type(error)) as raised, explain_hub_errors("u/x", None):
        raise error
    assert raised.value is error
    assert not isinstance(error, UserError)
