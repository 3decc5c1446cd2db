"""Endpoints that change a repository: uploads, commits, branches, tags and settings.

An upload takes three steps, as on the Hub: `preupload` tells which files go to LFS, the LFS endpoints take their
content, and one commit then names everything. Nothing is visible before that commit.
"""

import base64
import fnmatch
import hashlib
import json

from .describe import card_data
from .protocol import Answer, HubError, Request
from .repository import Blob, Commit, Repo, Tree, stored_as_lfs
from .store import Call, Store, User, require_login, require_write


def committer(user: User | None, repo: Repo, revision: str, *, opens_pull_request: bool = False) -> User:
    """The user, if allowed to commit: anyone may open a pull request and add to an own one."""
    user = require_login(user)
    own = [thread.ref for thread in repo.discussions if thread.author == user.name]
    if (opens_pull_request or revision in own) and not user.read_only:
        return user
    return require_write(user, repo.id)


def preupload(call: Call) -> Answer:
    """POST /preupload/{revision}: for each file, whether it goes to LFS and whether `.gitignore` names it."""
    committer(call.user, call.repo, call.rest, opens_pull_request="create_pr" in call.request.query)
    commit, body = call.repo.resolve(call.rest), call.request.json()
    ignore = body.get("gitIgnore")
    if ignore is None and ".gitignore" in commit.tree:
        ignore = commit.tree[".gitignore"].data.decode()
    globs = [line.strip().strip("/") for line in (ignore or "").splitlines() if line.strip() and line[0] not in "#!"]
    files = []
    for wanted in body["files"]:
        path, old = wanted["path"], commit.tree.get(wanted["path"])
        mode = "lfs" if stored_as_lfs(path, wanted["size"]) else "regular"
        ignored = any(fnmatch.fnmatch(part, glob) for glob in globs for part in (path, *path.split("/")))
        known = {"oid": old.etag} if old else {}
        files.append({"path": path, "uploadMode": mode, "shouldIgnore": ignored, **known})
    return Answer({"files": files, "commitOid": commit.oid})


def lfs_batch(call: Call) -> Answer:
    """POST /{repo}.git/info/lfs/objects/batch: where to put each object; those already known need no upload."""
    body = call.request.json()
    ref = (body.get("ref") or {}).get("name")  # the client leaves it out where it opens a pull request
    committer(call.user, call.repo, ref or "", opens_pull_request=ref is None)
    objects = []
    for wanted in body["objects"]:
        out = {"oid": wanted["oid"], "size": wanted["size"]}
        if _lfs_content(call, wanted["oid"]) is None:
            address = {"href": f"{call.request.base}/_lfs/{wanted['oid']}?key={call.store.secret}"}
            out |= {"authenticated": True, "actions": {"upload": address, "verify": address}}
        objects.append(out)
    return Answer({"transfer": "basic", "objects": objects})


def _lfs_content(call: Call, oid: str) -> bytes | None:
    """An LFS object that was uploaded, or that a commit of this repository holds."""
    blobs = (blob for commit in call.repo.commits.values() for blob in commit.tree.values())
    held = next((blob.data for blob in blobs if blob.lfs and blob.sha256 == oid), None)
    return call.store.objects.get(oid, held)


def lfs_object(store: Store, request: Request, oid: str) -> Answer:
    """PUT /_lfs/{oid} takes the content, POST confirms that it is there."""
    if request.query.get("key") != [store.secret]:
        raise HubError(403, "Forbidden: the upload address is not signed")
    if request.method == "PUT":
        if hashlib.sha256(request.body).hexdigest() != oid:
            raise HubError(400, "The content does not have the announced sha256")
        store.objects[oid] = request.body
    elif oid not in store.objects or len(store.objects[oid]) != request.json()["size"]:
        raise HubError(404, "The object was not uploaded")
    return Answer()


