"""Which files are evaluation logs, told by their content, and the module that reads each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .._checks import brief, shorten
from .._errors import InputError, MissingFile, UserError, visible
from ..hub.client import fetch_snapshot
from . import evalscope, every_eval_ever, inspect_ai, lighteval, llm_router_bench, lm_eval, promptfoo
from .records import Runs

Reader = Callable[[Path, Runs], None]
_ENDINGS = (".json", ".jsonl", ".ndjson", ".parquet", ".eval")
_LINES: tuple[tuple[Callable[[Mapping[str, Any]], bool], Reader], ...] = (
    (lm_eval.is_samples, lm_eval.read),
    (every_eval_ever.is_sample, every_eval_ever.read),
    (evalscope.is_review, evalscope.read),
)
_OBJECTS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Reader], ...] = (
    (promptfoo.is_results, promptfoo.read),
    (llm_router_bench.is_results, llm_router_bench.read),
)
_NAMES = "lm-evaluation-harness, Inspect AI, promptfoo, lighteval, Every Eval Ever, EvalScope or LLMRouterBench"
_DAMAGED = "neither JSON nor Parquet that can be read; cut off? Fetch it again"
_LARGEST_LINE = 64 << 20  # bytes of the first line, in which a file is recognised


def read_runs(sources: Iterable[str | Path], *, reader: Reader | None = None) -> Runs:
    """Read logs: files, folders with all that is below them, or Hub data sets of details.

    Args:
        sources: Files, folders, or ids of Hub data sets.
        reader (`Callable[[Path, Runs], None]`, *optional*): For tables of another form, what reads each of them.
            Default: what the content tells. A file that cannot be read at all is left out, and named.

    Raises:
        FileNotFoundError: If a source is not there.
        ValueError: If nothing of it is a log, or a log has what its harness does not write.
    """
    runs = Runs()
    for source in sources:
        n_before, damaged = len(runs.runs) + len(runs.left_out), list[str]()
        for path in _files(str(source), _ENDINGS if reader is None else (*_ENDINGS, ".csv")):
            try:
                its_reader = reader or _reader_of(path)
            except _Unreadable:
                damaged.append(str(path))
                continue
            if its_reader is not None:
                _read(its_reader, path, runs)
        if len(runs.runs) + len(runs.left_out) == n_before:
            raise _nothing_read(str(source), damaged)
        runs.left_out += [(path, _DAMAGED) for path in damaged]
    return runs


def _nothing_read(source: str, damaged: Sequence[str]) -> InputError:
    """Build the error for a source that no log is in, with the files of it that cannot be read."""
    seen = f" ({shorten(damaged)}: {_DAMAGED})" if damaged else ""
    return InputError(
        f"{visible(source)}: no log of {_NAMES} is in it{seen}. For a table of another form name its columns: "
        "--columns prompt=... label=... model_name=..."
    )


def _read(reader: Reader, path: Path, runs: Runs) -> None:
    """Read one file; whatever is in it that its harness does not write is an error of one line."""
    try:
        reader(path, runs)
    except (UserError, OSError):
        raise
    except Exception as error:  # of a stranger's file readers and libraries raise whatever comes
        cause = brief(f"{type(error).__name__}: {error}", 120)
        harness = reader.__module__.rpartition(".")[2].replace("_", "-")
        raise InputError(
            f"{visible(str(path))}: looks like a log of {harness}, but is not what that writes ({cause}). "
            "Fetch or write it again."
        ) from error


def holds_logs(folder: Path) -> bool:
    """Whether a folder has a log in it."""
    return any(reader_of(path) is not None for path in _below(folder, _ENDINGS))


def reader_of(path: Path) -> Reader | None:
    """What reads a file, by its content; None if it is no log, or a part of one that is read along with it."""
    try:
        return _reader_of(path)
    except _Unreadable:
        return None


class _Unreadable(Exception):
    """A file is neither JSON nor Parquet, as its name or its first character has it."""


def _reader_of(path: Path) -> Reader | None:
    """`reader_of`, which tells a file that cannot be read."""
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
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _Unreadable from error


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
            except (ValueError, RecursionError) as error:
                raise _Unreadable from error
    is_array = isinstance(first, list)
    if is_array:
        first = first[0] if first else None
    return (first if isinstance(first, dict) else None), is_array


def _files(source: str, endings: tuple[str, ...]) -> list[Path]:
    """The files of a source that may be logs, by their endings; a file that is named itself may have any."""
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        return _below(path, endings)
    if path.is_absolute() or source.startswith((".", "~")) or source.count("/") != 1:
        raise MissingFile(
            f"`{visible(source)}`: no such file or folder. Give logs, or a Hub data set's id (user/name)."
        )

    def needed(files: Sequence[str]) -> list[str]:
        return [name for name in files if name.endswith(endings)]

    return _below(fetch_snapshot(source, needed, repo_type="dataset").folder, endings)


def _below(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in endings and path.is_file())
