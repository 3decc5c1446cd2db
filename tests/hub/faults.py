r"""What can go wrong between a client and the Hub, declared by a test in one line.

    hub.faults.status(503, on=r"GET .*/resolve/", times=2)
    hub.faults.status(429, on=r"/api/models/", retry_after=7)
    hub.faults.cut_download(after=1000, on=r"model\.safetensors")
    hub.faults.cut_upload(after=1000)
    hub.faults.corrupt(on=r"model\.safetensors")
    hub.faults.before(lambda: repo.commit({"theirs.txt": b"1"}))
    hub.faults.silence(on=COMMITS, done=True)
    hub.faults.answer(lambda answer: Answer(b"<html>", headers={"Content-Type": "text/html"}), on=r"GET /api/")

`on` is a regular expression that is searched for in "METHOD /path?query". The rules are tried in the order in which
they were declared; a request meets one rule at most, and a rule is spent after `times` requests. With `done` the
request has taken effect when the fault comes: a commit is made, and only its sender does not know.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .protocol import Answer, HubError

DOWNLOADS = r"^GET .*/resolve/"
UPLOADS = r"^PUT .*/_lfs/"
COMMITS = r"^POST .*/commit/"


@dataclass
class Fault:
    """One rule. Only one of the fields after `times` is set.

    Attributes:
        on (`str`): Regular expression for the requests that it meets.
        times (`int`): How many requests are still to meet it.
        error (`HubError`): Answer with this instead.
        upload_limit (`int`): Cut the connection after that many bytes of the request's body.
        answer_limit (`int`): Cut the connection after that many bytes of the answer's body.
        corrupt (`bool`): Change the last byte of the answer's body.
        callback (`Callable`): Call this first, then answer as usual.
        change (`Callable`): Send what this makes of the answer.
        silent (`bool`): Send nothing, until the client goes.
        drip (`bool`): Send the answer's body byte by byte, slowly and without an end.
        reset (`bool`): Reset the connection in place of an answer.
        noise (`bytes`): Send these bytes in place of an answer.
        done (`bool`): With `error`, `silent`, `reset` or `noise`: carry the request out before.
    """

    on: str
    times: int
    error: HubError | None = None
    upload_limit: int | None = None
    answer_limit: int | None = None
    corrupt: bool = False
    callback: Callable[[], object] | None = None
    change: Callable[[Answer], Answer] | None = None
    silent: bool = False
    drip: bool = False
    reset: bool = False
    noise: bytes | None = None
    done: bool = False

    @property
    def answers(self) -> bool:
        """Whether anything of an answer is sent."""
        return not (self.silent or self.reset or self.noise is not None)


NO_FAULT = Fault(on="", times=0)


class Faults:
    """The rules in force. Every method adds one, for the next `times` requests that match `on`."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []

    @property
    def pending(self) -> list[Fault]:
        """Rules that are not spent. A test that ends with some did not meet what it prepared."""
        return list(self._rules)

    def clear(self) -> None:
        """Withdraws all rules."""
        self._rules.clear()

    def status(
        self,
        status: int,
        *,
        on: str,
        times: int = 1,
        code: str | None = None,
        retry_after: int | str | None = None,
        message: str = "injected fault",
        headers: dict[str, str] | None = None,
        done: bool = False,
    ) -> None:
        """Answers with an error status.

        Args:
            status (`int`): 401, 403, 404, 409, 412, 429, 500, 503, or any other.
            on (`str`): Which requests.
            times (`int`, *optional*, defaults to 1): How many of them.
            code (`str`, *optional*): `"RepoNotFound"`, `"RevisionNotFound"`, `"EntryNotFound"` or `"GatedRepo"`: how
                the Hub says which kind of 401, 403 or 404 it is.
            retry_after (`int` or `str`, *optional*): Seconds or a date, for a `Retry-After` header.
            message (`str`, *optional*): For the user to read.
            headers (`dict[str, str]`, *optional*): More of them.
            done (`bool`): Whether the request takes effect all the same.
        """
        waits = {} if retry_after is None else {"Retry-After": str(retry_after)}
        error = HubError(status, message, code, headers={**waits, **(headers or {})})
        self._rules.append(Fault(on, times, error=error, done=done))

    def cut_download(self, *, after: int, on: str = DOWNLOADS, times: int = 1) -> None:
        """Sends the answer's headers and `after` bytes of its body, then cuts the connection.

        The request has taken effect: on `COMMITS`, this is a commit whose confirmation got lost.
        """
        self._rules.append(Fault(on, times, answer_limit=after))

    def cut_upload(self, *, after: int, on: str = UPLOADS, times: int = 1) -> None:
        """Reads `after` bytes of the request's body, then cuts the connection. The request has no effect."""
        self._rules.append(Fault(on, times, upload_limit=after))

    def corrupt(self, *, on: str = DOWNLOADS, times: int = 1) -> None:
        """Changes the last byte of the answer's body; its length and the advertised hash stay.

        In a safetensors file that is a weight, not the header: only a look at the hash tells.
        """
        self._rules.append(Fault(on, times, corrupt=True))

    def before(self, callback: Callable[[], object], *, on: str = COMMITS, times: int = 1) -> None:
        """Calls `callback` when a matching request has arrived and before it is looked at, then answers as usual.

        With the default `on`, somebody else's commit can come in between. The callback may use `Repo.commit` or a
        client; a client's request is itself matched against the rules that are left.
        """
        self._rules.append(Fault(on, times, callback=callback))

    def answer(self, change: Callable[[Answer], Answer], *, on: str, times: int = 1, effect: bool = True) -> None:
        """Sends what `change` makes of the answer; without `effect`, of an empty one, and nothing is carried out."""
        rule = Fault(on, times, change=change)
        self._rules.append(rule if effect else Fault(on, times, error=HubError(200, ""), change=change))

    def silence(self, *, on: str, times: int = 1, done: bool = False) -> None:
        """Takes the request and sends nothing, until the client goes away."""
        self._rules.append(Fault(on, times, silent=True, done=done))

    def drip(self, *, on: str, times: int = 1) -> None:
        """Sends the answer's headers, and then a byte now and then, without an end. The request has taken effect."""
        self._rules.append(Fault(on, times, drip=True))

    def reset(self, *, on: str, times: int = 1, done: bool = False) -> None:
        """Resets the connection when the request has arrived."""
        self._rules.append(Fault(on, times, reset=True, done=done))

    def noise(self, data: bytes = b"\x16\x03\x01 this is no HTTP\r\n\r\n", *, on: str, times: int = 1) -> None:
        """Sends bytes that are no HTTP in place of an answer, and closes the connection."""
        self._rules.append(Fault(on, times, noise=data))

    def take(self, method: str, target: str) -> Fault:
        """The rule that a request meets, `NO_FAULT` if none. A rule with a body to cut passes over HEAD."""
        for rule in self._rules:
            skips = method == "HEAD" and (rule.corrupt or rule.answer_limit is not None)
            if not skips and re.search(rule.on, f"{method} {target}"):
                rule.times -= 1
                if rule.times <= 0:
                    self._rules.remove(rule)
                return rule
        return NO_FAULT
