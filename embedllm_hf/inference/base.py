"""`EncodedModel`, a trained model that takes texts, and `Result`: what `Router`, `Forecaster`, `Leaderboard` share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from typing_extensions import Self

from .._checks import shown
from .._errors import InputError, InputTypeError
from ..bank.question_bank import QuestionBank
from ..data.texts import check_at_hand
from ..encoding.question_encoder import QuestionEncoder, Texts
from ..modeling_embedllm import EmbedLLM


@dataclass(frozen=True)
class Result:
    """What a use of a model gives; the classes that have it add the fields."""

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, in values that JSON has."""
        return asdict(self, dict_factory=lambda items: {k: list(v) if isinstance(v, tuple) else v for k, v in items})


class EncodedModel:
    """A trained model that takes texts.

    Args:
        model (`EmbedLLM`): A trained model.
        encoder (`QuestionEncoder`, *optional*): Default: the model's.

    Raises:
        ValueError: If the encoder is not the one that the model was trained with.
    """

    _OPTIONS: ClassVar[tuple[str, ...]] = ()  # arguments of the class that `from_pretrained` passes on to it

    def __init__(self, model: EmbedLLM, encoder: QuestionEncoder | None = None) -> None:
        for argument, value, kind in (("model", model, EmbedLLM), ("encoder", encoder, QuestionEncoder)):
            if not isinstance(value, kind) and not (argument == "encoder" and value is None):
                raise InputTypeError(f"`{argument}` is {shown(value)}, expected {kind.__name__}.")
        if encoder is not None and not encoder.id.is_same(model.config.encoder):
            trained = ", with its weights trained" if model.config.encoder_digest else ""
            raise InputError(
                f"`encoder` is `{encoder.id}`, but the model was trained with `{model.config.encoder}`{trained}. "
                "Use the model's own encoder (leave `encoder` out), or train again."
            )
        self.model = model
        self.encoder = model.encoder if encoder is None else encoder

    @classmethod
    def from_pretrained(cls, path: str | Path, *, encoder: QuestionEncoder | None = None, **kwargs: Any) -> Self:
        """Load from a Hub id or a folder; takes the arguments of the class and of `EmbedLLM.from_pretrained`."""
        own = {name: kwargs.pop(name) for name in cls._OPTIONS if name in kwargs}
        return cls(EmbedLLM.from_pretrained(path, **kwargs), encoder, **own)


def bank_of(model: EmbedLLM) -> QuestionBank:
    """A model's bank.

    Raises:
        ValueError: If it has none; the message says how to get one.
    """
    if model.bank is None or not len(model.bank):
        raise InputError(
            "the model has no question bank, so nothing is known of questions and benchmarks. Train it with "
            "`EmbedLLMTrainer`, or add a bank: `model.with_bank(fit_bank(model, train, validation))`."
        )
    return model.bank


def count_tokens(encoder: QuestionEncoder, questions: Texts) -> np.ndarray:
    """Length of texts in tokens of the encoder's tokenizer, also beyond what the encoder reads, `(n_questions,)`."""
    if not len(questions):
        return np.zeros(0, int)
    check_at_hand("questions", questions)
    tokenizer = encoder.load().tokenizer
    with encoder.explained():
        encoded = tokenizer(list(questions), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    return np.array([len(ids) for ids in encoded])
