"""Fetching from and committing to the Hugging Face Hub: whole or not at all, and errors that say what to do.

Downloads go through huggingface_hub's cache; a file is used only if it hashes to what the Hub said. Uploads are one
commit. Whatever the Hub or the network fails at becomes an error of `_errors.py`: repository, revision and remedy.
"""

from __future__ import annotations

import glob
import hashlib
import importlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .._errors import Conflict, FileError, InputError, MissingFile, Refused, Unreachable, UserError
from .._files import DISK_FULL

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import CommitOperation

logger = logging.getLogger(__name__)

RETRY_SECONDS = (1, 4)  # waits before asking again after a fault of the Hub's own (5xx)
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Snapshot:
    """Files of a repository at one commit, on this disk."""

    folder: Path  # of the fetched files
    revision: str  # the commit
    files: tuple[str, ...]  # all of the repository, fetched or not


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
    from huggingface_hub import HfApi, constants, get_cached_repo_tree, snapshot_download

    where: dict[str, Any] = {"repo_type": repo_type, "revision": revision, "token": token, "cache_dir": cache_dir}

    def fetch(files: Sequence[str], **options: Any) -> Snapshot:
        wanted = list(choose(files))
        options["allow_patterns"] = [glob.escape(name) for name in wanted] or ["no file is wanted"]
        folder = Path(retried(lambda: snapshot_download(repo_id, **where, **options)))
        return _verified(Snapshot(folder, folder.name, tuple(files)), wanted, repo_id)

    def cached() -> Snapshot:
        tree = get_cached_repo_tree(repo_id, repo_type=repo_type, revision=revision, cache_dir=cache_dir)
        return fetch([file.path for file in tree], local_files_only=True)

    with explain_hub_errors(repo_id, revision):
        if local_files_only or constants.HF_HUB_OFFLINE:
            return cached()
        api = HfApi(token=token)
        try:
            info = retried(lambda: api.repo_info(repo_id, repo_type=repo_type, revision=revision))
        except _unreachable() as error:
            logger.warning("The Hub cannot be reached (%s); using what the cache holds of %s.", error, repo_id)
            return cached()
        return fetch([file.rfilename for file in getattr(info, "siblings", None) or ()])


def _verified(snapshot: Snapshot, names: Sequence[str], repo_id: str) -> Snapshot:
    """Compare each file with the hash that names it in the cache; a wrong one is removed, to be fetched anew."""
    for name in names:
        blob = (snapshot.folder / name).resolve()
        if len(blob.name) == 64:  # large files: SHA-256 of the content
            digest = hashlib.sha256()
        elif len(blob.name) == 40:  # the others: git's SHA-1 of a header and the content
            digest = hashlib.sha1(f"blob {blob.stat().st_size}\0".encode(), usedforsecurity=False)
        else:
            continue
        with blob.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        if digest.hexdigest() != blob.name:
            blob.unlink()
            raise FileError(f"{repo_id}: `{name}` arrived damaged (its hash is not the Hub's); removed it. Try again.")
    return snapshot


