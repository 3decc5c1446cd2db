"""Which questions to put to an LLM next, so that its score on a target is known soon.

A target is an LLM's score on one benchmark, or its mean on several or on all; or the difference of two LLMs', to
choose between them. The questions that can be asked are a sample of the benchmark's (`item_response.sampling`), so a
score stays uncertain when all of them have been answered, unless it is about them alone.

The adaptive choice takes, one after the other, the question whose answer is expected to reduce the target's variance
most (`item_response.posterior.next_probes`). The random and the stratified choice are there to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._checks import check_choice, check_count, check_names, check_number
from .._errors import InputError
from ..bank.item_parameters import STRATEGIES
from ..bank.question_bank import QuestionBank
from ..encoding.question_encoder import QuestionEncoder
from ..inference.base import Result
from ..item_response.posterior import fixed_order, interval, next_probes
from ..item_response.priors import benchmarks_of, item_parameters_of, place_abilities
from ..item_response.sampling import KnownScore, QuestionSample, Shift
from ..item_response.transfer import shift_variance
from ..modeling_embedllm import EmbedLLM
from .onboarding import Answers, PlacedAnswers, find_answers

ADAPTIVE = "adaptive"


@dataclass(frozen=True)
class Lead(Result):
    """How far the LLM that is asked is ahead of another one on the target.

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
class Probes(Result):
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

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, with the widths; `lead` only where there is one."""
        fields = {**super().to_dict(), "width": self.width}
        lead = fields.pop("lead")
        if self.lead is None:
            return fields
        return {**fields, "lead": {**lead, "width": self.lead.width, "decided": self.lead.decided}}


def probe(
    model: EmbedLLM,
    llm: str | None = None,
    answers: Answers | None = None,
    *,
    n: int = 1,
    benchmark: str | Sequence[str] | None = None,
    against: str | None = None,
    against_answers: Answers | None = None,
    known_only: bool = False,
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
        known_only (`bool`): The target is the score on the questions that the model knows, and on no others; its
            interval has width 0 when all of them have been answered.
        strategy (`str`): `"adaptive"`, `"random"` or `"stratified"` (evenly over difficulty).
        seed (`int`): Of the random and the stratified choice.
        encoder (`QuestionEncoder`, *optional*): For answers to texts that the model does not know.

    Raises:
        KeyError: If a benchmark or a question id is unknown, or `against` is and comes without answers.
        ValueError: If `n` is not positive, the strategy is unknown, an LLM is compared with itself, or the answers are
            not usable.
    """
    n, seed = check_count("n", n), check_count("seed", seed, least=0)
    check_choice("strategy", strategy, STRATEGIES)
    if llm is not None:
        check_names("llm", [llm])
    name = "" if llm is None else llm
    answers_by_llm = {name: answers or {}, **_rival_answers(model, llm, against, against_answers)}
    bank, found = find_answers(model, answers_by_llm, encoder)
    target = Target.of(bank, benchmark, known_only=known_only)
    asked = _Standing.of(target, found[name], strategy)
    chosen, covariance = _choose(asked, n, seed)
    now, then = asked.score(), asked.score_after(chosen, covariance)
    low, high = target.sample.interval(now)
    lead = None
    if against is not None:
        if against in bank.llm_names:
            strategy = STRATEGIES[item_parameters_of(bank).strategies[bank.llm_names.index(against)]]
        lead = _lead(against, target.sample, now, then, _Standing.of(target, found[against], strategy).score())
    rows, names = target.rows[chosen], list(bank.benchmarks)
    return Probes(
        tuple(bank.question_ids[rows].tolist()),
        tuple(names[number] for number in bank.benchmark_of_question[rows]),
        accuracy=float(target.sample.means([now])[0]),
        low=low,
        high=high,
        expected_width=float(np.diff(target.sample.interval(then))[0]),
        n_answers=len(found[name].rows),
        n_left=int(np.isnan(asked.responses).sum()),
        lead=lead,
    )


