"""The client: whatever the Hub or the network fails at becomes one of the library's own errors, with its remedy."""

import errno
import os

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import LocalTokenNotFoundError

from embedllm_hf._errors import FileError, InputError, MissingFile, Refused, Unreachable, UserError
from embedllm_hf.hub.client import check_names, fetch_snapshot
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
        with pytest.raises(Unreachable, match=r"user/never: .*, not in the cache, and the connection.*the network"):
            fetch_snapshot("user/never", everything)
        with pytest.raises(Unreachable, match="user/reached: the connection to the Hub failed"):
            put("user/reached")
    with pytest.raises(MissingFile, match="user/never: no such folder, not in the cache"):
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


# --- the cache ---


def test_what_was_fetched_by_any_name_is_there_offline(hub):
    """The main branch, another branch, a tag and a commit, each after one use."""
    repo = hub.create_repo("user/named", {"a.txt": b"1"})
    first = repo.resolve().oid
    repo.refs["refs/tags/v1"] = first
    repo.commit({"a.txt": b"2", "b.txt": b"2"})
    repo.refs["refs/heads/some/branch"] = repo.resolve().oid
    for revision in (None, "some/branch", "v1", first):
        online = fetch_snapshot("user/named", everything, revision=revision)
        before = len(hub.requests)
        offline = fetch_snapshot("user/named", everything, revision=revision, local_files_only=True)
        assert (offline.folder, offline.revision) == (online.folder, online.revision)
        assert sorted(offline.files) == sorted(online.files)
        assert len(hub.requests) == before


def test_a_commit_in_the_cache_is_not_asked_for(hub):
    """It never changes."""
    oid = hub.create_repo("user/pinned", {"a.txt": b"1"}).resolve().oid
    held = fetch_snapshot("user/pinned", everything, revision=oid)
    hub.requests.clear()
    assert fetch_snapshot("user/pinned", everything, revision=oid).folder == held.folder
    assert hub.requests == []


def test_a_repository_that_has_moved_is_followed(hub, caplog):
    """Online and later offline by its old name, and the new one is said."""
    repo = hub.create_repo("user/here", {"a.txt": b"1"})
    hub.store.move(repo, "org/there")
    found = fetch_snapshot("user/here", everything)
    assert (found.folder / "a.txt").read_bytes() == b"1"
    assert "user/here has moved to org/there. Use the new id." in caplog.text
    assert fetch_snapshot("user/here", everything, local_files_only=True).folder == found.folder


def test_the_files_are_those_of_the_listing(hub):
    """A commit between the two changes neither."""
    repo = hub.create_repo("user/moving", {"a.txt": b"1", "b.txt": b"1"})
    hub.faults.before(lambda: repo.commit({"a.txt": b"2", "b.txt": None}), on=r"GET .*/tree/")
    snapshot = fetch_snapshot("user/moving", everything)
    assert [(snapshot.folder / name).read_bytes() for name in ("a.txt", "b.txt")] == [b"1", b"1"]


def test_a_newer_commit_that_cannot_be_fetched_leaves_the_older_one(hub, caplog):
    """What the cache holds whole serves, with one warning, also after the listing; the newer one is fetched later."""
    repo = hub.create_repo("user/newer", {"a.txt": b"1", "b.txt": b"1"})
    older = fetch_snapshot("user/newer", everything)
    repo.commit({"b.txt": b"2"})
    hub.faults.status(500, on=r"HEAD .*/resolve/.*b.txt", times=99)
    assert fetch_snapshot("user/newer", everything) == older
    assert len([record for record in caplog.records if record.name.startswith("embedllm_hf")]) == 1
    assert "user/newer: the Hub has a fault of its own (500). Using what the cache holds" in caplog.text
    assert fetch_snapshot("user/newer", everything, local_files_only=True).revision == older.revision
    hub.faults.clear()
    newer = fetch_snapshot("user/newer", everything)
    assert (newer.folder / "b.txt").read_bytes() == b"2"


def test_damage_in_the_cache_is_found(hub):
    """Online the file is fetched anew; offline it is named, and not used."""
    hub.create_repo("user/rotten", {"a.txt": b"content"})
    file = fetch_snapshot("user/rotten", everything).folder / "a.txt"
    file.resolve().write_bytes(b"rotten!")
    assert (fetch_snapshot("user/rotten", everything).folder / "a.txt").read_bytes() == b"content"
    file.resolve().write_bytes(b"rotten!")
    with pytest.raises(FileError, match=r"user/rotten: `a.txt` was damaged in the cache.*Fetch it again"):
        fetch_snapshot("user/rotten", everything, local_files_only=True)


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/a", "a//b", "a\\b", "C:/a", "a\0b", "", "."])
def test_no_file_leads_out_of_its_folder(name):
    """Whatever part of a path would: refused, with the repository's id and the name shown as data."""
    with pytest.raises(FileError, match=r"^u/x: lists a file named '.*which leads out of its folder"):
        check_names("u/x", ["fine.txt", name])
    check_names("u/x", [".gitattributes", "a..b", "text_encoder/1_Pooling/config.json", "..c"])


def test_a_cache_that_cannot_be_written(hub, monkeypatch):
    """The line says which, and what to do."""
    hub.create_repo("user/readonly", {"a.txt": b"a"})

    def refuse(*args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/cache/hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(
        FileError, match=r"user/readonly: the cache of the Hub cannot be written .*/cache/hub.*HF_HOME"
    ):
        fetch_snapshot("user/readonly", everything)
