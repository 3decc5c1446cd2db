"""Adds LLMs, questions and answers to a trained model, several at once, without training it again.

What was trained stays: the network, and vector and ability of each LLM that it was trained with. Questions that the
bank does not know join it with difficulties fitted to their answers, LLMs that it does not know are placed by theirs
(`onboarding`). Whether training again would pay is told by rules of thumb (`model_cards/growing.md`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from .._checks import shown
from .._errors import InputError, InputTypeError
from ..bank.growing import Joined, new_questions, rows_of_questions, with_answers, with_questions
from ..bank.item_parameters import STRATEGIES
from ..bank.question_bank import QuestionBank
from ..data.responses import ResponseMatrix
from ..data.sparse import entry_rows
from ..encoding.encoded_responses import EncodedResponses, encode_responses
from ..encoding.question_encoder import QuestionEncoder
from ..inference.base import EncodedModel, bank_of
from ..item_response.joining import refit_questions
from ..item_response.priors import item_parameters_of
from ..metrics import log_loss
from ..modeling_embedllm import EmbedLLM
from ..predictors import blocks
from .onboarding import PlacedAnswers, place_by_answers

logger = logging.getLogger(__name__)

# Chosen by `model_cards/growing.md`.
EXCESS_THAT_PAYS = 0.05  # of the log loss on new questions over that on validation
SHARE_THAT_PAYS = 0.5  # of the responses, added since training
_QUESTIONS_AT_ONCE = 1024


@dataclass(frozen=True)
class Addition:
    """A model that has grown, and what became of the responses.

    Attributes:
        model (`EmbedLLM`): With the new LLMs, questions and answers.
        new_llms (`tuple[str, ...]`): LLMs that the model did not have; with those of `placed_again` they were placed.
        placed_again (`tuple[str, ...]`): LLMs that were placed after training, or trained without answers, and
            have more answers now.
        n_known_questions, n_new_questions (`int`): Questions that the bank had, and those that joined it.
        n_validation_questions (`int`): Questions of the validation split: their answers join that, and place nobody.
        unanswering (`tuple[str, ...]`): New LLMs without an answer; they are left out.
        n_answers (`int`): Answers that joined.
        n_repeated (`int`): Answers that the model had already.
        n_contradictions (`int`): Answers that differ from one that the model had; that one stays.
        log_loss_before (`float`): Of the model's forecasts of the trained LLMs' answers to the new questions, made
            before these joined; NaN without such answers.
        log_loss_validation (`float`): The same on the validation split; NaN without one.
    """

    model: EmbedLLM
    new_llms: tuple[str, ...]
    placed_again: tuple[str, ...]
    n_known_questions: int
    n_new_questions: int
    n_validation_questions: int
    unanswering: tuple[str, ...]
    n_answers: int
    n_repeated: int
    n_contradictions: int
    log_loss_before: float
    log_loss_validation: float

    @property
    def share_added(self) -> float:
        """Share of the model's responses that were added since its training, now and before."""
        bank = bank_of(self.model)
        n_trained = bank.responses.nnz if bank.trained_on is None else bank.trained_on[1]
        return max(0.0, 1 - n_trained / bank.responses.nnz)

    @property
    def retraining_pays(self) -> bool:
        """Whether the new questions are so unlike the trained ones, or so much was added, that training again pays."""
        is_unlike = self.log_loss_before - self.log_loss_validation > EXCESS_THAT_PAYS
        return bool(is_unlike or self.share_added > SHARE_THAT_PAYS)

    @property
    def retraining(self) -> str:
        """The verdict on training again, with its reasons, as `embedllm add` prints it."""
        seen = f"{self.share_added:.0%} of the responses came after training (it pays beyond {SHARE_THAT_PAYS:.0%})"
        if not np.isnan(self.log_loss_before - self.log_loss_validation):
            seen += (
                f"; the new questions were forecast with log loss {self.log_loss_before:.4f}, validation with "
                f"{self.log_loss_validation:.4f} (it pays beyond {EXCESS_THAT_PAYS:g} more)"
            )
        return f"{'yes' if self.retraining_pays else 'not yet'}, {seen}"


