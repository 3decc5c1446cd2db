"""Checks and files that more than one module needs: names, shapes, optional packages, writing a folder whole.

Nothing here knows about models or responses; it is the bottom layer of the package.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from safetensors import SafetensorError


def shorten(values: Iterable[object], limit: int = 5) -> str:
    """Join the first few of `values`, sorted, for an error message."""
    names = sorted(str(value) for value in values)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"`{name}`" for name in names[:limit]) + more


def closest_names(name: str, known: Sequence[str]) -> str:
    """Say which names are close to one that is not in `known`."""
    by_folded_name = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), list(by_folded_name), n=3, cutoff=0.4)
    closest = " or ".join(f"`{by_folded_name[match]}`" for match in near)
    return f"did you mean {closest}?" if near else f"known are {shorten(known)}."


def unknown_name(kind: str, name: str, known: Sequence[str]) -> KeyError:
    """Build the error for a name that is not in `known`, with the closest names there are."""
    return KeyError(f"unknown {kind} `{name}` (of {len(known)} known): {closest_names(name, known)}")


def index_of(kind: str, name: str, known: Sequence[str]) -> int:
    """Position of `name` in `known`.

    Raises:
        KeyError: If it is not there; the message offers the closest names.
    """
    try:
        return list(known).index(name)
    except ValueError:
        raise unknown_name(kind, name, known) from None


def check_distinct(argument: str, names: Sequence[str]) -> None:
    """Raise a `ValueError` if a name stands in `names` more than once."""
    if len(set(names)) < len(names):
        repeated = {name for name in names if list(names).count(name) > 1}
        raise ValueError(f"{argument}: {shorten(repeated)} stands there more than once. Give each LLM one name.")


def require_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package.

    Raises:
        ImportError: If it is missing, with the `pip install` line that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{purpose} needs the package `{module}`, which is not installed: pip install "embedllm_hf[{extra}]"'
        ) from error


def check_choice(argument: str, value: str, choices: Sequence[str]) -> None:
    """Raise a `ValueError` that lists `choices` unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f"`{argument}` is {value!r}, expected one of {', '.join(map(repr, choices))}.")


def disk_error(path: Path, error: Exception) -> OSError:
    """Say plainly that `path` could not be written, and what to do when the disk is full."""
    rust_code = re.search(r"os error (\d+)", str(error))  # safetensors passes the system's error on as text
    code = int(rust_code[1]) if rust_code else getattr(error, "errno", None)
    full = code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = (
        "the disk is full or a size limit was hit; free some space or choose another folder" if full else str(error)
    )
    return OSError(code, f"cannot write {path}: {remedy}. Nothing was kept of it.")


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def whole_directory(directory: str | Path) -> Iterator[Path]:
    """Fill a folder all at once: yield an empty neighbour, and put it in place when the block succeeds.

    A failure in the block leaves `directory` as it was. A new folder appears whole; into one that is there, the files
    are moved one after the other, each of them whole.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    target = Path(directory)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    except OSError as error:
        raise disk_error(target, error) from error
    try:
        yield partial
        mask = _umask()  # what was made as temporary is private, what stays is not
        partial.chmod(0o777 & ~mask)
        for item in partial.rglob("*"):
            if item.is_file():
                item.chmod(0o666 & ~mask)
        if not target.exists():
            partial.rename(target)
            return
        for item in partial.iterdir():
            if item.is_dir():
                shutil.rmtree(target / item.name, ignore_errors=True)
            item.replace(target / item.name)
    except (OSError, SafetensorError) as error:
        raise disk_error(target, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file all at once: yield a neighbour to fill, and put it in place when the block succeeds.

    Raises:
        OSError: If the disk is full or the file cannot be written; one that was there stays as it was.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.chmod(0o666 & ~_umask())
        partial.replace(target)
    except (OSError, SafetensorError) as error:
        raise disk_error(target, error) from error
    finally:
        partial.unlink(missing_ok=True)
