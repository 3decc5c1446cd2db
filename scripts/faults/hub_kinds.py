"""What can go wrong between a client and the Hub: the kinds of `scripts.faults.hub` and of its quick mode.

Each kind says how its fault is ordered from the Hub of the tests, for which requests of a read and of a write, and
what the error must say where the fault is not to be survived.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import partial

from tests.hub import HubServer, Repo
from tests.hub.faults import COMMITS, UPLOADS
from tests.hub.protocol import Answer

ALWAYS = 1_000_000
LISTING = r"^GET /api/(models|datasets)/"
FILES = r"^(GET|HEAD) .*/resolve/"
FILE_BODIES = r"^GET .*/resolve/"
READS = rf"{LISTING}|{FILES}"
STEPS = (r"/api/validate-yaml", r"/preupload/", r"/info/lfs/objects/batch", UPLOADS, r"^POST /_lfs/", COMMITS)


@dataclass(frozen=True)
class Trial:
    """What a fault is ordered for: a Hub, one of its repositories, and another host beside it."""

    hub: HubServer
    repo: Repo
    other: HubServer


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        name (`str`): For the table.
        order (`Callable`): Orders the fault for the requests that match a regular expression.
        says (`str`, *optional*): What the error must say; None if the fault must be survived.
        cached (`bool`): Whether a read with a warm cache survives it in any case.
        read, write (`str`, *optional*): The requests that it meets; None for a direction that it does not have.
    """

    name: str
    order: Callable[[Trial, str], object]
    says: str | None = None
    cached: bool = True
    read: str | None = READS
    write: str | None = COMMITS


def fault(method: str, *args: object, **options: object) -> Callable[[Trial, str], None]:
    """A rule of `tests.hub.faults`, by the name of its method."""

    def order(trial: Trial, on: str) -> None:
        getattr(trial.hub.faults, method)(*args, on=on, **options)

    return order


def changed(change: Callable[[Answer], Answer], times: int = 1, **options: object) -> Callable[[Trial, str], None]:
    """An answer in place of the Hub's."""
    return fault("answer", change, times=times, **options)


def by_json(change: Callable[[object], object], times: int = 1, **options: object) -> Callable[[Trial, str], None]:
    """An answer of another form; what is no JSON object or list stays."""

    def changes(answer: Answer) -> Answer:
        return answer if isinstance(answer.payload, bytes) else replace(answer, payload=change(answer.payload))

    return changed(changes, times, **options)


def without(*names: str) -> Callable[[object], object]:
    """A JSON object without some of its fields."""

    def change(payload: object) -> object:
        return {key: value for key, value in payload.items() if key not in names} if isinstance(payload, dict) else []

    return change


