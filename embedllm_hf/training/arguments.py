"""How to train an EmbedLLM. The help texts below are the documentation, and the command line's."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from .._checks import check_choice
from .._errors import InputError

MIXED_PRECISION = ("no", "bf16", "fp16")
ENCODER_PRECISION = ("auto", "bf16", "fp32")
SCHEDULES = ("linear", "cosine", "constant_with_warmup")


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
        at_least_one = ("num_train_epochs", "block_size", "early_stopping_patience")
        for name in (*at_least_one, "encoder_epochs", "encoder_block_size", "encoder_save_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` is {getattr(self, name)}, expected 1 or more.")
        for name in ("learning_rate", "encoder_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"`{name}` is {getattr(self, name)}, expected more than 0.")
        for name in ("weight_decay", "ranking_weight", "gradient_accumulation_steps", "adapter_rank"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"`{name}` is {getattr(self, name)}, expected 0 or more.")
        for name in ("warmup_ratio", "validation_share"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"`{name}` is {getattr(self, name)}, expected a share in [0, 1).")
        check_choice("mixed_precision", self.mixed_precision, MIXED_PRECISION)
        check_choice("lr_scheduler_type", self.lr_scheduler_type, SCHEDULES)
        check_choice("encoder_precision", self.encoder_precision, ENCODER_PRECISION)

    @property
    def may_hold_model(self) -> bool:
        """Whether the output folder may hold a model, which is then replaced or trained on."""
        return self.overwrite_output_dir or self.resume_from_checkpoint
