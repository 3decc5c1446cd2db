"""The test Hub against the real clients: what the other tests rely on when they say "on the Hub".

Each test uses a repository name of its own, since the clients' caches outlive the Hub's reset.
"""

import base64
import hashlib
import io
import json
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    HfApi,
    HfFileSystem,
    ModelCard,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    metadata_update,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub_client import WEIGHTS


def status_of(raised: pytest.ExceptionInfo) -> int:
    return raised.value.response.status_code


# --- accounts and repositories ---


@pytest.mark.parametrize(("token", "name", "role"), [("hf_user", "user", "write"), ("hf_reader", "user", "read")])
def test_whoami_names_the_token_and_its_role(hub, api, token, name, role):
    me = api.whoami(token=token)
    assert (me["name"], me["auth"]["accessToken"]["role"]) == (name, role)


def test_a_wrong_token_is_refused(hub, api):
    with pytest.raises(HfHubHTTPError, match="Invalid") as raised:
        api.whoami(token="hf_wrong")
    assert status_of(raised) == 401


def test_repositories_are_created_once_and_only_in_own_namespaces(hub, api):
    assert api.create_repo("user/made").repo_id == "user/made"
    assert api.create_repo("made", exist_ok=True).repo_id == "user/made"
    with pytest.raises(HfHubHTTPError, match="already created") as raised:
        api.create_repo("user/made")
    assert status_of(raised) == 409
    with pytest.raises(HfHubHTTPError, match="write access") as raised:
        api.create_repo("other/made")
    assert status_of(raised) == 403


def test_repositories_move_and_disappear(hub, api):
    hub.create_repo("user/old", {"a.txt": b"a"})
    api.move_repo("user/old", "org/new")
    assert hub.repo("org/new").read("a.txt") == b"a"
    assert api.model_info("user/old").id == "org/new"
    api.delete_repo("org/new")
    assert not api.repo_exists("user/old")
    assert not api.repo_exists("org/new")
    with pytest.raises(RepositoryNotFoundError, match="404"):
        api.delete_repo("org/new")


def test_lists_filter_and_hide_private_repositories(hub, api):
    hub.create_repo("user/tagged", {"README.md": b"---\ntags: [tiny]\npipeline_tag: llm-routing\n---\n"})
    hub.create_repo("user/plain")
    hub.create_repo("org/secret", private=True)
    for wanted in ({"filter": "tiny"}, {"search": "TAG"}, {"pipeline_tag": "llm-routing"}):
        assert [m.id for m in api.list_models(**wanted)] == ["user/tagged"]
    assert [m.id for m in api.list_models(author="org")] == ["org/secret"]
    assert [m.id for m in api.list_models()] == ["user/tagged", "user/plain", "org/secret"]
    assert [m.id for m in api.list_models(token="hf_other")] == ["user/tagged", "user/plain"]
    assert list(api.list_datasets()) == []


# --- uploads, downloads, revisions ---