def cut_text(answer: Answer) -> Answer:
    """The first half of a JSON text, as if it were whole."""
    if isinstance(answer.payload, bytes):
        return answer
    text = json.dumps(answer.payload).encode()
    return Answer(text[: len(text) // 2], answer.status, {"Content-Type": "application/json"})


def without_headers(*names: str) -> Callable[[Answer], Answer]:
    """An answer that lacks some of its headers."""

    def change(answer: Answer) -> Answer:
        return replace(answer, headers={key: value for key, value in answer.headers.items() if key not in names})

    return change


def resized(answer: Answer) -> Answer:
    """A file that is shorter than announced, with a length that says so."""
    return replace(answer, payload=answer.payload[:-3]) if isinstance(answer.payload, bytes) else answer


def named(name: str) -> Callable[[Trial, str], None]:
    """A listing with one file more, of this name."""

    def change(payload: object) -> object:
        if isinstance(payload, dict) and "siblings" in payload:
            return {**payload, "siblings": [*payload["siblings"], {"rfilename": name}]}
        return payload

    return by_json(change, ALWAYS)


def to_other_host(trial: Trial, on: str) -> None:
    """A redirect to the login page of another host."""
    trial.other.faults.answer(lambda answer: LOGIN_PAGE, on=".", times=ALWAYS)
    trial.hub.faults.answer(
        lambda answer: Answer({}, 302, {"Location": f"{trial.other.url}/login"}), on=on, effect=False
    )


def in_a_circle(trial: Trial, on: str, times: int = ALWAYS) -> None:
    """A redirect to an address that redirects to itself."""
    circle = Answer({}, 307, {"Location": "/circle"})
    trial.hub.faults.answer(lambda answer: circle, on=on, times=times, effect=False)
    trial.hub.faults.answer(lambda answer: circle, on="/circle", times=ALWAYS)


def until_a_date(trial: Trial, on: str) -> None:
    """Too many requests, with the date of the next one."""
    trial.hub.faults.status(429, on=on, retry_after=formatdate(time.time() + 5, usegmt=True))


def each_step(trial: Trial, on: str) -> None:
    """Every step of an upload fails once."""
    for step in (on, *STEPS):
        trial.hub.faults.status(503, on=step)


def unreachable(trial: Trial, on: str) -> object:
    """Nobody listens."""
    return trial.hub.unreachable()


def lost_for_good(trial: Trial, on: str) -> None:
    """The request is carried out, and from then on the Hub is silent, also to who asks whether it was."""
    trial.hub.faults.silence(on=on, done=True)
    trial.hub.faults.silence(on=r"^GET .*/commits/", times=ALWAYS)


def by_others(times: int) -> Callable[[Trial, str], None]:
    """A commit of somebody else comes first."""

    def order(trial: Trial, on: str) -> None:
        count = iter(range(ALWAYS))
        theirs = partial(lambda: trial.repo.commit({"theirs.txt": b"%d" % next(count)}, "theirs"))
        trial.hub.faults.before(theirs, on=on, times=times)

    return order


def renamed(trial: Trial, on: str) -> None:
    """The repository has another id now."""
    trial.hub.store.move(trial.repo, f"{trial.repo.id}-renamed")


def gone(trial: Trial, on: str) -> None:
    """The repository is deleted after it was listed."""
    trial.hub.faults.before(lambda: trial.hub.store.repos.pop((trial.repo.type, trial.repo.id), None), on=on)


LOGIN_PAGE = Answer(b"<!doctype html><html>Log in to the network</html>", headers={"Content-Type": "text/html"})
BROKEN = "the connection to the Hub failed"
SILENT = "no answer in time"
NO_ANSWER = "what answered is not the Hub, or broke off"
OWN_FAULT = r"the Hub has a fault of its own \(50"

KINDS = (
    Kind("silent once", fault("silence")),
    Kind("silent once, the request done", fault("silence", done=True)),
    Kind("always silent", fault("silence", times=ALWAYS), SILENT),
    Kind("silent once as a file is sent", fault("silence"), read=FILES, write=UPLOADS),
    Kind("always silent as a file is sent", fault("silence", times=ALWAYS), SILENT, read=FILES, write=UPLOADS),
    Kind("silent for good, the request done", lost_for_good, "may be there or not", read=None),
    Kind("an answer that drips once", fault("drip"), read=LISTING),
    Kind("answers that always drip", fault("drip", times=ALWAYS), SILENT, read=LISTING, write=LISTING),
    Kind("nobody listens", unreachable, BROKEN),
    Kind("reset once", fault("reset")),
    Kind("reset once, the request done", fault("reset", done=True)),
    Kind("always reset", fault("reset", times=ALWAYS), BROKEN),
    Kind("no HTTP once", fault("noise")),
    Kind("no HTTP always", fault("noise", times=ALWAYS), BROKEN),
    Kind("answer lost once", fault("cut_download", after=0)),
    Kind("answer cut once", fault("cut_download", after=20)),
    Kind("files cut always", fault("cut_download", after=20, times=ALWAYS), BROKEN, read=FILE_BODIES, write=None),
    Kind("upload cut once", fault("cut_upload", after=100), read=None, write=UPLOADS),
    Kind("upload cut always", fault("cut_upload", after=100, times=ALWAYS), BROKEN, read=None, write=UPLOADS),
    Kind("commit cut once on its way", fault("cut_upload", after=100), read=None),
    Kind("429, wait 1 s", fault("status", 429, retry_after=1)),
    Kind("429, wait until a date", until_a_date),
    Kind("429 by its rate limit", fault("status", 429, headers={"ratelimit": '"api";r=0;t=3'}, times=2)),
    Kind("429, no more said", fault("status", 429)),
    Kind("429, wait two hours", fault("status", 429, retry_after=7200), r"too many requests \(429\).*in 7200 seconds"),
    Kind("429 always", fault("status", 429, retry_after=7, times=ALWAYS), r"too many requests \(429\)"),
    Kind("408 once", fault("status", 408)),
    Kind("500 once", fault("status", 500)),
    Kind("502 twice", fault("status", 502, times=2)),
    Kind("503, wait 5 s", fault("status", 503, retry_after=5)),
    Kind("503 always", fault("status", 503, times=ALWAYS), OWN_FAULT),
    Kind("504 once", fault("status", 504)),
    Kind("504 once, the request done", fault("status", 504, done=True)),
    Kind("503 at each step", each_step, read=LISTING, write=LISTING),
    Kind("login page once", changed(lambda answer: LOGIN_PAGE, effect=False)),
    Kind("login page once, the request done", changed(lambda answer: LOGIN_PAGE)),
    Kind("login page always", changed(lambda answer: LOGIN_PAGE, ALWAYS, effect=False), NO_ANSWER),
    Kind("login page for the files", changed(lambda answer: LOGIN_PAGE, ALWAYS), NO_ANSWER, read=FILES, write=None),
    Kind("redirect to another host's login", to_other_host),
    Kind("redirect in a circle, once", partial(in_a_circle, times=1)),
    Kind("redirect in a circle", in_a_circle, "redirects in a circle|Exceeded"),
    Kind("half a JSON text once", changed(cut_text), read=LISTING),
    Kind("half a JSON text always", changed(cut_text, ALWAYS), NO_ANSWER, read=LISTING, write=LISTING),
    Kind("nothing with 200", changed(lambda answer: Answer(b""), ALWAYS), NO_ANSWER, read=LISTING, write=LISTING),
    Kind("a JSON list", by_json(lambda _: [1], ALWAYS), NO_ANSWER, read=LISTING, write=LISTING),
    Kind("JSON null", by_json(lambda _: None, ALWAYS), NO_ANSWER, read=LISTING, write=LISTING),
    Kind("no commit named", by_json(without("sha", "commitOid")), read=LISTING),
    Kind("never a commit named", by_json(without("sha"), ALWAYS), NO_ANSWER, read=LISTING, write=LISTING),
    Kind("no list of files", by_json(without("siblings"), ALWAYS), NO_ANSWER, read=LISTING, write=LISTING),
    Kind("an empty listing for the client", by_json(lambda _: [], ALWAYS), read=r"^GET /api/.*/tree/", write=None),
    Kind("a proxy's page with 403 once", changed(lambda answer: replace(LOGIN_PAGE, status=403), effect=False)),
    Kind(
        "a proxy's page with 404",
        changed(lambda answer: replace(LOGIN_PAGE, status=404), ALWAYS, effect=False),
        NO_ANSWER,
    ),
    Kind("407 once", fault("status", 407)),
    Kind("304 once", fault("status", 304)),
    Kind("a file without ETag", changed(without_headers("ETag", "X-Linked-Etag")), read=FILES, write=None),
    Kind("a file of no commit", changed(without_headers("X-Repo-Commit")), read=FILES, write=None),
    Kind("a file too short once", changed(resized), read=FILE_BODIES, write=None),
    Kind("a file damaged once", fault("corrupt"), read=FILE_BODIES, write=None),
    Kind("a file always damaged", fault("corrupt", times=ALWAYS), "damaged twice", False, FILE_BODIES, None),
    Kind("401", fault("status", 401, times=ALWAYS), r"refused \(401\)", False),
    Kind("403", fault("status", 403, times=ALWAYS), r"refused \(403\)", False),
    Kind("404", fault("status", 404, code="RepoNotFound", times=ALWAYS), "no such repository", False, write=LISTING),
    Kind("no revision", fault("status", 404, code="RevisionNotFound", times=ALWAYS), "no such revision", False),
    Kind("gated", fault("status", 403, code="GatedRepo", times=ALWAYS), "access must be granted", False),
    Kind("deleted meanwhile", gone, "no such repository", False, FILES, COMMITS),
    Kind("renamed", renamed),
    Kind("409 once", fault("status", 409), read=None),
    Kind("412 once", fault("status", 412), read=None),
    Kind("409 always", fault("status", 409, times=ALWAYS), r"somebody changed the repository", read=None),
    Kind("somebody else's commit in between", by_others(1), read=FILES),
    Kind(
        "somebody else is always faster",
        by_others(ALWAYS),
        "somebody changed the repository",
        write=COMMITS,
        read=None,
    ),
    Kind("a file named ../x", named("../x"), "leads out of its folder", False, LISTING, LISTING),
    Kind("a file named /etc/x", named("/etc/x"), "leads out of its folder", False, LISTING, LISTING),
    Kind("a file named a\\..\\x", named("a\\..\\x"), "leads out of its folder", False, LISTING, LISTING),
    Kind("a file named C:x", named("C:x"), "leads out of its folder", False, LISTING, LISTING),
    Kind("a file with a NUL in its name", named("a\0b"), "leads out of its folder", False, LISTING, LISTING),
)
