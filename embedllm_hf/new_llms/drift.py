"""Is the LLM behind a name still the one that the pool measured?

Its fresh answers are compared with those that the bank recorded, question by question. If it is the same LLM, a fresh
answer to a question is expected to be right as often as the recorded one was, so their difference is 0 on average,
however hard the question is and however often its answers repeat. Whether that holds is tested by betting
(`metrics.betting`): no model of the LLM is needed, the result may be looked at after each answer, and the chance of a
false alarm stays below the level asked for.

What the test cannot know: another grader, prompt or way of sampling than the recorded answers had is a change, too;
and questions that were picked for how the recorded answer came out (all that were right, say) show a change where
there is none. Another LLM with the same scores is not seen. Answers to texts without a recorded one are counted, and
not tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._checks import brief, check_number
from .._errors import InputError, visible
from ..bank.question_bank import QuestionBank
from ..inference.base import Result, bank_of
from ..metrics.betting import log_wealth, mean_interval
from ..modeling_embedllm import EmbedLLM
from .onboarding import Answers, answers_kept, check_answers, join_answers

_LARGEST_LOG = 700.0  # an e-value beyond exp of it is not told from it, so that it stays a number


@dataclass(frozen=True)
class BenchmarkDrift(Result):
    """What has become of an LLM on one benchmark.

    Attributes:
        benchmark (`str`): Its name.
        n_compared (`int`): Fresh answers to its questions that have a recorded one.
        change (`float`): Mean of the fresh answers minus that of the recorded ones, in [-1, 1].
        e_value, largest_e_value (`float`): After the last answer; after the answer where it was largest.
        moved (`bool`): Whether the largest one reached the number of the LLM's benchmarks divided by the level. The
            chance that any benchmark is named that has not moved is at most the level (Bonferroni, Ville).
    """

    benchmark: str
    n_compared: int
    change: float
    e_value: float
    largest_e_value: float
    moved: bool


@dataclass(frozen=True)
class DriftReport(Result):
    """Whether an LLM has changed, as far as its fresh answers tell.

    Attributes:
        llm (`str`): Its name.
        level (`float`): Chance of a false alarm, at most, however often one looks.
        verdict (`str`): `"worse"` or `"better"` as it was at the alarm, or `"no sign of change"`.
        alarm_after (`int | None`): How many compared answers it took; None without an alarm.
        e_value, largest_e_value (`float`): The evidence against "the same LLM" after the last answer, and where it
            was largest; an alarm is `1 / level`. An alarm stays, also where the evidence has become less since.
        n_answers, n_compared (`int`): Fresh answers; those that have a recorded one, which the test is about.
        n_different (`int`): Those of the compared ones whose grade is another.
        change, low, high (`float`): Mean of the fresh answers minus that of the recorded ones, with an interval that
            misses with a chance of `level` at most, however often one looks. It is of questions drawn at random; of
            others it says how much these have moved.
        n_benchmarks (`int`): Benchmarks that the LLM has recorded answers to.
        benchmarks (`tuple[BenchmarkDrift, ...]`): Those that fresh answers are of.
    """

    llm: str
    level: float
    verdict: str
    alarm_after: int | None
    e_value: float
    largest_e_value: float
    n_answers: int
    n_compared: int
    n_different: int
    change: float
    low: float
    high: float
    n_benchmarks: int
    benchmarks: tuple[BenchmarkDrift, ...]

    @property
    def changed(self) -> bool:
        """Whether there was an alarm."""
        return self.alarm_after is not None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, with `changed`."""
        return {**super().to_dict(), "changed": self.changed}

    def __str__(self) -> str:
        evidence = f"largest e-value {self.largest_e_value:,.3g}, an alarm is {1 / self.level:,.3g}"
        after = f" after {self.alarm_after:,} answers" if self.changed else ""
        share = f"{100 * (1 - self.level):g}%"
        moved = [f"{brief(one.benchmark)} ({100 * one.change:+.1f} points)" for one in self.benchmarks if one.moved]
        return "\n".join(
            [
                f"{visible(self.llm)}: {self.verdict}{after} ({evidence})",
                f"change {100 * self.change:+.1f} points, {share} interval [{100 * self.low:+.1f}, "
                f"{100 * self.high:+.1f}], whenever one looks",
                f"compared {self.n_compared:,} of {self.n_answers:,} answers, those with a recorded one; "
                f"{self.n_different:,} came out differently",
                f"moved, of {self.n_benchmarks} benchmarks: {', '.join(moved) or 'none for certain'}",
            ]
        )


