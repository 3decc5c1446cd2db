"""Folders and files that are written whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from embedllm_hf._errors import FileError
from embedllm_hf._files import whole_directory, whole_file


def fill_and_fail(target: Path, error: Exception, whole=whole_directory) -> None:
    """Write something, then fail."""
    with whole(target) as partial:
        (partial / "a" if partial.is_dir() else partial).write_text("new")
        raise error


def test_a_folder_is_filled_when_the_block_ends_and_not_before(tmp_path):
    """Files appear in the folder only after the block, beside what was there, and nothing else is left over."""
    target = tmp_path / "deep" / "out"
    target.mkdir(parents=True)
    (target / "old.txt").write_text("old")
    (target / "same.txt").write_text("first")
    with whole_directory(target) as partial:
        (partial / "same.txt").write_text("second")
        assert (target / "same.txt").read_text() == "first"
    assert {path.name: path.read_text() for path in target.iterdir()} == {"old.txt": "old", "same.txt": "second"}
    assert list(target.parent.iterdir()) == [target]


def test_files_get_the_permissions_of_the_process(tmp_path):
    """The moved files are as readable as any other file that the process writes, not private."""
    with whole_directory(tmp_path / "out") as partial:
        (partial / "a").write_text("a")
        (partial / "a").chmod(0o600)
    (tmp_path / "plain").write_text("")
    assert stat.S_IMODE((tmp_path / "out" / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_failing_block_leaves_the_folder_as_it_was(tmp_path):
    """An exception in the block passes through unchanged; the folder keeps its content and no partial copy stays."""
    target = tmp_path / "out"
    target.mkdir()
    (target / "a").write_text("old")
    with pytest.raises(RuntimeError, match="stopped half-way"):
        fill_and_fail(target, RuntimeError("stopped half-way"))
    assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_named_and_nothing_is_kept(tmp_path):
    """`ENOSPC` becomes a message with the folder and the remedy, still as an `OSError` of that number."""
    target = tmp_path / "out"
    with pytest.raises(OSError, match=r"cannot write .*out: the disk is full") as raised:
        fill_and_fail(target, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert raised.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("whole", [whole_directory, whole_file])
def test_an_error_for_the_user_passes_as_it_is(tmp_path, whole):
    """It is not dressed up as a failure to write, although it may be an `OSError` too."""
    with pytest.raises(FileError, match=r"^damaged$"):
        fill_and_fail(tmp_path / "out", FileError("damaged"), whole)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_refused(tmp_path):
    """A path that cannot be made is reported as such, before the block runs."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file.out"), whole_directory(tmp_path / "file" / "out"):
        pytest.fail("the block must not run")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    """The old content stays until the block ends, and for good if it fails; no partial file is left."""
    target = tmp_path / "deep" / "table.csv"
    for content in ("first", "second"):
        with whole_file(target) as partial:
            partial.write_text(content)
            assert not target.exists() or target.read_text() == "first"
        assert target.read_text() == content
    with pytest.raises(FileError, match=r"cannot write .*table.csv: the disk is full"):
        fill_and_fail(target, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), whole_file)
    assert target.read_text() == "second"
    assert list(target.parent.iterdir()) == [target]
