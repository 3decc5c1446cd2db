"""A repository in memory: immutable trees of blobs, a graph of commits, and names that point into it.

Branches, tags and pull requests are one mapping from full git names (`refs/heads/main`) to commits. A test may use
`Repo` directly to look at what a client left behind, or to commit without sending a request.
"""

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property

from .protocol import HubError

_LFS_SUFFIXES = (
    "7z arrow avro bin bz2 ckpt ftz gguf gz h5 joblib lz4 mlmodel model msgpack npy npz onnx ot parquet pb pickle pkl "
    "pt pth rar safetensors tar tflite tgz wasm wav xz zip zst"
)
LFS_PATTERNS = [*(f"*.{suffix}" for suffix in _LFS_SUFFIXES.split()), "saved_model/*", "*tfevents*"]
LFS_THRESHOLD = 10 << 20  # bytes: larger files go to LFS whatever their name
_GITATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS).encode()


def now() -> str:
    """The time in the Hub's notation, in UTC to the millisecond."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def git_oid(kind: str, data: bytes) -> str:
    """Git's name for an object: the SHA-1 of its header and its content."""
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def stored_as_lfs(path: str, size: int) -> bool:
    """Whether the Hub would keep this file in LFS rather than in git. Empty files it never does."""
    names = (path, path.rpartition("/")[2])
    by_name = any(fnmatch.fnmatch(name, pattern) for pattern in LFS_PATTERNS for name in names)
    return size > LFS_THRESHOLD or (size > 0 and by_name)


@dataclass(frozen=True)
class Blob:
    """The content of one file. `lfs` says that git holds only a pointer to it."""

    data: bytes
    lfs: bool = False

    @property
    def size(self) -> int:
        """Bytes of the content, not of the pointer."""
        return len(self.data)

    @cached_property
    def sha256(self) -> str:
        """The name of the content in LFS."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def in_git(self) -> bytes:
        """What git stores: the content, or the pointer to it."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n"
        return pointer.encode() if self.lfs else self.data

    @cached_property
    def oid(self) -> str:
        """The blob's name in git."""
        return git_oid("blob", self.in_git)

    @property
    def etag(self) -> str:
        """What a download advertises as the hash of the file: SHA-256 for LFS, git's SHA-1 otherwise."""
        return self.sha256 if self.lfs else self.oid


Tree = Mapping[str, Blob]  # path -> content


@dataclass(frozen=True)
class Commit:
    """A tree with its history. `serial` keeps two otherwise equal commits apart."""

    tree: Tree
    title: str
    author: str
    parent: str | None = None
    message: str = ""
    serial: int = 0
    date: str = field(default_factory=now)

    @cached_property
    def oid(self) -> str:
        """The commit's name in git."""
        tree = sorted((path, blob.oid) for path, blob in self.tree.items())
        facts = [tree, self.title, self.message, self.parent, self.author, self.date, self.serial]
        return git_oid("commit", json.dumps(facts).encode())


@dataclass
class Discussion:
    """A discussion or a pull request, which is a discussion with commits under `refs/pr/<num>`."""

    num: int
    title: str
    author: str
    is_pull_request: bool
    status: str = "open"
    base: str | None = None  # the commit a pull request started from
    merge_commit: str | None = None
    created: str = field(default_factory=now)
    events: list[dict] = field(default_factory=list)

    @property
    def ref(self) -> str:
        """The full git name of a pull request's commits."""
        return f"refs/pr/{self.num}"

    def record(self, kind: str, author: str, data: dict) -> dict:
        """Adds an event to the thread, in the form that the API shows, and returns it."""
        event = {"id": f"{len(self.events):024x}", "type": kind, "createdAt": now(), "author": {"name": author}}
        self.events.append({**event, "data": data})
        return self.events[-1]