def drift(model: EmbedLLM, name: str, answers: Answers, *, level: float = 0.05) -> DriftReport:
    """Test whether an LLM of the pool has changed since its answers were recorded.

    Args:
        model (`EmbedLLM`): A trained model with its bank.
        name (`str`): The LLM.
        answers (`Mapping[str | int, float]`): Its fresh answers, all that there are, in the order in which they came:
            a grade in [0, 1] by `prompt_id` or text. Of several to one question keep the first, whatever it was.
            Which questions to put to it must not depend on its recorded answers to them; `drift_probes` chooses so.
        level (`float`): Chance of a false alarm, at most, in (0, 1).

    Raises:
        KeyError: If the pool has no such LLM, or an id is not one of the model's questions.
        ValueError: If no answer can be compared with a recorded one, a grade is not in [0, 1], two answers to one
            question contradict each other, or the level is not in (0, 1).

    Example:
        >>> model = EmbedLLM.from_pretrained("runs/quickstart/model")
        >>> name = "meta-llama/Meta-Llama-3.1-70B-Instruct"
        >>> asked = drift_probes(model, name, n=30).question_ids
        >>> report = drift(model, name, dict.fromkeys(asked, 0))  # it has forgotten everything
        >>> report.verdict
        'worse'
    """
    level = check_number("level", level)
    if not 0 < level < 1:
        raise InputError(f"`level` is {level:g}, expected a chance of false alarms in (0, 1), 0.05 say.")
    bank, recorded = recorded_answers(model, name)
    fresh = fresh_answers(bank, name, answers)
    compared = [row for row in fresh if row in recorded]
    if not compared:
        raise InputError(
            f"none of the {len(answers)} answers of `{name}` is to a question that it has a recorded answer to. Ask "
            "it questions that `embedllm probe --for_drift` lists."
        )
    rows = np.array(compared)
    differences = np.array([fresh[row] - recorded[row] for row in compared])
    path, alarms = _evidence(differences, level)
    alarm_after = int(alarms[0]) + 1 if len(alarms) else None
    direction = "worse" if differences[:alarm_after].sum() < 0 else "better"
    low, high = mean_interval(differences, level)
    benchmark_of = bank.benchmark_of_question
    taken = np.setdiff1d(benchmark_of[list(recorded)], [-1])
    return DriftReport(
        llm=name,
        level=level,
        verdict="no sign of change" if alarm_after is None else direction,
        alarm_after=alarm_after,
        e_value=_e_value(path[-1]),
        largest_e_value=_e_value(path.max()),
        n_answers=len(answers),
        n_compared=len(compared),
        n_different=int(np.count_nonzero(differences)),
        change=float(differences.mean()),
        low=low,
        high=high,
        n_benchmarks=len(taken),
        benchmarks=tuple(
            _of_benchmark(benchmark, differences[benchmark_of[rows] == number], level / len(taken))
            for number, benchmark in enumerate(bank.benchmarks)
            if number in benchmark_of[rows]
        ),
    )


def recorded_answers(model: EmbedLLM, name: str) -> tuple[QuestionBank, dict[int, float]]:
    """A model's bank, and the answers by row that it has recorded of an LLM of the pool.

    Raises:
        KeyError: If the pool has no such LLM.
        ValueError: If it has no recorded answers.
    """
    bank = bank_of(model)
    model.llm_index(name)  # a KeyError with the closest names
    recorded = answers_kept(bank, name)
    if not recorded:
        raise InputError(
            f"`{name}` has no recorded answers that fresh ones could be compared with. Record some: `refine(model, "
            "name, answers)`, or `embedllm onboard --refine`."
        )
    return bank, recorded


def fresh_answers(bank: QuestionBank, name: str, answers: Answers) -> dict[int, float]:
    """Answers by row, in their order, without those to texts that the bank does not know.

    Raises:
        KeyError, ValueError: As for `drift`.
    """
    check_answers(name, answers)
    row_of = dict(zip(answers, bank.find(list(answers)).tolist(), strict=True))
    by_row: dict[int, float] = {}
    join_answers(name, {key: grade for key, grade in answers.items() if row_of[key] >= 0}, row_of, by_row)
    return by_row


def _evidence(differences: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the e-value after each difference, and the positions where it is an alarm."""
    path = log_wealth(differences)
    return path, np.flatnonzero(path >= -np.log(level))


def _of_benchmark(benchmark: str, differences: np.ndarray, level: float) -> BenchmarkDrift:
    path, alarms = _evidence(differences, level)
    values = _e_value(path[-1]), _e_value(path.max())
    return BenchmarkDrift(benchmark, len(differences), float(differences.mean()), *values, bool(len(alarms)))


def _e_value(logarithm: float) -> float:
    return float(np.exp(min(logarithm, _LARGEST_LOG)))
