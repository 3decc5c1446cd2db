"""Commits: made once, and told as they are, whatever becomes of the answer."""

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, constants

from embedllm_hf._errors import Conflict, FileError, InputError, MissingFile, Refused, Unreachable
from embedllm_hf.hub import requests
from embedllm_hf.hub.commits import Target, commit_on_top, differing
from tests.hub.clients import no_waiting
from tests.hub.faults import COMMITS
from tests.hub_client import WEIGHTS


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        monkeypatch.setattr(constants, name, 0.5)
    monkeypatch.setattr(requests, "UPLOAD_SECONDS", 0.5)
    with no_waiting():
        yield


def change(there):
    """A small file, a large one, and one less."""
    added = [CommitOperationAdd("small.txt", b"new"), CommitOperationAdd("large.bin", WEIGHTS)]
    return [*added, *(CommitOperationDelete(name) for name in there.files if name == "old.txt")]


def push(repo_id: str, message: str = "Change", **options):
    return commit_on_top(Target(repo_id, **options), change, message=message)


def made(repo, title: str = "Change") -> list[str]:
    return [commit.oid for commit in repo.history() if commit.title == title]


LOST = {
    "silence": lambda faults: faults.silence(on=COMMITS, done=True),
    "504": lambda faults: faults.status(504, on=COMMITS, done=True),
    "500": lambda faults: faults.status(500, on=COMMITS, done=True),
    "429": lambda faults: faults.status(429, on=COMMITS, done=True),
    "reset": lambda faults: faults.reset(on=COMMITS, done=True),
    "cut": lambda faults: faults.cut_download(after=5, on=COMMITS),
    "conflict": lambda faults: faults.status(412, on=COMMITS, done=True),
}


@pytest.mark.parametrize("order", LOST.values(), ids=LOST)
def test_a_commit_whose_answer_is_lost_is_told_as_done(hub, order):
    """It is found by its contents, told with its own id, and not made again."""
    repo = hub.create_repo("user/lost", {"old.txt": b"old", "kept.txt": b"kept"})
    order(hub.faults)
    told = push("user/lost")
    assert made(repo) == [told.oid]
    assert told.commit_url == f"{hub.url}/user/lost/commit/{told.oid}"
    assert repo.files() == ["kept.txt", "large.bin", "small.txt"]
    assert len(hub.seen(COMMITS)) == 1


def test_a_lost_answer_and_somebody_elses_commit_after_it(hub):
    """Ours is found behind theirs, and not made again on top of it."""
    repo = hub.create_repo("user/behind")
    hub.faults.status(504, on=COMMITS, done=True)
    hub.faults.before(lambda: repo.commit({"small.txt": b"theirs"}), on=r"GET .*/commits/")
    told = push("user/behind")
    assert made(repo) == [told.oid]
    assert repo.read("small.txt") == b"theirs"


def test_a_commit_that_arrives_late_is_not_made_twice(hub):
    """It was not there when it was looked for; the second one is refused for its parent, and the first is found."""
    repo = hub.create_repo("user/late")
    kept = []

    def late():
        repo.commit({"small.txt": b"new", "large.bin": WEIGHTS}, "Change")
        kept.append(True)

    hub.faults.status(504, on=COMMITS)
    hub.faults.before(late, on=COMMITS)
    told = push("user/late")
    assert kept == [True]
    assert made(repo) == [told.oid]


def test_a_commit_that_was_not_made_is_made(hub):
    """Once, after faults of both kinds, and after a conflict that nobody else is behind."""
    repo = hub.create_repo("user/not-made")
    hub.faults.silence(on=COMMITS)
    hub.faults.status(409, on=COMMITS)
    assert made(repo) == [] != [push("user/not-made").oid] == made(repo)


def test_where_it_cannot_be_known_it_is_said(hub):
    """The one case that leaves it open, and a repeat that finds it done."""
    repo = hub.create_repo("user/unknown")
    hub.faults.silence(on=COMMITS, done=True)
    hub.faults.silence(on=r"GET .*/commits/", times=9)
    with pytest.raises(Unreachable, match=r"^user/unknown: the answer .* so it may be there or not.*Repeat it"):
        push("user/unknown")
    hub.faults.clear()
    assert [push("user/unknown").oid] == made(repo)


def test_who_is_always_slower_gives_up(hub):
    """After three changes of others, each on top of which the change was made anew."""
    repo = hub.create_repo("user/slower")
    count = iter(range(9))
    hub.faults.before(lambda: repo.commit({"theirs.txt": b"%d" % next(count)}), times=3)
    with pytest.raises(Conflict, match=r"user/slower: somebody changed the repository meanwhile.*repeat"):
        push("user/slower")
    assert made(repo) == []


