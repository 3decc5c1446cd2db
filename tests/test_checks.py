"""Names, choices, optional packages and writing a folder whole."""

import errno
import os
import stat
from pathlib import Path

import pytest

from embedllm_hf._checks import check_choice, index_of, require_extra, shorten, unknown_name
from embedllm_hf._files import whole_directory


def test_shorten_sorts_quotes_and_counts_the_rest():
    """A long list is cut to its first few names in order, and says how many are left."""
    assert shorten(["b", "a"]) == "`a`, `b`"
    assert shorten("gfedcba", limit=2) == "`a`, `b` and 5 more"
    assert shorten([]) == ""


def test_index_of_finds_the_position_and_offers_close_matches():
    """A known name gives its position; a typing error gives a `KeyError` with the name that was meant."""
    known = ("lab/alpha-7b", "lab/beta-7b", "other/gamma")
    assert index_of("LLM", "other/gamma", known) == 2
    with pytest.raises(KeyError, match=r"unknown LLM `lab/Alpha-7B` \(of 3 known\): did you mean `lab/alpha-7b`"):
        index_of("LLM", "lab/Alpha-7B", known)


def test_a_name_like_no_other_is_answered_with_some_known_names():
    """Without a close match the message lists what there is instead of guessing."""
    message = str(unknown_name("benchmark", "zzzz", ["gsm8k", "mmlu"]))
    assert "known are `gsm8k`, `mmlu`" in message
    assert "did you mean" not in message


def test_check_choice_lists_the_choices():
    """A value outside the choices is refused with argument, value and choices; one inside passes."""
    check_choice("duplicates", "mean", ("mean", "last"))
    with pytest.raises(ValueError, match="`duplicates` is 'first', expected one of 'mean', 'last'"):
        check_choice("duplicates", "first", ("mean", "last"))


def test_require_extra_names_the_pip_command():
    """A missing optional package is reported with the command that installs its extra."""
    assert require_extra("json", "plot", "this test").dumps([]) == "[]"
    message = (
        r'plots needs the package `no_such_module_here`, which is not installed: pip install "embedllm_hf\[plot\]"'
    )
    with pytest.raises(ImportError, match=message):
        require_extra("no_such_module_here", "plot", "plots")


# --- whole_directory ---


def fill_and_fail(target: Path, error: Exception) -> None:
    """Write a file into the folder, then fail."""
    with whole_directory(target) as partial:
        (partial / "a").write_text("new")
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


def test_a_folder_below_a_file_is_refused(tmp_path):
    """A path that cannot be made is reported as such, before the block runs."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file.out"), whole_directory(tmp_path / "file" / "out"):
        pytest.fail("the block must not run")
