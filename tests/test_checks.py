"""Names, choices and optional packages; the errors that name them."""

import errno

import pytest

from embedllm_hf._checks import (
    check_choice,
    check_distinct,
    check_llm_names,
    check_text,
    index_of,
    normal_text,
    require_extra,
    shorten,
    unknown_name,
    visible,
)
from embedllm_hf._errors import FileError, InputError, UnknownName, UserError


def test_shorten_sorts_quotes_and_counts_the_rest():
    """A long list is cut to its first few names in order, and says how many are left."""
    assert shorten(["b", "a"]) == "`a`, `b`"
    assert shorten("gfedcba", limit=2) == "`a`, `b` and 5 more"
    assert shorten([]) == ""


def test_what_a_terminal_would_obey_is_shown_as_it_is_written():
    """Escape codes, line breaks and signs that turn the text round are escaped; letters of any script stay."""
    assert visible("a\x1b[31m\n\u202eb\ud800\u00e9") == r"a\x1b[31m\n\u202eb\ud800" + "\u00e9"
    assert shorten(["\x1b[2J"]) == r"`\x1b[2J`"


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


def test_texts_that_differ_in_how_they_are_written_down_are_one():
    """Line ends, composed and decomposed letters and outer white space make no other text; what is inside does."""
    assert normal_text(" Que\u0301?\r\nNo\rYes\u00a0\n") == "Qu\u00e9?\nNo\nYes"
    assert normal_text("a  b") == "a  b" != normal_text("a b")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (None, TypeError, "row 3 is None, expected a text"),
        (b"bytes", TypeError, "row 3 is b'bytes', expected a text"),
        (" \n", ValueError, "expected a text that is not empty"),
        ("bad \ud83d text", ValueError, r"'bad \\ud83d text', which is no Unicode text: .* character 5"),
        ("h\0i\0", ValueError, r"'h\\x00i\\x00', with a NUL at character 2"),
        ("x" * 1000 + "\0", ValueError, r"'x{59}\.\.\., with a NUL at character 1001"),
    ],
)
def test_what_is_no_text_is_refused_in_a_line_that_can_be_printed(text, error, message):
    """No type but `str`, nothing empty, no half of a surrogate pair and no NUL; the line is short and plain."""
    with pytest.raises(error, match=message) as caught:
        check_text("row 3", text)
    assert str(caught.value).isprintable()
    str(caught.value).encode()


def test_texts_in_any_script_pass():
    """Signs beyond the basic plane, right-to-left text and control signs are content."""
    for text in ("\U0001f600", "\u05e9\u05dc\u05d5\u05dd", "a\tb\x1b\u2028c"):
        check_text("text", text)


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("gpt4", TypeError, "`names` is one name, 'gpt4', expected a list"),
        (["a", None], TypeError, "the LLM's name None is no text"),
        (["a", 7], TypeError, "the LLM's name 7 is no text"),
        ([""], ValueError, "the LLM's name '' is empty"),
        ([" a"], ValueError, "write the LLM's name ' a' as 'a'"),
        (["a\n"], ValueError, r"write the LLM's name 'a\\n' as 'a'"),
        (["e\u0301"], ValueError, r"write the LLM's name 'e\\u0301' as '\\xe9'"),
        (["a\nb"], ValueError, r"'a\\nb' holds a sign that does not print"),
        (["a\x1b[31mb"], ValueError, "does not print"),
        (["a\u202eb"], ValueError, "does not print"),
        (["a\u200bb"], ValueError, "does not print"),
        (["a\0b"], ValueError, "does not print"),
        (["a\ud800b"], ValueError, "does not print"),
        (["a\u00a0b"], ValueError, "does not print"),
        (["a", "b", "a"], ValueError, "`a` stands there more than once"),
        (["a b", "a  b"], ValueError, "'a b' and 'a  b' look the same"),
        (["\uff41/one", "a/one"], ValueError, r"'\\uff41/one' and 'a/one' look the same"),
    ],
)
def test_a_name_is_one_line_of_visible_signs_and_looks_like_no_other(names, error, message):
    """What would be shown otherwise than it is, or as another LLM's name, is refused; the message is plain text."""
    with pytest.raises(error, match=message) as caught:
        check_llm_names("`names`", names)
    assert str(caught.value).isprintable()


def test_names_of_the_world_pass():
    """Upper case, other scripts, spaces and signs of formulas are no fault of a name."""
    check_llm_names("`names`", ["lab/Alpha", "lab/alpha", "\u901a\u4e49/qwen 2", "@cf/meta", "=a", "\u00e9", "a|b`c"])


def test_an_error_is_one_line_whatever_it_holds():
    """Line breaks are spaces, what steers a terminal is escaped, and of an endless text beginning and end stay."""
    assert str(InputError("a\n  b\x1b[31m\u2028c")) == "a b\\x1b[31m c"
    assert str(InputError("two  spaces")) == "two  spaces"
    endless = str(InputError("begin " + "x" * 1_000_000 + " Do this."))
    assert len(endless) < 2_000
    assert endless.startswith("begin x")
    assert endless.endswith("x Do this.")