def ask_until(
    model: EmbedLLM,
    ask: Callable[[int], float | None],
    answers: Mapping[str | int, float] | None = None,
    *,
    until_width: float | None = None,
    max_questions: int | None = None,
    **options: Any,
) -> dict[str | int, float]:
    """Ask an LLM one question after the other, each chosen after the last answer, until the target is known.

    Compared with another LLM (`against`), it ends when the interval of the difference does not hold 0.

    Args:
        model (`EmbedLLM`): A trained model with its bank.
        ask (`Callable[[int], float]`): Called with a `prompt_id`; returns the graded answer in [0, 1], or None to end.
        answers (`Mapping`, *optional*): Those that are there already, so that an interrupted run goes on.
        until_width (`float`, *optional*): Stop once the 90% interval, of the score or the difference, is narrower.
            That of a benchmark may never be, few questions of which are known: then all are asked.
        max_questions (`int`, *optional*): Stop after this many questions.
        options: `llm`, `benchmark`, `against`, `against_answers`, `known_only`, `strategy`, `seed`, `encoder`, as for
            `probe`.

    Returns:
        `dict`: All answers, ready for `onboard` with the same `strategy`.

    Raises:
        ValueError: If there is neither a width, nor a number, nor another LLM.
    """
    if until_width is None and max_questions is None and options.get("against") is None:
        raise InputError("neither `until_width` nor `max_questions` is given, so there is no end. Give one.")
    if until_width is not None:
        check_number("until_width", until_width, 0)
    if max_questions is not None:
        max_questions = check_count("max_questions", max_questions, least=0)
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

    Between two LLMs it is the interval of their difference, and a lead that is decided ends it too.
    """
    width = plan.width if plan.lead is None else plan.lead.width
    decided = plan.lead is not None and plan.lead.decided
    return decided or (until_width is not None and width < until_width)


@dataclass(frozen=True)
class Target:
    """The questions of a score: benchmarks count alike in it, and questions alike in each.

    Attributes:
        bank (`QuestionBank`): With item parameters.
        benchmarks (`tuple[str, ...]`): Their names.
        rows (`np.ndarray` of shape `(n,)`): The questions' rows.
        sample (`QuestionSample`): The questions, with the weight of each, as a sample of the benchmarks.
        questions (`tuple`): Their intercepts `(n,)` and discriminations `(n, n_traits)`.
    """

    bank: QuestionBank
    benchmarks: tuple[str, ...]
    rows: np.ndarray
    sample: QuestionSample
    questions: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, bank: QuestionBank, benchmark: str | Sequence[str] | None, *, known_only: bool = False) -> Target:
        """The target of some benchmarks by name, or of all; see `probe`.

        Raises:
            KeyError: If a benchmark is unknown.
            ValueError: If there is none.
        """
        if isinstance(benchmark, str):
            benchmark = [benchmark]
        names = tuple(bank.benchmarks if benchmark is None else check_names("benchmark", benchmark))
        if not names:
            raise InputError("`benchmark` is empty, expected at least one, or None for all.")
        weights = np.zeros(len(bank))
        for name in names:
            rows = bank.benchmark_rows(name)
            weights[rows] += 1 / (len(rows) * len(names))
        rows = np.flatnonzero(weights)
        sample = QuestionSample(weights[rows], bank.category_indices[rows], 0.0 if known_only else 1.0)
        return cls(bank, names, rows, sample, item_parameters_of(bank).questions(rows))

    def shifts(self, answered: np.ndarray) -> list[Shift]:
        """Where in the target each benchmark is, and its `shift_variance` for an LLM that has `answered` some rows."""
        return [
            (np.isin(self.rows, self.bank.benchmark_rows(name)), shift_variance(self.bank, name, answered))
            for name in self.benchmarks
        ]


@dataclass(frozen=True)
class _Standing:
    """What is known of an LLM's score on a target.

    Its ability with its covariance; its `responses` to the target `(n,)`, NaN where there is none; the rows of all
    questions, of the target or not, that it has `answered`; how they were chosen.
    """

    target: Target
    ability: np.ndarray
    covariance: np.ndarray
    responses: np.ndarray
    answered: np.ndarray
    strategy: str

    @classmethod
    def of(cls, target: Target, placed: PlacedAnswers, strategy: str) -> _Standing:
        benchmarks = benchmarks_of(target.bank, target.rows)
        posterior = place_abilities(target.bank, [placed.rows], [placed.responses], benchmarks)
        responses = np.full(len(target.bank), np.nan)
        responses[placed.rows] = placed.responses
        known = posterior.mean[0], posterior.covariance[0]
        return cls(target, *known, responses[target.rows], placed.rows, strategy)

    def score(self) -> KnownScore:
        """What is known of it now."""
        return self._score(self.responses, self.covariance, self.answered)

    def score_after(self, chosen: np.ndarray, covariance: np.ndarray) -> KnownScore:
        """What is expected to be known of it once some `chosen` questions are answered.

        `covariance` is then the ability's. Those answers are taken as forecast: their own chance is no more one of
        this LLM, but still one of the questions.
        """
        responses, now = self.responses.copy(), self.score()
        responses[chosen] = 0.5
        then = self._score(responses, covariance, np.concatenate([self.answered, self.target.rows[chosen]]))
        return replace(then, values=now.values, chance=now.chance)

    def _score(self, responses: np.ndarray, covariance: np.ndarray, answered: np.ndarray) -> KnownScore:
        target = self.target
        factor = item_parameters_of(target.bank).interval_factor(self.strategy, len(answered))
        ability, shifts = (self.ability, covariance), target.shifts(answered)
        return KnownScore.by_ability(target.questions, responses, ability, factor, shifts, target.sample.weights)


def _lead(against: str, sample: QuestionSample, now: KnownScore, then: KnownScore, theirs: KnownScore) -> Lead:
    """How far an LLM, by what is known of it now and will be then, is ahead of another one."""
    sign, means = np.array([1.0, -1.0]), sample.means([now, theirs])
    difference = float(sign @ means)
    (low, high), later = (
        interval(difference, float(sign @ sample.covariance([score, theirs]) @ sign), lowest=-1.0)
        for score in (now, then)
    )
    return Lead(against, difference, low, high, later[1] - later[0])


def _choose(asked: _Standing, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the next questions in the target, and the ability's covariance expected after them.

    Answers of one LLM say nothing of the other's ability, so what reduces the variance of the difference of two scores
    is what reduces that of the asked LLM's score.

    A choice that does not look at answers has one order, whatever has been answered: it goes on after an interruption.
    """
    target, allowed = asked.target, np.isnan(asked.responses)
    if asked.strategy != ADAPTIVE:
        generator, (intercepts, discriminations) = np.random.default_rng(seed), target.questions
        logits = intercepts + discriminations @ item_parameters_of(target.bank).prior_mean
        order = fixed_order(asked.strategy, logits, generator)
        chosen = order[allowed[order]][:n]
        allowed = np.isin(np.arange(len(allowed)), chosen)
    probes, covariance = next_probes(
        *target.questions, target.sample.weights, allowed, asked.ability, asked.covariance, n
    )
    return probes if asked.strategy == ADAPTIVE else chosen, covariance


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
