"""What breaks the library, as programs with a seed and a table: `python -m scripts.faults.kill`, from a clone's root.

bad_files    every kind of file that is read, damaged
hub          every fault of the Hub, met while reading and while writing
hostile      names and texts of strangers in every place where they are shown or written
kill         every verb that writes, killed before each file change and at random moments
kill_world   the pool, models and files that these trials start from, and the verbs
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings and the bars of what is tried thousands of times."""
    from transformers.utils import logging as bars

    had_bars = bars.is_progress_bar_enabled()
    logging.disable(logging.WARNING)
    bars.disable_progress_bar()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        if had_bars:
            bars.enable_progress_bar()


def summary(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown of a name and counts a row, and their sums."""
    from embedllm_hf._tables import format_table

    sums = ["all", *(sum(counts) for counts in list(zip(*rows, strict=True))[1:])]
    cells = [[name, *(f"{count:,}" for count in counts)] for name, *counts in (*rows, sums)]
    return format_table(head, cells, markdown=True)
