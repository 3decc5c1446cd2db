"""Endpoints that only read: repository info, trees, refs, history, and the files themselves."""

import re
from urllib.parse import parse_qs, quote, unquote

from .describe import entry, info
from .protocol import Answer, HubError
from .store import Call, require_files

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def revision(call: Call) -> Answer:
    """GET /revision/{revision}: info; `expand` keeps only the fields asked for."""
    query = call.request.query
    facts = info(call.repo, call.repo.resolve(call.rest or "main"), blobs="blobs" in query)
    wanted = query.get("expand", []) + query.get("expand[]", [])
    return Answer({key: facts[key] for key in ("_id", "id", *wanted) if key in facts} if wanted else facts)


def tree(call: Call) -> Answer:
    """GET /tree/{revision}/{folder}: its entries, or with `recursive` everything below it."""
    name, _, folder = call.raw_rest.partition("/")
    commit, folder = call.repo.resolve(unquote(name)), unquote(folder).strip("/")
    base = f"{folder}/" if folder else ""
    found = set()
    for path in commit.tree:
        if path.startswith(base):
            parts = path[len(base) :].split("/")
            depth = len(parts) if call.request.flag("recursive") else 1
            found |= {base + "/".join(parts[: i + 1]) for i in range(depth)}
    if folder and not found:
        raise HubError(
            404, f"{folder} does not exist on {name}", "EntryNotFound", headers={"X-Repo-Commit": commit.oid}
        )
    return Answer([entry(call.repo, commit, path, expand=call.request.flag("expand")) for path in sorted(found)])


def paths_info(call: Call) -> Answer:
    """POST /paths-info/{revision}: the entries at given paths, as JSON or as a form; absent paths are left out."""
    commit = call.repo.resolve(call.rest)
    if "json" in call.request.headers.get("Content-Type", ""):
        body = call.request.json()
        paths, expand = body.get("paths", []), bool(body.get("expand"))
    else:
        form = parse_qs(call.request.body.decode())
        paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() == "true"
    paths = [paths] if isinstance(paths, str) else paths
    entries = (entry(call.repo, commit, path.strip("/"), expand=expand) for path in paths)
    return Answer([found for found in entries if found])


def commits(call: Call) -> Answer:
    """GET /commits/{revision}: the history, newest first."""
    return Answer(
        [
            {"id": c.oid, "title": c.title, "message": c.message, "date": c.date, "authors": [{"user": c.author}]}
            for c in call.repo.history(call.rest)
        ]
    )


def refs(call: Call) -> Answer:
    """GET /refs: branches and tags, and with `include_prs` pull requests."""

    def under(prefix: str) -> list[dict]:
        names = [name for name in call.repo.refs if name.startswith(prefix)]
        short = 0 if prefix == "refs/pr/" else len(prefix)
        return [{"name": name[short:], "ref": name, "targetCommit": call.repo.refs[name]} for name in names]

    out = {"branches": under("refs/heads/"), "tags": under("refs/tags/"), "converts": []}
    if "include_prs" in call.request.query:
        out["pullRequests"] = under("refs/pr/")
    return Answer(out)


def auth_check(call: Call) -> Answer:
    """GET /auth-check: whether the user may download."""
    require_files(call.user, call.repo)
    return Answer()


def file(call: Call, name: str, path: str) -> Answer:
    """GET or HEAD /{repo}/resolve/{revision}/{path}: the file, or the range of it that was asked for."""
    require_files(call.user, call.repo)
    commit = call.repo.resolve(name)
    headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
    blob = commit.tree.get(path)
    if blob is None:
        raise HubError(404, "Entry not found", "EntryNotFound", headers=headers)
    headers["ETag"] = f'"{blob.etag}"'
    headers["Content-Type"] = "application/octet-stream" if blob.lfs else "text/plain"
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(path.rpartition('/')[2])}"
    if blob.lfs:
        headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
    if call.request.method == "GET":
        call.repo.downloads += 1
    return _slice(blob.data, call.request.headers.get("Range", ""), headers)


def _slice(data: bytes, wanted: str, headers: dict[str, str]) -> Answer:
    """The whole of `data`, or the part that a Range header names."""
    match = _RANGE.fullmatch(wanted)
    if not match or not any(match.groups()):
        return Answer(data, 200, headers)
    first, last = match.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start > end:
        raise HubError(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{len(data)}"})
    return Answer(data[start : end + 1], 206, {**headers, "Content-Range": f"bytes {start}-{end}/{len(data)}"})
