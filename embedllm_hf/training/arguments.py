"""How to train an EmbedLLM. The help texts below are the documentation, and the command line's."""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from .._checks import check_choice
from .._errors import InputError, InputTypeError

MIXED_PRECISION = ("no", "bf16", "fp16")
ENCODER_PRECISION = ("auto", "bf16", "fp32")
SCHEDULES = ("linear", "cosine", "constant_with_warmup")

_COUNTS = ("num_train_epochs", "block_size", "early_stopping_patience", "encoder_epochs", "encoder_block_size")
# Names, which values are good, and these in words. Beyond the upper ends a value is a slip, or would ask for memory or
# time that nobody has; the next number after a seed is NumPy's.
_RANGES: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (("seed",), lambda value: 0 <= value < 2**32 - 1, f"a number from 0 to {2**32 - 2}"),
    ((*_COUNTS, "encoder_save_steps"), lambda value: 1 <= value <= 1e6, "1 or more, a million at most"),
    (("gradient_accumulation_steps", "adapter_rank"), lambda value: 0 <= value <= 4096, "0 or more, 4096 at most"),
    (("learning_rate", "encoder_learning_rate"), lambda value: 0 < value < 1e12, "more than 0, less than 1e12"),
    (("weight_decay", "ranking_weight"), lambda value: 0 <= value < 1e12, "0 or more, less than 1e12"),
    (("warmup_ratio", "validation_share"), lambda value: 0 <= value < 1, "a share in [0, 1)"),
)
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "str | None": (str, type(None)),
}
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "str": "a text",
    "str | None": "a text or None",
}


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class EmbedLLMTrainingArguments:
    """Arguments of `EmbedLLMTrainer`; each field's `metadata["help"]` says what it is.

    The defaults were chosen on the validation split of real data, see `model_cards/`.

    Raises:
        ValueError: If a value is out of its range.
    """

    output_dir: str = _option("runs/embedllm", "Folder of the trained model; checkpoints go to its `checkpoints`.")
    num_train_epochs: int = _option(16, "Passes over the training questions, at most (see early stopping).")
    block_size: int = _option(256, "Questions per optimiser step, over all processes; fewer if an epoch is short.")
    learning_rate: float = _option(5e-3, "Peak learning rate of AdamW.")
    weight_decay: float = _option(1.0, "Weight decay of AdamW on matrices; biases have none.")
    warmup_ratio: float = _option(0.1, "Share of all steps over which the learning rate rises.")
    lr_scheduler_type: str = _option("linear", f"How the learning rate falls afterwards: {', '.join(SCHEDULES)}.")
    early_stopping_patience: int = _option(5, "Epochs without a better validation loss before training stops.")
    seed: int = _option(0, "Seed of the weights and of the order of questions.")
    mixed_precision: str = _option("no", f"Arithmetic of the forward pass: {', '.join(MIXED_PRECISION)}.")
    save_checkpoints: bool = _option(False, "Keep the state of the last epoch, so that training can be resumed.")
    resume_from_checkpoint: bool = _option(False, "Go on from the checkpoint in the output folder, if there is one.")
    report_to: str | None = _option(None, "Experiment tracker that Accelerate knows, `tensorboard` or `wandb` say.")
    disable_tqdm: bool = _option(False, "Show no progress bar.")
    overwrite_output_dir: bool = _option(False, "Replace a model that the output folder holds.")
    validation_share: float = _option(0.1, "Share of the training questions for validation, where no split is given.")
    remote_code: bool = _option(False, "Save the network's code too, for use without this package.")
    train_encoder: bool = _option(False, "Train the text encoder too, from the vectors that a frozen one gave.")
    encoder_epochs: int = _option(2, "Passes over the training questions with the text encoder.")
    encoder_block_size: int = _option(64, "Questions per optimiser step of the text encoder, over all processes.")
    encoder_learning_rate: float = _option(1e-4, "Peak learning rate of the text encoder.")
    ranking_weight: float = _option(0.1, "Weight of the loss for the order of LLMs on a question; 0: none.")
    encoder_precision: str = _option(
        "auto", "Arithmetic of the text encoder in training: bf16, fp32, or auto (bf16 where the hardware has it)."
    )
    gradient_accumulation_steps: int = _option(
        0,
        "Parts into which a step is split, to save memory; 0: one on an accelerator, of 16 questions on a processor.",
    )
    gradient_checkpointing: bool = _option(False, "Compute activations twice, to save memory.")
    adapter_rank: int = _option(
        0, "Train LoRA adapters of this rank in place of all weights (extra `adapters`); 0: all."
    )
    encoder_save_steps: int = _option(50, "With --save_checkpoints: steps between checkpoints of the text encoder.")

    def __post_init__(self) -> None:
        self._check_types()
        if not self.output_dir.strip():
            raise InputError("`output_dir` is empty, expected the name of a folder.")
        for names, is_good, words in _RANGES:
            for name in names:
                if not is_good(getattr(self, name)):
                    raise InputError(f"`{name}` is {getattr(self, name)}, expected {words}.")
        check_choice("mixed_precision", self.mixed_precision, MIXED_PRECISION)
        check_choice("lr_scheduler_type", self.lr_scheduler_type, SCHEDULES)
        check_choice("encoder_precision", self.encoder_precision, ENCODER_PRECISION)

    def _check_types(self) -> None:
        """Refuse a value of another type than its field's; NumPy's numbers become Python's, a path a text."""
        for option in fields(self):
            value = getattr(self, option.name)
            if option.type == "str" and isinstance(value, os.PathLike):
                value = os.fspath(value)
            elif isinstance(value, numbers.Real) and not isinstance(value, (int, float)):
                value = int(value) if isinstance(value, numbers.Integral) else float(value)
            setattr(self, option.name, value)
            kinds = _KINDS[str(option.type)]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise InputTypeError(f"`{option.name}` is {value!r}, expected {_WORDS[str(option.type)]}.")