def add(
    model: EmbedLLM, responses: ResponseMatrix | EncodedResponses, *, encoder: QuestionEncoder | None = None
) -> Addition:
    """Add LLMs, questions and answers to a model; vectors of LLMs that it was trained with do not change by a bit.

    Args:
        model (`EmbedLLM`): A trained model with its bank; it stays as it is.
        responses (`ResponseMatrix` or `EncodedResponses`): Who answered which question correctly; LLMs and questions
            may be known or new. An answer that the model has already may be repeated; where it has another one, that
            one stays, and a warning counts these.
        encoder (`QuestionEncoder`, *optional*): For texts that the model does not know. Default: the model's.

    Raises:
        ValueError: If there are no responses, a category is of another benchmark than in the model, or the model
            lacks what is needed (the message says how to add it).

    Example:
        >>> model = EmbedLLM.from_pretrained("runs/quickstart/model")
        >>> add(model, load_splits("open-llm-responses").validation).n_contradictions
        0
    """
    bank, matrix = bank_of(model), _checked(responses)
    item_parameters_of(bank)  # refused without them
    told, ours, of_validation = _parts(bank, matrix)
    new = new_questions(bank, ours)
    encoded = _encoded(model, responses, ours.select(new), encoder)
    losses = _losses(model, encoded)
    pool = [*bank.llm_names, *(name for name in told.llm_names if name not in bank.llm_names)]
    llms = [pool.index(name) for name in told.llm_names]
    grown = with_questions(bank.of_pool(pool, range(len(bank.llm_names))), ours, encoded.question_embeds)
    joined = with_answers(grown, ours, rows_of_questions(grown, ours), llms)
    parts = [joined]
    if of_validation.n_questions:
        assert grown.validation is not None
        rows = rows_of_questions(grown.validation, of_validation)
        parts.append(with_answers(grown.validation, of_validation, rows, llms))
        joined = joined._replace(bank=replace(joined.bank, validation=parts[1].bank))
    placed = _to_place(bank, joined)
    _warn_of_contradictions(parts)
    return Addition(
        model=_fitted(model, joined, placed),
        new_llms=tuple(pool[len(bank.llm_names) :]),
        placed_again=tuple(pool[index] for index in placed if index < len(bank.llm_names)),
        n_known_questions=ours.n_questions - len(new),
        n_new_questions=len(new),
        n_validation_questions=of_validation.n_questions,
        unanswering=tuple(name for name in matrix.llm_names if name not in pool),
        n_answers=sum(part.n_new for part in parts),
        n_repeated=sum(part.n_repeated for part in parts),
        n_contradictions=sum(part.n_contradictions for part in parts),
        log_loss_before=losses[0],
        log_loss_validation=losses[1],
    )


def _checked(responses: ResponseMatrix | EncodedResponses) -> ResponseMatrix:
    """The responses, refused if they are none."""
    matrix = responses.responses if isinstance(responses, EncodedResponses) else responses
    if not isinstance(matrix, ResponseMatrix):
        raise InputTypeError(f"`responses` is {shown(responses)}, expected a `ResponseMatrix`: `load_responses(...)`.")
    if not matrix.n_observed:
        raise InputError("`responses` holds no responses. Give a table with a row a response.")
    return matrix


def _parts(bank: QuestionBank, matrix: ResponseMatrix) -> tuple[ResponseMatrix, ResponseMatrix, ResponseMatrix]:
    """The questions and LLMs that have responses; of these the bank's questions and new ones; and those of validation.

    A question that the bank and its validation know is the bank's.
    """
    llms = [matrix.llm_names[index] for index in np.unique(matrix.llm_indices)]
    told = matrix.select(np.diff(matrix.indptr) > 0, llms=llms)
    theirs = np.zeros(told.n_questions, bool)
    if bank.validation is not None:
        theirs = (rows_of_questions(bank.validation, told) >= 0) & (rows_of_questions(bank, told) < 0)
    return told, told.select(~theirs), told.select(theirs)


def _encoded(
    model: EmbedLLM, responses: ResponseMatrix | EncodedResponses, new: ResponseMatrix, encoder: QuestionEncoder | None
) -> EncodedResponses:
    """The new questions with their text vectors; the encoder is not asked if there are none."""
    if not new.n_questions:
        return EncodedResponses(new, np.zeros((0, model.config.text_dim), np.float32))
    given = responses.with_responses(new) if isinstance(responses, EncodedResponses) else new
    return encode_responses(given, EncodedModel(model, encoder).encoder)


