r"""What can go wrong between a client and the Hub, declared by a test in one line.

    hub.faults.status(503, on=r"GET .*/resolve/", times=2)
    hub.faults.status(429, on=r"/api/models/", retry_after=7)
    hub.faults.cut_download(after=1000, on=r"model\.safetensors")
    hub.faults.cut_upload(after=1000)
    hub.faults.corrupt(on=r"model\.safetensors")
    hub.faults.before(lambda: repo.commit({"theirs.txt": b"1"}))

`on` is a regular expression that is searched for in "METHOD /path?query". The rules are tried in the order in which
they were declared; a request meets one rule at most, and a rule is spent after `times` requests.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .protocol import HubError

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
    """

    on: str
    times: int
    error: HubError | None = None
    upload_limit: int | None = None
    answer_limit: int | None = None
    corrupt: bool = False
    callback: Callable[[], object] | None = None


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
        retry_after: int | None = None,
        message: str = "injected fault",
    ) -> None:
        """Answers with an error status.

        Args:
            status (`int`): 401, 403, 404, 409, 412, 429, 500, 503, or any other.
            on (`str`): Which requests.
            times (`int`, *optional*, defaults to 1): How many of them.
            code (`str`, *optional*): `"RepoNotFound"`, `"RevisionNotFound"`, `"EntryNotFound"` or `"GatedRepo"`: how
                the Hub says which kind of 401, 403 or 404 it is.
            retry_after (`int`, *optional*): Seconds, for a `Retry-After` header.
            message (`str`, *optional*): For the user to read.
        """
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._rules.append(Fault(on, times, error=HubError(status, message, code, headers=headers)))

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
