"""The one way in which tables are written, as plain text for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from ._checks import brief
from ._errors import visible


def format_table(
    head: Sequence[object], rows: Sequence[Sequence[object]], *, markdown: bool = False, left: int = 1
) -> str:
    """Write a table: the first columns, of text, to the left, the others to the right, each as wide as it needs.

    What a terminal would obey in a cell stands there escaped.

    Args:
        head (`Sequence`): A heading for each column; an empty one is allowed.
        rows (`Sequence[Sequence]`): A cell for each column, already formatted as it shall be read.
        markdown (`bool`): Write Markdown, in which a `|` of a cell is escaped, instead of aligned columns.
        left (`int`): Number of columns to the left.
    """
    show = visible if markdown else brief  # a code span that is cut would not end
    lines = [[show(" ".join(str(cell).split())) for cell in line] for line in (head, *rows)]
    if markdown:
        lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        lines.insert(1, ["---"] * left + ["---:"] * (len(head) - left))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligns = [str.ljust] * left + [str.rjust] * (len(head) - left)
    aligned = [[align(cell, width) for align, cell, width in zip(aligns, line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in aligned)