@dataclass
class Repo:
    """A model, dataset or space repository.

    Attributes:
        type (`str`): `"model"`, `"dataset"` or `"space"`.
        id (`str`): `"namespace/name"`.
        owner (`str`): The user who made it, author of its first commit.
        private (`bool`): Others are told that it does not exist.
        gated (`str` or `False`): Others may see it but not download from it, unless named in `granted`.
        granted (`set[str]`): Names of users with access to a gated repository.
    """

    type: str
    id: str
    owner: str
    private: bool = False
    gated: str | bool = False
    granted: set[str] = field(default_factory=set)
    created: str = field(default_factory=now)
    downloads: int = 0
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Starts the history, as the Hub does, with a commit of `.gitattributes`."""
        first = Commit({".gitattributes": Blob(_GITATTRIBUTES)}, "initial commit", self.owner)
        self.commits[first.oid] = first
        self.refs["refs/heads/main"] = first.oid

    @property
    def web_path(self) -> str:
        """Where the repository's page is, without the host."""
        return {"model": "", "dataset": "datasets/", "space": "spaces/"}[self.type] + self.id

    # --- reading ---

    def resolve(self, revision: str = "main") -> Commit:
        """The commit that a branch, tag, pull request, full or shortened (7 digits or more) hash names."""
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in self.refs:
                return self.commits[self.refs[name]]
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            for oid, commit in self.commits.items():
                if oid.startswith(revision):
                    return commit
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def history(self, revision: str = "main") -> Iterator[Commit]:
        """The commits behind a revision, newest first."""
        commit: Commit | None = self.resolve(revision)
        while commit:
            yield commit
            commit = self.commits.get(commit.parent or "")

    def files(self, revision: str = "main") -> list[str]:
        """Paths at a revision, without the `.gitattributes` that every repository has."""
        return sorted(path for path in self.resolve(revision).tree if path != ".gitattributes")

    def read(self, path: str, revision: str = "main") -> bytes:
        """The content of a file at a revision."""
        return self.resolve(revision).tree[path].data

    # --- writing ---

    def commit(
        self,
        files: Mapping[str, bytes | None],
        title: str = "commit by a test",
        *,
        revision: str = "main",
        author: str | None = None,
    ) -> Commit:
        """Commits without a request; `None` in place of a file's content deletes it."""
        tree = dict(self.resolve(revision).tree)
        for path, data in files.items():
            if data is None:
                del tree[path]
            else:
                tree[path] = Blob(data, stored_as_lfs(path, len(data)))
        return self.advance(self.writable_ref(revision), tree, title, author or self.owner)

    def writable_ref(self, revision: str) -> str:
        """The full name of a branch or an open pull request; other revisions take no commits."""
        if revision in self.refs and revision.startswith(("refs/heads/", "refs/pr/")):
            return revision
        if f"refs/heads/{revision}" in self.refs:
            return f"refs/heads/{revision}"
        raise HubError(400, f"Commits can only be made on a branch or a pull request, not on {revision}")

    def advance(self, ref: str, tree: Tree, title: str, author: str, *, parent: str = "", message: str = "") -> Commit:
        """Adds a commit and points `ref` at it. `parent` is what `ref` pointed at, unless given."""
        commit = Commit(tree, title, author, parent or self.refs[ref], message, len(self.commits))
        self.commits[commit.oid] = commit
        self.refs[ref] = commit.oid
        return commit

    def discuss(self, title: str, author: str, *, base: Commit | None = None, status: str = "open") -> Discussion:
        """Opens a discussion, or, from a `base`, a pull request that has no changes yet."""
        thread = Discussion(len(self.discussions) + 1, title, author, base is not None, status)
        self.discussions.append(thread)
        if base:
            thread.base = self.refs[thread.ref] = base.oid
        return thread

    def conflicts(self, thread: Discussion) -> list[str]:
        """Paths that a pull request and `main` have both changed, in different ways, since they parted."""
        base, ours = self.commits[thread.base or ""].tree, self.resolve().tree
        return [
            path
            for path, blob in self._changes(thread).items()
            if ours.get(path) != base.get(path) and ours.get(path) != blob
        ]

    def merge(self, thread: Discussion, author: str) -> Commit:
        """Puts a pull request's changes onto `main` as one commit, whatever else has happened there."""
        if conflicts := self.conflicts(thread):
            raise HubError(409, f"Merge conflict in: {', '.join(conflicts)}")
        tree = dict(self.resolve().tree)
        for path, blob in self._changes(thread).items():
            if blob is None:
                tree.pop(path, None)
            else:
                tree[path] = blob
        commit = self.advance("refs/heads/main", tree, f"{thread.title} (#{thread.num})", author)
        thread.merge_commit, thread.status = commit.oid, "merged"
        return commit

    def _changes(self, thread: Discussion) -> dict[str, Blob | None]:
        """What a pull request changes: path to new content, `None` where it deletes."""
        base, head = self.commits[thread.base or ""].tree, self.resolve(thread.ref).tree
        return {path: head.get(path) for path in sorted({*base, *head}) if base.get(path) != head.get(path)}
