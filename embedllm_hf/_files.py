"""Folders and files that are written whole or not at all, and the lock of a folder.

What is being written stands in a hidden neighbour, `.NAME.partial-*`, which its writer keeps locked: one that nobody
has locked was left by a process that was killed, and the next writer removes it. Nothing here knows about models or
responses.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from ._errors import Conflict, FileError, UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2  # of renameat2 (Linux) and renamex_np (macOS)
Owned = Callable[[Path, str], bool]


def disk_error(path: Path, error: Exception) -> OSError:
    """Say plainly that `path` could not be written, and what to do when the disk is full."""
    rust_code = re.search(r"os error (\d+)", str(error))  # safetensors passes the system's error on as text
    code = int(rust_code[1]) if rust_code else getattr(error, "errno", None)
    remedy = str(error)
    if code in DISK_FULL:
        remedy = "the disk is full or a size limit was hit; free some space or choose another folder"
    elif code in (errno.EEXIST, errno.ENOTDIR):
        remedy = "a file stands where a folder should be; choose another folder"
    return FileError(code, f"cannot write {path}: {remedy}. Nothing was kept of it.")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()  # `hashlib.file_digest` is there from Python 3.11 on
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def whole_directory(directory: str | Path, *, owned: Owned | None = None) -> Iterator[Path]:
    """Fill a folder all at once: yield an empty neighbour, and put it in place when the block succeeds.

    Where the folder is there already, the two are exchanged in one step of the file system, so that there is the old
    set of files or the new one, whenever the process is killed.

    Args:
        owned (`Callable[[Path, str], bool]`, *optional*): Whether an entry of the old folder, given with the folder,
            is of an older set, and goes. Any other stays, also where the new set has one of its name. Default: what
            the new set has, too.

    Raises:
        OSError: If the disk is full or the folder cannot be written; it stays as it was.
    """
    target = Path(directory).resolve()
    with _neighbour(target, Path(directory)) as partial:
        yield partial
        for path in [partial, *partial.rglob("*")]:
            _open_to_readers(path)
        made = {path.name for path in partial.iterdir()}
        _put_in_place(partial, target, owned or (lambda folder, name: name in made))


def _put_in_place(partial: Path, target: Path, owned: Owned) -> None:
    """Make a filled folder the one at `target`."""
    if not target.exists():
        try:
            partial.rename(target)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process was quicker
                raise
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    shutil.copymode(target, partial)
    for name in _others(target, owned):
        _remove(partial / name)
        _link(target / name, partial / name)
    if not _is_in_use(target) and _exchange(partial, target):
        for name in _others(partial, owned):  # what came in between; the old set goes with the neighbour
            if not (target / name).exists():
                _link(partial / name, target / name)
        return
    _put_in_steps(partial, target, owned)


def _put_in_steps(partial: Path, target: Path, owned: Owned) -> None:
    """Replace a folder that cannot be exchanged; a reader tells a state in between by the list of a set's files."""
    for path in list(target.iterdir()):
        if owned(target, path.name):
            _remove(path)
    for path in list(partial.iterdir()):
        if not (target / path.name).exists():
            path.rename(target / path.name)


def _others(folder: Path, owned: Owned) -> list[str]:
    return [path.name for path in folder.iterdir() if not owned(folder, path.name)]


def _link(source: Path, target: Path) -> None:
    """A second name for a file, or a folder of second names."""
    with suppress(FileNotFoundError):  # it has gone meanwhile
        if source.is_symlink() or not source.is_dir():
            os.link(source, target, follow_symlinks=False)
            return
        target.mkdir()
        for path in source.iterdir():
            _link(path, target / path.name)
        shutil.copystat(source, target)


def _is_in_use(folder: Path) -> bool:
    """Whether a folder cannot be exchanged for another: it is mounted, or this process works in it."""
    try:
        return folder.is_mount() or Path.cwd().is_relative_to(folder)
    except FileNotFoundError:  # the working folder has been removed
        return False


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot."""
    libc, paths = ctypes.CDLL(None), (os.fsencode(one), os.fsencode(other))
    if sys.platform == "darwin":
        return libc.renamex_np(*paths, _RENAME_SWAP) == 0
    if hasattr(libc, "renameat2"):
        return libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0
    return False


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file all at once: yield a path to fill, and put it in place when the block succeeds.

    Raises:
        OSError: If the disk is full or the file cannot be written; one that was there stays as it was.
    """
    target = Path(path).resolve()
    with _neighbour(target, Path(path)) as partial:
        yield partial / target.name
        _open_to_readers(partial / target.name)
        (partial / target.name).replace(target)


@contextmanager
def _neighbour(target: Path, named: Path) -> Iterator[Path]:
    """A new folder beside `target`, locked, which is removed at the end; errors have the path as it was `named`."""
    handle = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_left(target)
        partial, handle = _locked_folder(target)
        yield partial
    except UserError:  # it says already what is wrong
        raise
    except (OSError, SafetensorError) as error:
        raise disk_error(named, error) from error
    finally:
        if handle is not None:
            _remove(partial)
            os.close(handle)


def _locked_folder(target: Path) -> tuple[Path, int]:
    """A new folder, and the handle that locks it; one that another process removes first is made again."""
    while True:
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
        handle = None
        with suppress(FileNotFoundError, BlockingIOError):
            handle = os.open(partial, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if partial.exists():
                return partial, handle
        if handle is not None:
            os.close(handle)


def remove_left(target: Path) -> None:
    """Remove the neighbours of a file or folder that killed processes have left: those that nobody has locked."""
    for partial in target.parent.iterdir():
        if not partial.name.startswith(f".{target.name}.partial-"):
            continue
        with suppress(OSError):  # it is held, or has gone meanwhile
            handle = os.open(partial, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(partial)
            finally:
                os.close(handle)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _open_to_readers(path: Path) -> None:
    """Give what was made as temporary, so private, the permissions that any file of this process gets."""
    if not path.is_symlink():
        mask = os.umask(0)  # which can only be read by setting it
        os.umask(mask)
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


@contextmanager
def locked(target: str | Path) -> Iterator[None]:
    """Keep other processes from working on a file or folder meanwhile; the lock of a killed process is void.

    Raises:
        Conflict: If another process works on it; the message has its number.
    """
    target = Path(target).resolve()
    path = target.with_name(f".{target.name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = _lock(path, target)
    except UserError:
        raise
    except OSError as error:
        raise disk_error(path, error) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _lock(path: Path, target: Path) -> int:
    """Open and lock a file, made if it is not there; the result is its handle."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = os.read(handle, 20).decode() or "of an unknown number"
            os.close(handle)
            raise Conflict(f"{target}: process {process} is writing there. Wait for it, or choose another.") from None
        if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            return handle
        os.close(handle)  # its last owner has removed it meanwhile
