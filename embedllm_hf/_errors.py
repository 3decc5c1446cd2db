"""Errors that tell the user of the library what to mend: what was found, what was expected, what to do.

Each is also the built-in error of its kind, so `except ValueError` catches it. Any other error that leaves the library
is the system's (an `OSError` with a number) or a bug of ours; the command line tells them apart by these classes.
"""

from __future__ import annotations

_LONGEST = 1500


def visible(text: str) -> str:
    """A stranger's text as it may be shown on a terminal: what does not print stands there as Python escapes it."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else f"{sign!a}"[1:-1] for sign in text)


class UserError(Exception):
    """Something that the caller can mend; the message says how.

    It is one line, whatever names and texts of strangers it holds: what does not print stands there escaped, and an
    endless one is cut.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(_one_line(part) if isinstance(part, str) else part for part in args))


class InputError(UserError, ValueError):
    """A value that cannot be used."""


class InputTypeError(UserError, TypeError):
    """A value of a type that cannot be used."""


class UnknownName(UserError, KeyError):
    """A name that is not known."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # a KeyError would show the message in quotation marks


class MissingExtra(UserError, ImportError):
    """An optional package that is not installed."""


class FileError(UserError, OSError):
    """A file, a folder or the Hub does not do what it should."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()  # without the number that an OSError would show


class MissingFile(FileError, FileNotFoundError):
    """A file, a folder or a repository that is not there."""


class ExistingFile(FileError, FileExistsError):
    """A file or folder that would be overwritten."""


class Refused(FileError, PermissionError):
    """The Hub or the system refuses."""


class Conflict(FileError):
    """Somebody changed the repository meanwhile."""


class Unreachable(FileError, ConnectionError):
    """The Hub cannot be reached."""


def _one_line(text: str) -> str:
    line = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 200]} ... {text[-200:]}"  # the remedy comes last
    return line if line.isprintable() else visible(" ".join(line.split()))
