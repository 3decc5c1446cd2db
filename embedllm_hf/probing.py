"""Which questions to put to an LLM next, so that its score on a target is known soon.

The adaptive choice takes, one after the other, the question whose answer is expected to reduce the variance of the
target most (`item_response.posterior.next_probes`). The random and the stratified choice are there to compare with, by
the same function. A target is a mean over questions: one benchmark, several that count alike, or all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ._checks import check_choice
from .data.item_response import STRATEGIES, ItemResponse
from .data.known_questions import KnownQuestions
from .item_response.posterior import interval, next_probes, score_moments, stratified_order
from .modeling_embedllm import EmbedLLM
from .onboarding import Answers, find_answers, place_abilities
from .question_encoder import QuestionEncoder

ADAPTIVE = "adaptive"


@dataclass(frozen=True)
class Probes:
    """The next questions, with what is known before them and expected after.

    Attributes:
        question_ids (`tuple[int, ...]`): Their `prompt_id`, in the order to ask; fewer if no more are left.
        benchmarks (`tuple[str, ...]`): The benchmark of each.
        accuracy, low, high (`float`): The target's score as it is known now, with its 90% interval.
        expected_width (`float`): The interval's width that is expected once these questions are answered.
        n_answers (`int`): Answers that the LLM has already.
        n_left (`int`): Questions of the target that it has not answered.
    """

    question_ids: tuple[int, ...]
    benchmarks: tuple[str, ...]
    accuracy: float
    low: float
    high: float
    expected_width: float
    n_answers: int
    n_left: int

    @property
    def width(self) -> float:
        """Width of the interval now."""
        return self.high - self.low

    def to_dict(self) -> dict[str, object]:
        """The fields by name."""
        return {**asdict(self), "width": self.width}


def probe(
    model: EmbedLLM,
    llm: str | None = None,
    answers: Answers | None = None,
    *,
    n: int = 1,
    benchmark: str | Sequence[str] | None = None,
    strategy: str = ADAPTIVE,
    seed: int = 0,
    encoder: QuestionEncoder | None = None,
) -> Probes:
    """Choose the next questions for an LLM, none of them one that it has answered.

    Args:
        model (`EmbedLLM`): A trained model with its item-response model.
        llm (`str`, *optional*): Name of the LLM; of one of the pool, the answers that the model keeps count.
        answers (`Mapping[str | int, float]`, *optional*): Its answers so far, as for `onboard`.
        n (`int`): How many.
        benchmark (`str` or `Sequence[str]`, *optional*): The target: a benchmark or category, or several that count
            alike. Default: all benchmarks.
        strategy (`str`): `"adaptive"`, `"random"` or `"stratified"` (evenly over difficulty).
        seed (`int`): Of the random and the stratified choice.
        encoder (`QuestionEncoder`, *optional*): For answers to texts that the model does not know.

    Raises:
        KeyError: If a benchmark or a question id is unknown.
        ValueError: If `n` is not positive, the strategy is unknown, or the answers are not usable.
    """
    if n < 1:
        raise ValueError(f"`n` is {n}, expected 1 or more.")
    check_choice("strategy", strategy, STRATEGIES)
    name = "" if llm is None else llm
    model, found = find_answers(model, {name: answers or {}}, encoder)
    known, item_response, placed = model.known_questions, model.item_response, found[name]
    rows, weights = target_of(known, benchmark)
    posterior = place_abilities(item_response, [placed.rows], [placed.responses])
    ability, covariance = posterior.mean[0], posterior.covariance[0]
    responses = np.full(len(known), np.nan)
    responses[placed.rows] = placed.responses
    responses = responses[rows]
    questions = _questions(item_response, rows)
    mean, variance = score_moments(*questions, weights, responses, ability, covariance)
    n_answers, allowed = len(placed.rows), np.isnan(responses)
    if strategy == ADAPTIVE:
        chosen, expected = next_probes(*questions, weights, allowed, ability, covariance, n)
    else:
        order = _order(strategy, questions, item_response, allowed, seed)
        chosen = order[:n]
        only = np.isin(np.arange(len(rows)), chosen)
        expected = next_probes(*questions, weights, only, ability, covariance, len(chosen))[1]
    # The answers that will come are taken as the forecast says, so their own chance falls away.
    after = responses.copy()
    after[chosen] = 0.5
    low, high = interval(mean, variance, item_response.interval_factor(strategy, n_answers))
    expected_variance = score_moments(*questions, weights, after, ability, expected)[1]
    later = interval(mean, expected_variance, item_response.interval_factor(strategy, n_answers + len(chosen)))
    return Probes(
        question_ids=tuple(known.question_ids[rows[chosen]].tolist()),
        benchmarks=tuple(_benchmark_names(known, rows[chosen])),
        accuracy=mean,
        low=low,
        high=high,
        expected_width=later[1] - later[0],
        n_answers=n_answers,
        n_left=int(allowed.sum()),
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
    """Ask an LLM one question after the other, each chosen after the last answer, until its score is known.

    Args:
        model (`EmbedLLM`): A trained model with its item-response model.
        ask (`Callable[[int], float]`): Called with a `prompt_id`; returns the graded answer in [0, 1], or None to end.
        answers (`Mapping`, *optional*): Those that are there already, so that an interrupted run goes on.
        until_width (`float`, *optional*): Stop once the 90% interval is narrower.
        max_questions (`int`, *optional*): Stop after this many questions.
        options: `llm`, `benchmark`, `strategy`, `seed`, `encoder`, as for `probe`.

    Returns:
        `dict`: All answers, ready for `onboard(..., strategy="adaptive")`.

    Raises:
        ValueError: If neither a width nor a number is given.
    """
    if until_width is None and max_questions is None:
        raise ValueError("neither `until_width` nor `max_questions` is given, so there is no end. Give one.")
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


def is_known(plan: Probes, until_width: float | None) -> bool:
    """The stop rule: whether the interval is narrower than `until_width`, in [0, 1]; never without one."""
    return until_width is not None and plan.width < until_width


def target_of(known: KnownQuestions, benchmark: str | Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a target's questions and the weight of each in its score; benchmarks count alike, questions in them too.

    Raises:
        KeyError: If a benchmark is unknown.
        ValueError: If there is none.
    """
    names = list(known.benchmarks) if benchmark is None else [benchmark] if isinstance(benchmark, str) else benchmark
    if not len(names):
        raise ValueError("`benchmark` is empty, expected at least one, or None for all.")
    weights = np.zeros(len(known))
    for name in names:
        rows = known.benchmark_rows(name)
        weights[rows] += 1 / (len(rows) * len(names))
    rows = np.flatnonzero(weights)
    return rows, weights[rows]


def _questions(item_response: ItemResponse, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intercepts and discriminations of some questions, in float64."""
    return item_response.intercepts[rows].astype(np.float64), item_response.discriminations[rows].astype(np.float64)


def _order(
    strategy: str,
    questions: tuple[np.ndarray, np.ndarray],
    item_response: ItemResponse,
    allowed: np.ndarray,
    seed: int,
) -> np.ndarray:
    """The target's questions in the order of a choice that does not look at answers, without those not allowed.

    It is the same whatever has been answered, so going on after an interruption continues the same order.
    """
    generator = np.random.default_rng(seed)
    if strategy == "random":
        order = generator.permutation(len(allowed))
    else:
        order = stratified_order(questions[0] + questions[1] @ item_response.prior_mean, generator)
    return order[allowed[order]]


def _benchmark_names(known: KnownQuestions, rows: np.ndarray) -> list[str]:
    """The benchmark of each question."""
    of_category = {category: name for name, members in known.benchmarks.items() for category in members}
    return [of_category[known.categories[index]] for index in known.category_indices[rows]]
