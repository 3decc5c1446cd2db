"""`EncodedModel`: a trained model with its text encoder, what `Router`, `Forecaster` and `Leaderboard` start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..encoding.question_encoder import QuestionEncoder, encoder_of
from ..modeling_embedllm import EmbedLLM
from ..predictors.stacked import BlendedPredictor

if TYPE_CHECKING:
    from typing_extensions import Self


class EncodedModel:
    """A trained model that takes texts.

    Args:
        model (`EmbedLLM`): A trained model.
        encoder (`QuestionEncoder`, *optional*): Default: the one that the model was trained with.

    Attributes:
        predictor (`BlendedPredictor`): The model's best prediction from text vectors.

    Raises:
        ValueError: If the encoder is not the one that the model was trained with.
    """

    _OPTIONS: ClassVar[tuple[str, ...]] = ()  # arguments of the class that `from_pretrained` passes on to it

    def __init__(self, model: EmbedLLM, encoder: QuestionEncoder | None = None) -> None:
        self.model = model
        self.encoder = encoder_of(model, encoder)
        self.predictor = BlendedPredictor(model)

    @classmethod
    def from_pretrained(cls, path: str | Path, *, encoder: QuestionEncoder | None = None, **kwargs: object) -> Self:
        """Load from a Hub id or a folder; takes the arguments of the class and of `EmbedLLM.from_pretrained`."""
        own = {name: kwargs.pop(name) for name in cls._OPTIONS if name in kwargs}
        return cls(EmbedLLM.from_pretrained(path, **kwargs), encoder, **own)


def count_tokens(encoder: QuestionEncoder, questions: Sequence[str]) -> np.ndarray:
    """Length of texts in tokens of the encoder's tokenizer, also beyond what the encoder reads, `(n_questions,)`."""
    if not len(questions):
        return np.zeros(0, int)
    tokenizer = encoder.load().tokenizer
    encoded = tokenizer(list(questions), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    return np.array([len(ids) for ids in encoded])