def commit(call: Call) -> Answer:
    """POST /commit/{revision}: one commit of NDJSON operations, on a branch or as a new pull request."""
    repo, opens = call.repo, "create_pr" in call.request.query
    user = committer(call.user, repo, call.rest, opens_pull_request=opens)
    header, *operations = [json.loads(line) for line in call.request.body.splitlines() if line]
    wanted = header["value"].get("parentCommit")
    base = _base(repo, call.rest, wanted, opens)
    tree = dict(base.tree)
    for operation in operations:
        _apply(call, tree, operation["key"], operation["value"])
    title, message = header["value"].get("summary", ""), header["value"].get("description", "")
    card_data(Commit(tree, title, user.name))  # refuses a README whose metadata cannot be read
    url = f"{call.request.base}/{repo.web_path}"
    out = {"success": True, "hookOutput": ""}
    if opens:
        thread = repo.discuss(title, user.name, base=base)
        ref, out["pullRequestUrl"] = thread.ref, f"{url}/discussions/{thread.num}"
    else:
        ref = repo.writable_ref(call.rest)
    new = repo.advance(ref, tree, title, user.name, message=message)
    for thread in repo.discussions:
        if thread.ref == ref:
            thread.record("commit", user.name, {"subject": title, "oid": new.oid})
    return Answer({**out, "commitOid": new.oid, "commitUrl": f"{url}/commit/{new.oid}"})


def _base(repo: Repo, revision: str, parent: str | None, opens_pull_request: bool) -> Commit:
    """The commit to build on: 412 if a branch has moved off `parent`; a pull request may start anywhere."""
    head = repo.resolve(revision)
    if not parent or head.oid.startswith(parent):
        return head
    if opens_pull_request:
        return repo.resolve(parent)
    raise HubError(412, "A commit has happened since. Please refresh and try again.")


def _apply(call: Call, tree: dict[str, Blob], kind: str, value: dict) -> None:
    """Carries out one operation of a commit on `tree`."""
    path = value["path"]
    if kind == "file":
        tree[path] = Blob(base64.b64decode(value["content"]))
    elif kind == "lfsFile":
        data = _lfs_content(call, value["oid"])
        if data is None:
            raise HubError(400, f"LFS pointer pointed to a file that does not exist: {path}")
        tree[path] = Blob(data, lfs=True)
    elif kind in ("deletedFile", "deletedFolder"):
        for name in _named(tree, path, folder=kind == "deletedFolder"):
            del tree[name]
    else:
        raise HubError(400, f"Unknown commit operation: {kind}")


def _named(tree: Tree, path: str, *, folder: bool) -> list[str]:
    """The file at `path`, or everything in the folder there; 404 if there is none."""
    names = [name for name in tree if (name.startswith(path.rstrip("/") + "/") if folder else name == path)]
    if not names:
        raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
    return names


def branch(call: Call) -> Answer:
    """POST or DELETE /branch/{name}."""
    if call.request.method == "DELETE":
        return _delete_ref(call.repo, "refs/heads/", call.rest)
    start = call.repo.resolve(call.request.json().get("startingPoint") or "main")
    return _create_ref(call.repo, "refs/heads/", call.rest, start)


def tag(call: Call) -> Answer:
    """POST /tag/{revision} with the new tag's name in the body, or DELETE /tag/{name}."""
    if call.request.method == "DELETE":
        return _delete_ref(call.repo, "refs/tags/", call.rest)
    return _create_ref(call.repo, "refs/tags/", call.request.json()["tag"], call.repo.resolve(call.rest))


def _create_ref(repo: Repo, prefix: str, name: str, target: Commit) -> Answer:
    if prefix + name in repo.refs:
        raise HubError(409, f"Reference already exists: {prefix}{name}")
    repo.refs[prefix + name] = target.oid
    return Answer()


def _delete_ref(repo: Repo, prefix: str, name: str) -> Answer:
    if repo.refs.pop(prefix + name, None) is None:
        raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")
    return Answer()


def settings(call: Call) -> Answer:
    """PUT /settings: private or public, gated or open."""
    body = call.request.json()
    if "visibility" in body:
        call.repo.private = body["visibility"] == "private"
    call.repo.private = body.get("private", call.repo.private)
    call.repo.gated = body.get("gated", call.repo.gated)
    return Answer({"private": call.repo.private, "gated": call.repo.gated})
