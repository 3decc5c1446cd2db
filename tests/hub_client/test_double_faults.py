"""Faults ordered from the test Hub, as the real clients meet them, and the guard against leaving this machine."""

import hashlib
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub import OutsideConnectionError, forbid_outside_connections
from tests.hub.clients import no_waiting, run_python
from tests.hub.faults import COMMITS
from tests.hub_client import WEIGHTS


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, None, HfHubHTTPError),
        (401, "RepoNotFound", RepositoryNotFoundError),
        (401, "GatedRepo", GatedRepoError),
        (403, None, HfHubHTTPError),
        (403, "GatedRepo", GatedRepoError),
        (404, "RepoNotFound", RepositoryNotFoundError),
        (404, "RevisionNotFound", RevisionNotFoundError),
        (404, "EntryNotFound", EntryNotFoundError),
        (409, None, HfHubHTTPError),
        (412, None, HfHubHTTPError),
        (429, None, HfHubHTTPError),
        (500, None, HfHubHTTPError),
        (503, None, HfHubHTTPError),
    ],
)
def test_an_injected_status_reaches_the_caller_once(hub, api, status, code, expected):
    hub.create_repo("user/status")
    hub.faults.status(status, on=r"GET /api/models/user/status", code=code)
    with pytest.raises(expected) as raised:
        api.model_info("user/status")
    assert raised.value.response.status_code == status
    assert api.model_info("user/status").id == "user/status"


def test_two_503_and_then_success_are_three_requests(hub, tmp_path):
    hub.create_repo("user/busy", {"model.safetensors": WEIGHTS})
    hub.faults.status(503, on=r"HEAD .*/resolve/", times=2)
    with no_waiting() as waits:
        assert hf_hub_download("user/busy", "model.safetensors", cache_dir=tmp_path)
    assert [request.status for request in hub.seen("HEAD .*/resolve/")] == [503, 503, 200]
    assert waits


def test_the_client_waits_as_long_as_retry_after_says(hub, api, tmp_path):
    repo = hub.create_repo("user/limited", {"a.txt": b"a"})
    hub.faults.status(429, on=r"GET .*/resolve/", retry_after=7)
    hub.faults.status(429, on=r"POST .*/preupload/", retry_after=11)
    with no_waiting() as waits:
        hf_hub_download("user/limited", "a.txt", cache_dir=tmp_path)
        api.upload_file(path_or_fileobj=b"b", path_in_repo="b.txt", repo_id="user/limited")
    assert waits == [8, 12]  # a second more than the header, against rounding
    assert repo.files() == ["a.txt", "b.txt"]


def test_a_download_cut_in_the_middle_is_fetched_again(hub, tmp_path):
    hub.create_repo("user/cut", {"model.safetensors": WEIGHTS})
    hub.faults.cut_download(after=1000, on=r"model\.safetensors")
    with no_waiting() as waits:
        path = hf_hub_download("user/cut", "model.safetensors", cache_dir=tmp_path)
    assert Path(path).read_bytes() == WEIGHTS
    assert (len(hub.seen("GET .*/resolve/")), len(waits)) == (2, 1)


def test_a_download_that_never_completes_leaves_no_file(hub, tmp_path):
    hub.create_repo("user/cut-always", {"model.safetensors": WEIGHTS})
    hub.faults.cut_download(after=1000, times=6)  # the client's first try and its five retries
    with no_waiting(), pytest.raises(httpx2.TransportError):
        hf_hub_download("user/cut-always", "model.safetensors", cache_dir=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size >= 1000]


def test_a_corrupt_download_has_the_right_size_and_the_wrong_hash(hub, tmp_path):
    hub.create_repo("user/corrupt", {"model.safetensors": WEIGHTS})
    hub.faults.corrupt(on=r"model\.safetensors")
    path = Path(hf_hub_download("user/corrupt", "model.safetensors", cache_dir=tmp_path))
    advertised = get_hf_file_metadata(hf_hub_url("user/corrupt", "model.safetensors")).etag
    assert advertised == hashlib.sha256(WEIGHTS).hexdigest() == path.resolve().name
    assert path.read_bytes() != WEIGHTS
    assert path.read_bytes()[:-1] == WEIGHTS[:-1]


def test_an_upload_cut_in_the_middle_is_sent_again(hub, api):
    repo = hub.create_repo("user/cut-upload")
    hub.faults.cut_upload(after=1000)
    with no_waiting() as waits:
        api.upload_file(path_or_fileobj=WEIGHTS, path_in_repo="m.safetensors", repo_id="user/cut-upload")
    assert [request.status for request in hub.seen("PUT")] == [0, 200]
    assert (repo.read("m.safetensors"), len(waits)) == (WEIGHTS, 1)


