"""The one table formatter."""

from __future__ import annotations

from collections.abc import Sequence


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    """A table as text; the first column is left-aligned, the others to the right."""
    if markdown:
        rule = ["---", *["---:"] * (len(head) - 1)]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
    widths = [max(len(cells[i]) for cells in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]).rstrip()
        for cells in (head, *rows)
    )
