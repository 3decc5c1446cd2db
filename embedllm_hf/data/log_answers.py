"""One LLM's answers out of evaluation logs, matched to the questions that a model knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from .._checks import brief
from .log_scores import Counted

Candidates = Sequence[Sequence[tuple[str, str]]]


class KnownQuestions(Protocol):
    """What is asked of a question bank: `rows_of_texts` gives a text's row, -1 where it is not known."""

    @property
    def question_ids(self) -> np.ndarray:  # noqa: D102
        ...

    def rows_of_texts(self, questions: Sequence[str]) -> np.ndarray:  # noqa: D102
        ...


@dataclass
class LogAnswers:
    """One LLM's answers out of logs.

    Attributes:
        llm (`str`): Its name there.
        answers (`dict[int | str, float]`): Mean grade by `prompt_id` of a known question, else by the text.
        is_adaptive (`bool`): Whether questions were named one by one, as `probe` does, and not drawn.
        report (`list[str]`): A line a task: how many answers, how many of known questions and by which text.
    """

    llm: str
    answers: dict[int | str, float] = field(default_factory=dict)
    is_adaptive: bool = False
    report: list[str] = field(default_factory=list)


def answers_of(
    llm: str, runs: Sequence[Counted], as_logged: Sequence[Mapping[str, str]], bare: Candidates, known: KnownQuestions
) -> LogAnswers:
    """The answers of an LLM's runs, see `EvaluationLogs.answers`; those of a later run replace an earlier one's.

    `as_logged` and `bare` have the texts of each question, as they stood in the log and without labels.
    """
    found = LogAnswers(llm)
    for counted in runs:
        questions, labels, _ = counted.run.grades[counted.metric].by_question()
        candidates = {
            question: list(_candidates(as_logged[question], bare[question])) for question in questions.tolist()
        }
        hits = _hits(candidates, known)
        n_known: Counter[str] = Counter()
        for question, label in zip(questions.tolist(), labels.tolist(), strict=True):
            by = next((name for name in hits if question in hits[name]), None)
            if by is not None:
                found.answers[int(known.question_ids[hits[by][question]])] = label
                n_known[by] += 1
            elif candidates[question]:
                found.answers[candidates[question][0][1]] = label
        found.is_adaptive |= counted.run.chosen == "adaptive"
        found.report += _report(counted, n_known, next((texts[0][1] for texts in candidates.values() if texts), ""))
    return found


def _candidates(as_logged: Mapping[str, str], bare: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The texts that a question may be known by, each also as it stood in the log."""
    for name, text in bare:
        if text:
            yield name, text
        if as_logged[name].strip() and as_logged[name] != text:
            yield f"{name}, whole", as_logged[name]


def _hits(candidates: Mapping[int, Sequence[tuple[str, str]]], known: KnownQuestions) -> dict[str, dict[int, int]]:
    """The known question that each kind of text hits, by question; the kind with most hits first."""
    flat = [(question, name, text) for question, texts in candidates.items() for name, text in texts]
    hits: dict[str, dict[int, int]] = {}
    for (question, name, _), row in zip(flat, known.rows_of_texts([text for *_, text in flat]).tolist(), strict=True):
        if row >= 0:
            hits.setdefault(name, {})[question] = row
    return dict(sorted(hits.items(), key=lambda item: -len(item[1])))


def _report(counted: Counted, n_known: Counter[str], example: str) -> Iterator[str]:
    """How many answers a run has, of how many known questions, and a warning where these are few."""
    run, told, total = counted.run, counted.run.aggregates.get(counted.metric), sum(n_known.values())
    n_answers = len(set(run.grades[counted.metric].questions))
    by = ", ".join(f"{n} by `{name}`" for name, n in n_known.most_common())
    means = f"{counted.metric}: {counted.mean:.3f}" + ("" if told is None else f", {told:.3f} as the harness has it")
    named = f"{brief(run.task)}: {n_answers:,} answers, {total:,} of known questions"
    yield f"{named}{f' ({by})' if by else ''}; {means}"
    if 2 * total < n_answers:
        yield (
            f"{brief(run.task)}: most of its questions are not known to the model, and those count for less. One is "
            f"{brief(example, 80)!r}: is it in the model's pool with other words around it?"
        )
