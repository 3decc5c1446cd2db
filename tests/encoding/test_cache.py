"""The cache of text vectors: what is written comes back, and no state of the file stops the work."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from embedllm_hf.data.texts import text_key
from embedllm_hf.encoding.cache import VectorCache

VECTORS = {text_key(f"question {i}"): np.array([i, i + 0.5], np.float32) for i in range(1201)}  # three statements


@pytest.fixture
def cache(tmp_path) -> VectorCache:
    cache = VectorCache(tmp_path, name="user/encoder", identity="user/encoder@r1")
    cache.write(VECTORS)
    return cache


def holds_all(cache: VectorCache) -> bool:
    found = cache.read(VECTORS)
    return found.keys() == VECTORS.keys() and all((found[key] == VECTORS[key]).all() for key in VECTORS)


def test_all_vectors_come_back(cache):
    """More keys than a statement of SQLite takes, each with its vector; a key that is not there is left out."""
    assert holds_all(cache)
    assert list(cache.read([text_key("question 7"), text_key("another")])) == [text_key("question 7")]


def damage_whole(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_page(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


@pytest.mark.parametrize("damage", [damage_whole, damage_cut, damage_page])
def test_a_damaged_cache_is_started_anew(cache, caplog, damage):
    """Whatever is wrong with the file, a warning says so, and what is written then is kept again."""
    damage(cache.path)
    assert cache.read(VECTORS) == {}
    assert "is damaged" in caplog.text
    cache.write(VECTORS)
    assert holds_all(cache)


def test_an_empty_cache_file_is_a_new_one(cache):
    """A file of zero bytes, as an interrupted start leaves it, is used."""
    cache.path.write_bytes(b"")
    assert cache.read(VECTORS) == {}
    cache.write(VECTORS)
    assert holds_all(cache)


def test_a_cache_in_use_is_not_thrown_away(cache):
    """Another process reading the cache does not disturb, and what it holds stays."""
    with sqlite3.connect(cache.path) as other:
        assert other.execute("SELECT COUNT(*) FROM vectors").fetchone() == (1201,)
        cache.write({text_key("another"): np.zeros(2, np.float32)})
        assert holds_all(cache)


def test_a_cache_that_cannot_be_used_costs_a_warning(cache, caplog):
    """A folder in the place of the file: nothing is found and nothing kept, and that is said once."""
    cache.path.unlink()
    cache.path.mkdir()
    for _ in range(2):
        assert cache.read(VECTORS) == {}
        cache.write(VECTORS)
    assert len(caplog.records) == 1
    assert "going on without" in caplog.text


def test_a_folder_that_cannot_be_made_costs_a_warning(tmp_path, caplog):
    """As on a disk that is read-only, or in the home of another user."""
    (tmp_path / "home").write_text("a file")
    cache = VectorCache(tmp_path / "home" / "embedllm", name="user/encoder", identity="r1")
    assert cache.read(VECTORS) == {}
    cache.write(VECTORS)
    assert "going on without" in caplog.text


def test_a_damaged_vector_is_not_used(cache):
    """Each has a hash, so that a flipped bit costs time, not the result."""
    with sqlite3.connect(cache.path) as database:
        key, vector = database.execute("SELECT key, vector FROM vectors").fetchone()
        flipped = bytes([vector[0] ^ 1]) + vector[1:]
        database.execute("UPDATE vectors SET vector = ? WHERE key = ?", (flipped, key))
    found = cache.read(VECTORS)
    assert key not in found
    assert len(found) == len(VECTORS) - 1
