"""Facts and costs of LLMs, from a table or a mapping, for every choice among LLMs.

A table is a CSV file with one row an LLM: its name in `llm` or `model_name`, facts such as `family`, `kind`, `license`
and `params_billions`, and its cost, in one of three ways:

- `cost`: a call, in any unit;
- `usd_per_million_input_tokens` and `usd_per_million_output_tokens`: a call by its tokens, in dollars; `output_tokens`
  is the length to expect of an answer, 512 where it is empty or missing;
- `usd_per_million_output_tokens` alone: that number as it is, to compare LLMs by.

An empty cell is a value that is not known. A column `licence` is read as `license`. `open-llm-responses` names the
table of the data set that the package brings.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import check_llm_names, closest_names, shorten, shown
from .._errors import InputError, InputTypeError, UnknownName
from .files import EMBEDDED
from .rows import Row, name_of, number_of, read_rows

NAME_COLUMNS = ("llm", "model_name")
INPUT_PRICE, OUTPUT_PRICE = "usd_per_million_input_tokens", "usd_per_million_output_tokens"
OUTPUT_TOKENS = "output_tokens"
COST_COLUMNS = ("cost", OUTPUT_PRICE)  # whose number is taken as it is
USUAL_OUTPUT_TOKENS = 512.0  # of an answer whose length is not given


@dataclass(frozen=True)
class TokenPrice:
    """Price of an LLM by the token: a question costs `(input * its tokens + output * output_tokens) / 1e6`."""

    input: float
    output: float
    output_tokens: float = USUAL_OUTPUT_TOKENS

    def of(self, n_tokens: np.ndarray) -> np.ndarray:
        """Cost of questions of so many tokens, `(n_questions,)`."""
        return (self.input * np.asarray(n_tokens, np.float64) + self.output * self.output_tokens) / 1e6


Cost = float | TokenPrice
Costs = Mapping[str, Cost] | str | Path
Facts = Mapping[str, Mapping[str, Any]] | str | Path


def read_llm_table(path: str | Path) -> dict[str, dict[str, str]]:
    """Read a table of LLMs, CSV or JSON Lines: the cells of each LLM by column.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, has no column of names, or names an LLM twice.
    """
    path = EMBEDDED / "llms.csv" if str(path) == EMBEDDED.name else path
    rows = list(read_rows(path, "there is no table of LLMs"))
    columns = dict.fromkeys(column for row in rows for column in row.cells)
    name_column = next((column for column in NAME_COLUMNS if column in columns), None)
    if name_column is None:
        found = shorten(columns) or "of an empty table"
        raise InputError(
            f"{path}: expected a column `llm` or `model_name` and a row an LLM; found the columns {found}."
        )
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        name = name_of(row, name_column)
        if name in table:
            raise InputError(f"{row.where}: `{name}` stands there twice. Give each LLM one row.")
        table[name] = {column: _cell(row, column) for column in columns} | {name_column: name}
    check_llm_names(str(path), list(table))
    if "licence" in columns:
        if "license" in columns:
            raise InputError(f"{path}: has the columns `licence` and `license`, which are one. Remove one.")
        for cells in table.values():
            cells["license"] = cells.pop("licence")
    return table


def _cell(row: Row, column: str) -> str:
    """A cell as text; empty where nothing is known."""
    value = row.cells.get(column)
    if isinstance(value, dict | list):
        raise InputError(f"{row.where}: `{column}` is {shown(value)}, expected a text or a number.")
    return "" if value is None else str(value).strip()


# --- costs ---


def read_costs(costs: Costs, *, column: str | None = None) -> dict[str, Cost]:
    """Cost of each LLM: from a mapping, or from a CSV file (see the module); one without a cost is left out.

    If `column` is given, the numbers of that column of the file are taken as they are.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no cost column, or a cost is negative or no number.
    """
    if not isinstance(costs, Mapping | str | Path):
        raise InputTypeError(
            f"`costs` is {shown(costs)}, expected {{LLM: cost}}, or the path of a CSV file. Of a pandas Series: "
            "`costs.to_dict()`."
        )
    given = costs if isinstance(costs, Mapping) else _costs_in_file(costs, column)
    where = "`costs`" if isinstance(costs, Mapping) else str(costs)
    return {name: _checked(f"{where}: that of `{name}`", cost) for name, cost in given.items()}


def _costs_in_file(path: str | Path, column: str | None) -> Mapping[str, Any]:
    """The costs of a CSV file, not yet checked: the cells' text."""
    table = read_llm_table(path)
    columns = list(next(iter(table.values())))
    if column is None and "cost" not in columns and {INPUT_PRICE, OUTPUT_PRICE} <= set(columns):
        prices: dict[str, tuple[Any, ...]] = {
            name: (cells[INPUT_PRICE], cells[OUTPUT_PRICE], cells.get(OUTPUT_TOKENS) or USUAL_OUTPUT_TOKENS)
            for name, cells in table.items()
        }
        return {name: TokenPrice(*price) for name, price in prices.items() if all(price)}
    wanted = COST_COLUMNS if column is None else (column,)
    cost_column = next((name for name in wanted if name in columns), None)
    if cost_column is None:
        raise InputError(f"{path}: expected a column {shorten(wanted)}; found {shorten(columns, 10)}.")
    return {name: cells[cost_column] for name, cells in table.items() if cells[cost_column]}


