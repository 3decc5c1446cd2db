"""Rows about the network: its pace, memory, half precision, resuming, and forecasts on either device."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from embedllm_hf.configuration_embedllm import EmbedLLMConfig
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from embedllm_hf.modeling_embedllm import EmbedLLM
from embedllm_hf.training.arguments import EmbedLLMTrainingArguments
from embedllm_hf.training.batches import effective_block_size
from embedllm_hf.training.fit_bank import fit_bank
from embedllm_hf.training.network_trainer import NetworkTrainer, validation_loss
from scripts.speed.made import make_embeds
from scripts.speed.slow_references import products_of_step

from .device import peak_of, seconds_of
from .made import begin_alike, make_splits, train
from .settings import GpuRow, GpuSettings

# A step of 256 questions asks a GPU for some fifty small pieces of work and the floor for five: starting them is what
# takes the time. Reckoned, not measured.
_MOST_OVER_FLOOR = 50
_MOST_OVER_ARRAYS = 2.0  # the arrays, and as much again for a block, its gradients and the validation split
_LIBRARIES_ROOM = 100  # MB, in which the library of matrix products works
_LOSS_TOLERANCE = 0.001  # nats; bf16 on a processor is off by a hundredth of it, a guess by eighty times it
_FORECAST_TOLERANCE = 1e-4
_RESUMED_EPOCHS, _KILLED_IN = 4, 2


def pace_row(settings: GpuSettings) -> Iterable[GpuRow]:
    """A training step over its matrix products on the same device."""
    splits = _paper_splits(settings)
    n_questions = splits[0].responses.n_questions
    block = effective_block_size(EmbedLLMTrainingArguments.block_size, n_questions)
    config = _paper_config(settings, splits, noise_std=0.0)
    train(config, splits, num_train_epochs=1)  # the device and its libraries start with the first work
    seconds = train(config, (splits[0], None), num_train_epochs=2)[1] / 2
    n_steps = math.ceil(n_questions / block)
    multiply = products_of_step(block, settings.text_dim, settings.embed_dim, settings.n_llms, device=settings.device)

    def multiply_often() -> None:
        for _ in range(settings.n_products):
            multiply()

    multiply_often()
    floor = seconds_of(multiply_often, settings.device) / settings.n_products
    over = seconds / n_steps / floor
    yield GpuRow(
        "training step over its bare matrix products", over, f"at most {_MOST_OVER_FLOOR}",
        None if settings.device == "cpu" else over <= _MOST_OVER_FLOOR,
        f"{seconds / n_steps * 1e3:.3f} ms over {floor * 1e3:.3f} ms, blocks of {block}; {_shape(settings)}; "
        f"{seconds:.3f} s an epoch",
    )  # fmt: skip


def memory_row(settings: GpuSettings) -> Iterable[GpuRow]:
    """The most memory that a training holds, beside what its arrays take."""
    splits = _paper_splits(settings)
    config = _paper_config(settings, splits)
    peak = peak_of(lambda: train(config, splits, num_train_epochs=1), settings.device)
    responses = splits[0].responses
    cells = responses.n_questions * (settings.text_dim + 2 * responses.n_llms)
    weights = 5 * sum(weight.numel() for weight in EmbedLLM(config).parameters())
    arrays = 4 * (cells + weights) / 1e6
    most = _MOST_OVER_ARRAYS * arrays + _LIBRARIES_ROOM
    yield GpuRow(
        "peak memory of training, MB", peak, f"at most {most:.0f}", None if peak is None else peak <= most,
        f"its arrays take {arrays:.1f}: text vectors, responses with weights, the network five times (gradients, two "
        f"moments, the best epoch); {_shape(settings)}",
    )  # fmt: skip


def half_rows(settings: GpuSettings) -> Iterable[GpuRow]:
    """Training in bf16 and in fp16: the validation loss beside float32's, and the time."""
    splits = _paper_splits(settings)
    config = _paper_config(settings, splits)

    def run(mixed_precision: str) -> tuple[float, float]:
        model, seconds = train(config, splits, mixed_precision=mixed_precision, num_train_epochs=settings.n_epochs)
        return validation_loss(model, splits[1]), seconds

    loss, seconds = run("no")
    for mixed_precision in ("bf16", "fp16"):
        its_loss, its_seconds = run(mixed_precision)
        off = abs(its_loss - loss)
        silent = settings.device == "cpu" and mixed_precision == "fp16"  # for which Accelerate takes float32 there
        yield GpuRow(
            f"training in {mixed_precision}: validation loss off float32's, nats", None if silent else off,
            f"more than 0, at most {_LOSS_TOLERANCE}", None if silent else 0 < off <= _LOSS_TOLERANCE,
            f"{its_loss:.4f} and {loss:.4f} ({math.log(2):.4f} is a guess); {its_seconds:.2f} s and {seconds:.2f} s, "
            f"{settings.n_epochs} epochs; {_shape(settings)}",
        )  # fmt: skip


