"""Blocks of questions x all LLMs, the batches of training.

A block holds each of its questions with all of the pool's responses to it, so one matrix product scores it. All
arrays are resident; a block is a gather of rows. The order depends on the seed and the epoch alone, not on the number
of processes: each process takes its share of the same block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..data.responses import ResponseMatrix

_MIN_BLOCKS = 10


@dataclass(frozen=True)
class Block:
    """Some questions with everything that is known of them.

    Attributes:
        question_embeds (`torch.Tensor` of shape `(block, text_dim)`): Text vectors.
        labels (`torch.Tensor` of shape `(block, n_llms)`): Responses, 0 where not observed.
        label_weights (`torch.Tensor`, same shape): Weights, 0 where not observed.
    """

    question_embeds: torch.Tensor
    labels: torch.Tensor
    label_weights: torch.Tensor


class QuestionBlocks:
    """Shuffled blocks of a training split.

    Args:
        responses (`ResponseMatrix`): The split.
        question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`): Its text vectors.
        block_size (`int`): Questions a block, over all processes; less if an epoch would have under ten blocks,
            which is too few steps to learn a small pool (measured on the planted one).
        seed (`int`): Of the order.
        device (`torch.device`): Where the arrays live.
        process_index, n_processes (`int`): The share of each block that this process takes.
    """

    def __init__(
        self,
        responses: ResponseMatrix,
        question_embeds: np.ndarray,
        *,
        block_size: int,
        seed: int,
        device: torch.device,
        process_index: int = 0,
        n_processes: int = 1,
    ) -> None:
        self.question_embeds = torch.as_tensor(question_embeds, dtype=torch.float32, device=device)
        self.labels = torch.as_tensor(responses.responses(fill=0.0), device=device)
        self.label_weights = torch.as_tensor(responses.weights(), device=device)
        self.block_size = min(block_size, math.ceil(responses.n_questions / _MIN_BLOCKS))
        self.seed = seed
        self.process_index = process_index
        self.n_processes = n_processes

    def __len__(self) -> int:
        return math.ceil(self.n_questions / self.block_size)

    @property
    def n_questions(self) -> int:
        """Questions of the split."""
        return len(self.labels)

    @property
    def mean_block_weight(self) -> float:
        """Observed weight that a full block holds on average.

        Dividing every block's summed loss by this constant gives each observed pair the same weight in an epoch, as in
        the paper's loss over pairs, whatever block it falls into.
        """
        return self.label_weights.sum(dtype=torch.float64).item() / self.n_questions * self.block_size

    def epoch(self, epoch: int) -> Iterator[Block]:
        """This process's share of each block of one epoch, in that epoch's order."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(self.n_questions, generator=generator).to(self.labels.device)
        for block in order.split(self.block_size):
            rows = block[self.process_index :: self.n_processes]
            yield Block(self.question_embeds[rows], self.labels[rows], self.label_weights[rows])