def test_a_file_that_changed_meanwhile_is_not_left_out(hub):
    """What was equal to ours when it was looked at is sent all the same, if somebody changed it since."""
    repo = hub.create_repo("user/mixed", {"small.txt": b"new"})
    hub.faults.before(lambda: repo.commit({"small.txt": b"theirs"}))
    push("user/mixed")
    assert repo.read("small.txt") == b"new"


def test_a_gitignore_leaves_nothing_out(hub):
    """The client leaves out the files that a `.gitignore` of the repository names, and says nothing."""
    repo = hub.create_repo("user/ignoring", {".gitignore": b"*.bin\n*.txt\n"})
    push("user/ignoring")
    assert repo.read("large.bin") == WEIGHTS
    assert repo.read("small.txt") == b"new"


def test_nothing_to_do_is_no_commit(hub):
    """Neither where the contents are there, nor where there are no operations."""
    repo = hub.create_repo("user/same", {"small.txt": b"new", "large.bin": WEIGHTS})
    head = repo.resolve().oid
    assert push("user/same").oid == head
    assert commit_on_top(Target("user/same"), lambda there: None, message="None").oid == head
    assert repo.resolve().oid == head


def test_pull_requests(hub):
    """One, whose answer was lost, is found; one that may yet come is not made again."""
    repo = hub.create_repo("user/proposed")
    hub.faults.status(504, on=COMMITS, done=True)
    told = push("user/proposed", create_pr=True)
    assert (told.pr_num, told.oid) == (1, repo.resolve("refs/pr/1").oid)
    hub.faults.status(504, on=COMMITS)
    with pytest.raises(Unreachable, match=r"user/proposed: the Hub has a fault of its own \(504\)"):
        push("user/proposed", "Another", create_pr=True)
    assert len(repo.discussions) == 1
    hub.faults.status(429, on=COMMITS)
    assert push("user/proposed", "Another", create_pr=True).pr_num == 2


def test_what_is_made_and_what_is_not(hub):
    """A repository in the user's own namespace, and a branch; not for a pull request, and no tag or commit."""
    push("bare-name", revision="trial")
    assert "small.txt" in hub.repo("user/bare-name").files("trial")
    assert "small.txt" not in hub.repo("user/bare-name").files()
    hub.create_repo("other/legacy")
    hub.store.moved["legacy"] = "other/legacy"  # as ids from before there were namespaces
    push("legacy")
    assert made(hub.repo("user/legacy"))
    with pytest.raises(MissingFile, match="user/nothing: no such repository"):
        push("user/nothing", create_pr=True)
    with pytest.raises(MissingFile, match="user/bare-name@refs/pr/9: the repository has no such revision"):
        push("user/bare-name", revision="refs/pr/9")
    with pytest.raises(InputError, match="message is ' '"):
        push("user/bare-name", " ")


def test_a_repository_that_has_moved_is_written_to_where_it_is(hub, caplog):
    """The Hub would make another one under the old name."""
    repo = hub.create_repo("user/before")
    hub.store.move(repo, "org/after")
    push("user/before")
    assert made(repo)
    assert list(hub.store.repos) == [("model", "org/after")]
    assert "user/before has moved to org/after. Use the new id." in caplog.text


def test_a_card_that_the_hub_refuses(hub):
    """The reason of the refusal is in the line."""
    hub.create_repo("user/card")
    bad = [CommitOperationAdd("README.md", b"---\na: [\n---\n")]
    with pytest.raises(FileError, match=r"user/card: .*Invalid metadata in README.md") as raised:
        commit_on_top(Target("user/card"), lambda there: bad, message="Add")
    assert "\n" not in str(raised.value)


def test_what_a_repository_lacks(hub, tmp_path):
    """Small and large files by their content, from memory and disk; all of them where there is no repository."""
    (tmp_path / "same.bin").write_bytes(WEIGHTS)
    files = {"same.txt": b"1", "same.bin": tmp_path / "same.bin", "other.txt": b"2", "other.bin": b"22", "new": b""}
    assert differing(Target("user/compared"), files) == list(files)
    there = {"same.txt": b"1", "same.bin": WEIGHTS, "other.txt": b"3", "other.bin": b"33", "more": b"4"}
    hub.create_repo("user/compared", there)
    assert differing(Target("user/compared"), files) == ["other.txt", "other.bin", "new"]
    hub.faults.status(403, on="GET .*/tree/", code="GatedRepo")
    with pytest.raises(Refused, match="user/compared: access must be granted"):
        differing(Target("user/compared"), files)


def test_a_space_is_made_for_its_kit(hub):
    """The Hub makes none without one."""
    commit_on_top(Target("user/page", "space", space_sdk="gradio"), change, message="Change")
    assert hub.repo("user/page", "space").files() == ["large.bin", "small.txt"]
    assert [request.target for request in hub.seen("POST /api/repos/create")] == ["/api/repos/create"]
