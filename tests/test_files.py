"""Folders and files that are written whole or not at all."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import embedllm_hf._files as files
from embedllm_hf._errors import Conflict, FileError
from embedllm_hf._files import locked, sha256_of, whole_directory, whole_file


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


# --- one set ---


def owned(folder: Path, name: str) -> bool:
    """Files that begin with `our` are of the set."""
    return name.startswith("our")


@pytest.fixture(params=["exchange", "in steps"])
def way(request, monkeypatch):
    """Both ways in which a folder is replaced."""
    if request.param == "in steps":
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)


@pytest.mark.usefixtures("way")
def test_an_older_set_goes_and_the_users_files_stay(tmp_path):
    """Nothing of the old set is left; other files and folders are, also where the new set has one of their name."""
    target = tmp_path / "out"
    (target / "notes").mkdir(parents=True)
    (target / "our").mkdir()
    for name in ("our_old", "our_same", "our/deep", "README.md", "notes/a"):
        (target / name).write_text("old")
    inode = (target / "notes" / "a").stat().st_ino
    target.chmod(0o700)
    with whole_directory(target, owned=owned) as partial:
        for name in ("our_same", "our_new", "README.md"):
            (partial / name).write_text("new")
    found = {path.relative_to(target).as_posix(): path.read_text() for path in target.rglob("*") if path.is_file()}
    assert found == {"our_same": "new", "our_new": "new", "README.md": "old", "notes/a": "old"}
    assert (target / "notes" / "a").stat().st_ino == inode
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_exchanged_in_one_step(tmp_path):
    """Whoever held the old folder open still sees the old set whole, so that there never was a mixed one."""
    target = tmp_path / "out"
    target.mkdir()
    (target / "our").write_text("old")
    old = os.open(target, os.O_RDONLY)
    with whole_directory(target, owned=owned) as partial:
        (partial / "our").write_text("new")
    assert os.fstat(old).st_ino != target.stat().st_ino
    os.close(old)


def test_the_working_folder_stays_the_folder_that_it_is(tmp_path, monkeypatch):
    """A shell that stands in the output folder would otherwise be left in a removed one."""
    monkeypatch.chdir(tmp_path)
    inode = tmp_path.stat().st_ino
    (tmp_path / "our_old").write_text("old")
    with whole_directory(".", owned=owned) as partial:
        (partial / "our_new").write_text("new")
    assert tmp_path.stat().st_ino == inode
    assert [path.name for path in tmp_path.iterdir()] == ["our_new"]


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    """The folder that it leads to is replaced."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with whole_directory(tmp_path / "link") as partial:
        (partial / "a").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "new"


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    """A neighbour counts as left when nobody has it locked."""
    writer = (
        "import sys, time; from embedllm_hf._files import whole_directory\n"
        "with whole_directory(sys.argv[1]) as partial: (partial / 'a').write_text('a'); print('in', flush=True); "
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", writer, str(tmp_path / "out")], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with whole_directory(tmp_path / "out") as partial:
            (partial / "b").write_text("b")
        assert len(list(tmp_path.glob(".out.partial-*"))) == 1
        process.send_signal(signal.SIGKILL)
    with whole_file(tmp_path / "out2") as partial:
        partial.write_text("")
    assert len(list(tmp_path.glob(".out.partial-*"))) == 1  # of another target
    with whole_directory(tmp_path / "out"):
        pass
    assert list(tmp_path.glob(".*")) == []


def test_a_folder_is_locked_against_other_processes(tmp_path):
    """The second one is told the first one's number; the lock of a killed process is void, and no file stays."""
    holder = (
        "import sys, time; from embedllm_hf._files import locked\n"
        "with locked(sys.argv[1]): print('in', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holder, str(tmp_path / "out")], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(Conflict, match=f"out: process {process.pid} is writing there"), locked(tmp_path / "out"):
            pytest.fail("the block must not run")
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / ".out.lock").exists()
    with locked(tmp_path / "out"):
        assert (tmp_path / ".out.lock").read_text() == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_the_hash_of_a_file(tmp_path):
    """That of "abc" stands in FIPS 180-2."""
    (tmp_path / "a").write_text("abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")
