"""`Router`: which LLM of the pool should answer a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import overload

import numpy as np

from .modeling_embedllm import EmbedLLM
from .question_encoder import QuestionEncoder, encoder_of


@dataclass(frozen=True)
class RoutingDecision:
    """The LLM chosen for a question.

    Attributes:
        llm (`str`): Its name.
        probability (`float`): Of a right answer, in [0, 1].
    """

    llm: str
    probability: float

    def to_dict(self) -> dict[str, object]:
        """The fields by name."""
        return asdict(self)


class Router:
    """Chooses the LLM that most probably answers a question correctly.

    Args:
        model (`EmbedLLM`): A trained model.
        encoder (`QuestionEncoder`, *optional*): Default: the one that the model was trained with.

    Raises:
        ValueError: If the encoder is not the one that the model was trained with.

    Example:
        >>> router = Router.from_pretrained("runs/quickstart")
        >>> router("What is 17 multiplied by 23?").llm
        'planted/abacus-large'
    """

    def __init__(self, model: EmbedLLM, encoder: QuestionEncoder | None = None) -> None:
        self.model = model
        self.encoder = encoder_of(model.config, encoder)

    @classmethod
    def from_pretrained(cls, path: str | Path, *, encoder: QuestionEncoder | None = None, **kwargs: object) -> Router:
        """Load from a Hub id or a folder; takes the arguments of `EmbedLLM.from_pretrained`."""
        return cls(EmbedLLM.from_pretrained(path, **kwargs), encoder)

    @overload
    def __call__(self, questions: str, *, llms: Sequence[str] | None = None) -> RoutingDecision: ...
    @overload
    def __call__(self, questions: Sequence[str], *, llms: Sequence[str] | None = None) -> list[RoutingDecision]: ...
    def __call__(self, questions, *, llms=None):
        """Route one question, or a list of them.

        Args:
            questions (`str` or `Sequence[str]`): One text gives one decision, a list gives a list.
            llms (`Sequence[str]`, *optional*): Choose among these LLMs only.

        Raises:
            KeyError: If an LLM is not in the pool.
            ValueError: If a text is empty, or `llms` is.
        """
        if isinstance(questions, str):
            return self([questions], llms=llms)[0]
        names = self.model.config.llm_names
        columns = (
            np.arange(len(names)) if llms is None else np.array([self.model.llm_index(name) for name in llms], int)
        )
        if not len(columns):
            raise ValueError("`llms` is empty, expected at least one LLM to choose from.")
        probabilities = self.model.predict_proba(self.encoder.encode(questions))[:, columns]
        best = probabilities.argmax(axis=1)
        return [
            RoutingDecision(llm=names[columns[choice]], probability=float(row[choice]))
            for choice, row in zip(best, probabilities, strict=True)
        ]
