"""Facts and costs of LLMs, from a table or a mapping: what a choice among LLMs may depend on beside their answers.

A table is a CSV file with one row an LLM: its name in `llm` or `model_name`, a cost in `cost` or
`usd_per_million_output_tokens`, and facts such as `family`, `kind` and `params_billions`. An empty cell is a value
that is not known.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .._checks import shorten

NAME_COLUMNS = ("llm", "model_name")
COST_COLUMNS = ("cost", "usd_per_million_output_tokens")

Costs = Mapping[str, float] | str | Path
Facts = Mapping[str, Mapping[str, object]] | str | Path


def read_llm_table(path: str | Path) -> dict[str, dict[str, str]]:
    """Read a CSV file of LLMs.

    Returns:
        `dict[str, dict[str, str]]`: The cells of each LLM by column.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no UTF-8, has no column of names, or names an LLM twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no table of LLMs {path}.")
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error.reason}). Save the file as UTF-8.") from error
    columns = list(rows[0]) if rows else []
    name_column = next((column for column in NAME_COLUMNS if column in columns), None)
    if name_column is None:
        raise ValueError(
            f"{path}: expected a header with a column `llm` or `model_name` and a row an LLM; found the columns "
            f"{shorten(column for column in columns if column) or 'of an empty table'}."
        )
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        name = (row[name_column] or "").strip()
        if name in table:
            raise ValueError(f"{path}: `{name}` stands there twice. Give each LLM one row.")
        table[name] = {column: (cell or "").strip() for column, cell in row.items() if isinstance(column, str)}
    return table


def read_costs(costs: Costs, *, column: str | None = None) -> dict[str, float]:
    """Cost of each LLM: from a mapping, or from the cost column of a CSV file; one without a cost is left out.

    Args:
        costs: The mapping, or the file.
        column (`str`, *optional*): The file's column. Default: `cost` or `usd_per_million_output_tokens`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no cost column, or a cost is negative or no number.
    """
    if isinstance(costs, Mapping):
        given = dict(costs)
    else:
        table = read_llm_table(costs)
        columns = list(next(iter(table.values())))
        wanted = COST_COLUMNS if column is None else (column,)
        cost_column = next((name for name in wanted if name in columns), None)
        if cost_column is None:
            raise ValueError(f"{costs}: expected a column {shorten(wanted)}; found {shorten(columns, 10)}.")
        given = {name: cells[cost_column] for name, cells in table.items() if cells[cost_column]}
    numbers = {}
    for name, value in given.items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError):
            numbers[name] = math.nan
        if not 0 <= numbers[name] < math.inf:
            raise ValueError(f"`costs`: that of `{name}` is {value!r}, expected a number of 0 or more.")
    return numbers


def costs_of(costs: Mapping[str, float], llm_names: Sequence[str]) -> np.ndarray:
    """Costs of some LLMs, `(n_llms,)`.

    Raises:
        ValueError: If one of them has none; the message says which.
    """
    missing = [name for name in llm_names if name not in costs]
    if missing:
        raise ValueError(
            f"`costs`: no cost for {len(missing)} of {len(llm_names)} LLMs, {shorten(missing, 3)}. Add them, or leave "
            "these LLMs out of the choice."
        )
    return np.array([costs[name] for name in llm_names], np.float64)


def params_of(facts: Mapping[str, object]) -> float:
    """Billions of parameters of an LLM, from its `params_billions`; NaN if that is not known."""
    try:
        return float(facts.get("params_billions") or math.nan)
    except (TypeError, ValueError):
        return math.nan
