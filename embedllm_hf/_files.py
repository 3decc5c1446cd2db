"""Folders and files that are written whole or not at all.

Nothing here knows about models or responses.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ._errors import FileError, UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def disk_error(path: Path, error: Exception) -> OSError:
    """Say plainly that `path` could not be written, and what to do when the disk is full."""
    rust_code = re.search(r"os error (\d+)", str(error))  # safetensors passes the system's error on as text
    code = int(rust_code[1]) if rust_code else getattr(error, "errno", None)
    full = "the disk is full or a size limit was hit; free some space or choose another folder"
    remedy = full if code in DISK_FULL else str(error)
    return FileError(code, f"cannot write {path}: {remedy}. Nothing was kept of it.")


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
    except UserError:  # it says already what is wrong
        raise
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
    except UserError:  # it says already what is wrong
        raise
    except (OSError, SafetensorError) as error:
        raise disk_error(target, error) from error
    finally:
        partial.unlink(missing_ok=True)
