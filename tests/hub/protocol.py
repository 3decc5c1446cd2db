"""What travels between a client and the test Hub: a request, its answer, and the Hub's way of saying no.

Knows nothing of repositories or sockets. The header names are those that `huggingface_hub` reads.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """One HTTP request, its body read in full.

    Attributes:
        method (`str`): `"GET"`, `"HEAD"`, `"POST"`, `"PUT"` or `"DELETE"`.
        target (`str`): Path and query as the client sent them, still percent-encoded.
        headers (`Mapping[str, str]`): Looked up without regard to case.
        body (`bytes`): Empty where there was none.
        base (`str`): Scheme, host and port under which the client reached the server.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    base: str

    @cached_property
    def path(self) -> str:
        """The target without its query, still percent-encoded."""
        return urlsplit(self.target).path

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Every query parameter with all of its values."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def flag(self, name: str) -> bool:
        """Whether the query says yes to `name`."""
        return self.query.get(name, [""])[0].lower() in ("true", "1")

    def json(self) -> dict[str, Any]:
        """The body as JSON; an empty body is an empty object."""
        return json.loads(self.body or b"null") or {}


@dataclass(frozen=True)
class Answer:
    """One HTTP answer.

    Attributes:
        payload (`bytes`, `dict` or `list`): Bytes are sent as they are, everything else as JSON.
        status (`int`): HTTP status.
        headers (`dict[str, str]`): Besides `Content-Length`, which the server adds.
    """

    payload: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class HubError(Exception):
    """An answer with an error status, in the headers and the body that the Hub's clients read.

    Args:
        status (`int`): HTTP status.
        message (`str`): Sent as `X-Error-Message` and in the body.
        code (`str`, *optional*): Sent as `X-Error-Code`: `"RepoNotFound"`, `"RevisionNotFound"`, `"EntryNotFound"`
            and `"GatedRepo"` each become an exception class of their own in the client.
        headers (`dict[str, str]`, *optional*): Sent besides.
        body (`dict`, *optional*): Sent besides the message.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        body: dict | None = None,
    ) -> None:
        super().__init__(message)
        codes = {"X-Error-Code": code} if code else {}
        self.answer = Answer(
            {"error": message, **(body or {})},
            status,
            {"X-Error-Message": message.replace("\n", " "), **codes, **(headers or {})},
        )
