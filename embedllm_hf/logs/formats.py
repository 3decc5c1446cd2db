"""Which files are evaluation logs, told by their content, and the module that reads each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .._checks import brief
from .._errors import InputError, MissingFile, UserError, visible
from ..hub.client import fetch_snapshot
from . import columns, evalscope, every_eval_ever, inspect_ai, lighteval, llm_router_bench, lm_eval, promptfoo
from .records import Runs

_ENDINGS = (".json", ".jsonl", ".ndjson", ".parquet", ".eval")
_LINES: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Path, Runs], None]], ...] = (
    (lm_eval.is_samples, lm_eval.read),
    (every_eval_ever.is_sample, every_eval_ever.read),
    (evalscope.is_review, evalscope.read),
)
_OBJECTS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Path, Runs], None]], ...] = (
    (promptfoo.is_results, promptfoo.read),
    (llm_router_bench.is_results, llm_router_bench.read),
)
_NAMES = "lm-evaluation-harness, Inspect AI, promptfoo, lighteval, Every Eval Ever, EvalScope or LLMRouterBench"
_LARGEST_LINE = 64 << 20  # bytes of the first line, in which a file is recognised


def read_runs(sources: Iterable[str | Path], *, named: Mapping[str, str] | None = None) -> Runs:
    """Read logs: files, folders with all that is below them, or Hub data sets of details.

    Args:
        sources: Files, folders, or ids of Hub data sets.
        named (`Mapping[str, str]`, *optional*): For tables of any other form: which column is what, see `columns`.

    Raises:
        FileNotFoundError: If a source is not there.
        ValueError: If nothing of it is a log, or a file of it is damaged.
    """
    if named is not None:
        columns.check_columns(named)
    runs = Runs()
    for source in sources:
        n_before = len(runs.runs) + len(runs.left_out)
        for path in _files(str(source)):
            reader = reader_of(path) if named is None else partial(columns.read, columns=named)
            if reader is not None:
                _read(reader, path, runs)
        if len(runs.runs) + len(runs.left_out) == n_before:
            raise InputError(
                f"{visible(str(source))}: no log of {_NAMES} is in it. For a table of another form name its columns: "
                "--columns prompt=... label=... model_name=..."
            )
    return runs


def _read(reader: Callable[[Path, Runs], None], path: Path, runs: Runs) -> None:
    """Read one file; whatever is in it that its harness does not write is an error of one line."""
    try:
        reader(path, runs)
    except (UserError, OSError):
        raise
    except Exception as error:  # of a stranger's file readers and libraries raise whatever comes
        cause = brief(f"{type(error).__name__}: {error}", 120)
        raise InputError(
            f"{visible(str(path))}: looks like a log of {_harness_of(reader)}, but is not what that writes ({cause}). "
            "Fetch or write it again."
        ) from error


def _harness_of(reader: Callable) -> str:
    return getattr(reader, "__module__", columns.__name__).rpartition(".")[2].replace("_", "-")


def holds_logs(folder: Path) -> bool:
    """Whether a folder has a log in it."""
    return any(reader_of(path) is not None for path in _below(folder))


def reader_of(path: Path) -> Callable[[Path, Runs], None] | None:
    """What reads a file, by its content; None if it is no log, or a part of one that is read along with it."""
    if path.suffix == ".eval":
        return inspect_ai.read
    if path.suffix == ".parquet":
        return lighteval.read if lighteval.is_details(_parquet_columns(path)) else None
    first, is_array = _first_object(path)
    if first is None:
        return None
    kinds = _LINES[:1] if is_array else (*_LINES, *_OBJECTS)
    found = next((read for is_one, read in kinds if is_one(first)), None)
    return (
        inspect_ai.read if found is None and not is_array and {"eval", "version", "status"} <= first.keys() else found
    )


def _parquet_columns(path: Path) -> Sequence[str]:
    try:
        return pq.read_schema(path).names
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return ()  # no Parquet after all: no log


def _first_object(path: Path) -> tuple[dict[str, Any] | None, bool]:
    """The first object of JSON or JSON Lines, and whether it is the first of an array."""
    with path.open("rb") as file:
        line = file.readline(_LARGEST_LINE)
        if not line.lstrip().startswith((b"{", b"[")):
            return None, False
        try:
            first = json.loads(line)
        except (ValueError, RecursionError):  # an object of several lines
            try:
                first = json.loads(line + file.read())
            except (ValueError, RecursionError):
                return None, False
    is_array = isinstance(first, list)
    if is_array:
        first = first[0] if first else None
    return (first if isinstance(first, dict) else None), is_array


def _files(source: str) -> list[Path]:
    """The files of a source that may be logs."""
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        return _below(path)
    if path.is_absolute() or source.startswith((".", "~")) or source.count("/") != 1:
        raise MissingFile(
            f"`{visible(source)}`: no such file or folder. Give logs, or a Hub data set's id (user/name)."
        )

    def needed(files: Sequence[str]) -> list[str]:
        return [name for name in files if name.endswith(_ENDINGS)]

    return _below(fetch_snapshot(source, needed, repo_type="dataset").folder)


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in _ENDINGS and path.is_file())
