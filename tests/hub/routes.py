"""From an address to the function that answers it."""

import re
from urllib.parse import unquote

from . import account, discussions, reading, writing
from .protocol import Answer, HubError, Request
from .store import Call, Store, User, require_write

_TYPES = {"models": "model", "datasets": "dataset", "spaces": "space", None: "model"}
_READING = {
    "revision": reading.revision,
    "tree": reading.tree,
    "paths-info": reading.paths_info,
    "commits": reading.commits,
    "refs": reading.refs,
    "auth-check": reading.auth_check,
}
_OWN_RULES = {  # they let strangers open pull requests, and check that themselves
    "preupload": writing.preupload,
    "commit": writing.commit,
    "discussions": discussions.discussions,
}
_WRITING = {"branch": writing.branch, "tag": writing.tag, "settings": writing.settings}
_OPERATIONS = {**_READING, **_OWN_RULES, **_WRITING}
_REPO = re.compile(
    rf"/api/(models|datasets|spaces)/([^/]+(?:/[^/]+)??)(?:/({'|'.join(_OPERATIONS)}|xet-\w+-token)(?:/(.*))?)?"
)
_FILE = re.compile(r"/(?:(datasets|spaces)/)?([^/]+(?:/[^/]+)?)/(?:resolve|raw)/([^/]+)/(.+)")
_LFS = re.compile(r"/(?:(datasets|spaces)/)?([^/]+(?:/[^/]+)?)\.git/info/lfs/objects/batch")
_MANAGE = {
    "/api/repos/create": account.create_repo,
    "/api/repos/delete": account.delete_repo,
    "/api/repos/move": account.move_repo,
}
_LISTS = {"/api/models": "model", "/api/datasets": "dataset", "/api/spaces": "space"}


def dispatch(store: Store, request: Request) -> Answer:
    """Answers a request.

    Raises:
        HubError: For every answer that is an error.
    """
    for old, new in store.moved.items():
        if re.match(rf"(/api/\w+|/datasets|/spaces)?/{re.escape(old)}(/|\.git/|$)", request.path):
            raise HubError(307, "The repository has moved", headers={"Location": request.target.replace(old, new, 1)})
    if request.path.startswith("/_lfs/"):
        return writing.lfs_object(store, request, request.path.removeprefix("/_lfs/"))
    user = store.user_of(request.headers.get("Authorization"))
    if match := _LFS.fullmatch(request.path):
        repo = store.readable(_TYPES[match[1]], unquote(match[2]), user)
        return writing.lfs_batch(Call(store, request, user, repo))
    if match := _REPO.fullmatch(request.path):
        return _repo_operation(store, request, user, match)
    if request.path.startswith("/api/"):
        return _account_operation(store, request, user)
    if match := _FILE.fullmatch(request.path):
        repo = store.readable(_TYPES[match[1]], unquote(match[2]), user)
        return reading.file(Call(store, request, user, repo), unquote(match[3]), unquote(match[4]))
    raise _no_such_endpoint(request)


def _repo_operation(store: Store, request: Request, user: User | None, match: re.Match[str]) -> Answer:
    """/api/{type}s/{id}/{operation}/..."""
    name = match[3] or "revision"
    if name not in _OPERATIONS:
        raise HubError(404, "The test Hub has no Xet storage: set HF_HUB_DISABLE_XET=1")
    repo = store.readable(_TYPES[match[1]], unquote(match[2]), user)
    if name in _WRITING:
        require_write(user, repo.id)
    return _OPERATIONS[name](Call(store, request, user, repo, match[4] or ""))


def _account_operation(store: Store, request: Request, user: User | None) -> Answer:
    """All of /api that is not about one repository."""
    if request.path in _LISTS:
        return account.list_repos(store, request, user, _LISTS[request.path])
    if request.path in _MANAGE:
        return _MANAGE[request.path](store, request, user)
    if request.path == "/api/whoami-v2":
        return account.whoami(user)
    if request.path == "/api/validate-yaml":
        return account.validate_yaml(request)
    if request.path == "/api/agent-harnesses":  # the `hf` command line asks for it
        return Answer({"standardEnvVars": [], "harnesses": {}})
    raise _no_such_endpoint(request)


def _no_such_endpoint(request: Request) -> HubError:
    return HubError(404, f"The test Hub has no such endpoint: {request.method} {request.path}")