def test_uploaded_files_come_back_and_lfs_files_are_told_by_their_hash(hub, api, tmp_path):
    api.create_repo("user/files")
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    api.upload_file(path_or_fileobj=b"text", path_in_repo="dir/ünï code.txt", repo_id="user/files")
    api.upload_file(path_or_fileobj=io.BytesIO(b""), path_in_repo="empty.bin", repo_id="user/files")
    api.upload_file(path_or_fileobj=tmp_path / "model.safetensors", path_in_repo="m.safetensors", repo_id="user/files")
    assert hub.repo("user/files").files() == ["dir/ünï code.txt", "empty.bin", "m.safetensors"]
    for path, content in {"dir/ünï code.txt": b"text", "empty.bin": b"", "m.safetensors": WEIGHTS}.items():
        assert Path(hf_hub_download("user/files", path, cache_dir=tmp_path)).read_bytes() == content
    metadata = get_hf_file_metadata(hf_hub_url("user/files", "m.safetensors"))
    assert (metadata.size, metadata.etag) == (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    assert len(hub.seen(r"^PUT .*/_lfs/")) == 1


def test_upload_folder_is_one_commit_and_none_when_nothing_changed(hub, api, tmp_path):
    api.create_repo("user/folder")
    for name, text in {"config.json": "{}", "junk.log": "x", ".gitignore": "*.log\n", "sub/w.bin": "w"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    first = api.upload_folder(repo_id="user/folder", folder_path=tmp_path, commit_message="all")
    assert hub.repo("user/folder").files() == [".gitignore", "config.json", "sub/w.bin"]
    assert [commit.title for commit in hub.repo("user/folder").history()] == ["all", "initial commit"]
    (tmp_path / "junk.log").unlink()
    assert api.upload_folder(repo_id="user/folder", folder_path=tmp_path).oid == first.oid
    second = hub.repo("user/folder").commit({"config.json": b'{"x": 1}'})
    tree = {item.path: item for item in api.list_repo_tree("user/folder", recursive=True, expand=True)}
    assert set(tree) == {".gitattributes", ".gitignore", "config.json", "sub", "sub/w.bin"}
    assert tree["sub"].last_commit.oid == tree["sub/w.bin"].last_commit.oid == first.oid
    assert tree["config.json"].last_commit.oid == second.oid
    assert tree["sub/w.bin"].lfs.size == 1
    assert tree["config.json"].lfs is None


def test_what_is_missing_is_named(hub, tmp_path):
    hub.create_repo("user/there", {"a.txt": b"a"})
    with pytest.raises(EntryNotFoundError, match="404"):
        hf_hub_download("user/there", "b.txt", cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError, match="404"):
        hf_hub_download("user/there", "a.txt", revision="v9", cache_dir=tmp_path)
    with pytest.raises(RepositoryNotFoundError, match="404"):
        hf_hub_download("user/nowhere", "a.txt", cache_dir=tmp_path)
    with pytest.raises(RepositoryNotFoundError, match="401"):
        hf_hub_download("user/nowhere", "a.txt", cache_dir=tmp_path, token=False)


def test_branches_tags_and_hashes_name_revisions(hub, api, tmp_path):
    repo = hub.create_repo("user/revisions", {"a.txt": b"main"})
    api.create_tag("user/revisions", tag="v1.0")
    api.create_branch("user/revisions", branch="dev/one")
    api.create_branch("user/revisions", branch="dev/one", exist_ok=True)
    commit = api.upload_file(
        path_or_fileobj=b"dev", path_in_repo="a.txt", repo_id="user/revisions", revision="dev/one"
    )
    for revision, content in {"main": b"main", "v1.0": b"main", "dev/one": b"dev", commit.oid: b"dev"}.items():
        path = hf_hub_download("user/revisions", "a.txt", revision=revision, cache_dir=tmp_path)
        assert Path(path).read_bytes() == content
    assert [c.commit_id for c in api.list_repo_commits("user/revisions")] == [c.oid for c in repo.history()]
    refs = api.list_repo_refs("user/revisions")
    assert ([b.name for b in refs.branches], [t.name for t in refs.tags]) == (["main", "dev/one"], ["v1.0"])
    with pytest.raises(HfHubHTTPError, match=r"not on v1\.0"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="user/revisions", revision="v1.0")
    api.delete_tag("user/revisions", tag="v1.0")
    api.delete_branch("user/revisions", branch="dev/one")
    with pytest.raises(RevisionNotFoundError, match="404"):
        api.delete_tag("user/revisions", tag="v1.0")


def test_snapshots_fetch_only_the_wanted_files(hub, api, tmp_path):
    hub.create_repo("user/snapshot", {"config.json": b"{}", "model.safetensors": WEIGHTS, "extra/big.csv": b"1"})
    folder = Path(snapshot_download("user/snapshot", allow_patterns=["*.json"], cache_dir=tmp_path))
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert not hub.seen(r"GET .*/resolve/.*(safetensors|csv)")
    assert folder.name == api.model_info("user/snapshot").sha


def test_one_commit_adds_copies_and_deletes(hub, api):
    repo = hub.create_repo("user/operations", {"w.bin": WEIGHTS, "old/a": b"a", "old/b": b"b"})
    copy, add = CommitOperationCopy("w.bin", "copy.bin"), CommitOperationAdd("new.txt", b"new")
    api.create_commit("user/operations", [copy, add], commit_message="copy and add")
    api.delete_folder("old", "user/operations")
    api.delete_file("w.bin", "user/operations")
    assert repo.files() == ["copy.bin", "new.txt"]
    assert repo.read("copy.bin") == WEIGHTS
    with pytest.raises(EntryNotFoundError, match="404"):
        api.delete_file("w.bin", "user/operations")


def test_the_file_system_reads_ranges_and_writes(hub):
    repo = hub.create_repo("user/fs", {"big.bin": WEIGHTS})
    fs = HfFileSystem(skip_instance_cache=True)
    with fs.open("user/fs/big.bin", block_size=1000) as file:
        file.seek(20_000)
        assert file.read(256) == WEIGHTS[20_000:20_256]
    assert [request.status for request in hub.seen("GET .*/resolve/")] == [206]
    for wanted, content in {"10-19": WEIGHTS[10:20], "-5": WEIGHTS[-5:], "25590-": WEIGHTS[25_590:]}.items():
        part = httpx2.get(f"{hub.url}/user/fs/resolve/main/big.bin", headers={"Range": f"bytes={wanted}"})
        assert (part.status_code, part.content) == (206, content)
    with fs.open("user/fs/new.txt", "w") as file:
        file.write("new")
    assert repo.read("new.txt") == b"new"


def test_cards_are_pushed_loaded_and_checked(hub, api):
    repo = hub.create_repo("user/card")
    ModelCard("---\nlicense: mit\nlibrary_name: embedllm_hf\n---\n# Card\n").push_to_hub("user/card")
    metadata_update("user/card", {"tags": ["tiny"]})
    assert ModelCard.load("user/card").data.tags == ["tiny"]
    info = api.model_info("user/card")
    assert (info.card_data.license, info.library_name) == ("mit", "embedllm_hf")
    assert {"license:mit", "tiny", "embedllm_hf"} <= set(info.tags)
    before = repo.resolve().oid
    bad = b"---\na: [\n---\n"
    with pytest.raises(ValueError, match="Invalid metadata"):
        api.create_commit("user/card", [CommitOperationAdd("README.md", bad)], commit_message="bad")
    added = {"key": "file", "value": {"path": "README.md", "content": base64.b64encode(bad).decode()}}
    unchecked = "\n".join(map(json.dumps, [{"key": "header", "value": {}}, added]))
    url, headers = f"{hub.url}/api/models/user/card/commit/main", {"Authorization": "Bearer hf_user"}
    assert httpx2.post(url, content=unchecked, headers=headers).status_code == 400
    assert repo.resolve().oid == before


# --- who may do what ---


def test_private_repositories_look_missing_to_strangers(hub, api, tmp_path):
    hub.create_repo("user/secret", {"a.txt": b"a"}, private=True)
    assert hf_hub_download("user/secret", "a.txt", cache_dir=tmp_path)
    for token in ("hf_other", False):
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download("user/secret", "a.txt", token=token, cache_dir=tmp_path / "strangers")
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        api.model_info("user/secret", token="hf_wrong")


def test_gated_repositories_show_their_card_but_not_their_files(hub, api, tmp_path):
    repo = hub.create_repo("user/gated", {"a.txt": b"a"})
    api.update_repo_settings("user/gated", gated="manual")
    assert api.model_info("user/gated", token="hf_other").gated == "manual"
    for token in ("hf_other", False):
        with pytest.raises(GatedRepoError, match="restricted"):
            hf_hub_download("user/gated", "a.txt", token=token, cache_dir=tmp_path)
    repo.granted.add("other")
    assert hf_hub_download("user/gated", "a.txt", token="hf_other", cache_dir=tmp_path)


@pytest.mark.parametrize("token", ["hf_reader", "hf_other"])
def test_a_token_without_the_right_to_write_writes_nothing(hub, api, token):
    repo = hub.create_repo("user/guarded", {"a.txt": b"a"})
    for path in ("b.txt", "b.safetensors"):
        with pytest.raises(HfHubHTTPError, match="write access") as raised:
            api.upload_file(path_or_fileobj=b"b", path_in_repo=path, repo_id="user/guarded", token=token)
        assert status_of(raised) == 403
    assert repo.files() == ["a.txt"]
    assert not hub.store.objects


# --- commits in competition, pull requests ---


def add_file(api: HfApi, repo_id: str, name: str, **options):
    return api.upload_file(path_or_fileobj=name.encode(), path_in_repo=name, repo_id=repo_id, **options)


def test_a_commit_on_a_stale_parent_is_refused_and_goes_through_on_the_new_one(hub, api):
    repo = hub.create_repo("user/race", {"a.txt": b"a"})
    hub.faults.before(lambda: repo.commit({"theirs.txt": b"1"}, author="other"))
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as raised:
        add_file(api, "user/race", "mine.txt", parent_commit=repo.resolve().oid)
    assert status_of(raised) == 412
    assert repo.files() == ["a.txt", "theirs.txt"]
    add_file(api, "user/race", "mine.txt", parent_commit=repo.resolve().oid[:7])
    assert repo.files() == ["a.txt", "mine.txt", "theirs.txt"]


def test_a_competing_commit_may_come_from_a_client_too(hub, api):
    repo = hub.create_repo("user/race-clients", {"a.txt": b"a"})
    hub.faults.before(lambda: add_file(api, "user/race-clients", "theirs.txt"))
    add_file(api, "user/race-clients", "mine.txt")
    assert [commit.title.split()[1] for commit in repo.history()][:2] == ["mine.txt", "theirs.txt"]


def test_a_pull_request_of_a_stranger_is_read_extended_and_merged(hub, api, tmp_path):
    repo = hub.create_repo("user/pr", {"a.txt": b"a", "gone.txt": b"g"})
    opened = add_file(api, "user/pr", "pr.safetensors", create_pr=True, token="hf_other")
    add_file(api, "user/pr", "more.txt", revision="refs/pr/1", token="hf_other")
    api.delete_file("gone.txt", "user/pr", revision="refs/pr/1", token="hf_other")
    repo.commit({"meanwhile.txt": b"m"})
    assert opened.pr_url == f"{hub.url}/user/pr/discussions/1"
    path = hf_hub_download("user/pr", "pr.safetensors", revision="refs/pr/1", cache_dir=tmp_path)
    assert Path(path).read_bytes() == b"pr.safetensors"
    with pytest.raises(HfHubHTTPError, match="write access"):
        api.merge_pull_request("user/pr", 1, token="hf_other")
    api.merge_pull_request("user/pr", 1)
    assert repo.files() == ["a.txt", "meanwhile.txt", "more.txt", "pr.safetensors"]
    details = api.get_discussion_details("user/pr", 1)
    assert (details.status, details.merge_commit_oid) == ("merged", repo.resolve().oid)
    assert [event.type for event in details.events] == ["commit", "commit", "commit", "status-change"]
    with pytest.raises(HfHubHTTPError, match="not an open pull request"):
        api.merge_pull_request("user/pr", 1)


def test_a_pull_request_starts_from_the_given_parent_and_its_conflicts_are_found(hub, api):
    repo = hub.create_repo("user/conflict", {"a.txt": b"a"})
    start = repo.resolve().oid
    repo.commit({"a.txt": b"theirs"})
    mine = CommitOperationAdd("a.txt", b"mine")
    api.create_commit("user/conflict", [mine], commit_message="mine", parent_commit=start, create_pr=True)
    assert [commit.oid for commit in repo.history("refs/pr/1")][1] == start
    assert api.get_discussion_details("user/conflict", 1).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError, match=r"Merge conflict in: a\.txt") as raised:
        api.merge_pull_request("user/conflict", 1)
    assert status_of(raised) == 409
    assert repo.read("a.txt") == b"theirs"


def test_a_drafted_pull_request_is_filled_opened_and_listed(hub, api):
    hub.create_repo("user/draft", {"a.txt": b"a"})
    draft = api.create_pull_request("user/draft", title="Add b", description="why")
    add_file(api, "user/draft", "b.txt", revision=draft.git_reference)
    api.comment_discussion("user/draft", draft.num, "please look")
    with pytest.raises(HfHubHTTPError, match="not an open pull request"):
        api.merge_pull_request("user/draft", draft.num)
    api.change_discussion_status("user/draft", draft.num, "open")
    api.rename_discussion("user/draft", draft.num, "Add b.txt")
    api.create_discussion("user/draft", "a question")
    listed = api.get_repo_discussions("user/draft", discussion_type="pull_request", discussion_status="open")
    assert [(thread.num, thread.title) for thread in listed] == [(1, "Add b.txt")]
    refs = api.list_repo_refs("user/draft", include_pull_requests=True)
    assert [ref.ref for ref in refs.pull_requests] == ["refs/pr/1"]
