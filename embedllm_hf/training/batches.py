"""Blocks of questions x all LLMs, the batches of training.

A block holds each of its questions with all of the pool's responses to it, so one matrix product scores it. All
arrays are resident; a block is a gather of rows. Where questions x LLMs are too many to be held, a block has the
observed pairs of its questions instead, and the cost grows with the responses alone. The order depends on the seed
and the epoch, not on the number of processes: each process takes its share of the same block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..data.responses import ResponseMatrix
from ..encoding.encoded_responses import EncodedResponses

_MIN_BLOCKS = 10
_BLOCKS_A_POOL = 16  # texts are sorted by length within this many blocks of a shuffled order
# Above this many (question, LLM) cells, two float32 tables of them (1 GB) are not worth their memory.
DENSE_CELLS = 1 << 27


@dataclass(frozen=True)
class Block:
    """Some questions with everything that is known of them, in the form that `EmbedLLM.forward` takes.

    Attributes:
        question_embeds (`torch.Tensor` of shape `(block, text_dim)`): Text vectors.
        labels (`torch.Tensor` of shape `(block, n_llms)`, or `(n_pairs,)`): Responses, 0 where not observed.
        label_weights (`torch.Tensor`, same shape): Weights, 0 where not observed.
        question_indices, llm_indices (`torch.Tensor` of shape `(n_pairs,)`, *optional*): Row in the block and LLM of
            each pair, where the block has pairs.
    """

    question_embeds: torch.Tensor
    labels: torch.Tensor
    label_weights: torch.Tensor
    question_indices: torch.Tensor | None = None
    llm_indices: torch.Tensor | None = None


def effective_block_size(block_size: int, n_questions: int) -> int:
    """The size of blocks that leaves an epoch enough of them."""
    return min(block_size, math.ceil(n_questions / _MIN_BLOCKS))


class QuestionBlocks:
    """Shuffled blocks of a training split.

    Args:
        encoded (`EncodedResponses`): The split.
        block_size (`int`): Questions a block, over all processes; less if an epoch would have under ten blocks,
            which is too few steps to learn a small pool (measured on the planted one).
        seed (`int`): Of the order.
        device (`torch.device`): Where the arrays live.
        process_index, n_processes (`int`): The share of each block that this process takes.
    """

    def __init__(
        self,
        encoded: EncodedResponses,
        *,
        block_size: int,
        seed: int,
        device: torch.device,
        process_index: int = 0,
        n_processes: int = 1,
    ) -> None:
        responses = encoded.responses
        self.n_questions = responses.n_questions
        self.block_size = effective_block_size(block_size, self.n_questions)
        self.seed = seed
        self.device = device
        self.process_index = process_index
        self.n_processes = n_processes
        self.total_weight = float(responses.entry_weights.sum(dtype=np.float64))
        self.question_embeds = torch.as_tensor(encoded.question_embeds, dtype=torch.float32, device=device)
        self.is_dense = self.n_questions * responses.n_llms <= DENSE_CELLS
        if self.is_dense:
            self.labels = torch.as_tensor(responses.responses(fill=0.0), device=device)
            self.label_weights = torch.as_tensor(responses.weights(), device=device)
            # Blocks are gathered into the same memory: fresh memory for each costs more than the copy itself.
            tables = (self.question_embeds, self.labels, self.label_weights)
            self._buffers = [table.new_empty(self.block_size, table.shape[1]) for table in tables]
        else:
            self.indptr = torch.tensor(responses.indptr, device=device)
            self.llm_indices = torch.tensor(responses.llm_indices, device=device)
            self.labels = torch.tensor(responses.values, device=device)
            self.label_weights = torch.as_tensor(responses.entry_weights, device=device)

    def __len__(self) -> int:
        return math.ceil(self.n_questions / self.block_size)

    @property
    def mean_block_weight(self) -> float:
        """Observed weight that a full block holds on average.

        Dividing every block's summed loss by this constant gives each observed pair the same weight in an epoch, as in
        the paper's loss over pairs, whatever block it falls into.
        """
        return self.total_weight / self.n_questions * self.block_size

    def epoch(self, epoch: int) -> Iterator[Block]:
        """This process's share of each block of one epoch, in that epoch's order.

        A block is good until the next one is asked for: both may use the same memory.
        """
        for rows in self.rows_of_epoch(epoch):
            yield self.gather(rows)

    def rows_of_epoch(self, epoch: int) -> list[torch.Tensor]:
        """The questions of this process's share of each block of one epoch."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(self.n_questions, generator=generator).to(self.device)
        return [block[self.process_index :: self.n_processes] for block in order.split(self.block_size)]

    def gather(self, rows: torch.Tensor) -> Block:
        """Some questions with everything that is known of them; good until the next ones are gathered."""
        return self._table(rows) if self.is_dense else self._pairs(rows)

    def _table(self, rows: torch.Tensor) -> Block:
        """Some questions x all LLMs."""
        tables = (self.question_embeds, self.labels, self.label_weights)
        gathered = [
            torch.index_select(table, 0, rows, out=buffer[: len(rows)])
            for table, buffer in zip(tables, self._buffers, strict=True)
        ]
        return Block(*gathered)

    def _pairs(self, rows: torch.Tensor) -> Block:
        """The observed pairs of some questions."""
        lengths = self.indptr[rows + 1] - self.indptr[rows]
        question_indices = torch.repeat_interleave(torch.arange(len(rows), device=self.device), lengths)
        first_pair = torch.cumsum(lengths, 0) - lengths
        entries = torch.arange(len(question_indices), device=self.device)
        entries += (self.indptr[rows] - first_pair)[question_indices]
        return Block(
            self.question_embeds[rows],
            self.labels[entries],
            self.label_weights[entries],
            question_indices,
            self.llm_indices[entries],
        )


class TextBlocks(QuestionBlocks):
    """Shuffled blocks of texts of like length, so that little of a batch is padding.

    Args:
        responses (`ResponseMatrix`): The split, with its texts.
        options: As for `QuestionBlocks`.
    """

    def __init__(self, responses: ResponseMatrix, **options: Any) -> None:
        super().__init__(EncodedResponses(responses, np.empty((responses.n_questions, 0))), **options)
        self.lengths = torch.tensor([len(text) for text in responses.questions])
        self._n_pools = math.ceil(self.n_questions / (self.block_size * _BLOCKS_A_POOL))

    def __len__(self) -> int:
        return sum(len(blocks) for blocks in self._split(torch.arange(self.n_questions)))

    def rows_of_epoch(self, epoch: int) -> list[torch.Tensor]:
        """The questions of this process's share of each block of one epoch."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        shuffled = torch.randperm(self.n_questions, generator=generator)
        blocks = [block for pool in self._split(shuffled) for block in pool]
        order = torch.randperm(len(blocks), generator=generator).tolist()
        return [blocks[block][self.process_index :: self.n_processes] for block in order]

    def _split(self, questions: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """Pools of questions, each sorted by length and cut into blocks of nearly one size, so that none is tiny."""
        for pool in questions.tensor_split(self._n_pools):
            by_length = pool[torch.argsort(self.lengths[pool], stable=True)]
            yield by_length.tensor_split(math.ceil(len(pool) / self.block_size))