def test_a_commit_cut_in_the_middle_changes_nothing(hub, api):
    repo = hub.create_repo("user/cut-commit", {"a.txt": b"a"})
    hub.faults.cut_upload(after=20, on=COMMITS)
    with pytest.raises(httpx2.TransportError):
        api.upload_file(path_or_fileobj=b"b" * 100_000, path_in_repo="b.txt", repo_id="user/cut-commit")
    assert repo.files() == ["a.txt"]


def test_a_commit_may_succeed_although_its_answer_is_lost(hub, api):
    repo = hub.create_repo("user/lost-answer", {"a.txt": b"a"})
    hub.faults.cut_download(after=0, on=COMMITS)
    with pytest.raises(httpx2.TransportError):
        api.upload_file(path_or_fileobj=b"b", path_in_repo="b.txt", repo_id="user/lost-answer")
    assert repo.files() == ["a.txt", "b.txt"]


def test_an_unreachable_hub_refuses_and_comes_back_at_the_same_address(hub, api, tmp_path):
    hub.create_repo("user/away", {"a.txt": b"a", "b.txt": b"b"})
    cached = hf_hub_download("user/away", "a.txt", cache_dir=tmp_path)
    with hub.unreachable(), no_waiting():
        assert hf_hub_download("user/away", "a.txt", cache_dir=tmp_path) == cached
        with pytest.raises(LocalEntryNotFoundError):
            hf_hub_download("user/away", "b.txt", cache_dir=tmp_path)
        with pytest.raises(httpx2.ConnectError):
            api.model_info("user/away")
    assert Path(hf_hub_download("user/away", "b.txt", cache_dir=tmp_path)).read_bytes() == b"b"


def test_rules_are_met_in_order_and_unmet_ones_stay_pending(hub):
    hub.faults.status(500, on="/a", times=2)
    hub.faults.status(503, on="/")
    hub.faults.cut_download(after=0, on="/")
    assert [httpx2.get(hub.url + path).status_code for path in ("/a", "/b", "/a")] == [500, 503, 500]
    assert httpx2.head(f"{hub.url}/a").status_code == 404
    assert len(hub.faults.pending) == 1
    hub.faults.clear()


def test_a_failure_of_the_server_itself_is_told_apart(hub):
    hub.faults.before(lambda: 1 / 0, on="GET /api/models")
    assert httpx2.get(f"{hub.url}/api/models").status_code == 500
    assert [type(error) for error in hub.errors] == [ZeroDivisionError]
    assert httpx2.get(f"{hub.url}/api/unknown").status_code == 404
    hub.errors.clear()


# --- the guard ---


def test_the_guard_names_the_address_and_lets_loopback_through(hub):
    with forbid_outside_connections() as attempts:
        with pytest.raises(OutsideConnectionError, match=r"192\.0\.2\.1:443"):
            socket.create_connection(("192.0.2.1", 443))
        with pytest.raises(OutsideConnectionError, match=r"huggingface\.co:443"):
            httpx2.get("https://huggingface.co/api/models")
        with socket.socket() as raw, pytest.raises(OutsideConnectionError):
            raw.connect(("192.0.2.2", 80))
        with socket.socket() as raw, pytest.raises(OutsideConnectionError):
            raw.connect_ex(("192.0.2.3", 80))
        assert httpx2.get(f"{hub.url}/api/models").json() == []
        assert httpx2.get(f"{hub.url.replace('127.0.0.1', 'localhost')}/api/models").json() == []
        left, right = socket.socketpair()
        left.close()
        right.close()
    assert attempts == ["192.0.2.1:443", "huggingface.co:443", "192.0.2.2:80", "192.0.2.3:80"]


def test_unix_sockets_stay_allowed(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with forbid_outside_connections() as attempts:
            client.connect(str(tmp_path / "s"))
    assert attempts == []


def test_a_child_process_cannot_leave_either(hub, tmp_path):
    script = tmp_path / "leave.py"
    script.write_text("import socket, sys\nsocket.create_connection((sys.argv[1], 80))\n")
    for host, message in {"192.0.2.1": "tried to leave this machine: 192.0.2.1:80", "127.0.0.1": "refused"}.items():
        result = run_python(str(script), host, hub=hub, home=tmp_path)
        assert result.returncode == 1
        assert message in result.stderr


def test_importing_the_hub_does_not_import_the_clients():
    code = "import sys, tests.hub, tests.hub.clients; print('huggingface_hub' in sys.modules, 'torch' in sys.modules)"
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout == "False False\n"
