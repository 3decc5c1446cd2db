"""What is checked at which size, and what a row of the table is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GpuSettings:
    """Sizes of the checks; the defaults are the paper's scale.

    Attributes:
        device (`str`): `"cuda"`, or `"cpu"` to try the code.
        n_questions, n_llms, text_dim, embed_dim (`int`): The paper's pool, of which a fifth is for validation.
        n_epochs (`int`): Of a training whose losses are compared.
        n_products (`int`): Steps whose bare products are timed.
        pool (`tuple[int, int, int]`): Questions, LLMs and text width of the model with a bank.
        n_trained_texts, encoder_block_size (`int`): Questions of the planted pool that the text encoder is trained on,
            and of a step.
        n_texts (`int`): Texts that are encoded.
    """

    device: str = "cuda"
    n_questions: int = 36_000
    n_llms: int = 112
    text_dim: int = 768
    embed_dim: int = 232
    n_epochs: int = 16
    n_products: int = 1_000
    pool: tuple[int, int, int] = (4_000, 72, 384)
    n_trained_texts: int = 640
    encoder_block_size: int = 64
    n_texts: int = 4_096

    @classmethod
    def quick(cls, device: str) -> GpuSettings:
        """Everything small: for tests of the code, not for figures."""
        return cls(device, 1_000, 12, 32, 16, 4, 50, (300, 12, 32), 32, 8, 24)


@dataclass(frozen=True)
class GpuRow:
    """One row of the table.

    Attributes:
        name (`str`): What is checked.
        measured (`float`, *optional*): The figure; None where the device has none.
        expected (`str`): What it should be.
        passed (`bool`, *optional*): Whether it is; None where only a GPU could tell.
        detail (`str`): What it was measured on, and figures beside it.
    """

    name: str
    measured: float | None
    expected: str
    passed: bool | None
    detail: str
