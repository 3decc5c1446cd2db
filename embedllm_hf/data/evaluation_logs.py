"""Evaluation logs as responses: which score counts, which text a question has, which run wins.

`logs/` reads what harnesses write; here that becomes a long table of responses, and a report to look at before one
trains on it. What was not scored is missing, not wrong; names of LLMs are shown as they are, and never joined unasked.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .._checks import brief, check_text, normal_text, shorten
from .._errors import ExistingFile, InputError
from .._files import whole_directory
from .._tables import format_table
from ..logs.commands import source_of
from ..logs.formats import read_runs
from ..logs.records import USAGE, Grades, Metric, Run, Runs
from ..logs.texts import bare_texts
from .files import SPLIT_NAMES, split_files
from .log_answers import KnownQuestions, LogAnswers, answers_of
from .log_columns import table_reader
from .log_scores import Counted, check_metrics, metric_of, other_means, why_not
from .rows import name_of, read_rows
from .texts import text_id
from .upload import push_tables

_REPORT = "collected.json"
_FILES = {_REPORT, *(f"{name}.parquet" for name in SPLIT_NAMES)}
_SPLITS = (("test", 1), ("validation", 2), ("train", 10))  # of ten parts, told by the hash of a text


def check_may_hold_collection(folder: Path) -> None:
    """Refuse a folder whose tables are somebody's own, or a file.

    Raises:
        FileExistsError: With what is there.
    """
    if folder.is_file():
        raise ExistingFile(f"{folder} is a file, expected a folder. Choose another one.")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    tables = [table for split in SPLIT_NAMES for table in split_files(names, split)]
    if tables and _REPORT not in names:
        raise ExistingFile(
            f"{folder} holds tables that were not collected ({shorten(tables)}). Choose another folder."
        )


class EvaluationLogs:
    """Logs that were read: what they hold, and the responses that come of it. Made by `read_logs`.

    Attributes:
        runs (`list[Counted]`): The runs that count, the latest last.
        left_out (`list[tuple[str, str]]`): Files and tasks that give no responses, and why.
        questions (`Questions`): The questions, with the texts that each may be known by.
    """

    def __init__(
        self, runs: Runs, metrics: Mapping[str, Metric], names: Mapping[str, str], benchmarks: Mapping[str, str]
    ):
        self.questions, self.left_out = runs.questions, list(runs.left_out)
        self.runs: list[Counted] = []
        groups: dict[tuple[str, str], list[Run]] = {}
        for run in sorted(runs.runs, key=lambda run: run.time):
            run.llm = names.get(run.llm, run.llm)
            run.benchmark = benchmarks.get(run.task, run.benchmark)
            groups.setdefault((run.harness, run.task), []).append(run)
        _agree_on_benchmarks(runs.runs)
        for (harness, task), group in groups.items():
            metric = metric_of(task, group, metrics)
            if metric is None:
                self.left_out.append((f"{harness}: {task}", why_not(task, group)))
                continue
            for run in group:
                if metric in run.grades:
                    others = {other: grades.mean() for other, grades in run.grades.items() if other != metric}
                    self.runs.append(Counted(run, metric, run.grades[metric].mean(), others))
                else:
                    self.left_out.append((f"{run.path}: {run.llm}, {task}", f"no answer has the score {metric}"))
        self.runs.sort(key=lambda counted: counted.run.time)

    @cached_property
    def llm_names(self) -> list[str]:
        """The LLMs, in alphabetical order."""
        return sorted({counted.run.llm for counted in self.runs})

    @cached_property
    def bare_texts(self) -> list[list[tuple[str, str]]]:
        """Of each question, where its texts are from, and the texts, the best first."""
        return bare_texts(self.questions)

    @cached_property
    def _texts(self) -> tuple[list[str], np.ndarray]:
        """The distinct texts, and the number of its text for each question, -1 without one."""
        number_of: dict[str, int] = {}
        numbers = np.full(len(self.questions.texts), -1, np.int64)
        for question, candidates in enumerate(self.bare_texts):
            text = next((normal_text(text) for _, text in candidates if text.strip()), "")
            if text:
                check_text(f"{self.questions.tasks[question]}, question {self.questions.sources[question]}", text)
                numbers[question] = number_of.setdefault(text, len(number_of))
        return list(number_of), numbers

    def to_long(self) -> pa.Table:
        """A row a response, with the columns of the library's own layout, and `source`, tokens, cost and seconds.

        Of several runs of one LLM the latest answer to a question counts; what one run asked several times is one row
        with the mean, and `label_count` says of how many.
        """
        texts, text_of = self._texts
        llm_of = {name: index for index, name in enumerate(self.llm_names)}
        parts = []
        for rank, counted in enumerate(self.runs):
            questions, labels, counts = counted.run.grades[counted.metric].by_question()
            kept = text_of[questions] >= 0
            n = int(kept.sum())
            used = [_looked_up(counted.run.usage.get(name), questions)[kept] for name in USAGE]
            parts.append((np.full(n, llm_of[counted.run.llm]), text_of[questions][kept], np.full(n, rank),
                          questions[kept], labels[kept], counts[kept], *used))  # fmt: skip
        if not any(len(labels) for _, _, _, _, labels, *_ in parts):
            raise InputError(f"the logs give no responses: {_reasons(self.left_out)}.")
        llms, places, ranks, questions, labels, counts, *used = map(np.concatenate, zip(*parts, strict=True))
        order = np.lexsort((ranks, places, llms))
        last = np.append((np.diff(llms[order]) != 0) | (np.diff(places[order]) != 0), True)
        row = order[last]
        runs, ranks, questions = [counted.run for counted in self.runs], ranks[row], questions[row]
        columns: dict[str, Any] = {
            "prompt": pa.DictionaryArray.from_arrays(pa.array(places[row], pa.int32()), texts),
            "model_name": pa.DictionaryArray.from_arrays(pa.array(llms[row], pa.int32()), self.llm_names),
            "model_id": llms[row],
            "label": labels[row],
            "label_count": counts[row],
            "category": _encoded([run.task for run in runs], ranks),
            "benchmark": _encoded([run.benchmark for run in runs], ranks),
            "source": self._sources(ranks, questions),
        }
        for name, amounts in zip(USAGE, used, strict=True):
            if not np.isnan(amounts).all():
                columns[name] = pa.array(amounts[row], pa.float64(), from_pandas=True)
        return pa.table(columns)

    def _sources(self, ranks: np.ndarray, questions: np.ndarray) -> pa.DictionaryArray:
        """What each row's question is named by in its harness."""
        harnesses, harness_of = np.unique([counted.run.harness for counted in self.runs], return_inverse=True)
        n_questions = len(self.questions.texts)
        distinct, indices = np.unique(harness_of[ranks] * n_questions + questions, return_inverse=True)
        names = [
            source_of(str(harnesses[place]), self.questions.tasks[question], self.questions.sources[question])
            for place, question in (divmod(code, n_questions) for code in distinct.tolist())
        ]
        return _encoded(names, indices)

    def splits(self) -> dict[str, pa.Table]:
        """`to_long` by split: a tenth of the texts is for the test, one for validation, told by their hashes.

        So a question stays in its split whatever is collected beside it.
        """
        table = self.to_long()
        texts = table["prompt"].combine_chunks()
        part = np.array([text_id(text) % 10 for text in texts.dictionary.to_pylist()])[texts.indices.to_numpy()]
        found, begin = {}, 0
        for name, end in _SPLITS:
            inside = (begin <= part) & (part < end)
            if inside.any():
                found[name] = table.filter(pa.array(inside))
            begin = end
        return found

    def answers(self, known: KnownQuestions, llm: str | None = None) -> LogAnswers:
        """One LLM's answers, as `onboard` takes them, matched to the questions that a model knows.

        Of the texts that a question may be known by the one counts that hits most of a task's questions; a question
        that none of them hits goes by its best text.

        Args:
            known (`QuestionBank`): The questions of a model.
            llm (`str`, *optional*): Which LLM; needless where the logs are of one.

        Raises:
            ValueError: If the logs are of several LLMs and none is named, or not of that one.
        """
        if len(self.llm_names) == 1 and llm not in self.llm_names:
            llm = self.llm_names[0]
        if llm is None:
            raise InputError(f"the logs are of {shorten(self.llm_names) or 'no LLM'}. Name one of them with --llm.")
        if llm not in self.llm_names:
            raise InputError(f"the logs have no answers of {llm}, but of {shorten(self.llm_names)}.")
        runs = [counted for counted in self.runs if counted.run.llm == llm]  # the latest last, whose answers count
        return answers_of(llm, runs, self.questions.texts, self.bare_texts, known)

    def save(self, folder: str | Path) -> None:
        """Write the splits as Parquet, and the report as `collected.json`, into a folder that `load_splits` takes.

        An earlier collection in the folder is replaced, all at once; other files there stay.

        Raises:
            FileExistsError: If the folder holds tables of splits that are no collection.
        """
        folder = Path(folder)
        check_may_hold_collection(folder)
        with whole_directory(folder, owned=lambda _, name: name in _FILES) as partial:
            for name, table in self.splits().items():
                pq.write_table(table, partial / f"{name}.parquet")
            report = json.dumps(self.to_dict(), indent=2)
            (partial / _REPORT).write_text(f"{report}\n", encoding="utf-8")

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the splits, and no log; options and the commit's address are those of `data.upload.push_tables`."""
        return push_tables(self.splits(), repo_id, llm_names=self.llm_names, duplicates="mean", **options)

    # --- the report ---

    def to_dict(self) -> dict[str, Any]:
        """What was read, run by run, fit for JSON."""
        runs = [
            {
                "llm": counted.run.llm, "benchmark": counted.run.benchmark, "task": counted.run.task,
                "harness": counted.run.harness, "time": counted.run.time, "metric": str(counted.metric),
                "n": len(counted.run.grades[counted.metric].scores), "mean": counted.mean,
                "harness_mean": counted.run.aggregates.get(counted.metric),
                "others": {str(metric): mean for metric, mean in counted.others.items()},
                "not_scored": dict(counted.run.not_scored), "chosen": counted.run.chosen, "notes": counted.run.notes,
            }
            for counted in self.runs
        ]  # fmt: skip
        return {"runs": runs, "left_out": [list(one) for one in self.left_out], "questions": self.names_to_ask}

    @cached_property
    def names_to_ask(self) -> list[str]:
        """Names that may be one LLM: they end alike. They stay apart unless they are renamed."""
        alike: dict[str, list[str]] = {}
        for name in self.llm_names:
            alike.setdefault(re.split(r"[:/]", name.casefold())[-1], []).append(name)
        return [
            f"{' and '.join(f'`{brief(name)}`' for name in names)}: one LLM? If so, bring them together with --rename"
            for names in alike.values()
            if len(names) > 1
        ]

    def summary(self) -> str:
        """A table LLM x task, what the harness said itself, what was left out, and what to ask oneself."""
        head = ["LLM", "task", "harness", "metric", "answers", "mean", "harness's", "not scored"]
        rows = []
        for counted in self.runs:
            run, told = counted.run, counted.run.aggregates.get(counted.metric)
            missing = sum(run.not_scored.values())
            rows.append([run.llm, run.task, run.harness, str(counted.metric), len(run.grades[counted.metric].scores),
                         f"{counted.mean:.3f}", "-" if told is None else f"{told:.3f}", missing or ""])  # fmt: skip
        lines = [format_table(head, rows, left=4)] if rows else []
        return "\n".join([*lines, *self.remarks()])

    def remarks(self) -> Iterator[str]:
        """What a reader should know before training, a line each."""
        for counted in self.runs:
            run = counted.run
            if counted.differs:
                told = run.aggregates[counted.metric]
                what = f"{brief(run.llm)}, {run.task}: {run.harness} says {told:.3f}, its rows {counted.mean:.3f}"
                yield f"look here: {what}"
            for note in run.notes:
                yield f"{brief(run.llm)}, {run.task}: {note}"
        for harness, task, metric, others in other_means(self.runs):
            yield f"{task} ({harness}): {metric} counts; other scores: {others} (--metric '{task}=...')"
        first = sorted({counted.run.task for counted in self.runs if counted.run.chosen == "first"})
        if first:
            yield f"{shorten(first)}: only the first questions were asked, and intervals are those of a random draw"
        yield from self.names_to_ask
        for what, why in self.left_out:
            yield f"left out: {brief(what)}: {why}"


