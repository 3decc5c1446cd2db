"""Endpoints beside a repository: who am I, lists and searches, creating, moving and deleting repositories."""

from .describe import front_matter, info
from .protocol import Answer, HubError, Request
from .store import Store, User, require_login, require_write


def whoami(user: User | None) -> Answer:
    """GET /api/whoami-v2."""
    user = require_login(user)
    token = {"displayName": "test", "role": "read" if user.read_only else "write"}
    return Answer(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.name,
            "email": None,
            "isPro": False,
            "orgs": [{"type": "org", "name": org} for org in user.orgs],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def validate_yaml(request: Request) -> Answer:
    """POST /api/validate-yaml: what is wrong with a card's metadata, asked before each card is pushed."""
    try:
        metadata = front_matter(request.json()["content"])
    except HubError as error:
        return Answer({"errors": [{"message": str(error)}], "warnings": []}, 400)
    missing = {"message": "empty or missing yaml metadata in repo card"}
    return Answer({"errors": [], "warnings": [] if metadata else [missing]})


def list_repos(store: Store, request: Request, user: User | None, type: str) -> Answer:
    """GET /api/models and its like: what the user may see, by `search`, `author`, `filter` and `pipeline_tag`."""
    query, out = request.query, []
    text = query.get("search", [""])[0].lower()
    exact = {key: query[key][0] for key in ("author", "pipeline_tag") if key in query}
    tags = [tag for value in query.get("filter", []) for tag in value.split(",")]
    for (kind, repo_id), repo in store.repos.items():
        hidden = repo.private and not (user and user.owns(repo_id))
        if kind != type or hidden or text not in repo_id.lower():
            continue
        facts = info(repo, repo.resolve())
        if any(facts.get(key) != value for key, value in exact.items()) or not set(tags) <= set(facts["tags"]):
            continue
        left_out = () if "full" in query else ("siblings", "cardData")
        out.append({key: value for key, value in facts.items() if key not in left_out})
    return Answer(out[: int(query.get("limit", [1000])[0])])


def create_repo(store: Store, request: Request, user: User | None) -> Answer:
    """POST /api/repos/create."""
    body = request.json()
    user = require_login(user)
    type, namespace = body.get("type") or "model", body.get("organization") or user.name
    repo_id = f"{namespace}/{body['name']}"
    require_write(user, repo_id)
    private = body.get("visibility") == "private" or bool(body.get("private"))
    repo = store.create_repo(type, repo_id, user.name, private=private, base=request.base)
    return Answer({"url": f"{request.base}/{repo.web_path}", "name": repo_id, "id": repo_id})


def delete_repo(store: Store, request: Request, user: User | None) -> Answer:
    """DELETE /api/repos/delete."""
    body = request.json()
    user = require_login(user)
    type, repo_id = body.get("type") or "model", f"{body.get('organization') or user.name}/{body['name']}"
    repo = store.readable(type, repo_id, user)
    require_write(user, repo.id)
    del store.repos[type, repo_id]
    return Answer()


def move_repo(store: Store, request: Request, user: User | None) -> Answer:
    """POST /api/repos/move. Requests for the old name are redirected."""
    body = request.json()
    repo = store.readable(body.get("type") or "model", body["fromRepo"], user)
    require_write(user, repo.id)
    require_write(user, body["toRepo"])
    if (repo.type, body["toRepo"]) in store.repos:
        raise HubError(409, f"There is a {repo.type} of that name: {body['toRepo']}")
    store.move(repo, body["toRepo"])
    return Answer()
