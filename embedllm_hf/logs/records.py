"""What every format of logs gives: runs, each of one LLM on one task, over questions that are kept once."""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._checks import brief, check_llm_names, check_text, normal_text, shown
from .._errors import InputError, visible

NO_FILTER = "none"


class Metric(NamedTuple):
    """A way to score, and the filter that took the answer out of what the LLM said."""

    name: str
    filter: str = NO_FILTER

    def __str__(self) -> str:
        return self.name if self.filter == NO_FILTER else f"{self.name},{self.filter}"


@dataclass
class Grades:
    """The scores of one run by one metric: question (its number in `Questions`) and score in [0, 1] of each answer."""

    questions: array = field(default_factory=lambda: array("q"))
    scores: array = field(default_factory=lambda: array("d"))

    def by_question(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Question, mean score and number of its answers, one entry a question, `(n_questions,)` each."""
        questions, entry = np.unique(np.asarray(self.questions), return_inverse=True)
        counts = np.bincount(entry)
        return questions, np.bincount(entry, self.scores) / counts, counts

    def mean(self) -> float:
        """Mean over the questions of the means of their answers, as harnesses take it; NaN without any."""
        return float(self.by_question()[1].mean()) if self.scores else math.nan


USAGE = ("input_tokens", "output_tokens", "cost", "seconds")


@dataclass
class Run:
    """One LLM's answers to one task, as one file has them.

    Attributes:
        path (`str`): The file, for messages.
        harness (`str`): What wrote it.
        llm, task, benchmark (`str`): Who answered what; the benchmark is what the task's score is a part of.
        time (`str`): When, as ISO 8601 in UTC, so that it sorts; empty if the file does not say.
        aggregates (`dict[Metric, float]`): The harness's own means.
        primary (`Metric | None`): The metric that the harness itself names first.
        lower_is_better (`set[str]`): Names of metrics that are no grades for that reason.
        grades (`dict[Metric, Grades]`): The scores, by metric.
        not_grades (`dict[Metric, str]`): Metrics with values that grade no single answer, and the first such value.
        usage (`dict[str, Grades]`): Tokens, cost and seconds of the answers, as far as they are known (`USAGE`).
        not_scored (`Counter`): Why answers have no score, and how many. They are missing, not wrong.
        chosen (`str`): How the questions were chosen: "all", "first" (a limit) or "adaptive" (named one by one).
        notes (`list[str]`): What a reader should know.
    """

    path: str
    harness: str
    llm: str
    task: str
    benchmark: str
    time: str = ""
    aggregates: dict[Metric, float] = field(default_factory=dict)
    primary: Metric | None = None
    lower_is_better: set[str] = field(default_factory=set)
    grades: dict[Metric, Grades] = field(default_factory=dict)
    not_grades: dict[Metric, str] = field(default_factory=dict)
    usage: dict[str, Grades] = field(default_factory=dict)
    not_scored: Counter = field(default_factory=Counter)
    chosen: str = "all"
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.llm = normal_text(self.llm)
        check_llm_names(f"{self.path}: the LLM's name", [self.llm])
        for name in (self.task, self.benchmark):
            check_text(f"{self.path}: the task's name", name)
            if not name.isprintable():
                raise InputError(
                    f"{visible(self.path)}: the task's name is {name!a}, with a sign that does not print."
                )

    def add(self, question: int, metric: Metric, value: object) -> None:
        """A score of an answer, whatever it is: a grade, nothing, or what is no grade."""
        score = as_score(value)
        if score is None:
            self.not_scored[f"no {metric}"] += 1
        elif 0 <= score <= 1:
            _append(self.grades, metric, question, score)
        else:
            self.not_grades.setdefault(metric, shown(value, 40))

    def use(self, question: int, **amounts: object) -> None:
        """What an answer took, by the names of `USAGE`; what is not known is left out."""
        for name, amount in amounts.items():
            known = as_score(amount)
            if known is not None and known >= 0:
                _append(self.usage, name, question, known)


def _append(columns: dict, name: Metric | str, question: int, value: float) -> None:
    found = columns.get(name)
    if found is None:
        found = columns[name] = Grades()
    found.questions.append(question)
    found.scores.append(value)


def as_score(value: object) -> float | None:
    """The number of a score; None where there is none, NaN included; -1 for what is no number."""
    if value is None:
        return None
    if isinstance(value, (bool, int, float)):
        return None if value != value else float(value)
    return -1.0


@dataclass
class Questions:
    """The questions of all runs, each once: by its task and what the harness tells it apart by.

    Attributes:
        texts (`list[Mapping[str, str]]`): Texts that each may be known by, and where they are from, the best first.
        tasks, sources (`list[str]`): Task of each, and its id there, for the harness's own command line.
    """

    texts: list[Mapping[str, str]] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict, repr=False)

    def number(self, task: str, key: str, source: str, texts: Callable[[], Mapping[str, str]]) -> int:
        """Number of a question; the texts of a new one are asked for."""
        number = self._numbers.get((task, key))
        if number is None:
            number = self._numbers[task, key] = len(self.texts)
            self.texts.append(texts())
            self.tasks.append(task)
            self.sources.append(source)
        return number


@dataclass
class Runs:
    """All that was read.

    Attributes:
        runs (`list[Run]`), questions (`Questions`): What was answered.
        left_out (`list[tuple[str, str]]`): Files that hold no answers that can be used, and why.
    """

    runs: list[Run] = field(default_factory=list)
    questions: Questions = field(default_factory=Questions)
    left_out: list[tuple[str, str]] = field(default_factory=list)


# --- what several formats need ---


def utc(moment: object) -> str:
    """A time, as seconds or as a text of any ISO form, with - for : as in names of files; empty if it is none."""
    try:
        if isinstance(moment, (int, float)) and not isinstance(moment, bool):
            return datetime.fromtimestamp(moment, timezone.utc).isoformat()
        text = str(moment).replace("Z", "+00:00")
        date, _, time = text.partition("T")
        clock, sign, zone = time.partition("+")
        parts = clock.split("-")
        found = datetime.fromisoformat(f"{date}T{':'.join(parts[:3])}{sign}{zone.replace('-', ':')}")
    except (ValueError, OverflowError, OSError):
        return ""
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).astimezone(timezone.utc).isoformat()


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: If it is none, or too deep.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: no whole JSON ({brief(str(error), 100)}). Is it cut off? Fetch it again."
        ) from error


def json_lines(path: Path, runs: Runs) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON Lines; a last line that was cut off, as by a kill, is left out and noted.

    Raises:
        ValueError: If another line is no object.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                if not line.endswith(b"\n"):
                    runs.left_out.append((str(path), f"its last line, {number}, is cut off"))
                    return
                raise InputError(
                    f"{visible(str(path))}, line {number}: no JSON ({brief(str(error), 100)}). Remove the line, or "
                    "fetch the log again."
                ) from error
            if not isinstance(row, dict):
                raise InputError(f"{visible(str(path))}, line {number}: {shown(row)}, expected an object.")
            yield row
