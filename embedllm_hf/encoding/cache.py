"""A cache of text vectors on disk: one SQLite file an encoder, keyed by a hash of the text.

Everything in it can be computed again. So a damaged file is started anew, and one that cannot be written costs time,
not the result.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)

_TABLE = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB, hash BLOB) WITHOUT ROWID"
_WARNED: set[Path] = set()
_KEYS_AT_ONCE = 500  # SQLite bounds the number of variables of a statement


class VectorCache:
    """The cached vectors of one encoder.

    Args:
        folder (`Path`): Where the caches are, made if it is not there.
        name, identity (`str`): The encoder's name, for people, and what tells encoders apart.
    """

    def __init__(self, folder: str | Path, *, name: str, identity: str) -> None:
        readable = re.sub(r"[^A-Za-z0-9]+", "-", name)[-60:]
        self.path = Path(folder) / f"{readable}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.sqlite"

    def read(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """The cached vectors of some keys, each `(text_dim,)` float32; keys that are not cached are left out."""
        wanted, found = list(keys), dict[bytes, np.ndarray]()
        try:
            with closing(self._open()) as database:
                for start in range(0, len(wanted), _KEYS_AT_ONCE):
                    chunk = wanted[start : start + _KEYS_AT_ONCE]
                    places = ",".join("?" * len(chunk))
                    for key, vector, check in database.execute(
                        f"SELECT * FROM vectors WHERE key IN ({places})", chunk
                    ):
                        if check == _check(key, vector):
                            found[key] = np.frombuffer(vector, np.float32)
        except (sqlite3.OperationalError, OSError) as error:
            self._warn("read", error)
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:  # the latter of text where there was none
            logger.warning("The cache of text vectors %s is damaged (%s); starting it anew.", self.path, error)
            with suppress(OSError):
                self.path.unlink(missing_ok=True)  # another process may have done it
            return {}
        return found

    def write(self, vectors: Mapping[bytes, np.ndarray]) -> None:
        """Add vectors."""
        rows = [(key, vector.tobytes(), _check(key, vector.tobytes())) for key, vector in vectors.items()]
        try:
            with closing(self._open()) as database, database:
                database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
        except (sqlite3.DatabaseError, OSError, ValueError) as error:
            self._warn("written", error)

    def _warn(self, done: str, error: Exception) -> None:
        """Say once a process that it does without."""
        if self.path not in _WARNED:
            _WARNED.add(self.path)
            logger.warning("The cache of text vectors %s cannot be %s (%s); going on without.", self.path, done, error)

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self.path, timeout=60)
        try:
            database.execute(_TABLE)
        except sqlite3.Error:
            database.close()
            raise
        return database


def _check(key: bytes, vector: object) -> bytes:
    """What tells a damaged row: a hash of the key and the vector."""
    return hashlib.blake2b(key + vector if isinstance(vector, bytes) else b"", digest_size=8).digest()
