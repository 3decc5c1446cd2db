"""How the library asks the Hub: never without a timeout, and again while the Hub is in trouble, within a budget.

huggingface_hub's client has one HTTP session for all, most of its requests without a timeout, and waits as long as a
`Retry-After` says. So `send` of that session is wrapped: it looks after the library's own requests, which are those
made in `asked` and those whose user agent is ours (the client downloads in threads of its own), and passes all others
on as they are. A trouble leaves it as `Trouble`, which the client does not know, so that nothing repeats but we. Files
in Xet storage are transferred by hf_xet, which has timeouts of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar

from .._errors import UserError
from .errors import Trouble, broken_connection, http, not_an_answer, trouble_of

WAITS = (1.0, 4.0)  # seconds before asking again after a fault
BUDGET_SECONDS = 60.0  # for all waits for one answer
UPLOAD_SECONDS = 60.0  # for the answer to an upload or a commit, and a second more for each of ...
UPLOAD_BYTES_PER_SECOND = 1 << 20
WHOLE_ANSWER_SECONDS = 60.0  # for an answer that comes, but slowly; files may take longer

AGENT = "embedllm_hf"
_Result = TypeVar("_Result")
_Item = TypeVar("_Item")
# Whether a request in this context is the library's own, and if so, whether a Hub that seems away is asked again.
_PATIENT: ContextVar[bool | None] = ContextVar("_PATIENT", default=None)
sleep = time.sleep


def api(token: str | bool | None = None) -> Any:
    """The Hub's client, in the library's name."""
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name=AGENT)


def asked(call: Callable[[], _Result], *, patient: bool = True) -> _Result:
    """Call the Hub's client, again after a trouble. What is called must be safe to repeat.

    Without `patient` it is not waited for a Hub that nobody seems to hear: there is a cache to fall back to.

    Raises:
        Trouble: If there was no verified answer to the last request.
    """
    patience = Patience()
    while True:
        try:
            return tried(call, patient=patient)
        except Trouble as trouble:
            if not patience.goes_on(trouble):
                raise


def tried(call: Callable[[], _Result], *, patient: bool = True, reads_answers: bool = True) -> _Result:
    """Call the Hub's client once; its single requests may still be repeated, uploads and commits apart.

    Raises:
        Trouble: If there was no verified answer. What the Hub answered, or what is not its fault, passes unchanged.
    """
    from huggingface_hub.utils import get_session

    session = get_session()
    if "send" not in vars(session):
        vars(session)["send"] = partial(_send, session.send)
    token = _PATIENT.set(patient)
    try:
        return call()
    except UserError:
        raise
    except Exception as error:
        trouble = trouble_of(error, reads_answers=reads_answers)
        if trouble is None or trouble is error:
            raise
        raise trouble from error
    finally:
        _PATIENT.reset(token)


def streamed(items: Callable[[], Iterable[_Item]]) -> Iterator[_Item]:
    """What the Hub's client reads piece by piece over the network; on trouble an error, never a shorter stream."""
    iterator, end = tried(lambda: iter(items()), reads_answers=False), object()
    while (item := tried(lambda: next(iterator, end), reads_answers=False)) is not end:
        yield item  # type: ignore[misc]


class Patience:
    """How long one answer is still waited for."""

    def __init__(self) -> None:
        self._waits = list(WAITS)
        self._seconds = 0.0

    def goes_on(self, trouble: Trouble) -> bool:
        """Wait before the next try and say that there is to be one, or say that there is not."""
        if trouble.final or (trouble.wait is None and not self._waits):
            return False
        seconds = self._waits.pop(0) if trouble.wait is None else max(trouble.wait, WAITS[0])
        self._seconds += seconds
        if self._seconds > BUDGET_SECONDS:
            return False
        sleep(seconds)
        return True


# --- single requests ---


def _send(send: Callable, request: Any, *, stream: bool = False, **options: Any) -> Any:
    """`send` of the client's session, for all requests: looks after those of the library."""
    patient = _PATIENT.get()
    if patient is None and AGENT not in request.headers.get("user-agent", ""):
        return send(request, stream=stream, **options)
    _set_timeouts(request)
    patience = Patience()
    while True:
        try:
            return _answer(send, request, stream, options)
        except Trouble as trouble:
            if request.method == "PUT" or "/commit/" in request.url.path:  # the caller knows how to repeat these
                raise
            if (trouble.away and patient is False) or not patience.goes_on(trouble):
                trouble.final = True  # repeated often enough
                raise


def _answer(send: Callable, request: Any, stream: bool, options: dict[str, Any]) -> Any:
    """Send a request once. An answer that is not streamed is read whole, within a time."""
    try:
        response = send(request, stream=True, **options)
        trouble = _fault(response, request.url)
        if trouble is not None:
            response.close()
            raise trouble
        if not stream:
            if "/api/" in request.url.path:
                response.stream = _timed(response.stream)
            response.read()
    except http().RequestError as error:
        raise broken_connection(error) from error
    return response


def _set_timeouts(request: Any) -> None:
    """Give a request the timeouts that it does not have: for an upload by its size, for all others the client's."""
    from huggingface_hub import constants

    seconds: float = constants.HF_HUB_ETAG_TIMEOUT
    timeouts = request.extensions.get("timeout") or {}
    given = {name: limit for name, limit in timeouts.items() if limit is not None}
    limits = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
    if request.method == "PUT" or "/commit/" in request.url.path:
        size = int(request.headers.get("content-length", 0))
        limits["read"] = limits["write"] = UPLOAD_SECONDS + size / UPLOAD_BYTES_PER_SECOND
    request.extensions = {**request.extensions, "timeout": limits | given}


def _fault(response: Any, url: Any) -> Trouble | None:
    """The trouble of a status that is no answer, and when to try again; None if it is one."""
    status, wait = response.status_code, _retry_after(response.headers)
    if status >= 400 and (response.url.host, response.url.port) != (url.host, url.port):
        return not_an_answer(f"status {status} of {response.url.host}, where it was sent on to")
    page = "html" in response.headers.get("content-type", "") and "x-error-message" not in response.headers
    if status == 407 or (300 <= status < 400 and not response.has_redirect_location) or (400 <= status < 500 and page):
        return not_an_answer(f"status {status}")
    if status == 429:
        when = "later" if wait is None else f"in {wait:.0f} seconds" if wait <= 7200 else f"in {wait / 3600:.0f} hours"
        return Trouble(f"too many requests ({status})", f"Try again {when}.", status=status, wait=wait)
    if status == 408 or status >= 500:
        return Trouble(f"the Hub has a fault of its own ({status})", status=status, wait=wait)
    return None


def _retry_after(headers: Any) -> float | None:
    """The seconds that the Hub asks to wait: by its rate limit, or `Retry-After` in seconds or as a date."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):  # neither
        return None


def _timed(stream: Any) -> Any:
    """The stream of an answer that must end in time, however regularly it drips."""
    base: Any = http().SyncByteStream

    class Timed(base):
        def __iter__(self) -> Iterator[bytes]:
            end = time.monotonic() + WHOLE_ANSWER_SECONDS
            for chunk in stream:
                if time.monotonic() > end:
                    raise http().ReadTimeout(f"the answer was not whole after {WHOLE_ANSWER_SECONDS:g} seconds")
                yield chunk

        def close(self) -> None:
            stream.close()

    return Timed()
