"""How the Hub's API describes a repository, a file and a discussion, as JSON."""

import hashlib
import json
import re
from collections.abc import Iterator

import yaml

from .protocol import HubError
from .repository import Blob, Commit, Discussion, Repo, git_oid

_FRONT_MATTER = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", re.DOTALL)


def front_matter(text: str) -> dict:
    """The YAML block on top of a README; empty where there is none.

    Raises:
        HubError: 400, if the block is not a YAML mapping.
    """
    match = _FRONT_MATTER.match(text)
    if not match:
        return {}
    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise HubError(400, f"Invalid metadata in README.md: {error}") from error
    if data is not None and not isinstance(data, dict):
        raise HubError(400, "Invalid metadata in README.md: expected a YAML mapping")
    return json.loads(json.dumps(data or {}, default=str))  # dates and the like become text


def card_data(commit: Commit) -> dict:
    """The metadata of the commit's README."""
    readme = commit.tree.get("README.md")
    return front_matter(readme.data.decode("utf-8", "replace")) if readme else {}


def _lfs(blob: Blob, name: str) -> dict:
    """The LFS part of a file's description. The endpoints call its hash by different names."""
    if not blob.lfs:
        return {}
    return {"lfs": {name: blob.sha256, "size": blob.size, "pointerSize": len(blob.in_git)}}


def entry(repo: Repo, commit: Commit, path: str, *, expand: bool = False) -> dict | None:
    """A file or folder as the tree shows it; `None` if there is none at `path`."""
    blob = commit.tree.get(path)
    inside = [blob] if blob else [commit.tree[name] for name in sorted(commit.tree) if name.startswith(path + "/")]
    if not inside:
        return None
    if blob:
        out = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path, **_lfs(blob, "oid")}
    else:
        oid = git_oid("tree", "".join(part.oid for part in inside).encode())
        out = {"type": "directory", "oid": oid, "size": 0, "path": path}
    if expand:
        last = _last_change(repo, commit, path)
        out["lastCommit"] = {"id": last.oid, "title": last.title, "date": last.date}
    return out


def _last_change(repo: Repo, commit: Commit, path: str) -> Commit:
    """The newest commit that touched a file or anything inside a folder."""

    def content(at: Commit) -> dict[str, str]:
        return {name: blob.oid for name, blob in at.tree.items() if f"{name}/".startswith(f"{path}/")}

    last = commit
    for older in repo.history(commit.oid):
        if content(older) != content(commit):
            break
        last = older
    return last


def info(repo: Repo, commit: Commit, *, blobs: bool = False) -> dict:
    """What `model_info`, `dataset_info` and `space_info` return; `blobs` adds each file's size and hash."""
    card = card_data(commit)
    siblings = [
        {"rfilename": path, **({"size": blob.size, "blobId": blob.oid, **_lfs(blob, "sha256")} if blobs else {})}
        for path, blob in sorted(commit.tree.items())
    ]
    out = {
        "_id": hashlib.md5(repo.id.encode(), usedforsecurity=False).hexdigest()[:24],
        "id": repo.id,
        "author": repo.id.partition("/")[0],
        "sha": commit.oid,
        "lastModified": commit.date,
        "createdAt": repo.created,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": repo.downloads,
        "likes": 0,
        "cardData": card,
        "siblings": siblings,
        "usedStorage": sum(blob.size for blob in commit.tree.values()),
    }
    model = _model_facts(repo, commit, card) if repo.type == "model" else {}
    return {**out, **model, "tags": list(dict.fromkeys(_tags(commit, card, model)))}


def _model_facts(repo: Repo, commit: Commit, card: dict) -> dict:
    """What only models have: library, task, and the class named in `config.json`."""
    library = card.get("library_name") or ("transformers" if "config.json" in commit.tree else None)
    facts = {"modelId": repo.id, "pipeline_tag": card.get("pipeline_tag"), "library_name": library}
    try:
        config = json.loads(commit.tree["config.json"].data)
    except (KeyError, ValueError):
        return facts
    return {**facts, "config": {key: config[key] for key in ("architectures", "model_type") if key in config}}


def _tags(commit: Commit, card: dict, model: dict) -> Iterator[str]:
    """The tags by which a repository can be searched."""
    yield from map(str, card.get("tags") or [])
    for key in ("license", "language", "base_model"):
        values = card.get(key) or []
        yield from (f"{key}:{value}" for value in (values if isinstance(values, list) else [values]))
    if any(path.endswith(".safetensors") for path in commit.tree):
        yield "safetensors"
    yield from (model[key] for key in ("library_name", "pipeline_tag") if model.get(key))


def discussion(repo: Repo, thread: Discussion) -> dict:
    """A discussion as the list of discussions shows it."""
    return {
        "num": thread.num,
        "title": thread.title,
        "author": {"name": thread.author},
        "status": thread.status,
        "isPullRequest": thread.is_pull_request,
        "createdAt": thread.created,
        "repo": {"name": repo.id, "type": repo.type},
    }


def discussion_details(repo: Repo, thread: Discussion) -> dict:
    """A discussion with its events; a pull request also with its target and its conflicts."""
    out = {**discussion(repo, thread), "events": thread.events}
    if thread.is_pull_request:
        merged = {"mergeCommitId": thread.merge_commit} if thread.merge_commit else {}
        out["changes"] = {"base": "refs/heads/main", **merged}
        out["filesWithConflicts"] = [] if thread.merge_commit else repo.conflicts(thread)
    return out