def _checked(where: str, cost: Any) -> Any:
    """A cost as numbers of 0 or more."""
    if isinstance(cost, TokenPrice):
        return TokenPrice(*(_checked(where, part) for part in (cost.input, cost.output, cost.output_tokens)))
    number = number_of(cost)
    if not 0 <= number < math.inf:
        raise InputError(f"{where} is {shown(cost)}, expected a number of 0 or more.")
    return number


def are_by_token(costs: Mapping[str, Cost]) -> bool:
    """Whether what an LLM costs depends on the question's length."""
    return any(isinstance(cost, TokenPrice) for cost in costs.values())


def costs_at(costs: Mapping[str, Cost], n_tokens: float) -> dict[str, float]:
    """Costs of a call with a question of so many tokens: one number an LLM, where a choice is for many questions."""
    return {
        name: float(cost.of(np.array(n_tokens))) if isinstance(cost, TokenPrice) else cost
        for name, cost in costs.items()
    }


def costs_of(costs: Mapping[str, Cost], llm_names: Sequence[str], n_tokens: np.ndarray | None = None) -> np.ndarray:
    """Costs of some LLMs, `(n_llms,)`, or `(n_questions, n_llms)` with the lengths `n_tokens` of questions.

    Raises:
        ValueError: If one of them has none (the message says which), or they are by the token and there is no length.
    """
    missing = [name for name in llm_names if name not in costs]
    if missing:
        raise InputError(
            f"`costs`: no cost for {len(missing)} of {len(llm_names)} LLMs, {shorten(missing, 3)}. Add them, or leave "
            "these LLMs out of the choice."
        )
    prices = [costs[name] for name in llm_names]
    if n_tokens is not None:
        parts = [price.of(n_tokens) if isinstance(price, TokenPrice) else [price] * len(n_tokens) for price in prices]
        return np.stack(parts, axis=1, dtype=np.float64)
    by_token = [name for name, price in zip(llm_names, prices, strict=True) if isinstance(price, TokenPrice)]
    if by_token:
        raise InputError(
            f"`costs`: that of `{by_token[0]}` is by the token, and no question's length is known here. Give "
            "questions, or the costs of a call."
        )
    return np.array(prices, np.float64)


# --- facts ---


def params_of(facts: Mapping[str, Any]) -> float:
    """Billions of parameters of an LLM, from its `params_billions`; NaN if that is not known."""
    try:
        return float(facts.get("params_billions") or math.nan)
    except (TypeError, ValueError):
        return math.nan


