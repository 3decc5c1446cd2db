"""`EncodedResponses`: responses with their questions' text vectors, and the encoder that these are from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._checks import shorten
from .._errors import InputError
from ..configuration_embedllm import EncoderId
from ..data.responses import ResponseMatrix
from ..data.texts import is_withheld
from .embeddings_file import positions_of, read_embeddings
from .question_encoder import QuestionEncoder


@dataclass(frozen=True, eq=False)
class EncodedResponses:
    """What a network is trained on and measured on.

    Attributes:
        responses (`ResponseMatrix`): Who answered which question correctly.
        question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`): Text vectors of its questions.
        encoder (`EncoderId | None`): Whose vectors these are. None, for arrays that one has made oneself, fits any
            model of that width.

    Raises:
        ValueError: If questions and vectors differ in number.
    """

    responses: ResponseMatrix
    question_embeds: np.ndarray
    encoder: EncoderId | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.question_embeds)
        if len(shape) != 2 or shape[0] != self.responses.n_questions:
            raise InputError(
                f"`question_embeds` has shape {shape}, expected ({self.responses.n_questions}, text_dim): one text "
                "vector a question, in the order of `responses`."
            )

    @classmethod
    def from_file(cls, responses: ResponseMatrix, path: str | Path) -> EncodedResponses:
        """Take the text vectors from a file that `embedllm embed` wrote, instead of encoding.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged or lacks a question.
        """
        return cls(responses, *read_embeddings(path, responses.question_ids, responses.keys))

    @classmethod
    def from_own_file(cls, responses: ResponseMatrix) -> EncodedResponses | None:
        """Take the text vectors from the file that the data set brings; None if it brings none. Errors as above."""
        path = responses.origin.vectors
        return None if path is None else cls.from_file(responses, path)

    @property
    def text_dim(self) -> int:
        """Width of the text vectors."""
        return self.question_embeds.shape[1]

    def select(
        self, question_indices: np.ndarray | Sequence[int] | None = None, *, llms: Sequence[str] | None = None
    ) -> EncodedResponses:
        """Keep some questions, some LLMs, or both; arguments and errors as for `ResponseMatrix.select`."""
        return self.with_responses(self.responses.select(question_indices, llms=llms))

    def with_responses(self, responses: ResponseMatrix) -> EncodedResponses:
        """The vectors of the same questions, or of some of them, with other responses.

        Raises:
            ValueError: If a question is not among these.
        """
        rows = positions_of(responses.question_ids, self.responses.question_ids)
        if self.responses.n_questions:
            rows[responses.keys != self.responses.keys[rows]] = -1  # another text under this id
        if (rows < 0).any():
            raise InputError(
                f"`responses` has {np.sum(rows < 0):,} questions that have no text vector here, `prompt_id` "
                f"{responses.question_ids[rows < 0][0]} for instance. Encode them with `encode_responses`."
            )
        return EncodedResponses(responses, self.question_embeds[rows], self.encoder)

    @classmethod
    def concat(cls, parts: Sequence[EncodedResponses]) -> EncodedResponses:
        """All questions of some parts, by ascending id.

        Raises:
            ValueError: If the parts are of different encoders, or do not fit together for `ResponseMatrix.concat`.
        """
        responses = ResponseMatrix.concat([part.responses for part in parts])
        named = [part.encoder for part in parts if part.encoder is not None]
        if len({part.text_dim for part in parts}) > 1 or not all(one.is_same(named[0]) for one in named):
            found = shorten({f"{part.encoder}, width {part.text_dim}" for part in parts})
            raise InputError(f"`parts` have text vectors of different encoders ({found}). Encode all with one.")
        ids = np.concatenate([part.responses.question_ids for part in parts])
        embeds = np.concatenate([part.question_embeds for part in parts])
        return cls(responses, embeds[np.argsort(ids, kind="stable")], named[0] if named else None)


def encode_responses(
    responses: ResponseMatrix | EncodedResponses, encoder: QuestionEncoder, *, show_progress: bool = False
) -> EncodedResponses:
    """Responses with the text vectors of an encoder: those of the data set's own file if they are its, or made now.

    Raises:
        ValueError: If the vectors that are there are of another encoder, or there are neither vectors nor texts.
        OSError: If the encoder cannot be loaded.
    """
    if isinstance(responses, EncodedResponses):
        if responses.encoder is not None and not responses.encoder.is_same(encoder.id):
            raise InputError(
                f"the text vectors are of the encoder `{responses.encoder}`, expected `{encoder.id}`, the model's. "
                "Encode the questions with that one, or train a model for these vectors: `EmbedLLM.from_encoder"
                f"({responses.encoder.name!r}, ...)`, on the command line `train --encoder {responses.encoder.name}`."
            )
        return responses
    own = EncodedResponses.from_own_file(responses)
    if own is not None and own.encoder is not None and own.encoder.is_same(encoder.id):
        return own
    if any(map(is_withheld, responses.questions)):
        brings = "no text vectors" if own is None else f"text vectors of `{own.encoder}`"
        raise InputError(
            f"{responses.origin.id or 'the data set'} withholds its texts and brings {brings}, expected those of "
            f"`{encoder.id}`, the model's. Give a file of these (--question_embeddings), or a model of that encoder."
        )
    return EncodedResponses(responses, encoder.encode(responses.questions, show_progress=show_progress), encoder.id)
