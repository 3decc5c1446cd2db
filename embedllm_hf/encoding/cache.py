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
from contextlib import closing
from pathlib import Path

import numpy as np

from .._errors import FileError

logger = logging.getLogger(__name__)

_KEYS_AT_ONCE = 500  # SQLite bounds the number of variables of a statement


def text_key(text: str) -> bytes:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


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
        """The cached vectors of some keys, each `(text_dim,)` float32; keys that are not cached are left out.

        Raises:
            OSError: If the file is there but cannot be opened.
        """
        wanted, found = list(keys), dict[bytes, bytes]()
        try:
            with closing(self._open()) as database:
                for start in range(0, len(wanted), _KEYS_AT_ONCE):
                    chunk = wanted[start : start + _KEYS_AT_ONCE]
                    places = ",".join("?" * len(chunk))
                    found |= dict(database.execute(f"SELECT * FROM vectors WHERE key IN ({places})", chunk))
        except sqlite3.OperationalError as error:
            raise FileError(
                f"the cache of text vectors {self.path} cannot be used ({error}). Check the folder's permissions, "
                "or set HF_HOME to another one."
            ) from error
        except sqlite3.DatabaseError as error:
            logger.warning("The cache of text vectors %s is damaged (%s); starting it anew.", self.path, error)
            self.path.unlink()
            return {}
        return {key: np.frombuffer(vector, np.float32) for key, vector in found.items()}

    def write(self, vectors: Mapping[bytes, np.ndarray]) -> None:
        """Add vectors."""
        rows = [(key, vector.tobytes()) for key, vector in vectors.items()]
        try:
            with closing(self._open()) as database, database:
                database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        except sqlite3.DatabaseError as error:
            logger.warning("The cache of text vectors %s cannot be written (%s); going on.", self.path, error)

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self.path, timeout=60)
        try:
            database.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        except sqlite3.Error:
            database.close()
            raise
        return database