def resume_row(settings: GpuSettings) -> Iterable[GpuRow]:
    """A training that is killed and resumed ends with the weights of one that was not, to the bit, noise included."""
    splits = _paper_splits(settings)
    config = _paper_config(settings, splits)
    with tempfile.TemporaryDirectory() as folder:
        whole = _train_in(Path(folder) / "whole", config, splits)
        _train_in(Path(folder) / "cut", config, splits, killed=True)
        resumed = _train_in(Path(folder) / "cut", config, splits, resume_from_checkpoint=True)
    other = resumed.state_dict()
    n_differing = sum(int((value != other[name]).sum()) for name, value in whole.state_dict().items())
    yield GpuRow(
        "resumed training: weights that differ from an unbroken one's", n_differing, "0", n_differing == 0,
        f"killed in epoch {_KILLED_IN + 1} of {_RESUMED_EPOCHS}, noise on the text vectors; {_shape(settings)}",
    )  # fmt: skip


def forecast_row(settings: GpuSettings) -> Iterable[GpuRow]:
    """One model, trained and with its bank, gives the same forecasts on the device and on the processor."""
    splits = make_splits(*settings.pool)
    names, text_dim = splits[0].responses.llm_names, splits[0].text_dim
    model, _ = train(EmbedLLMConfig(llm_names=names, text_dim=text_dim), splits, num_train_epochs=4)
    model = model.with_bank(fit_bank(model, *splits, calibrate=False))
    questions = make_embeds(256, text_dim, seed=2)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        there, here = (
            EmbedLLM.from_pretrained(folder).to(device).predict_proba(questions) for device in (settings.device, "cpu")
        )
    off = float(np.abs(there - here).max())
    yield GpuRow(
        "forecasts: largest gap between the device and the processor", off, f"at most {_FORECAST_TOLERANCE}",
        off <= _FORECAST_TOLERANCE,
        f"256 questions x {len(names)} LLMs, forecasts from {here.min():.2f} to {here.max():.2f}",
    )  # fmt: skip


# --- parts of them ---


class _Killed(NetworkTrainer):
    """A training that is killed after the steps of an epoch, before its checkpoint."""

    def _validation_loss(self) -> float | None:
        if len(self.history.epochs) == _KILLED_IN:
            raise KeyboardInterrupt
        return super()._validation_loss()


def _train_in(
    folder: Path, config: EmbedLLMConfig, splits: tuple[EncodedResponses, EncodedResponses], *,
    killed: bool = False, **args: Any,
) -> EmbedLLM:  # fmt: skip
    """Train with checkpoints in a folder, to the end or until it is killed."""
    begin_alike()
    model = EmbedLLM(config)
    arguments = EmbedLLMTrainingArguments(
        str(folder), num_train_epochs=_RESUMED_EPOCHS, save_checkpoints=True, disable_tqdm=True, **args
    )
    trainer = (_Killed if killed else NetworkTrainer)(model, arguments, *splits)
    try:
        trainer.train()
    except KeyboardInterrupt:
        if not killed:
            raise
    return model


def _paper_splits(settings: GpuSettings) -> tuple[EncodedResponses, EncodedResponses]:
    return make_splits(settings.n_questions, settings.n_llms, settings.text_dim)


def _paper_config(
    settings: GpuSettings, splits: tuple[EncodedResponses, EncodedResponses], **sizes: Any
) -> EmbedLLMConfig:
    """The paper's form, in its size."""
    names, text_dim = splits[0].responses.llm_names, splits[0].text_dim
    return EmbedLLMConfig.paper(llm_names=names, text_dim=text_dim, embed_dim=settings.embed_dim, **sizes)


def _shape(settings: GpuSettings) -> str:
    return f"{settings.n_questions:,} questions x {settings.n_llms} LLMs, text width {settings.text_dim}"
