"""All that the test Hub remembers, and who may see and change what.

The rules are the Hub's: a private repository looks missing to strangers, a gated one shows its card but not its files,
a pull request is open to everyone who can read.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from .protocol import HubError, Request
from .repository import Repo


@dataclass(frozen=True)
class User:
    """Whom a token stands for, and what it may do.

    Attributes:
        name (`str`): Also the namespace of the user's own repositories.
        orgs (`tuple[str, ...]`): Organizations that the user may write to.
        read_only (`bool`): The token may read what the user may read, and write nothing.
    """

    name: str
    orgs: tuple[str, ...] = ()
    read_only: bool = False

    def owns(self, repo_id: str) -> bool:
        """Whether the repository is in one of the user's namespaces."""
        return repo_id.partition("/")[0] in (self.name, *self.orgs)


TOKENS = {
    "hf_user": User("user", ("org",)),
    "hf_reader": User("user", ("org",), read_only=True),
    "hf_other": User("other"),
}


@dataclass
class Store:
    """Users, repositories and uploaded LFS objects.

    Attributes:
        tokens (`Mapping[str, User]`): Every token that is valid.
        repos (`dict[tuple[str, str], Repo]`): By type and id.
        objects (`dict[str, bytes]`): LFS content by SHA-256, whether or not a commit uses it yet.
        moved (`dict[str, str]`): Old ids of repositories to their new ones.
        secret (`str`): Signs upload addresses, which carry no token.
    """

    tokens: Mapping[str, User]
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    secret: str = field(default_factory=lambda: secrets.token_hex(8))

    def user_of(self, authorization: str | None) -> User | None:
        """Who sent a request with this `Authorization` header; `None` without one."""
        if not authorization:
            return None
        user = self.tokens.get(authorization.removeprefix("Bearer ").strip())
        if user is None:
            raise HubError(401, "Invalid credentials in Authorization header")
        return user

    def readable(self, type: str, repo_id: str, user: User | None) -> Repo:
        """The repository, if it exists and the user may know of it. The Hub does not tell the two apart."""
        repo = self.repos.get((type, repo_id))
        if repo and (not repo.private or (user and user.owns(repo_id))):
            return repo
        if user:
            raise HubError(404, "Repository not found", "RepoNotFound")
        raise HubError(401, "Invalid username or password.", "RepoNotFound")

    def move(self, repo: Repo, new_id: str) -> None:
        """Gives a repository another id."""
        del self.repos[repo.type, repo.id]
        self.moved[repo.id] = new_id
        repo.id = new_id
        self.repos[repo.type, repo.id] = repo

    def create_repo(self, type: str, repo_id: str, owner: str, *, private: bool = False, base: str = "") -> Repo:
        """Makes a repository; 409 if there is one of that name, with its address, which the client wants."""
        if not re.fullmatch(r"[\w.-]+/[A-Za-z0-9][\w.-]{0,95}", repo_id):
            raise HubError(400, f"Invalid repo name: {repo_id}")
        repo = Repo(type, repo_id, owner, private)
        if (type, repo_id) in self.repos:
            url = {"url": f"{base}/{repo.web_path}"}
            raise HubError(409, f"You already created this {type} repo: {repo_id}", body=url)
        self.moved.pop(repo_id, None)
        self.repos[type, repo_id] = repo
        return repo


@dataclass(frozen=True)
class Call:
    """A request about one repository that its sender may see.

    Attributes:
        raw_rest (`str`): What follows the operation's name in the address, still percent-encoded: a revision that
            holds a slash can thus be told from a revision and a path.
    """

    store: Store
    request: Request
    user: User | None
    repo: Repo
    raw_rest: str = ""

    @property
    def rest(self) -> str:
        """`raw_rest`, decoded."""
        return unquote(self.raw_rest)


def require_login(user: User | None) -> User:
    """The user; 401 for a request without a token."""
    if user is None:
        raise HubError(401, "Invalid username or password.")
    return user


def require_write(user: User | None, repo_id: str) -> User:
    """The user, if the token may write to this namespace; 401 or 403 otherwise."""
    user = require_login(user)
    if user.read_only or not user.owns(repo_id):
        raise HubError(403, f"Forbidden: pass a token with write access to {repo_id}")
    return user


def require_files(user: User | None, repo: Repo) -> None:
    """Lets pass who may download: everyone, unless the repository is gated."""
    if repo.gated and not (user and (user.owns(repo.id) or user.name in repo.granted)):
        raise HubError(403 if user else 401, f"Access to {repo.type} {repo.id} is restricted.", "GatedRepo")
