"""Discussions and pull requests: listing, opening, commenting, closing, merging."""

from .describe import discussion, discussion_details
from .protocol import Answer, HubError
from .repository import Discussion
from .store import Call, User, require_login, require_write


def discussions(call: Call) -> Answer:
    """/discussions, /discussions/{num} and /discussions/{num}/{action}."""
    num, _, action = call.rest.partition("/")
    if call.request.method == "GET":
        return Answer(discussion_details(call.repo, _thread(call, num))) if num else _list(call)
    user = require_login(call.user)
    if user.read_only:
        raise HubError(403, "Forbidden: pass a token with write access")
    if not num:
        return _open(call, user)
    if action not in _ACTIONS:
        raise HubError(501, f"The test Hub has no such discussion action: {action}")
    return _ACTIONS[action](call, _thread(call, num), user)


def _thread(call: Call, num: str) -> Discussion:
    for thread in call.repo.discussions:
        if str(thread.num) == num:
            return thread
    raise HubError(404, f"Discussion {num} not found")


def _list(call: Call) -> Answer:
    """GET /discussions, filtered by type, status and author."""
    kind, status, author = (call.request.query.get(key, ["all"])[0] for key in ("type", "status", "author"))
    threads = [
        thread
        for thread in call.repo.discussions
        if kind in ("all", "pull_request" if thread.is_pull_request else "discussion")
        and (status == "all" or (status == "open") == (thread.status in ("open", "draft")))
        and author in ("all", thread.author)
    ]
    return Answer({"start": 0, "count": len(threads), "discussions": [discussion(call.repo, t) for t in threads]})


def _open(call: Call, user: User) -> Answer:
    """POST /discussions: a discussion, or a draft pull request whose commits come later."""
    body = call.request.json()
    draft = {"base": call.repo.resolve(), "status": "draft"} if body.get("pullRequest") else {}
    thread = call.repo.discuss(body["title"], user.name, **draft)
    _say(thread, user, body.get("description", ""))
    return Answer(discussion(call.repo, thread))


def _say(thread: Discussion, user: User, text: str) -> dict:
    data = {"edited": False, "hidden": False, "latest": {"raw": text}}
    return thread.record("comment", user.name, data)


def _comment(call: Call, thread: Discussion, user: User) -> Answer:
    return Answer({"newMessage": _say(thread, user, call.request.json()["comment"])})


def _rename(call: Call, thread: Discussion, user: User) -> Answer:
    _require_author_or_owner(call, thread, user)
    old, thread.title = thread.title, call.request.json()["title"]
    return Answer({"newTitle": thread.record("title-change", user.name, {"from": old, "to": thread.title})})


def _set_status(call: Call, thread: Discussion, user: User) -> Answer:
    _require_author_or_owner(call, thread, user)
    thread.status = call.request.json()["status"]
    return Answer({"newStatus": thread.record("status-change", user.name, {"status": thread.status})})


def _merge(call: Call, thread: Discussion, user: User) -> Answer:
    require_write(user, call.repo.id)
    if not thread.is_pull_request or thread.status != "open":
        raise HubError(400, f"Cannot merge: discussion {thread.num} is not an open pull request")
    call.repo.merge(thread, user.name)
    thread.record("status-change", user.name, {"status": "merged"})
    return Answer({"success": True})


def _require_author_or_owner(call: Call, thread: Discussion, user: User) -> None:
    if thread.author != user.name:
        require_write(user, call.repo.id)


_ACTIONS = {"comment": _comment, "title": _rename, "status": _set_status, "merge": _merge}