def _losses(model: EmbedLLM, new: EncodedResponses) -> tuple[float, float]:
    """Log loss of forecasts of the trained LLMs' answers to new questions, and to the validation questions."""
    bank = bank_of(model)
    trained = {
        name: index for index, name in enumerate(bank.llm_names) if bank.n_answers[index] and not bank.is_new[index]
    }
    llms = np.array([trained.get(name, -1) for name in new.responses.llm_names], int)
    loss = _log_loss(model, new.question_embeds, new.responses.matrix, llms)
    if bank.validation is None:
        return loss, float("nan")
    own = np.array([trained.get(name, -1) for name in bank.llm_names], int)
    return loss, _log_loss(model, bank.validation.question_embeds, bank.validation.responses, own)


def _log_loss(model: EmbedLLM, question_embeds: np.ndarray, responses: sparse.csr_array, llms: np.ndarray) -> float:
    """Log loss of forecasts, block by block, of LLMs by their positions in the pool; those at -1 are left out."""
    probs, truth = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for block in blocks(len(question_embeds), _QUESTIONS_AT_ONCE):
        answers = responses[block]
        there = np.flatnonzero(llms[answers.indices] >= 0)
        pairs = entry_rows(answers)[there], llms[answers.indices[there]]
        probs.append(model.predict_proba(question_embeds[block].astype(np.float32))[pairs])
        truth.append(answers.data[there])
    told = np.concatenate(truth)
    return log_loss(np.concatenate(probs), told) if len(told) else float("nan")


def _to_place(bank: QuestionBank, joined: Joined) -> list[int]:
    """The new LLMs, and of those with new answers the ones whose vector is not the training's, or is of no answers."""
    has_more = np.isin(np.arange(len(bank.llm_names)), joined.llm_indices)
    again = np.flatnonzero(has_more & (bank.is_new | (bank.n_answers == 0)))
    return [*again.tolist(), *range(len(bank.llm_names), len(joined.bank.llm_names))]


def _warn_of_contradictions(parts: Sequence[Joined]) -> None:
    n_contradictions = sum(part.n_contradictions for part in parts)
    if n_contradictions:
        logger.warning(
            "%d answers contradict answers that the model has, or that stand before them: the first one stays.",
            n_contradictions,
        )


def _fitted(model: EmbedLLM, joined: Joined, placed: Sequence[int]) -> EmbedLLM:
    """The model with the bank of the new answers, its new questions fitted and the LLMs at `placed` placed.

    New questions are fitted to the LLMs that stay, so that the others can be placed by them, and then to all. A known
    question is fitted again if an LLM of the training has answered it now: a new LLM moves no other LLM's forecast.
    """
    bank = joined.bank
    assert bank.trained_on is not None
    settled = np.isfinite(item_parameters_of(bank).abilities).all(axis=1)
    settled[placed] = False
    trained = settled & ~bank.is_new
    added = np.unique(joined.rows[joined.rows >= bank.trained_on[0]])
    known = np.unique(joined.rows[(joined.rows < bank.trained_on[0]) & trained[joined.llm_indices]])
    bank = replace(bank, item_parameters=refit_questions(model, bank, known, trained))
    bank = replace(bank, item_parameters=refit_questions(model, bank, added, settled))
    by_llm, found, strategies = bank.responses.tocsc(), {}, []
    for index in placed:
        entries = slice(*by_llm.indptr[index : index + 2])
        answers = dict(zip(by_llm.indices[entries].tolist(), by_llm.data[entries].tolist(), strict=True))
        found[bank.llm_names[index]] = PlacedAnswers.of(answers, bank.keys)
        strategies.append(STRATEGIES[item_parameters_of(bank).strategies[index]])
    grown = place_by_answers(model, bank, found, strategies) if found else model.with_bank(bank)
    bank = bank_of(grown)
    able = np.isfinite(item_parameters_of(bank).abilities).all(axis=1)
    return grown.with_bank(replace(bank, item_parameters=refit_questions(grown, bank, added, able)))
