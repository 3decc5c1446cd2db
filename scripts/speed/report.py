"""All rows by name, each a function of `SpeedSettings`; running them, and the table."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict

import torch

from embedllm_hf._tables import format_table

from .serving import csv_rows, pool_rows, scoring_rows, start_rows
from .settings import SpeedRow, SpeedSettings
from .training import growth_row, real_row, training_rows

ROWS: dict[str, Callable[[SpeedSettings], Iterable[SpeedRow]]] = {
    "training": training_rows,
    "real": real_row,
    "scoring": scoring_rows,
    "pool": pool_rows,
    "growth": growth_row,
    "csv": csv_rows,
    "start": start_rows,
}


def measure(names: Iterable[str], settings: SpeedSettings) -> dict[str, object]:
    """Run some rows and describe the machine.

    Returns:
        `dict[str, object]`: `machine`, `settings` and `rows`, fit for JSON.
    """
    rows = [asdict(row) for name in names for row in ROWS[name](settings)]
    machine = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    return {"machine": machine, "settings": asdict(settings), "rows": rows}


def report_table(report: dict) -> str:
    """The report as a Markdown table, the machine below it."""
    rows = [[row["name"], row["detail"], _figure(row["ratio"]), row["target"]] for row in report["rows"]]
    machine = ", ".join(f"{key} {value}" for key, value in report["machine"].items())
    table = format_table(["row", "detail", "measured", "target"], rows, markdown=True, left=2)
    return f"{table}\n\n{machine}"


def _figure(ratio: float) -> str:
    """Three digits, or a whole number."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
