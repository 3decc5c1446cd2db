"""Which of the scores that a harness logged counts: the one that says whether an answer is right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from .._checks import shorten
from .._errors import InputError
from ..logs.records import NO_FILTER, Metric, Run

_GRADES = ("exact_match", "acc", "prompt_level_strict_acc", "pass@1", "em", "accuracy", "acc_norm")
_FILTERS = (NO_FILTER, "flexible-extract")
# How alike two texts are, how long or how probable: not whether an answer is right. Taken only if they are named.
_NO_GRADES = re.compile(r"rouge|bleu|chrf|(^|[^a-z])f1|perplexity|brier|mcc|bertscore|meteor|brevity|\bter\b", re.I)
_AS_GOOD_AS_EQUAL = 6e-4  # harnesses round to three digits


@dataclass(frozen=True)
class Counted:
    """A run and the score of it that counts.

    Attributes:
        run (`Run`): The run.
        metric (`Metric`): The score that counts.
        mean (`float`): Of the labels that come of it.
        others (`dict[Metric, float]`): Means by the other scores.
    """

    run: Run
    metric: Metric
    mean: float
    others: dict[Metric, float]

    @property
    def differs(self) -> bool:
        """Whether the harness has another mean than its labels have: something is misread."""
        told = self.run.aggregates.get(self.metric)
        return told is not None and not abs(told - self.mean) <= _AS_GOOD_AS_EQUAL


def metric_of(task: str, runs: Sequence[Run], wanted: Mapping[str, Metric]) -> Metric | None:
    """The score that counts in all runs of a task by one harness; None if none says whether an answer is right."""
    for pattern, metric in wanted.items():
        if fnmatchcase(task, pattern):
            return metric
    grades = [metric for run in runs for metric in run.grades]
    refused = {metric for run in runs for metric in run.not_grades}
    lower = {name for run in runs for name in run.lower_is_better}
    found = [
        metric
        for metric in dict.fromkeys(grades)
        if metric not in refused and metric.name not in lower and not _NO_GRADES.search(metric.name)
    ]
    primary = next((run.primary for run in runs if run.primary is not None), None)
    if primary is not None:
        return primary if primary in found else None
    named = [name for name in _GRADES if any(metric.name == name for metric in found)]
    name = named[0] if named else found[0].name if len({metric.name for metric in found}) == 1 else None
    of_name = [metric for metric in found if metric.name == name]
    liked = [metric for filter_ in _FILTERS for metric in of_name if metric.filter == filter_]
    return next(iter([*liked, *of_name]), None)


def why_not(task: str, runs: Sequence[Run]) -> str:
    """Why none of a task's scores counts."""
    scores = sorted({str(metric) for run in runs for metric in (*run.grades, *run.not_grades)})
    if not scores:
        return "no answer was scored"
    return f"{shorten(scores, 12)}: none says whether an answer is right. Name the one to take: --metric '{task}=...'"


def check_metrics(wanted: Mapping[str, Metric], runs: Sequence[Run]) -> None:
    """Refuse a score that no answer of the tasks has."""
    for pattern, metric in wanted.items():
        tasks = [run for run in runs if fnmatchcase(run.task, pattern)]
        if not any(metric in run.grades for run in tasks):
            there = {str(found) for run in tasks for found in run.grades}
            what = shorten(there, 12) if tasks else f"no such task; there is {shorten({run.task for run in runs}, 12)}"
            raise InputError(f"--metric '{pattern}={metric}': no answer has that score; found {what}.")


def other_means(runs: Sequence[Counted]) -> Iterator[tuple[str, str, Metric, str]]:
    """Of each task with several scores, what the others would have given, as the mean over its runs."""
    groups: dict[tuple[str, str, Metric], list[Counted]] = {}
    for counted in runs:
        groups.setdefault((counted.run.harness, counted.run.task, counted.metric), []).append(counted)
    for (harness, task, metric), group in groups.items():
        means: dict[Metric, list[float]] = {metric: [counted.mean for counted in group]}
        for counted in group:
            for other, mean in counted.others.items():
                means.setdefault(other, []).append(mean)
        if len(means) > 1:
            listed = [f"{other} {np.mean(values):.3f}" for other, values in means.items() if other != metric]
            yield harness, task, metric, f"{', '.join(listed)}, beside {np.mean(means[metric]):.3f}"