def commit(
    repo_id: str,
    operations: Sequence[CommitOperation],
    *,
    message: str,
    repo_type: str = "model",
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    parent_commit: str | None = None,
) -> CommitInfo:
    """Put files into a repository in one commit.

    Arguments as in huggingface_hub; `message` is the commit's summary.

    Raises:
        UserError: As `explain_hub_errors` has them; a `Conflict` if `parent_commit` is not the last commit any more.
            Nothing is committed then.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with explain_hub_errors(repo_id, revision):
        where: dict[str, Any] = {"repo_type": repo_type, "revision": revision, "parent_commit": parent_commit}
        return retried(
            lambda: api.create_commit(repo_id, operations, commit_message=message, create_pr=create_pr, **where)
        )


def retried(request: Callable[[], _Result]) -> _Result:
    """Repeat a request that the Hub failed by its own fault (5xx), which its client does for some requests only."""
    from huggingface_hub.errors import HfHubHTTPError

    for seconds in RETRY_SECONDS:
        try:
            return request()
        except HfHubHTTPError as error:
            if error.response.status_code < 500:
                raise
            time.sleep(seconds)
    return request()


# --- errors ---

_NOT_CACHED = (
    "not in the cache, and the Hub was not asked or not reached. Check the network, unset HF_HUB_OFFLINE, or try later"
)
# What the Hub's client raises, the more special before the general: what it becomes, and the words for it.
_EXPLANATIONS: dict[str, tuple[type[FileError], str]] = {
    "GatedRepoError": (
        Refused,
        "access must be granted. Ask for it on the repository's page, then log in (hf auth login)",
    ),
    "RepositoryNotFoundError": (
        MissingFile,
        "no such repository, or it is private. Check the id; for a private one log in (hf auth login) or set HF_TOKEN",
    ),
    "RevisionNotFoundError": (MissingFile, "the repository has no such revision. Check the branch, tag or commit"),
    "LocalEntryNotFoundError": (MissingFile, _NOT_CACHED),
    "CachedRepoTreeNotFoundError": (MissingFile, _NOT_CACHED),
    "EntryNotFoundError": (MissingFile, "a file is missing in the repository. Check the revision"),
}


@contextmanager
def explain_hub_errors(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's client raises in the block into an error of one line with the remedy.

    Raises:
        UserError: `InputError` for an id that is none; `MissingFile`, `Refused`, `Conflict`, `Unreachable` or another
            `FileError` for what the Hub or the network failed at. What is not theirs passes unchanged.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        at = f"{repo_id}@{revision}" if revision else repo_id
        # The client wraps what broke a large file's upload in a bare RuntimeError.
        wrapped = error.__cause__ if type(error) is RuntimeError else None
        explained = _explained(at, wrapped or error)
        if explained is None:
            raise
        raise explained from error


def _explained(at: str, error: BaseException) -> UserError | None:
    """The library's error for one of the Hub's client; None if it is neither the Hub's nor the network's."""
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        return InputError(f"`{at}` is neither a folder nor a Hub id ({error}).")
    for name, (kind, text) in _EXPLANATIONS.items():
        if isinstance(error, getattr(errors, name)):
            return kind(f"{at}: {text}.")
    if isinstance(error, errors.HfHubHTTPError):
        return _explained_status(at, error)
    if isinstance(error, _unreachable()):
        cause = _first_line(error)
        return Unreachable(f"{at}: the connection to the Hub failed ({cause}). Check the network, or try later.")
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return FileError(error.errno, f"{at}: the disk is full. Free some space, or set HF_HOME to another disk.")
    if isinstance(error, OSError) and error.errno is None:  # the client's own words, not the system's
        return FileError(f"{at}: {_first_line(error)}")
    return None


def _explained_status(at: str, error: HfHubHTTPError) -> FileError:
    """The library's error for an HTTP status."""
    status = error.response.status_code
    if status in (401, 403):
        return Refused(f"{at}: the Hub refused ({status}). Log in (hf auth login) with a token that may do this.")
    if status in (409, 412):
        return Conflict(f"{at}: somebody changed the repository meanwhile ({status}). Load it again and repeat.")
    if status == 429:
        seconds = error.response.headers.get("Retry-After")
        when = f"in {seconds} seconds" if seconds else "later"
        return FileError(f"{at}: too many requests (429). Try again {when}.")
    if status >= 500:
        return FileError(f"{at}: the Hub has a fault of its own ({status}). Try later.")
    return FileError(f"{at}: {_first_line(error)}")


def _unreachable() -> tuple[type[Exception], ...]:
    """Errors of a connection that could not be made or broke."""
    from huggingface_hub.errors import HTTPError

    http = importlib.import_module(HTTPError.__module__.split(".")[0])  # httpx or httpx2, by the client's version
    return (http.TransportError, ConnectionError)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
