"""`EncodedModel`: a trained model with its text encoder, what `Router`, `Forecaster` and `Leaderboard` start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from .blending import BlendedPredictor
from .modeling_embedllm import EmbedLLM
from .question_encoder import QuestionEncoder, encoder_of

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
        self.encoder = encoder_of(model.config, encoder)
        self.predictor = BlendedPredictor(model)

    @classmethod
    def from_pretrained(cls, path: str | Path, *, encoder: QuestionEncoder | None = None, **kwargs: object) -> Self:
        """Load from a Hub id or a folder; takes the arguments of the class and of `EmbedLLM.from_pretrained`."""
        own = {name: kwargs.pop(name) for name in cls._OPTIONS if name in kwargs}
        return cls(EmbedLLM.from_pretrained(path, **kwargs), encoder, **own)
