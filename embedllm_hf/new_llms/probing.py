"""Which questions to put to an LLM next, so that its score on a target is known soon.

The adaptive choice takes, one after the other, the question whose answer is expected to reduce the variance of the
target most (`item_response.posterior.next_probes`). The random and the stratified choice are there to compare with, by
the same function. A target is a mean over questions: one benchmark, several that count alike, or all of them; or the
difference of two LLMs' means, to choose between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from .._checks import check_choice
from .._errors import InputError
from ..bank.item_parameters import STRATEGIES
from ..bank.question_bank import QuestionBank
from ..encoding.question_encoder import QuestionEncoder
from ..item_response.posterior import interval, next_probes, score_moments, stratified_order
from ..item_response.priors import benchmarks_of, place_abilities
from ..item_response.transfer import transfer_variance
from ..modeling_embedllm import EmbedLLM
from .onboarding import Answers, PlacedAnswers, find_answers

ADAPTIVE = "adaptive"


@dataclass(frozen=True)
class Lead:
    """By how much the LLM that is asked is ahead of another one on the target.

    Attributes:
        against (`str`): The other LLM.
        difference, low, high (`float`): The LLM's score minus the other one's, in [-1, 1], with its 90% interval.
        expected_width (`float`): The interval's width that is expected once the chosen questions are answered.
    """

    against: str
    difference: float
    low: float
    high: float
    expected_width: float

    @property
    def width(self) -> float:
        """Width of the interval now."""
        return self.high - self.low

    @property
    def decided(self) -> bool:
        """Whether the interval leaves no doubt which of the two is better: it does not hold 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Probes:
    """The next questions, with what is known before them and expected after.

    Attributes:
        question_ids (`tuple[int, ...]`): Their `prompt_id`, in the order to ask; fewer if no more are left.
        benchmarks (`tuple[str, ...]`): The benchmark of each.
        accuracy, low, high (`float`): The LLM's score on the target as it is known now, with its 90% interval.
        expected_width (`float`): The interval's width that is expected once these questions are answered.
        n_answers (`int`): Answers that the LLM has already.
        n_left (`int`): Questions of the target that it has not answered.
        lead (`Lead`, *optional*): How it stands against another LLM, if the choice is between the two.
    """

    question_ids: tuple[int, ...]
    benchmarks: tuple[str, ...]
    accuracy: float
    low: float
    high: float
    expected_width: float
    n_answers: int
    n_left: int
    lead: Lead | None = None

    @property
    def width(self) -> float:
        """Width of the interval now."""
        return self.high - self.low

    def to_dict(self) -> dict[str, object]:
        """The fields by name."""
        fields = {**asdict(self), "width": self.width}
        if self.lead is None:
            del fields["lead"]
        else:
            fields["lead"] |= {"width": self.lead.width, "decided": self.lead.decided}
        return fields


def probe(
    model: EmbedLLM,
    llm: str | None = None,
    answers: Answers | None = None,
    *,
    n: int = 1,
    benchmark: str | Sequence[str] | None = None,
    against: str | None = None,
    against_answers: Answers | None = None,
    strategy: str = ADAPTIVE,
    seed: int = 0,
    encoder: QuestionEncoder | None = None,
) -> Probes:
    """Choose the next questions for an LLM, none of them one that it has answered.

    Args:
        model (`EmbedLLM`): A trained model with its bank.
        llm (`str`, *optional*): Name of the LLM; of one of the pool, the answers that the model keeps count.
        answers (`Mapping[str | int, float]`, *optional*): Its answers so far, as for `onboard`.
        n (`int`): How many.
        benchmark (`str` or `Sequence[str]`, *optional*): The target: a benchmark or category, or several that count
            alike. Default: all benchmarks.
        against (`str`, *optional*): Another LLM. The target is then the difference of the two scores: which of them
            is better, and by how much. What is not known of the other one counts too; exchange the two to ask it.
        against_answers (`Mapping[str | int, float]`, *optional*): The other LLM's answers so far; needed if it is not
            one of the pool.
        strategy (`str`): `"adaptive"`, `"random"` or `"stratified"` (evenly over difficulty).
        seed (`int`): Of the random and the stratified choice.
        encoder (`QuestionEncoder`, *optional*): For answers to texts that the model does not know.

    Raises:
        KeyError: If a benchmark or a question id is unknown, or `against` is and comes without answers.
        ValueError: If `n` is not positive, the strategy is unknown, an LLM is compared with itself, or the answers are
            not usable.
    """
    if n < 1:
        raise InputError(f"`n` is {n}, expected 1 or more.")
    check_choice("strategy", strategy, STRATEGIES)
    name = "" if llm is None else llm
    answers_by_llm = {name: answers or {}, **_rival_answers(model, llm, against, against_answers)}
    bank, found = find_answers(model, answers_by_llm, encoder)
    target = _Target.of(bank, benchmark)
    asked = _Standing.of(target, found[name], strategy)
    chosen, covariance = _choose(target, asked, n, seed)
    variance, later = asked.variance(), asked.variance(chosen, covariance)
    low, high = interval(asked.mean, variance)
    expected = interval(asked.mean, later)
    lead = None
    if against is not None:
        rival = _Standing.of(target, found[against], _strategy_of(bank, against, strategy))
        lead = _lead(against, asked.mean - rival.mean, variance + rival.variance(), later + rival.variance())
    rows = target.rows[chosen]
    return Probes(
        question_ids=tuple(bank.question_ids[rows].tolist()),
        benchmarks=tuple(_benchmark_names(bank, rows)),
        accuracy=asked.mean,
        low=low,
        high=high,
        expected_width=expected[1] - expected[0],
        n_answers=len(found[name].rows),
        n_left=int(np.isnan(asked.responses).sum()),
        lead=lead,
    )


