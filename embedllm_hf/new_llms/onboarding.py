"""Places a new LLM from a few graded answers; everything else stays as it is.

The new LLM gets two things. Its vector and bias in the network are a logistic regression on the question vectors
`(v_q, 1)`, with a normal prior whose mean and covariance are the pool's (empirical Bayes). Its ability in the
item-response model comes in the same way from fewer, sharper numbers, with a covariance: the intervals come from it.
Both are maxima of strictly concave functions, found by Newton's method, so they are unique and the same to the bit.
The answers are kept, so that more of them can follow (`refine`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._checks import check_choice, check_llm_names, normal_text, plain_number, shown
from .._errors import InputError, InputTypeError
from ..bank.item_parameters import DEFAULT_STRATEGY, STRATEGIES
from ..bank.question_bank import QuestionBank, question_id_of
from ..data.texts import question_keys
from ..encoding.question_encoder import QuestionEncoder
from ..inference.base import EncodedModel, bank_of
from ..item_response.pool import NetworkView
from ..item_response.priors import benchmarks_of, item_parameters_of, place_abilities, place_by_prior
from ..modeling_embedllm import EmbedLLM

logger = logging.getLogger(__name__)

Answers = Mapping[str | int, float]


def onboard(
    model: EmbedLLM,
    name: str,
    answers: Answers,
    *,
    encoder: QuestionEncoder | None = None,
    strategy: str = DEFAULT_STRATEGY,
) -> EmbedLLM:
    """A new model with one LLM more, placed by its answers; no other LLM's vector or ability changes by a bit.

    Args:
        model (`EmbedLLM`): A trained model with its bank; it stays as it is.
        name (`str`): The new LLM's name.
        answers (`Mapping[str | int, float]`): Grade in [0, 1] of each question that it was asked: by `prompt_id` if
            the model knows the question, a number or its text, or by the question's text. Without any, the LLM stands
            where the pool's middle is, with a wide interval, and a warning is logged.
        encoder (`QuestionEncoder`, *optional*): For texts that the model does not know. Default: the model's.
        strategy (`str`): How the questions were chosen: `"random"`, `"stratified"` or `"adaptive"` (by `probe`). The
            intervals are calibrated for each of the three.

    Raises:
        ValueError: If the pool has an LLM of that name (see `refine`), an answer is not in [0, 1], two answers to one
            question contradict each other, or the model lacks what is needed (the message says how to add it).
        KeyError: If an id is not one of the model's questions.

    Example:
        >>> model = EmbedLLM.from_pretrained("runs/quickstart/model")
        >>> grown = onboard(model, "new/llm", {2080: 1, 3079: 0, "What is 17 * 23?": 1})
        >>> grown.config.llm_names[-1]
        'new/llm'
    """
    return onboard_many(model, {name: answers}, encoder=encoder, strategy=strategy)


def onboard_many(
    model: EmbedLLM,
    answers_by_llm: Mapping[str, Answers],
    *,
    encoder: QuestionEncoder | None = None,
    strategy: str = DEFAULT_STRATEGY,
) -> EmbedLLM:
    """Place several LLMs at once; takes a mapping from name to answers, else as `onboard`.

    Each is placed on its own: the others that come with it do not matter to it.
    """
    if not isinstance(answers_by_llm, Mapping) or not answers_by_llm:
        raise InputTypeError(
            f"`answers_by_llm` is {shown(answers_by_llm)}, expected answers by LLM: {{name: answers}}."
        )
    check_llm_names("`name`", list(answers_by_llm))
    for name in answers_by_llm:
        if name in model.config.llm_names:
            raise InputError(
                f"the pool has an LLM `{name}` already. Choose another name, or add answers to it with `refine`."
            )
    check_choice("strategy", strategy, STRATEGIES)
    return _place(model, answers_by_llm, encoder=encoder, strategy=strategy)


def refine(
    model: EmbedLLM,
    name: str,
    more_answers: Answers,
    *,
    encoder: QuestionEncoder | None = None,
    strategy: str | None = None,
) -> EmbedLLM:
    """A new model in which an LLM that was onboarded has more answers; the result is as if all had come at once.

    Args:
        model, more_answers, encoder: As for `onboard`; an answer that the model has already may be repeated.
        name (`str`): An LLM of the pool. One that the network was trained on is placed anew from its answers.
        strategy (`str`, *optional*): Default: the one that the LLM was placed with.

    Raises:
        KeyError: If the pool has no such LLM, or an id is not one of the model's questions.
        ValueError: As for `onboard`; also if an answer contradicts one that the model has.
    """
    llm_index = model.llm_index(name)
    if strategy is None:
        strategy = STRATEGIES[item_parameters_of(bank_of(model)).strategies[llm_index]]
    check_choice("strategy", strategy, STRATEGIES)
    return _place(model, {name: more_answers}, encoder=encoder, strategy=strategy)


@dataclass(frozen=True)
class PlacedAnswers:
    """Answers by `rows` of a model's known questions, `responses`, both `(k,)`, in the order of the texts' keys."""

    rows: np.ndarray
    responses: np.ndarray

    @classmethod
    def of(cls, by_row: Mapping[int, float], keys: np.ndarray) -> PlacedAnswers:
        """Sort by key: which rows the questions have, and so when they came, does not matter to the last bit."""
        rows = np.fromiter(by_row, int, len(by_row))
        responses = np.fromiter(by_row.values(), float, len(by_row))
        order = np.argsort(keys[rows], kind="stable")
        return cls(rows[order], responses[order])


def find_answers(
    model: EmbedLLM, answers_by_llm: Mapping[str, Answers], encoder: QuestionEncoder | None = None
) -> tuple[QuestionBank, dict[str, PlacedAnswers]]:
    """Find the questions of some answers in a model's bank, and join those texts that it does not know.

    Answers that the bank has of an LLM come first; they and the new ones must agree.

    Returns:
        `tuple[QuestionBank, dict[str, PlacedAnswers]]`: The bank, or one that knows the new texts too; the answers.

    Raises:
        KeyError, ValueError: As for `onboard`.
    """
    bank = bank_of(model)
    item_parameters_of(bank)  # refused without them
    for name, answers in answers_by_llm.items():
        check_answers(name, answers)
    questions = list(dict.fromkeys(key for answers in answers_by_llm.values() for key in answers))
    unknown = [question for question, row in zip(questions, bank.find(questions), strict=True) if row < 0]
    if unknown:
        new = list({normal_text(str(text)): str(text) for text in unknown}.values())
        encoder = EncodedModel(model, encoder).encoder
        embeds = encoder.encode(new)
        _warn_of_cut_texts(encoder, new)
        bank = bank.with_texts(question_keys(new), embeds)
    row_of = dict(zip(questions, bank.find(questions).tolist(), strict=True))
    found = {}
    for name, answers in answers_by_llm.items():
        by_row = answers_kept(bank, name)
        join_answers(name, answers, row_of, by_row)
        found[name] = PlacedAnswers.of(by_row, bank.keys)
    return bank, found


def join_answers(name: str, answers: Answers, row_of: Mapping[str | int, int], by_row: dict[int, float]) -> None:
    """Add answers to those by row that there are, in their order; `row_of` has the questions' rows in a bank.

    Raises:
        ValueError: If two answers to one question contradict each other.
    """
    for key, value in answers.items():
        grade = float(np.float32(_grade(value)))
        if by_row.setdefault(row_of[key], grade) != grade:
            raise InputError(
                f"answers of `{name}` to the question {shown(key)} contradict each other: {by_row[row_of[key]]:g} "
                f"and {grade:g}. Keep one."
            )


def _place(
    model: EmbedLLM, answers_by_llm: Mapping[str, Answers], *, encoder: QuestionEncoder | None, strategy: str
) -> EmbedLLM:
    """Find the answers of LLMs, new ones or some of the pool, and place these by them."""
    bank, found = find_answers(model, answers_by_llm, encoder)
    bank = bank.of_pool(
        [*bank.llm_names, *(name for name in found if name not in bank.llm_names)], range(len(bank.llm_names))
    )
    llm_indices = [bank.llm_names.index(name) for name in found]
    bank = _with_new_responses(bank, llm_indices, list(found.values()))
    return place_by_answers(model, bank, found, [strategy] * len(found))


def place_by_answers(
    model: EmbedLLM, bank: QuestionBank, found: Mapping[str, PlacedAnswers], strategies: Sequence[str]
) -> EmbedLLM:
    """A new model in which some LLMs have the vector and ability that follow from all their answers.

    Args:
        bank (`QuestionBank`): With the answers, of the model's pool and the LLMs that are new, at its end.
        found (`Mapping[str, PlacedAnswers]`): All answers of each LLM by its name.
        strategies (`Sequence[str]`): How the questions of each were chosen.
    """
    for name, placed in found.items():
        if not len(placed.rows):
            logger.warning("`%s` has no answers: it is placed in the pool's middle, with a wide interval.", name)
    names, answers = list(found), list(found.values())
    rows, responses = [given.rows for given in answers], [given.responses for given in answers]
    vectors = _place_vectors(model, bank, rows, responses)
    abilities = place_abilities(bank, rows, responses)
    grown = model.with_llm_vectors(names, vectors[:, :-1], vectors[:, -1])
    llm_indices = [grown.llm_index(name) for name in names]
    item = item_parameters_of(bank).with_llms(llm_indices, abilities.mean, abilities.covariance, strategies)
    grown._set_bank(replace(bank, item_parameters=item))
    return grown


def _place_vectors(
    model: EmbedLLM, bank: QuestionBank, rows: list[np.ndarray], responses: list[np.ndarray]
) -> np.ndarray:
    """Vectors and biases `(n_llms, embed_dim + 1)` in the network; a bias is 0 where the model has none."""
    network, item = NetworkView.of(model), item_parameters_of(bank)
    asked, places = np.unique(np.concatenate([np.zeros(0, int), *rows]), return_inverse=True)
    features = np.column_stack([np.ones(len(asked)), bank.question_embeds[asked].astype(np.float64)])
    question_vectors = np.column_stack([features @ network.vector_map, np.ones(len(asked))])
    intercepts = features @ network.base_map + item.residuals[asked]
    local = np.split(places, np.cumsum([len(mine) for mine in rows])[:-1])
    n_used = question_vectors.shape[1] - (model.llm_bias is None)

    def prior_of(benchmarks: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        mean, covariance = item.new_llm_vector_prior(benchmarks)
        return mean[:n_used], covariance[:n_used, :n_used]

    taken = [benchmarks_of(bank, mine) for mine in rows]
    vectors = np.zeros((len(rows), question_vectors.shape[1]))
    questions = intercepts, question_vectors[:, :n_used]
    vectors[:, :n_used] = place_by_prior(questions, local, responses, taken, prior_of).mean
    return vectors


def _with_new_responses(bank: QuestionBank, llm_indices: list[int], answers: list[PlacedAnswers]) -> QuestionBank:
    """Add the answers that are not kept yet."""
    llms = np.repeat(llm_indices, [len(given.rows) for given in answers])
    rows = np.concatenate([given.rows for given in answers])
    values = np.concatenate([given.responses for given in answers])
    new = np.ones(len(rows), bool)
    for llm_index in np.array(llm_indices)[np.isin(llm_indices, bank.responses.indices)]:
        mine = llms == llm_index
        new[mine] = np.isnan(bank.responses_of(llm_index)[rows[mine]])
    return bank.with_responses(rows[new], llms[new], values[new])


def answers_kept(bank: QuestionBank, name: str) -> dict[int, float]:
    """The answers of an LLM that a bank keeps, by row; none if it is new."""
    if name not in bank.llm_names:
        return {}
    responses = bank.responses_of(bank.llm_names.index(name))
    answered = np.flatnonzero(~np.isnan(responses))
    return dict(zip(answered.tolist(), responses[answered].tolist(), strict=True))


def check_answers(name: str, answers: Answers) -> None:
    """Refuse grades outside [0, 1], and keys that are neither a text nor an id.

    Raises:
        TypeError, ValueError: The message names the LLM and the answer.
    """
    if not isinstance(answers, Mapping):
        raise InputTypeError(
            f"answers of `{name}`: {shown(answers)} is no mapping, expected {{question: grade}}. Of two columns make "
            "one by `dict(zip(questions, grades))`."
        )
    for key, value in answers.items():
        question_id_of(key)
        grade = _grade(value)
        if grade is None or not 0 <= grade <= 1:
            found = f"the answer to {shown(key)} is {shown(value)}"
            raise InputError(f"answers of `{name}`: {found}, expected a grade in [0, 1], 1 for right.")


def _grade(value: object) -> float | None:
    """A grade as a number; right and wrong are grades too. None for what is none."""
    return float(value) if isinstance(value, bool | np.bool_) else plain_number(value)


def _warn_of_cut_texts(encoder: QuestionEncoder, texts: Sequence[str]) -> None:
    """Warn of texts that are longer than the encoder reads."""
    cut = encoder.cut_texts(texts)
    if cut:
        logger.warning(
            "%d of %d texts are longer than the encoder `%s` reads; it sees their beginning only, of %r for instance.",
            len(cut),
            len(texts),
            encoder.name,
            texts[cut[0]][:60],
        )