def read_logs(
    sources: str | Path | Iterable[str | Path],
    *,
    metrics: Mapping[str, str] | None = None,
    rename: str | Path | Mapping[str, str] | None = None,
    benchmarks: str | Path | Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> EvaluationLogs:
    """Read evaluation logs, of any mixture of harnesses.

    Args:
        sources: Files, folders with all that is below them, or ids of Hub data sets of details, one or several.
        metrics (`Mapping[str, str]`, *optional*): Which score counts, by task or a pattern of tasks: `{"gsm8k*":
            "exact_match,flexible-extract"}`. Default: what the log calls primary, else the first of those that say
            whether an answer is right; of several filters the one that is not strict about the form.
        rename (*optional*): Other names of LLMs, a mapping or a table with `name` and `new_name`; two may become one.
        benchmarks (*optional*): Which benchmark a task is a part of, as a mapping or a table with `task` and
            `benchmark`. Default: the harness's own group with a score of its own, else the task.
        columns (`Mapping[str, str]`, *optional*): For tables of any other form, which column is `prompt`, `label`,
            `model_name`, and `benchmark` and `prompt_id` if there are such: see `data.log_columns`.

    Raises:
        FileNotFoundError: If a source is not there.
        ValueError: If nothing of a source is a log, a file is damaged, or a metric is named that no run has.
    """
    several = [sources] if isinstance(sources, (str, Path)) else list(sources)
    runs = read_runs(several, reader=None if columns is None else table_reader(columns))
    wanted = {task: Metric(*(part.strip() for part in name.split(",", 1))) for task, name in (metrics or {}).items()}
    check_metrics(wanted, runs.runs)
    pairs = _pairs(rename, "name", "new_name"), _pairs(benchmarks, "task", "benchmark")
    return EvaluationLogs(runs, wanted, *pairs)


# --- parts ---


def _encoded(values: Sequence[str], indices: np.ndarray) -> pa.DictionaryArray:
    """A text column by the places of its values, of which some may be equal."""
    distinct = list(dict.fromkeys(values))
    code = {value: place for place, value in enumerate(distinct)}
    codes = np.array([code[value] for value in values])
    return pa.DictionaryArray.from_arrays(pa.array(codes[indices], pa.int32()), distinct)


def _agree_on_benchmarks(runs: Sequence[Run]) -> None:
    """Give a task one benchmark: the group that a harness told, also where another one has the task alone."""
    told = {run.task: run.benchmark for run in runs if run.benchmark != run.task}
    for run in runs:
        run.benchmark = told.get(run.task, run.benchmark)


def _looked_up(grades: Grades | None, questions: np.ndarray) -> np.ndarray:
    """The mean amount of some questions, NaN where there is none."""
    found = np.full(len(questions), np.nan)
    if grades is not None:
        known, amounts, _ = grades.by_question()
        place = np.minimum(np.searchsorted(known, questions), len(known) - 1)
        found = np.where(known[place] == questions, amounts[place], np.nan)
    return found


def _pairs(source: str | Path | Mapping[str, str] | None, key: str, value: str) -> dict[str, str]:
    """A mapping that is given, or stands in a table of two columns."""
    if source is None:
        return {}
    if isinstance(source, Mapping):
        return {normal_text(name): normal_text(new) for name, new in source.items()}
    found: dict[str, str] = {}
    for row in read_rows(source):
        missing = [name for name in (key, value) if row.cells.get(name) in (None, "")]
        if missing:
            raise InputError(f"{row.where}: `{missing[0]}` is missing, expected the columns `{key}` and `{value}`.")
        found[name_of(row, key)] = name_of(row, value)
    return found


def _reasons(left_out: Sequence[tuple[str, str]]) -> str:
    counts = Counter(why for _, why in left_out)
    return "; ".join(f"{brief(why)} ({n})" for why, n in counts.most_common(3)) or "they are empty"
