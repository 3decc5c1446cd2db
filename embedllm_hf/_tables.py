"""The one way to lay out a table of text, for a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    """Lay out a table: the first column to the left, the others to the right.

    Args:
        head (`Sequence[str]`): Titles of the columns.
        rows (`Sequence[Sequence[str]]`): Cells, as many in each row as there are titles.
        markdown (`bool`): Write a Markdown table instead of aligned columns.
    """
    lines = [[str(cell) for cell in line] for line in (head, *rows)]
    if markdown:
        lines.insert(1, ["---", *["---:"] * (len(head) - 1)])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    laid = ([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines)
    return "\n".join("  ".join(cells).rstrip() for cells in laid)
