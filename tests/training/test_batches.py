"""Blocks of questions: each question once an epoch, each answer of one weight, however many processes share them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from embedllm_hf import EncodedResponses, ResponseMatrix
from embedllm_hf.training.batches import QuestionBlocks, TextBlocks
from tests.pool import LLMS, TEXT_DIM, make_frame, make_split

TRAIN = make_split(120)
CPU = torch.device("cpu")


def make_blocks(index: int = 0, n_processes: int = 1, **options) -> QuestionBlocks:
    options = {"block_size": 32, "seed": 0, "device": CPU, **options}
    return QuestionBlocks(TRAIN, process_index=index, n_processes=n_processes, **options)


def test_blocks_cover_each_question_once():
    """An epoch's blocks, over one process or three, hold every question once, in an order that the epoch decides."""

    def ids(n_processes: int, epoch: int) -> list[list[float]]:
        shares = [make_blocks(index, n_processes) for index in range(n_processes)]
        rounds = zip(*(share.epoch(epoch) for share in shares), strict=True)
        return [sorted(row[0].item() for block in blocks for row in block.question_embeds) for blocks in rounds]

    one, three = ids(1, 0), ids(3, 0)
    assert one == three
    assert sorted(value for block in one for value in block) == sorted(TRAIN.question_embeds[:, 0].tolist())
    assert one != ids(1, 1)


def test_each_pair_weighs_the_same():
    """An answer given three times of four right counts as four answers, three of them right."""
    frame = make_frame(40, hidden=0.0)
    repeats = frame[frame.prompt_id == 0]
    responses = ResponseMatrix.from_pandas(pd.concat([frame, repeats, repeats, repeats]), llm_names=LLMS)
    blocks = QuestionBlocks(EncodedResponses(responses, np.zeros((40, TEXT_DIM))), block_size=10, seed=0, device=CPU)
    assert blocks.label_weights[0].tolist() == [4.0] * len(LLMS)
    total = sum(block.label_weights.sum().item() for block in blocks.epoch(0))
    assert total == pytest.approx(blocks.mean_block_weight * 40 / blocks.block_size)


def test_blocks_of_pairs_hold_what_dense_blocks_hold(monkeypatch):
    """Spread over questions x LLMs, each block's pairs are the dense block, over one process and over two."""
    for index, n_processes in ((0, 1), (1, 2)):
        dense = make_blocks(index, n_processes, seed=3)
        with monkeypatch.context() as patch:
            patch.setattr("embedllm_hf.training.batches.DENSE_CELLS", 10)
            sparse = make_blocks(index, n_processes, seed=3)
        for block, pairs in zip(dense.epoch(1), sparse.epoch(1), strict=True):
            spread = torch.zeros_like(block.label_weights)
            spread[pairs.question_indices, pairs.llm_indices] = pairs.label_weights
            assert torch.equal(spread, block.label_weights)
            spread[pairs.question_indices, pairs.llm_indices] = pairs.labels
            assert torch.equal(spread, block.labels)
            assert torch.equal(pairs.question_embeds, block.question_embeds)


def test_text_blocks_cover_each_question_once():
    """Over all processes; the blocks have nearly one size, and texts of like length share them."""
    texts = np.array(["x" * length for length in np.random.default_rng(0).integers(1, 500, 240)], object)
    responses = replace(make_split(240).responses, questions=texts)
    options = {"block_size": 12, "seed": 0, "device": CPU, "n_processes": 2}
    shares = [TextBlocks(responses, process_index=index, **options) for index in range(2)]
    rows = [share.rows_of_epoch(0) for share in shares]
    assert len(rows[0]) == len(shares[0])
    assert sorted(torch.cat([*rows[0], *rows[1]]).tolist()) == list(range(240))
    sizes = [len(one) + len(other) for one, other in zip(*rows, strict=True)]
    assert max(sizes) == 12
    assert min(sizes) >= 11
    lengths = shares[0].lengths.float()
    within = np.mean([lengths[block].std().item() for block in rows[0]])
    assert within < 0.3 * lengths.std().item()
    assert [block.tolist() for block in rows[0]] != [block.tolist() for block in shares[0].rows_of_epoch(1)]
