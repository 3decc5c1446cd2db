"""Names, choices and optional packages; the errors that name them."""

import errno

import pytest

from embedllm_hf._checks import check_choice, check_distinct, index_of, require_extra, shorten, unknown_name
from embedllm_hf._errors import FileError, InputError, UnknownName, UserError


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


def test_a_name_that_stands_twice_is_named():
    """Distinct names pass; the repeated one is told, once."""
    check_distinct("`llm_names`", ["a", "b"])
    with pytest.raises(ValueError, match=r"^`llm_names`: `a` stands there more than once"):
        check_distinct("`llm_names`", ["a", "b", "a", "a"])


def test_errors_for_users_read_as_they_were_written():
    """Neither the quotation marks of a `KeyError` nor the number of an `OSError` are added; all are built-in kinds."""
    assert str(UnknownName("unknown LLM `x`")) == "unknown LLM `x`"
    assert str(FileError(errno.ENOSPC, "the disk is full")) == "the disk is full"
    assert str(FileError("no such folder")) == "no such folder"
    assert FileError(errno.ENOSPC, "the disk is full").errno == errno.ENOSPC
    for kind, builtin in ((UnknownName, KeyError), (FileError, OSError), (InputError, ValueError)):
        assert issubclass(kind, builtin)
        assert issubclass(kind, UserError)
