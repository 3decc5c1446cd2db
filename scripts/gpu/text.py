"""Rows about the text encoder: training it together with the network, and encoding in either precision."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from embedllm_hf.data.sources import load_splits
from embedllm_hf.encoding.encoded_responses import encode_responses
from embedllm_hf.encoding.question_encoder import QuestionEncoder
from embedllm_hf.modeling_embedllm import EmbedLLM
from embedllm_hf.training.arguments import EmbedLLMTrainingArguments
from embedllm_hf.training.encoder_trainer import TextEncoderTrainer, TextTrainingHistory
from embedllm_hf.training.network_trainer import NetworkTrainer

from .device import peak_of, seconds_of
from .made import begin_alike
from .settings import GpuRow, GpuSettings

_LEAST_COSINE = 0.999
_WORDS_A_TEXT = 100


def train_encoder_row(settings: GpuSettings) -> Iterable[GpuRow]:
    """Two epochs of the text encoder, in the arithmetic that it takes by itself: the second has the lower loss."""
    histories: list[TextTrainingHistory] = []
    peak = peak_of(lambda: histories.append(_train_encoder(settings)), settings.device)
    (history,) = histories
    start, first, second = history.epochs
    n_steps = 2 * math.ceil(settings.n_trained_texts / settings.encoder_block_size)
    share = second.train_loss / first.train_loss
    yield GpuRow(
        "--train_encoder: loss of the second epoch over the first's", share, "less than 1", share < 1,
        f"{history.seconds / n_steps:.3f} s a step of {settings.encoder_block_size} texts, validation included; "
        f"peak memory {'-' if peak is None else f'{peak:.0f} MB'}; validation loss {start.validation_loss:.4f} to "
        f"{second.validation_loss:.4f}",
    )  # fmt: skip


def _train_encoder(settings: GpuSettings) -> TextTrainingHistory:
    """Train the network on vectors of the frozen encoder, and then both, on the planted pool."""
    data = load_splits("planted")
    train = data.train.select(np.random.default_rng(0).permutation(data.train.n_questions)[: settings.n_trained_texts])
    with tempfile.TemporaryDirectory() as folder:
        encoder = QuestionEncoder("offline", device=settings.device, cache_dir=Path(folder) / "cache")
        splits = [encode_responses(split, encoder) for split in (train, data.validation)]
        begin_alike()
        model = EmbedLLM.from_encoder(encoder, llm_names=data.llm_names)
        args = EmbedLLMTrainingArguments(
            folder, encoder_epochs=2, encoder_block_size=settings.encoder_block_size, disable_tqdm=True
        )
        NetworkTrainer(model, args, *splits).train()
        return TextEncoderTrainer(model, args, train, data.validation).train()


def encoding_row(settings: GpuSettings) -> Iterable[GpuRow]:
    """Texts a second in float32 and bfloat16, and how alike their vectors are."""
    texts = _make_texts(settings.n_texts)
    vectors, paces = [], []
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("float32", "bfloat16"):
            encoder = QuestionEncoder("offline", device=settings.device, precision=precision, cache_dir=folder)
            encoder.encode(_make_texts(8, seed=1))  # loads it, and starts the device
            seconds = seconds_of(lambda encoder=encoder: vectors.append(encoder.encode(texts)), settings.device)
            paces.append(len(texts) / seconds)
    one, other = (made / np.linalg.norm(made, axis=1, keepdims=True) for made in vectors)
    cosine = float((one * other).sum(axis=1).min())
    yield GpuRow(
        "encoding: least cosine between float32 and bfloat16", cosine, f"at least {_LEAST_COSINE}",
        cosine >= _LEAST_COSINE,
        f"{paces[0]:,.0f} and {paces[1]:,.0f} texts a second of {_WORDS_A_TEXT} words, all-MiniLM-L6-v2",
    )  # fmt: skip


def _make_texts(n_texts: int, *, seed: int = 0) -> list[str]:
    """Texts of words of the planted questions, at random."""
    words = np.unique(" ".join(load_splits("planted").train.questions).split())
    return [" ".join(line) for line in np.random.default_rng(seed).choice(words, (n_texts, _WORDS_A_TEXT))]
