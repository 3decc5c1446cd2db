"""All rows by name, each a function of `GpuSettings`; running them, and the table."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict

from embedllm_hf._tables import format_table

from .device import machine
from .network import forecast_row, half_rows, memory_row, pace_row, resume_row
from .settings import GpuRow, GpuSettings
from .text import encoding_row, train_encoder_row

ROWS: dict[str, Callable[[GpuSettings], Iterable[GpuRow]]] = {
    "pace": pace_row,
    "memory": memory_row,
    "half": half_rows,
    "resume": resume_row,
    "forecasts": forecast_row,
    "train_encoder": train_encoder_row,
    "encoding": encoding_row,
}
_VERDICTS = {True: "passed", False: "FAILED", None: "-"}


def measure(names: Iterable[str], settings: GpuSettings) -> dict[str, object]:
    """Run some rows and describe the machine.

    Returns:
        `dict[str, object]`: `machine`, `settings` and `rows`, fit for JSON.
    """
    rows = [asdict(row) for name in names for row in _run(name, settings)]
    return {"machine": machine(settings.device), "settings": asdict(settings), "rows": rows}


def _run(name: str, settings: GpuSettings) -> list[GpuRow]:
    """The rows of one check; one that stops with an error is a row that failed, and the others are still run."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    try:
        return list(ROWS[name](settings))
    except Exception as error:  # whatever it is, it is what the check is there to find
        traceback.print_exc()
        return [GpuRow(name, None, "no error", False, f"{type(error).__name__}: {error}")]


def report_table(report: dict) -> str:
    """The report as a Markdown table, the machine below it."""
    rows = [
        [row["name"], row["detail"], _figure(row["measured"]), row["expected"], _VERDICTS[row["passed"]]]
        for row in report["rows"]
    ]
    about = ", ".join(f"{key} {value}" for key, value in report["machine"].items())
    return f"{format_table(['row', 'detail', 'measured', 'expected', ''], rows, markdown=True, left=2)}\n\n{about}"


def _figure(measured: float | None) -> str:
    """Five digits."""
    return "-" if measured is None else f"{measured:.5g}"
