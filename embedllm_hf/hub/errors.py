"""What the Hub and the network fail at, as errors of `_errors.py`: repository, revision, and what to do, in one line.

Two kinds. `Trouble` is no verified answer: silence, a broken connection, a fault of the Hub's own, too many requests,
a page in place of an answer. It may pass, so the request may be sent again, or the cache be asked. Everything else is
an answer, if an unwelcome one: no such repository, no access, somebody else's commit. It is told as it is.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._errors import Conflict, FileError, InputError, MissingFile, Refused, Unreachable, UserError
from .._files import DISK_FULL

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

# What reading an answer raises in the client when the answer is not what the Hub sends.
# A bare RuntimeError is what hf_xet has for its connections.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError, RuntimeError)
_NOT_CACHED = (
    "no such folder, not in the cache, and the Hub was not asked or not reached. Check the name or the network, unset "
    "HF_HUB_OFFLINE, or try later"
)
# What the Hub's client raises, the more special before the general: what it becomes, and the words for it.
_EXPLANATIONS: dict[str, tuple[type[FileError], str]] = {
    "GatedRepoError": (
        Refused,
        "access must be granted. Ask for it on the repository's page, then log in (hf auth login)",
    ),
    "RepositoryNotFoundError": (
        MissingFile,
        "no such repository, or it is private. Check the id, or the folder that was meant; for a private one log in "
        "(hf auth login) or set HF_TOKEN",
    ),
    "RevisionNotFoundError": (MissingFile, "the repository has no such revision. Check the branch, tag or commit"),
    "LocalEntryNotFoundError": (MissingFile, _NOT_CACHED),
    "CachedRepoTreeNotFoundError": (MissingFile, _NOT_CACHED),
    "EntryNotFoundError": (MissingFile, "a file is missing in the repository. Check the revision"),
}


class Trouble(Exception):
    """No verified answer.

    Args:
        cause (`str`): What happened, for the end of "user/name: ".
        remedy (`str`): What to do, a sentence.
        away (`bool`): Whether nobody seems to be there; else it is worth a second try, also where a cache could serve.
        status (`int`, *optional*): By which the Hub itself says to try again.
        wait (`float`, *optional*): Seconds that it asks to wait before.
        final (`bool`): Whether the request is not to be sent again: it was already, or is never worth it.
    """

    def __init__(
        self,
        cause: str,
        remedy: str = "Try later.",
        *,
        away: bool = False,
        status: int | None = None,
        wait: float | None = None,
        final: bool = False,
    ) -> None:
        super().__init__(cause)
        self.cause, self.remedy, self.away = cause, remedy, away
        self.status, self.wait, self.final = status, wait, final

    def told(self, at: str) -> Unreachable:
        """The error for the user."""
        return Unreachable(f"{at}: {self.cause}. {self.remedy}")


def broken_connection(error: BaseException) -> Trouble:
    """The trouble of a connection that could not be made, broke, or stayed silent."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return Trouble("the Hub is not asked (HF_HUB_OFFLINE)", "Unset HF_HUB_OFFLINE.", final=True)
    if isinstance(error, http().TooManyRedirects):
        return not_an_answer("it redirects in a circle")
    silent = isinstance(error, http().TimeoutException)
    cause = f"no answer in time: {first_line(error)}" if silent else first_line(error)
    away = silent or isinstance(error, http().ConnectError)
    return Trouble(f"the connection to the Hub failed ({cause})", "Check the network, or try later.", away=away)


def not_an_answer(detail: str) -> Trouble:
    """The trouble of an answer that is not the Hub's: a login page, half a JSON text, one of another form."""
    remedy = "Is there a login page or a proxy in between? Check it, or try later."
    return Trouble(f"what answered is not the Hub, or broke off ({detail})", remedy)


def trouble_of(error: BaseException, *, reads_answers: bool = True) -> Trouble | None:
    """The trouble behind what the Hub's client raised; None if it is an answer, or none of the Hub's.

    `reads_answers` says that nothing but the client ran, so that whatever it stumbles over is the Hub's answer; JSON
    is that in any case.
    """
    from huggingface_hub import errors

    error = _cause(error)
    if isinstance(error, Trouble):
        return error
    wrong_size = isinstance(error, OSError) and "Consistency check failed" in str(error)
    if isinstance(error, errors.FileMetadataError) or wrong_size:
        return not_an_answer(first_line(error))
    if isinstance(error, (UserError, errors.HfHubHTTPError, errors.HFValidationError)):
        return None
    if isinstance(error, (http().RequestError, ConnectionError)):
        return broken_connection(error)
    if isinstance(error, json.JSONDecodeError) or (reads_answers and isinstance(error, _UNREADABLE)):
        return not_an_answer(f"{type(error).__name__}: {first_line(error)}")
    return None


def _cause(error: BaseException) -> BaseException:
    """What is behind an error of the client's: it wraps what broke an upload, a look at a file, a check of a card."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    cause = error.__cause__
    if cause is None or isinstance(error, HfHubHTTPError):
        return error
    if type(error) is RuntimeError or isinstance(error, LocalEntryNotFoundError):
        return _cause(cause)
    if type(error) is ValueError and isinstance(cause, HfHubHTTPError):  # a card that the Hub refuses
        return cause
    return error


@contextmanager
def explain_hub_errors(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's client raises in the block into an error of one line with the remedy.

    Raises:
        UserError: `InputError` for an id that is none; `MissingFile`, `Refused`, `Conflict`, `Unreachable` or another
            `FileError` for what the Hub or the network failed at. What is not theirs passes unchanged.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        at = f"{repo_id}@{revision}" if revision else repo_id
        explained = _explained(at, _cause(error))
        if explained is None:
            raise
        raise explained from error


def _explained(at: str, error: BaseException) -> UserError | None:
    """The library's error for one of the Hub's client; None if it is neither the Hub's nor the network's."""
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        return InputError(f"`{at}` is neither a folder nor a Hub id ({error}).")
    for name, (kind, text) in _EXPLANATIONS.items():
        if isinstance(error, getattr(errors, name)):
            return kind(f"{at}: {text}.")
    if isinstance(error, errors.HfHubHTTPError):
        return _explained_status(at, error)
    trouble = trouble_of(error, reads_answers=False)
    if trouble is not None:
        return trouble.told(at)
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return FileError(error.errno, f"{at}: the disk is full. Free some space, or set HF_HOME to another disk.")
    if isinstance(error, OSError) and error.errno is None:  # the client's own words, not the system's
        return FileError(f"{at}: {first_line(error)}")
    return None


def _explained_status(at: str, error: HfHubHTTPError) -> FileError:
    """The library's error for an HTTP status that is an answer."""
    status = error.response.status_code
    if status in (401, 403):
        return Refused(f"{at}: the Hub refused ({status}). Log in (hf auth login) with a token that may do this.")
    if status in (409, 412):
        return Conflict(f"{at}: somebody changed the repository meanwhile ({status}). Load it again and repeat.")
    return FileError(f"{at}: {' '.join(str(error).split())}")


def http() -> Any:
    """The HTTP library of the Hub's client: httpx or httpx2, by the client's version."""
    from huggingface_hub.errors import HTTPError

    return importlib.import_module(HTTPError.__module__.split(".")[0])


def first_line(error: BaseException) -> str:
    """What an error says, cut to a line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
