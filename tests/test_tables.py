"""The one table formatter: alignment, Markdown, and cells that would break a table."""

import pytest

from embedllm_hf._tables import format_table

HEAD = ("", "score", "n")
ROWS = [("lab/a", "0.5", 1), ("a longer name", "-", 12345)]


def test_columns_are_aligned_and_as_wide_as_needed():
    """The first column to the left, the others to the right, two spaces between; no line ends in spaces."""
    assert format_table(HEAD, ROWS).splitlines() == [
        "               score      n",
        "lab/a            0.5      1",
        "a longer name      -  12345",
    ]


def test_markdown():
    """A rule that aligns alike stands below the head."""
    assert format_table(HEAD, ROWS, markdown=True).splitlines() == [
        "|  | score | n |",
        "| --- | ---: | ---: |",
        "| lab/a | 0.5 | 1 |",
        "| a longer name | - | 12345 |",
    ]


def test_several_columns_of_text():
    """They stand to the left, as many as are told, in both forms."""
    head, rows = ("LLM", "family", "n"), [("a", "calc", 1), ("long", "x", 22)]
    lines = ["LLM   family   n", "a     calc     1", "long  x       22"]
    assert format_table(head, rows, left=2).splitlines() == lines
    assert format_table(head, rows, markdown=True, left=3).splitlines()[1] == "| --- | --- | --- |"


@pytest.mark.parametrize(("markdown", "line"), [(False, "a|b c  1"), (True, "| a\\|b c | 1 |")])
def test_a_cell_cannot_break_the_table(markdown, line):
    """Line breaks become spaces, and Markdown's own sign is escaped where it is one."""
    assert format_table(["x", "y"], [["a|b\n c", 1]], markdown=markdown).splitlines()[-1] == line


def test_a_table_without_rows_is_its_head():
    """Nothing to show is no error; one column alone is fine."""
    assert format_table(["llm", "n"], []) == "llm  n"
    assert format_table(["llm"], [["a"], ["b"]]) == "llm\na\nb"
    assert format_table(["llm"], [], markdown=True) == "| llm |\n| --- |"


def test_a_row_of_another_length_is_refused():
    """A cell too few is a mistake of the caller, which is seen."""
    with pytest.raises(ValueError, match=r"argument 2 is shorter"):
        format_table(HEAD, [("a", "b")])
