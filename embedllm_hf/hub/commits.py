"""Committing to the Hugging Face Hub: one commit on top of what was read, done once, and told as it is.

A commit whose answer is lost may have been made. So after each trouble the repository is looked at: if one of the
commits since then holds what was sent, it is done; if there are none, it is sent again; if there are others, somebody
else was faster, and the change is made anew on top of theirs. The Hub takes a commit only on its parent, so none of
this can make it twice.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import Conflict, InputError, Unreachable
from .client import Listing, list_files
from .errors import Trouble, explain_hub_errors, first_line
from .requests import Patience, api, asked, tried

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, RepoFile
    from huggingface_hub.errors import HfHubHTTPError

logger = logging.getLogger(__name__)

_LOOKED_AT = 20  # commits since, the newest first
_ATTEMPTS = 3  # the first, and those after changes of others that this one gives way to


@dataclass(frozen=True)
class Target:
    """Where to commit, with the arguments as in huggingface_hub.

    A repository that is not there is made, and so is a branch, but not for a pull request, or if `make` is false. A
    Space is made for the kit that `space_sdk` names.
    """

    repo_id: str
    repo_type: str = "model"
    revision: str | None = None
    token: str | bool | None = None
    create_pr: bool = False
    private: bool | None = None
    make: bool = True
    space_sdk: str | None = None

    def look(self) -> Listing:
        """What is there; first made, where that is wanted.

        Raises:
            Trouble: If there was no verified answer.
        """
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        client, make, repo_id = api(self.token), self.make and not self.create_pr, self.repo_id
        kind: dict[str, Any] = {"repo_type": self.repo_type, "exist_ok": True}

        def made() -> str:
            options = {"private": self.private, "space_sdk": self.space_sdk}
            return asked(lambda: client.create_repo(self.repo_id, **options, **kind)).repo_id

        if make and "/" not in repo_id:
            repo_id = made()  # in the user's own namespace
        for _ in ("repository", "branch"):
            try:
                return list_files(repo_id, self.repo_type, self.revision, token=self.token)
            except RepositoryNotFoundError as error:
                if not make or isinstance(error, GatedRepoError):
                    raise
                repo_id = made()
            except RevisionNotFoundError:
                branch = self.revision
                if not make or branch is None or branch.startswith("refs/"):
                    raise
                asked(lambda: client.create_branch(repo_id, branch=branch, **kind))  # noqa: B023 - at once
        return list_files(repo_id, self.repo_type, self.revision, token=self.token)


def commit_on_top(
    target: Target,
    build: Callable[[Listing], Sequence[CommitOperationAdd | CommitOperationDelete] | None],
    *,
    message: str,
) -> CommitInfo:
    """Make one commit of what `build` makes of what is there, again for what is there then if somebody was faster.

    Args:
        target (`Target`): Where.
        build (`Callable`): From what the repository holds to the operations, new ones at each call; None if there is
            nothing to do any more.
        message (`str`): The commit's summary.

    Returns:
        `CommitInfo`: Of the commit; of the last one, if there was nothing to do.

    Raises:
        UserError: As `explain_hub_errors` has them; a `Conflict` if somebody was faster each time. Nothing is
            committed then. An `Unreachable` whose text says so leaves open whether it is.
    """
    if not message.strip():
        raise InputError(f"the commit's message is {message!r}, expected a text.")
    with explain_hub_errors(target.repo_id, target.revision):
        for attempts_left in reversed(range(_ATTEMPTS)):
            base = target.look()
            operations = build(base)
            if operations is None:
                return _info(target, base.repo_id, base.revision, message)
            try:
                return _Commit(target, base, operations, message).make()
            except Conflict:
                if not attempts_left:
                    raise
                logger.info("%s changed in the meantime; making the change on top of it.", target.repo_id)
    raise AssertionError("unreachable")


def differing(target: Target, files: Mapping[str, Path | bytes]) -> list[str]:
    """Names of the files that a repository does not hold with this content: all, if there is no such repository.

    Raises:
        UserError: As `explain_hub_errors` has them.
    """
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    with explain_hub_errors(target.repo_id, target.revision):
        try:
            there = _files_of(target, target.repo_id, target.revision)
        except RepositoryNotFoundError as error:
            if isinstance(error, GatedRepoError):
                raise
            return list(files)
    return [name for name in files if not _holds(there.get(name), CommitOperationAdd(name, files[name]))]


@dataclass(frozen=True)
class _Commit:
    """Operations on top of a commit."""

    target: Target
    base: Listing
    operations: Sequence[CommitOperationAdd | CommitOperationDelete]
    message: str

    def make(self) -> CommitInfo:
        """Send the files and the commit.

        Raises:
            Trouble: If there was no verified answer, and nothing is committed.
            Conflict: If nothing is committed, since somebody else has.
            Unreachable: If it is not known whether it is committed.
        """
        from huggingface_hub.errors import HfHubHTTPError

        self._send_files()
        patience = Patience()
        while True:
            error: Trouble | HfHubHTTPError
            try:
                return tried(self._send)
            except Trouble as trouble:
                error, status = trouble, trouble.status
            except HfHubHTTPError as refusal:
                error, status = refusal, refusal.response.status_code
                if status not in (409, 412):  # an answer; these two may be those to what was made before
                    raise
            done = self._found(error)
            if done is not None:
                return done
            # A branch takes no commit twice; a pull request must not be made again if it may yet come.
            again = not self.target.create_pr or status in (409, 412, 429, 503)
            if not again or not patience.goes_on(error if isinstance(error, Trouble) else Trouble(str(error))):
                raise error

    def _where(self, revision: str | None) -> dict[str, Any]:
        return {"repo_id": self.base.repo_id, "repo_type": self.target.repo_type, "revision": revision}

    def _send_files(self) -> None:
        """Send the contents of large files, each on its own, since the client would send several in other threads.

        Files that a `.gitignore` there names count, too: the client would leave them out without a word.
        """
        from huggingface_hub import CommitOperationAdd

        client, where = api(self.target.token), self._where(self.target.revision)
        options: dict[str, Any] = {"gitignore_content": "", "free_memory": False, "create_pr": self.target.create_pr}
        for added in self.operations:
            if isinstance(added, CommitOperationAdd):
                asked(lambda: client.preupload_lfs_files(additions=[added], **where, **options))  # noqa: B023 - at once

    def _send(self) -> CommitInfo:
        return api(self.target.token).create_commit(
            operations=self.operations,
            commit_message=self.message,
            parent_commit=self.base.revision,
            create_pr=self.target.create_pr,
            **self._where(self.target.revision),
        )

    def _found(self, error: Exception) -> CommitInfo | None:
        """The commit, if it was made although the answer says otherwise; None if nothing was.

        Raises:
            Conflict: If others were made.
            Unreachable: If the Hub does not say.
        """
        from huggingface_hub.errors import HfHubHTTPError

        try:
            if self.target.create_pr:
                return self._found_proposal()
            client = api(self.target.token)
            made = asked(lambda: client.list_repo_commits(**self._where(self.target.revision)))
            oids = (commit.commit_id for commit in made)
            since = [*itertools.takewhile(lambda oid: oid != self.base.revision, oids)]
            for oid in since[:_LOOKED_AT]:
                if self._is_in(oid):
                    return _info(self.target, self.base.repo_id, oid, self.message)
        except (Trouble, HfHubHTTPError) as refusal:
            remedy = "Repeat it when the Hub answers: what is there already is not made again."
            if self.target.create_pr:
                remedy = "Look at the repository's pull requests before you repeat it."
            raise Unreachable(
                f"{self.base.repo_id}: the answer to the commit was lost, so it may be there or not, and the Hub does "
                f"not say ({first_line(refusal)}). {remedy}"
            ) from error
        if since:
            raise Conflict(
                f"{self.base.repo_id}: somebody changed the repository meanwhile. Load it again and repeat."
            ) from error
        return None

    def _found_proposal(self) -> CommitInfo | None:
        """The pull request, if there is one of this title with this content."""
        client, where = api(self.target.token), self._where(None)
        del where["revision"]
        threads = asked(lambda: list(client.get_repo_discussions(**where, discussion_type="pull_request")))
        for thread in threads:
            if thread.title == self.message and thread.status == "open" and self._is_in(f"refs/pr/{thread.num}"):
                at = self.base.repo_id, self.target.repo_type, f"refs/pr/{thread.num}"
                oid = list_files(*at, token=self.target.token).revision
                return _info(self.target, self.base.repo_id, oid, self.message, number=thread.num)
        return None

    def _is_in(self, revision: str) -> bool:
        """Whether a commit holds all that the operations add, and nothing that they delete."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        files = _files_of(self.target, self.base.repo_id, revision)
        for operation in self.operations:
            there = files.get(operation.path_in_repo)
            if isinstance(operation, CommitOperationDelete) and there is not None:
                return False
            if isinstance(operation, CommitOperationAdd) and not _holds(there, operation):
                return False
        return True