def select_llms(
    names: Sequence[str],
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    llms: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    having: Mapping[str, Sequence[str] | None] | None = None,
    max_params: float | None = None,
) -> np.ndarray:
    """Choose LLMs by allow and deny lists; gives their positions in `names`, ascending.

    An entry of a list is a name, a pattern such as `Qwen/*`, or a fact such as `license:apache-2.0` or
    `license:*-nc-*`. A fact that is not known of an LLM fits no entry: the LLM passes no list that allows, and no
    list that denies holds it.

    Args:
        names (`Sequence[str]`): The pool.
        facts (*optional*): What is known of the LLMs, by name.
        llms (`Sequence[str]`, *optional*): Only those that fit one of these entries.
        exclude (`Sequence[str]`): None that fits one of these entries.
        having (*optional*): By fact the values that are allowed, or patterns of them; None allows all.
        max_params (`float`, *optional*): Only those of at most so many billion parameters.

    Raises:
        KeyError: If an entry is no LLM, or a pattern fits none.
        ValueError: If a list is empty, no LLM has a value, facts are missing, or nobody is left.
    """
    if llms is not None and not len(llms):
        raise InputError("`llms` is empty, expected at least one LLM to choose from.")
    wanted = {fact: values for fact, values in (having or {}).items() if values is not None}
    if facts is None and (wanted or max_params is not None):
        asked = shorten([*wanted, *(["max_params"] if max_params is not None else [])])
        raise InputError(f"{asked} need `facts`, a table of the LLMs: `RoutingPolicy(facts=...)`, or `--facts`.")
    known = [(facts or {}).get(name, {}) for name in names]
    left = np.ones(len(names), bool) if llms is None else _fitting(llms, names, known)
    if len(exclude):
        left &= ~_fitting(exclude, names, known)
    for fact, values in wanted.items():
        left &= _having(fact, values, known)
    if max_params is not None:
        left &= np.array([params_of(one) <= max_params for one in known])
    if not left.any():
        raise InputError(f"no LLM of {len(names)} is left to choose from. Loosen the filters.")
    return np.flatnonzero(left)


def _fitting(entries: Sequence[str], names: Sequence[str], facts: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Which of `names` fit one of the entries, `(n_llms,)` bool."""
    fits = np.zeros(len(names), bool)
    columns = {column for one in facts for column in one}
    for entry in [entries] if isinstance(entries, str) else entries:
        fact, colon, value = entry.partition(":")
        if entry in names:
            fits[list(names).index(entry)] = True
        elif colon and fact in columns:
            fits |= _having(fact, [value], facts)
        else:
            fits |= _named(entry, names)
    return fits


def _named(pattern: str, names: Sequence[str]) -> np.ndarray:
    """Which of `names` fit a pattern, at least one of them, `(n_llms,)` bool."""
    fits = np.array([fnmatch.fnmatchcase(name, pattern) for name in names], bool)
    if not fits.any():
        kind = "no LLM fits the pattern" if set(pattern) & set("*?[") else "unknown LLM"
        raise UnknownName(f"{kind} `{pattern}` (of {len(names)} known): {closest_names(pattern, names)}")
    return fits


def _having(fact: str, allowed: Sequence[str], facts: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Which LLMs have a fact that fits one of the values, whatever their case, `(n_llms,)` bool."""
    values = [str(one.get(fact) or "") for one in facts]
    fits = {
        str(pattern): np.array(
            [bool(value) and fnmatch.fnmatchcase(value.casefold(), str(pattern).casefold()) for value in values]
        )
        for pattern in (() if isinstance(allowed, str) else allowed)
    }
    wrong = [pattern for pattern, fitting in fits.items() if not fitting.any()]
    if not fits or wrong:
        found = shorten(wrong) if wrong else repr(allowed)
        known = shorten({value for value in values if value}, 10) or "nothing: the table has no such column"
        raise InputError(f"`{fact}` is {found}, expected a list of some of {known}.")
    return np.logical_or.reduce(list(fits.values()))