def ask_until(
    model: EmbedLLM,
    ask: Callable[[int], float],
    answers: Mapping[str | int, float] | None = None,
    *,
    until_width: float | None = None,
    max_questions: int | None = None,
    **options: object,
) -> dict[str | int, float]:
    """Ask an LLM one question after the other, each chosen after the last answer, until the target is known.

    Compared with another LLM (`against`), it ends when the interval of the difference does not hold 0.

    Args:
        model (`EmbedLLM`): A trained model with its bank.
        ask (`Callable[[int], float]`): Called with a `prompt_id`; returns the graded answer in [0, 1], or None to end.
        answers (`Mapping`, *optional*): Those that are there already, so that an interrupted run goes on.
        until_width (`float`, *optional*): Stop once the 90% interval, of the score or the difference, is narrower.
        max_questions (`int`, *optional*): Stop after this many questions.
        options: `llm`, `benchmark`, `against`, `against_answers`, `strategy`, `seed`, `encoder`, as for `probe`.

    Returns:
        `dict`: All answers, ready for `onboard(..., strategy="adaptive")`.

    Raises:
        ValueError: If there is neither a width, nor a number, nor another LLM.
    """
    if until_width is None and max_questions is None and options.get("against") is None:
        raise InputError("neither `until_width` nor `max_questions` is given, so there is no end. Give one.")
    answers = dict(answers or {})
    n_asked = 0
    while max_questions is None or n_asked < max_questions:
        plan = probe(model, answers=answers, n=1, **options)
        if not plan.question_ids or is_known(plan, until_width):
            break
        answer = ask(plan.question_ids[0])
        if answer is None:
            break
        answers[plan.question_ids[0]] = answer
        n_asked += 1
    return answers


def is_known(plan: Probes, until_width: float | None = None) -> bool:
    """The stop rule: whether the interval is narrower than `until_width`, in [0, 1]; never without one.

    Where the choice is between two LLMs, the interval is that of their difference, and it also ends when it is clear
    which of them is better.
    """
    asked_for = plan if plan.lead is None else plan.lead
    decided = plan.lead is not None and plan.lead.decided
    return decided or (until_width is not None and asked_for.width < until_width)


def target_of(bank: QuestionBank, benchmark: str | Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a target's questions and the weight of each in its score; benchmarks count alike, questions in them too.

    Raises:
        KeyError: If a benchmark is unknown.
        ValueError: If there is none.
    """
    names = _names(bank, benchmark)
    weights = np.zeros(len(bank))
    for name in names:
        rows = bank.benchmark_rows(name)
        weights[rows] += 1 / (len(rows) * len(names))
    rows = np.flatnonzero(weights)
    return rows, weights[rows]


def _names(bank: QuestionBank, benchmark: str | Sequence[str] | None) -> tuple[str, ...]:
    """The benchmarks of a target by name."""
    names = bank.benchmarks if benchmark is None else [benchmark] if isinstance(benchmark, str) else benchmark
    if not len(names):
        raise InputError("`benchmark` is empty, expected at least one, or None for all.")
    return tuple(names)


@dataclass(frozen=True)
class _Target:
    """A target's questions: their `rows`, the `weights` of each, intercepts and discriminations, all `(n, ...)`."""

    bank: QuestionBank
    names: tuple[str, ...]
    rows: np.ndarray
    weights: np.ndarray
    questions: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, bank: QuestionBank, benchmark: str | Sequence[str] | None) -> _Target:
        rows, weights = target_of(bank, benchmark)
        item = bank.item_parameters
        questions = item.intercepts[rows].astype(np.float64), item.discriminations[rows].astype(np.float64)
        return cls(bank, _names(bank, benchmark), rows, weights, questions)

    def transfer_variance(self, answered: np.ndarray) -> float:
        """Variance of the score since an LLM that has `answered` some rows has none of some of its benchmarks."""
        total = 0.0
        for name in self.names if len(answered) else ():
            rows = self.bank.benchmark_rows(name)
            if not np.isin(answered, rows).any():
                total += transfer_variance(self.bank, rows)
        return total / len(self.names) ** 2


