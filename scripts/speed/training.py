"""Rows about training: over the bare products, over the per-pair loop, on real data, and by the size of the pool."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from embedllm_hf.configuration_embedllm import EmbedLLMConfig
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from embedllm_hf.metrics import accuracy
from embedllm_hf.training import batches
from embedllm_hf.training.arguments import EmbedLLMTrainingArguments

from .made import load_real, make_data, train_network
from .settings import SpeedRow, SpeedSettings
from .slow_references import count_epochs_until_best, time_pair_training, time_products


def time_epoch(data: EncodedResponses, *, embed_dim: int, **args: Any) -> float:
    """Seconds an epoch of the library's training takes, in the paper's form without noise, from two epochs."""
    sizes: dict[str, Any] = {"text_dim": data.text_dim, "embed_dim": embed_dim, "noise_std": 0.0}
    config = EmbedLLMConfig.paper(llm_names=data.responses.llm_names, **sizes)
    return train_network(config, data, num_train_epochs=2, **args)[1] / 2


# --- the rows ---


def training_rows(settings: SpeedSettings) -> Iterable[SpeedRow]:
    """A training step over its products, and a whole training over the per-pair loop."""
    data = make_data(settings.n_questions, settings.n_llms, settings.text_dim)
    n_pairs = data.responses.n_observed
    block = EmbedLLMTrainingArguments.block_size
    over_products, over_pairs, ours, floors, pairs = [], [], [], [], []
    for _ in range(settings.repeats):
        floor = statistics.median(
            time_products(block, settings.text_dim, settings.embed_dim, settings.n_llms, n_repeats=100)
        )
        epoch = time_epoch(data, embed_dim=settings.embed_dim)
        pair = time_pair_training(data, embed_dim=settings.embed_dim, n_batches=12)
        ours.append(epoch)
        floors.append(floor)
        pairs.append(pair)
        over_products.append(epoch / (settings.n_questions / block) / floor)
        over_pairs.append(pair * n_pairs / epoch)
    epoch, floor, pair = map(statistics.median, (ours, floors, pairs))
    step = epoch / (settings.n_questions / block)
    yield SpeedRow(
        "training step over its bare matrix products", statistics.median(over_products), "at most 1.5",
        f"{step * 1e3:.2f} ms over {floor * 1e3:.2f} ms, blocks of {block}",
    )  # fmt: skip
    whole, reference = epoch * settings.n_epochs, pair * n_pairs * settings.n_epochs
    yield SpeedRow(
        "training at the paper's scale: per-pair loop over ours", statistics.median(over_pairs), "at least 300",
        f"{reference / 60:.0f} min over {whole:.1f} s, {settings.n_epochs} epochs (from 12 batches and 2 epochs)",
    )  # fmt: skip


def real_row(settings: SpeedSettings) -> Iterable[SpeedRow]:
    """On real data: the reference's time to its best validation accuracy, over ours to the same; none without data.

    The reference's time is the pairs of its epochs until then times what a pair takes in its loop. Ours is that of the
    shortest training of 1, 2, 4, ... epochs, with the defaults otherwise, that gets as far.
    """
    if settings.dataset is None or settings.question_embeddings is None:
        return
    train, validation = load_real(settings.dataset, settings.question_embeddings)
    truth = validation.responses.responses()
    torch.manual_seed(0)
    best, n_epochs = count_epochs_until_best(train, validation, n_epochs=settings.n_epochs)
    config = EmbedLLMConfig(llm_names=train.responses.llm_names, text_dim=train.text_dim)

    def train_ours(ours_epochs: int) -> tuple[float, float]:
        torch.manual_seed(0)
        model, seconds = train_network(config, train, validation, num_train_epochs=ours_epochs)
        return accuracy(model.network_proba(validation.question_embeds), truth), seconds

    ours_epochs = 1
    while train_ours(ours_epochs)[0] < best and ours_epochs < settings.n_epochs:
        ours_epochs *= 2
    ratios, ours, theirs = [], [], []
    for _ in range(settings.repeats):
        reached, seconds = train_ours(ours_epochs)
        pair = time_pair_training(train, embed_dim=settings.embed_dim, n_batches=12)
        ours.append(seconds)
        theirs.append(pair * train.responses.n_observed * n_epochs)
        ratios.append(theirs[-1] / seconds)
    yield SpeedRow(
        "real data: the per-pair loop's time to its best validation accuracy, over ours to the same",
        statistics.median(ratios), "at least 150",
        f"{statistics.median(theirs):.0f} s ({n_epochs} epochs, from 12 batches) to {best:.4f}, over "
        f"{statistics.median(ours):.2f} s ({ours_epochs} epochs) to {reached:.4f}",
    )  # fmt: skip


def growth_row(settings: SpeedSettings) -> Iterable[SpeedRow]:
    """Time per observed response by the size of the pool, with the fitted growth exponent.

    All sizes train on pairs, as the largest must; the smallest would be trained faster on tables.
    """
    times = []
    dense_cells, batches.DENSE_CELLS = batches.DENSE_CELLS, 0
    for n_llms in settings.llm_counts:
        data = make_data(10_000, n_llms, 64, answers=min(100, n_llms))
        runs = [time_epoch(data, embed_dim=64, block_size=2048) for _ in range(settings.repeats)]
        times.append(statistics.median(runs) / data.responses.n_observed)
    batches.DENSE_CELLS = dense_cells
    exponent = np.polyfit(np.log(settings.llm_counts), np.log(times), 1)[0]
    each = ", ".join(f"{n:,}: {t * 1e6:.2f} us" for n, t in zip(settings.llm_counts, times, strict=True))
    yield SpeedRow(
        "time per response, most LLMs over fewest",
        times[-1] / times[0],
        "at most 1.5",
        f"{each}; exponent {exponent:.2f}",
    )
