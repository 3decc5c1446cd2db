"""Fetching from the Hugging Face Hub: all files of one commit, each with the hash that the Hub says, or an error.

Downloads go through huggingface_hub's cache. Where there is no verified answer, what the cache holds of the repository
serves, with a warning; an answer that says no is no reason to use the cache.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .._errors import FileError
from .._files import whole_file
from .errors import Trouble, explain_hub_errors, not_an_answer
from .requests import AGENT, api, asked, streamed

logger = logging.getLogger(__name__)

_COMMIT = re.compile("[0-9a-f]{40}")
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Snapshot:
    """Files of a repository at one commit, on this disk."""

    folder: Path  # of the fetched files
    revision: str  # the commit
    files: tuple[str, ...]  # all of the repository, fetched or not


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one commit."""

    repo_id: str  # where the Hub has it; another id than was asked for if it has moved
    revision: str  # the commit
    files: tuple[str, ...]


def fetch_snapshot(
    repo_id: str,
    choose: Callable[[Sequence[str]], Sequence[str]],
    *,
    repo_type: str = "model",
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Snapshot:
    """Fetch the chosen files of a repository at one commit, from the cache if the Hub cannot be reached.

    `choose` takes all file names and gives those to fetch. The other arguments are as in huggingface_hub.

    Raises:
        UserError: As `explain_hub_errors` has them; a `FileError` if a file's content is not what the Hub announced.
    """
    from huggingface_hub import constants

    cache = _Cache(repo_id, choose, repo_type, revision, cache_dir)
    with explain_hub_errors(repo_id, revision):
        if local_files_only or constants.HF_HUB_OFFLINE:
            return cache.read()
        held = cache.find()
        if held is not None and held.revision == revision and not cache.remove_damaged(held):
            return held  # a commit never changes
        try:
            return cache.fill(list_files(repo_id, repo_type, revision, token=token, patient=held is None), token)
        except Trouble as trouble:
            if held is None or cache.remove_damaged(held):
                trouble.cause = f"no such folder, not in the cache, and {trouble.cause}"
                raise
            logger.warning("%s: %s. Using what the cache holds, commit %.8s.", cache.at, trouble, held.revision)
            return held


def list_files(
    repo_id: str, repo_type: str, revision: str | None, *, token: str | bool | None = None, patient: bool = True
) -> Listing:
    """What a repository holds, in one request.

    Raises:
        Trouble: If there was no verified answer.
        FileError: If a file's name leads out of the repository.
    """
    client = api(token)

    def ask() -> Listing:
        info = client.repo_info(repo_id, repo_type=repo_type, revision=revision)
        files = tuple(file.rfilename for file in info.siblings)
        if not _COMMIT.fullmatch(info.sha) or not all(isinstance(name, str) for name in (info.id, *files)):
            raise ValueError("no commit, or no names")
        return Listing(info.id, info.sha, files)

    there = asked(ask, patient=patient)
    check_names(repo_id, there.files)
    if there.repo_id.lower() != repo_id.lower():
        logger.warning("%s has moved to %s. Use the new id.", repo_id, there.repo_id)
    return there


def check_names(repo_id: str, names: Iterable[str]) -> None:
    """Refuse a repository with a file whose name leads out of the folder that it would be written to."""
    for name in names:
        parts = name.split("/")
        if set(parts) & {"", ".", ".."} or re.search(r"[\\\0]", name) or re.match("[A-Za-z]:", name):
            raise FileError(f"{repo_id}: lists a file named {name!r}, which leads out of its folder. Do not use it.")


@dataclass(frozen=True)
class _Cache:
    """One repository in huggingface_hub's cache, and which of its files are wanted."""

    repo_id: str
    choose: Callable[[Sequence[str]], Sequence[str]]
    repo_type: str
    revision: str | None
    cache_dir: str | Path | None

    @property
    def at(self) -> str:
        """The repository and the revision, for messages."""
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id

    def read(self) -> Snapshot:
        """What is there of the revision.

        Raises:
            LocalEntryNotFoundError, CachedRepoTreeNotFoundError: If a wanted file is not there.
            FileError: If one is damaged; it is removed.
        """
        held = self._held()
        for name in self.remove_damaged(held):
            raise FileError(f"{self.at}: `{name}` was damaged in the cache, so it is removed. Fetch it again.")
        return held

    def find(self) -> Snapshot | None:
        """What is there of the revision, its hashes not looked at; None if a wanted file is not there."""
        from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError

        try:
            return self._held()
        except (CachedRepoTreeNotFoundError, LocalEntryNotFoundError):
            return None

    def fill(self, there: Listing, token: str | bool | None) -> Snapshot:
        """Download what is not there yet. A file that arrives damaged is fetched once more.

        Raises:
            Trouble: If there was no verified answer.
            FileError: If a file is damaged twice.
        """

        def download() -> Snapshot:
            try:
                return self._snapshot(there.files, there.revision, token=token)
            except OSError as error:
                if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                    raise
                remedy = "Set HF_HOME to a folder that can"
                raise FileError(f"{self.at}: the cache of the Hub cannot be written ({error}). {remedy}.") from error

        snapshot = asked(download)
        if self.remove_damaged(snapshot):
            snapshot = asked(download)
            for name in self.remove_damaged(snapshot):
                raise FileError(
                    f"{self.at}: `{name}` arrived damaged twice (its hash is not the Hub's), so it is not kept. "
                    "Is there a proxy in between? Try again."
                )
        self._remember(snapshot)
        return snapshot

    def remove_damaged(self, snapshot: Snapshot) -> list[str]:
        """Remove the wanted files that do not have the hash by which the cache names them, and say which they were."""
        damaged = [name for name in self.choose(snapshot.files) if not _has_its_hash(snapshot.folder / name)]
        for name in damaged:
            (snapshot.folder / name).resolve().unlink(missing_ok=True)
        return damaged

    def _held(self) -> Snapshot:
        """The snapshot of the revision that the cache knows, if all wanted files are there."""
        from huggingface_hub import get_cached_repo_tree

        where: dict[str, Any] = {"repo_type": self.repo_type, "cache_dir": self.cache_dir}
        files = [file.path for file in get_cached_repo_tree(self.repo_id, revision=self.revision, **where)]
        check_names(self.repo_id, files)
        return self._snapshot(files, self.revision, local_files_only=True)

    def _snapshot(self, files: Sequence[str], revision: str | None, **options: Any) -> Snapshot:
        """The snapshot with the wanted ones of some files."""
        from huggingface_hub import hf_hub_download, snapshot_download

        wanted = list(self.choose(files))
        patterns = [glob.escape(name) for name in wanted] or [".gitattributes"]  # with nothing, the client warns
        options |= {"repo_type": self.repo_type, "revision": revision, "cache_dir": self.cache_dir}
        options["library_name"] = AGENT
        folder = Path(snapshot_download(self.repo_id, allow_patterns=patterns, **options))
        lacking = [name for name in wanted if not (folder / name).is_file()]
        if lacking:  # the client got a listing of its own that lacks them, and keeps it for good
            (folder.parents[1] / "trees" / f"{folder.name}.json").unlink(missing_ok=True)
        for name in lacking:
            if Path(hf_hub_download(self.repo_id, name, **options)) != folder / name:
                raise not_an_answer(f"`{name}` is of another commit")
        return Snapshot(folder, folder.name, tuple(files))

    def _remember(self, snapshot: Snapshot) -> None:
        """Write down which commit the revision is, as the client does, but not before all files are there.

        So what is found offline, or while the Hub is in trouble, is whole.
        """
        ref = snapshot.folder.parents[1] / "refs" / (self.revision or "main")
        if self.revision != snapshot.revision:
            with suppress(OSError), whole_file(ref) as partial:  # a cache that cannot be written serves all the same
                partial.write_text(snapshot.revision, encoding="utf-8")


def _has_its_hash(path: Path) -> bool:
    """Whether a file of the cache has the hash that names it; true where nothing says what it should be."""
    blob = path.resolve()
    if len(blob.name) == 64:  # large files: SHA-256 of the content
        digest = hashlib.sha256()
    elif len(blob.name) == 40:  # the others: git's SHA-1 of a header and the content
        digest = hashlib.sha1(f"blob {blob.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        return True
    with blob.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == blob.name


def read_remotely(repo_id: str, revision: str | None, items: Callable[[], Iterable[_Item]]) -> Iterator[_Item]:
    """What `items` reads of a repository over the network, piece by piece, with the errors of `explain_hub_errors`."""
    with explain_hub_errors(repo_id, revision):
        yield from streamed(items)