@dataclass(frozen=True)
class _Standing:
    """What is known of an LLM's score on a target: its ability, its `responses` to it `(n,)`, NaN where there is none,
    and the rows of all questions, of the target or not, that it has `answered`.
    """  # noqa: D205 - one sentence

    target: _Target
    ability: np.ndarray
    covariance: np.ndarray
    responses: np.ndarray
    answered: np.ndarray
    strategy: str

    @classmethod
    def of(cls, target: _Target, placed: PlacedAnswers, strategy: str) -> _Standing:
        benchmarks = benchmarks_of(target.bank, target.rows)
        posterior = place_abilities(target.bank, [placed.rows], [placed.responses], benchmarks)
        responses = np.full(len(target.bank), np.nan)
        responses[placed.rows] = placed.responses
        ability, covariance = posterior.mean[0], posterior.covariance[0]
        return cls(target, ability, covariance, responses[target.rows], placed.rows, strategy)

    @property
    def mean(self) -> float:
        """The score, as it is expected."""
        arrays = (*self.target.questions, self.target.weights, self.responses)
        return score_moments(*arrays, self.ability, self.covariance)[0]

    def variance(self, chosen: Sequence[int] = (), covariance: np.ndarray | None = None) -> float:
        """The score's variance, calibrated; or the one expected once some `chosen` questions are answered.

        `covariance` is then the ability's. Those answers are taken as forecast, so their own chance falls away.
        """
        responses = self.responses.copy()
        responses[list(chosen)] = 0.5
        covariance = self.covariance if covariance is None else covariance
        arrays = (*self.target.questions, self.target.weights, responses)
        answered = np.concatenate([self.answered, self.target.rows[list(chosen)]])
        factor = self.target.bank.item_parameters.interval_factor(self.strategy, len(answered))
        own = score_moments(*arrays, self.ability, covariance)[1]
        return factor**2 * own + self.target.transfer_variance(answered)


def _choose(target: _Target, asked: _Standing, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the next questions in the target, and the ability's covariance expected after them.

    Answers of one LLM say nothing of the other's ability, so what reduces the variance of the difference of two scores
    is what reduces that of the asked LLM's score.
    """
    allowed = np.isnan(asked.responses)
    known = (asked.ability, asked.covariance)
    if asked.strategy == ADAPTIVE:
        return next_probes(*target.questions, target.weights, allowed, *known, n)
    chosen = _order(asked.strategy, target, allowed, seed)[:n]
    only = np.isin(np.arange(len(allowed)), chosen)
    return chosen, next_probes(*target.questions, target.weights, only, *known, len(chosen))[1]


def _lead(against: str, difference: float, variance: float, variance_later: float) -> Lead:
    """The lead over another LLM, from the variance of the difference now and after the chosen questions."""
    low, high = interval(difference, variance, lowest=-1.0)
    later = interval(difference, variance_later, lowest=-1.0)
    return Lead(against, difference, low, high, expected_width=later[1] - later[0])


def _rival_answers(
    model: EmbedLLM, llm: str | None, against: str | None, against_answers: Answers | None
) -> dict[str, Answers]:
    """The other LLM's answers by its name; nothing if there is no other."""
    if against is None:
        if against_answers is not None:
            raise InputError("`against_answers` is given without `against`. Name the LLM that they are of.")
        return {}
    if against == llm:
        raise InputError(f"`{llm}` is to be compared with itself. Name another LLM as `against`.")
    if not against_answers:
        model.llm_index(against)  # a KeyError with the closest names
    return {against: against_answers or {}}


def _strategy_of(bank: QuestionBank, llm: str, default: str) -> str:
    """How the questions of an LLM were chosen; by default if it is not one of the pool."""
    if llm not in bank.llm_names:
        return default
    return STRATEGIES[bank.item_parameters.strategies[bank.llm_names.index(llm)]]


def _order(strategy: str, target: _Target, allowed: np.ndarray, seed: int) -> np.ndarray:
    """The target's questions in the order of a choice that does not look at answers, without those not allowed.

    It is the same whatever has been answered, so going on after an interruption continues the same order.
    """
    generator = np.random.default_rng(seed)
    if strategy == "random":
        order = generator.permutation(len(allowed))
    else:
        intercepts, discriminations = target.questions
        order = stratified_order(intercepts + discriminations @ target.bank.item_parameters.prior_mean, generator)
    return order[allowed[order]]


def _benchmark_names(bank: QuestionBank, rows: np.ndarray) -> list[str]:
    """The benchmark of each question."""
    names = list(bank.benchmarks)
    return [names[number] for number in bank.benchmark_of_question[rows]]
