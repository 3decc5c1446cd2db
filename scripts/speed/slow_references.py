"""What the fast paths are compared with: the same work done the obvious way, written for this comparison.

None of this is used by the library. The training loop follows the paper's description (Zhuang et al., ICLR 2025, and
its published settings): one (LLM, question, label) at a time from a Dataset, batches of 2,048, embedding look-ups, two
logits, cross-entropy, Adam.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from embedllm_hf.data.responses import ResponseMatrix
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from embedllm_hf.network import EmbedLLMNetwork

from .settings import seconds_of

PAIRS_A_BATCH = 2048


class PairDataset(Dataset):
    """One observed pair at a time: LLM, question, label."""

    def __init__(self, responses: ResponseMatrix) -> None:
        questions, llms = np.nonzero(responses.observed())
        self.llms, self.questions = torch.as_tensor(llms), torch.as_tensor(questions)
        self.labels = torch.as_tensor(responses.responses()[questions, llms] > 0.5).long()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.llms[index], self.questions[index], self.labels[index]

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """What a `DataLoader` of it yields, batch by batch, without the wait for single pairs."""
        return zip(*(array.split(PAIRS_A_BATCH) for array in (self.llms, self.questions, self.labels)), strict=True)


class PairNetwork(nn.Module):
    """The paper's network over look-up tables, one of them the frozen text vectors."""

    def __init__(self, question_embeds: np.ndarray, n_llms: int, embed_dim: int, noise_std: float) -> None:
        super().__init__()
        self.llms = nn.Embedding(n_llms, embed_dim)
        self.questions = nn.Embedding.from_pretrained(torch.as_tensor(question_embeds, dtype=torch.float32))
        self.projection = nn.Linear(question_embeds.shape[1], embed_dim)
        self.classifier = nn.Linear(embed_dim, 2)
        self.noise_std = noise_std

    def forward(self, llms: torch.Tensor, questions: torch.Tensor) -> torch.Tensor:
        """Two logits a pair, `(batch, 2)`."""
        vectors = self.questions(questions)
        if self.training and self.noise_std:
            vectors = vectors + self.noise_std * torch.randn_like(vectors)
        return self.classifier(self.llms(llms) * self.projection(vectors))


def _trained(model: nn.Module) -> list[nn.Parameter]:
    """Its parameters, the frozen text vectors apart."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def time_pair_training(data: EncodedResponses, *, embed_dim: int, n_batches: int, noise_std: float = 0.05) -> float:
    """Seconds that one pair takes in the per-pair training loop, from `n_batches` batches after two to warm up."""
    model = PairNetwork(data.question_embeds, data.responses.n_llms, embed_dim, noise_std).train()
    optimizer = torch.optim.Adam(_trained(model), lr=1e-4, weight_decay=1e-5)
    loader = DataLoader(PairDataset(data.responses), batch_size=PAIRS_A_BATCH, drop_last=True)
    started = 0.0
    for number, (llms, questions, labels) in enumerate(islice(cycle(loader), n_batches + 2)):
        if number == 2:
            started = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(llms, questions), labels).backward()
        optimizer.step()
    return (time.perf_counter() - started) / (n_batches * PAIRS_A_BATCH)


def count_epochs_until_best(
    train: EncodedResponses, validation: EncodedResponses,
    *, embed_dim: int = 232, learning_rate: float = 1e-4, n_epochs: int = 50, noise_std: float = 0.05,
) -> tuple[float, int]:  # fmt: skip
    """Train the per-pair network with the published settings, and see when its validation accuracy is best.

    The batches, and so the weights, are those of the per-pair loop; they are cut out of arrays, since only the result
    is wanted here. `time_pair_training` tells what a pair takes in the loop itself.

    Returns:
        `tuple[float, int]`: Best validation accuracy, and the epochs until then.
    """
    texts = np.concatenate([train.question_embeds, validation.question_embeds])
    model = PairNetwork(texts, train.responses.n_llms, embed_dim, noise_std)
    optimizer = torch.optim.Adam(_trained(model), lr=learning_rate, weight_decay=1e-5)
    pairs, judged = PairDataset(train.responses), PairDataset(validation.responses)
    questions = judged.questions + len(train.question_embeds)
    best, best_epoch = 0.0, 0
    for epoch in range(1, n_epochs + 1):
        model.train()
        for batch_llms, batch_questions, labels in pairs.batches():
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch_llms, batch_questions), labels).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = model(judged.llms, questions)
        reached = ((logits[:, 1] > logits[:, 0]) == judged.labels).float().mean().item()
        if reached > best:
            best, best_epoch = reached, epoch
    return best, best_epoch


def time_pair_scoring(model: EmbedLLMNetwork, question_embeds: np.ndarray, n_questions: int) -> float:
    """Seconds a question takes when each of its pairs is scored by a pass of its own, as the obvious loop does."""
    rows = torch.as_tensor(question_embeds[:n_questions])
    started = time.perf_counter()
    with torch.no_grad():
        for row in rows:
            for llm in range(model.config.n_llms):
                model(row[None], torch.tensor([llm])).logits.sigmoid().item()
    return (time.perf_counter() - started) / n_questions


def products_of_step(
    n_questions: int, text_dim: int, embed_dim: int, n_llms: int, *, device: str = "cpu"
) -> Callable[[], None]:
    """A call that makes the bare matrix products of one training step: two forward, three backward, nothing else."""
    with torch.device(device):
        texts, projection = torch.randn(n_questions, text_dim), torch.randn(embed_dim, text_dim)
        llms, vectors = torch.randn(n_llms, embed_dim), torch.empty(n_questions, embed_dim)
        logits, back = torch.empty(n_questions, n_llms), torch.empty(n_questions, embed_dim)
        d_llms, d_projection = torch.empty(n_llms, embed_dim), torch.empty(embed_dim, text_dim)

    def multiply() -> None:
        torch.mm(texts, projection.T, out=vectors)
        torch.mm(vectors, llms.T, out=logits)
        torch.mm(logits, llms, out=back)
        torch.mm(logits.T, vectors, out=d_llms)
        torch.mm(back.T, texts, out=d_projection)

    return multiply


def time_products(n_questions: int, text_dim: int, embed_dim: int, n_llms: int, *, n_repeats: int) -> list[float]:
    """Seconds of `products_of_step` on the processor, each time."""
    multiply = products_of_step(n_questions, text_dim, embed_dim, n_llms)
    return [seconds_of(multiply) for _ in range(n_repeats + 2)][2:]