def _files_of(target: Target, repo_id: str, revision: str | None) -> dict[str, RepoFile]:
    """The files of a repository, by name, with their hashes."""
    from huggingface_hub import RepoFile

    client, where = api(target.token), {"repo_type": target.repo_type, "revision": revision}
    tree = asked(lambda: list(client.list_repo_tree(repo_id, recursive=True, **where)))
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _holds(there: RepoFile | None, added: CommitOperationAdd) -> bool:
    """Whether a file of the repository, if it is there at all, has the content that was to be added."""
    if there is None:
        return False
    if there.lfs is not None:
        return there.lfs.sha256 == added.upload_info.sha256.hex()
    with added.as_file() as file:
        content = file.read()
    return there.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _info(target: Target, repo_id: str, oid: str, message: str, *, number: int | None = None) -> CommitInfo:
    """What the client says of a commit that it made."""
    from huggingface_hub import CommitInfo, constants

    page = f"{constants.ENDPOINT}/{constants.REPO_TYPES_URL_PREFIXES.get(target.repo_type, '')}{repo_id}"
    return CommitInfo(
        commit_url=f"{page}/commit/{oid}",
        commit_message=message,
        commit_description="",
        oid=oid,
        _endpoint=constants.ENDPOINT,
        pr_url=None if number is None else f"{page}/discussions/{number}",
    )
