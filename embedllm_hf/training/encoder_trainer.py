"""`TextEncoderTrainer`: the text encoder trained together with the vectors, from the solution of a frozen one.

A step takes the texts of a block of questions and all responses to them. Its loss is the network's log loss, and a
share of a loss for routing: minus the log of the chance that an LLM drawn by the softmax of its logits is right, the
listwise loss of learning to rank (ListNet, Cao et al., ICML 2007) with the responses as what is relevant.
"""

from __future__ import annotations

import copy
import ctypes
import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import DistributedDataParallelKwargs, gather_object
from scipy.special import expit
from torch import nn
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from .._checks import require_extra
from .._errors import InputError
from .._threads import threads_for
from ..data.responses import ResponseMatrix
from ..encoding.question_encoder import QuestionEncoder
from ..metrics import log_loss
from ..modeling_embedllm import EmbedLLM
from .arguments import EmbedLLMTrainingArguments
from .batches import Block, TextBlocks, effective_block_size
from .checkpoints import TEXT_ENCODER, Checkpoints, EpochRecord, TrainingHistory, TrainingState
from .divergence import blame, check_finite, check_loss
from .network_trainer import check_llms, make_optimizer, parameter_groups
from .processes import process_state, share_of
from .runs import describe_run, digest_of_tensors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_ENCODER_WEIGHT_DECAY = 0.01
_LARGEST_GRADIENT = 1.0  # norm to which the encoder's gradient is cut
_TEXTS_AT_ONCE = 64  # without gradients
_TEXTS_ON_CPU = 16  # with them on a processor: as fast as 64 at once, in half the memory
_TOKENS = 32  # of a text, as a guess at what a step costs
_START = -1  # the epoch before the first: the vectors of the frozen encoder


@dataclass
class TextTrainingHistory(TrainingHistory):
    """What training has seen so far, to the step; saved in checkpoints.

    Attributes:
        step (`int`): Steps done of the running epoch.
        epoch_loss (`float`): Their summed losses.
    """

    step: int = 0
    epoch_loss: float = 0.0


class TextAndNetwork(nn.Module):
    """The text encoder with the network on top of it, texts in and loss out.

    Args:
        encoder (`SentenceTransformer`): The text encoder.
        network (`EmbedLLM`): The network.
        precision (`torch.dtype`): Of the encoder's forward pass; the network's is float32.
    """

    def __init__(self, encoder: SentenceTransformer, network: EmbedLLM, *, precision: torch.dtype) -> None:
        super().__init__()
        self.encoder = encoder
        self.network = network
        self.precision = precision

    def embed(self, texts: list[str]) -> torch.Tensor:
        """Text vectors `(n_texts, text_dim)`, with their gradient."""
        device = self.network.llm_embedding.weight.device
        features = self.encoder.preprocess(texts)
        features = {name: value.to(device) for name, value in features.items() if isinstance(value, torch.Tensor)}
        with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
            vectors = self.encoder(features)["sentence_embedding"]
        return vectors.float()

    def forward(
        self, texts: list[str], block: Block, loss_normalizer: float, ranking_normalizer: float
    ) -> torch.Tensor:
        """The loss of a block: summed log losses and ranking losses, each over its normaliser."""
        targets = {name: value for name, value in vars(block).items() if name != "question_embeds"}
        output = self.network(self.embed(texts), **targets, loss_normalizer=loss_normalizer)
        if ranking_normalizer == float("inf"):
            return output.loss
        return output.loss + summed_ranking_loss(output.logits, block) / ranking_normalizer


def summed_ranking_loss(logits: torch.Tensor, block: Block) -> torch.Tensor:
    """Sum over questions of -log sum_m r_m softmax(z)_m, over the LLMs m that were asked; 0 where none is right.

    Args:
        logits (`torch.Tensor` of shape `(n_questions, n_llms)` or `(n_pairs,)`): z.
        block (`Block`): Responses r of the same shape.
    """
    observed = block.label_weights > 0
    if block.question_indices is None:
        rows = torch.arange(len(logits), device=logits.device)[:, None].expand_as(logits)[observed]
        n_questions = len(logits)
    else:
        rows, n_questions = block.question_indices[observed], int(block.question_indices.max()) + 1
    scores, responses = logits[observed], block.labels[observed].to(logits.dtype)
    highest = scores.new_full((n_questions,), -torch.inf).scatter_reduce(0, rows, scores.detach(), "amax")
    weights = (scores - highest[rows]).exp()
    total = scores.new_zeros(n_questions).index_add(0, rows, weights)
    right = scores.new_zeros(n_questions).index_add(0, rows, weights * responses)
    solved = right > 0
    return (total[solved].log() - right[solved].log()).sum()


class TextEncoderTrainer:
    """Trains the text encoder of an `EmbedLLM` together with it, in place.

    Args:
        model (`EmbedLLM`): A model that was trained with the frozen encoder; it is the start. Its encoder stays as it
            is: a copy is trained.
        args (`EmbedLLMTrainingArguments`): How; the vectors' learning rate is scaled to smaller blocks.
        train, validation (`ResponseMatrix`): The splits, with their texts. The epoch with the lowest validation loss
            is kept; if none is lower than the start's, the encoder stays frozen.

    Raises:
        ValueError: If the LLMs are not the model's, a split has no responses, or a block has fewer questions than
            there are processes, or they are of FSDP.
        ImportError: If adapters are asked for and peft is missing.
    """

    def __init__(
        self, model: EmbedLLM, args: EmbedLLMTrainingArguments, train: ResponseMatrix, validation: ResponseMatrix
    ) -> None:
        check_llms(model, train, "train")
        check_llms(model, validation, "validation")
        self.model, self.args = model, args
        self.train_responses, self.validation = train, validation
        self.history = TextTrainingHistory()
        process_state()  # before Accelerate looks for itself
        # Encoders have weights that sentence vectors do not use (a pooler, say): DDP has to look for them.
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        self.accelerator = Accelerator(
            mixed_precision=args.mixed_precision,
            project_dir=args.output_dir,
            step_scheduler_with_optimizer=False,
            kwargs_handlers=[unused],
        )
        if self.accelerator.distributed_type == DistributedType.FSDP:
            raise InputError(
                "FSDP does not train the text encoder, which each process holds whole. Use DDP (multi_gpu.yaml)."
            )
        if args.adapter_rank:
            require_extra("peft", "adapters", "`adapter_rank`")
        options = {"block_size": args.encoder_block_size, "seed": args.seed, **share_of(self.accelerator)}
        self._blocks = TextBlocks(train, **options)
        if any(len(rows) == 0 for rows in self._blocks.rows_of_epoch(0)):
            raise InputError(
                f"`encoder_block_size` is {self._blocks.block_size}, expected at least "
                f"{self.accelerator.num_processes}, one question a process."
            )

    def train(self) -> TextTrainingHistory:
        """Train, keep the best epoch, and give the model its encoder.

        Returns:
            `TextTrainingHistory`: Losses by epoch, the first being the start's (epoch -1), and which was kept.
        """
        args, accelerator, history = self.args, self.accelerator, self.history
        self.model._forget_fitted()
        blocks = self._blocks
        device = accelerator.device
        encoder = copy.deepcopy(self.model.encoder.load()).to(device)
        run = describe_run(
            args, accelerator, self.model, {"training": self.train_responses, "validation": self.validation}
        )
        run["initial text encoder"] = digest_of_tensors(encoder.state_dict())
        adapters = self._prepare_encoder(encoder)
        joint = TextAndNetwork(encoder, self.model.to(device), precision=self._precision())
        optimizer, scheduler = self._optimizer(joint, blocks)
        wrapped, optimizer, scheduler = accelerator.prepare(joint, optimizer, scheduler)
        checkpoints = Checkpoints(args.output_dir, TEXT_ENCODER, run)
        state = TrainingState(accelerator, joint, optimizer, scheduler, history)
        if args.resume_from_checkpoint and checkpoints.resume(state):
            logger.info("Resuming the text encoder after epoch %d, step %d.", history.epochs[-1].epoch, history.step)
        else:
            self._finish_epoch(joint, EpochRecord(_START, None, self._validation_loss(joint)))
        n_weights = sum(weight.numel() for weight in encoder.parameters())
        with _keeping_freed_memory(), threads_for(6 * n_weights * _TEXTS_ON_CPU * _TOKENS):
            self._loop(wrapped, state, checkpoints, blocks)
        accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)
        joint.load_state_dict(history.best_weights)
        if adapters is not None:
            adapters.merge_and_unload()
        self._hand_over(encoder)
        return history

    def _prepare_encoder(self, encoder: SentenceTransformer):
        """Set a copy of the encoder up for training; returns the adapters, if any are to be trained."""
        args = self.args
        for part in encoder.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0  # few passes do not over-fit, and without chance any number of processes gives the same
            if isinstance(part, PreTrainedModel):
                if self.accelerator.device.type == "cpu":
                    part.set_attn_implementation("eager")  # its plain products took 2.4 s where fused ones took 3.3
                if args.gradient_checkpointing:
                    part.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if not args.adapter_rank:
            return None
        peft = require_extra("peft", "adapters", "`adapter_rank`")
        rank = args.adapter_rank
        wanted = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
        return peft.get_peft_model(encoder[0].auto_model, wanted)  # the layers are put into the encoder itself

    def _precision(self) -> torch.dtype:
        """The encoder's arithmetic."""
        wanted, device = self.args.encoder_precision, self.accelerator.device.type
        if wanted == "auto":
            has_bf16 = {"cuda": _gpu_has_bf16, "cpu": _cpu_has_bf16}.get(device)
            wanted = "bf16" if has_bf16 is not None and has_bf16() else "fp32"
        return torch.bfloat16 if wanted == "bf16" else torch.float32

    def _optimizer(self, joint: TextAndNetwork, blocks: TextBlocks):
        """AdamW over encoder and network, with warm-up and decay to zero.

        With smaller blocks the network makes more steps an epoch: its learning rate is scaled down, so that an epoch
        moves and decays it as far as an epoch of its own training does.
        """
        args = self.args
        trained = [parameter for parameter in joint.encoder.parameters() if parameter.requires_grad]
        before = effective_block_size(args.block_size, blocks.n_questions)
        network_rate = args.learning_rate * min(1.0, blocks.block_size / before)
        groups = [
            {"params": trained, "lr": args.encoder_learning_rate, "weight_decay": _ENCODER_WEIGHT_DECAY},
            *({**group, "lr": network_rate} for group in parameter_groups(self.model, args.weight_decay)),
        ]
        return make_optimizer(groups, args, len(blocks) * args.encoder_epochs)

    def _loop(self, wrapped: nn.Module, state: TrainingState, checkpoints: Checkpoints, blocks: TextBlocks) -> None:
        """Epoch by epoch, step by step, from where the history ends."""
        args, accelerator, history = self.args, self.accelerator, self.history
        joint, optimizer, scheduler = state.module, state.optimizer, state.scheduler
        began, rates = time.perf_counter() - history.seconds, self._blame()
        first, n_steps = len(history.epochs) - 1, len(blocks) * args.encoder_epochs
        done, hidden = len(blocks) * first + history.step, args.disable_tqdm or not accelerator.is_main_process
        with tqdm(
            desc="training the text encoder", unit="block", total=n_steps, initial=done, disable=hidden
        ) as progress:
            for epoch in range(first, args.encoder_epochs):
                wrapped.train()
                for rows in blocks.rows_of_epoch(epoch)[history.step :]:
                    history.epoch_loss += self._step(wrapped, blocks, rows)
                    norm = accelerator.clip_grad_norm_(joint.encoder.parameters(), _LARGEST_GRADIENT)
                    if accelerator.scaler is None:  # which skips steps by itself
                        place = f"epoch {epoch + 1}, block {history.step + 1} of {len(blocks)}"
                        check_finite("the gradient is", [norm], place, rates)
                    optimizer.step()
                    scheduler.step()
                    optimizer.zero_grad()
                    history.step += 1
                    history.seconds = time.perf_counter() - began
                    progress.update()
                    progress.set_postfix(loss=f"{history.epoch_loss / history.step:.4f}", refresh=False)
                    if args.save_checkpoints and history.step % args.encoder_save_steps == 0:
                        checkpoints.save(state)
                mean_loss, place = self._mean_loss(), f"epoch {epoch + 1}"
                check_loss("the loss", mean_loss, place, rates)
                check_finite("weights are", joint.state_dict().values(), place, rates)
                validation_loss = self._validation_loss(joint)
                check_loss("the validation loss", validation_loss, place, rates)
                self._finish_epoch(joint, EpochRecord(epoch, mean_loss, validation_loss))
                history.seconds = time.perf_counter() - began
                if args.save_checkpoints:
                    checkpoints.save(state)

    def _blame(self) -> str:
        """The settings that a divergence may come from: the encoder's rate, or what the network diverges by."""
        args = self.args
        if args.learning_rate * args.weight_decay > 1:
            return blame(args.learning_rate, args.weight_decay)
        return blame(args.encoder_learning_rate, _ENCODER_WEIGHT_DECAY, "encoder_learning_rate")

    def _step(self, wrapped: nn.Module, blocks: TextBlocks, rows: torch.Tensor) -> float:
        """Gradients of one block, part by part; returns its loss."""
        args, n_processes = self.args, self.accelerator.num_processes
        # Each process sums the losses of its share of a block; DDP averages their gradients, so each is scaled up.
        loss_normalizer = blocks.mean_block_weight / n_processes
        ranking = blocks.block_size / n_processes / args.ranking_weight if args.ranking_weight else float("inf")
        on_cpu = self.accelerator.device.type == "cpu"
        n_parts = args.gradient_accumulation_steps or (math.ceil(len(rows) / _TEXTS_ON_CPU) if on_cpu else 1)
        parts = rows.tensor_split(min(n_parts, len(rows)))
        summed = 0.0
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            with nullcontext() if last else self.accelerator.no_sync(wrapped):
                texts = [self.train_responses.questions[row] for row in part.tolist()]
                loss = wrapped(texts, blocks.gather(part.to(blocks.device)), loss_normalizer, ranking)
                self.accelerator.backward(loss)
            summed += loss.item()
        return summed

    def _mean_loss(self) -> float:
        """Mean training loss a block of the epoch that ends, over all processes."""
        total = torch.tensor(self.history.epoch_loss, device=self.accelerator.device)
        return self.accelerator.reduce(total, reduction="mean").item() / self.history.step

    def _finish_epoch(self, joint: TextAndNetwork, record: EpochRecord) -> None:
        """Note an epoch, keep its weights if it is the best so far, and begin the next."""
        if self.history.note(record):
            weights = joint.state_dict().items()
            self.history.best_weights = {name: value.detach().cpu().clone() for name, value in weights}
        self.history.step, self.history.epoch_loss = 0, 0.0

    def _validation_loss(self, joint: TextAndNetwork) -> float:
        """Log loss on the validation split, its texts shared out over the processes."""
        with _evaluating(joint):
            index, n_processes = self.accelerator.process_index, self.accelerator.num_processes
            texts = list(self.validation.questions)
            longest_first = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
            share = longest_first[index::n_processes]
            found = []
            for start in range(0, len(share), _TEXTS_AT_ONCE):
                rows = share[start : start + _TEXTS_AT_ONCE]
                vectors = joint.embed([texts[row] for row in rows]).cpu().numpy()
                found += list(zip(rows, vectors, strict=True))
            vector_of = dict(gather_object(found))
            embeds = np.stack([vector_of[row] for row in range(len(texts))])
            pairs = (self.validation.question_indices, self.validation.llm_indices)
            logits = self.model.pair_logits(embeds, *pairs)
        if not np.isfinite(logits).all():
            return float("inf")  # it has diverged
        return log_loss(expit(logits), self.validation.values)

    def _hand_over(self, encoder: SentenceTransformer) -> None:
        """Give the model the encoder whose weights were kept."""
        self.model.eval()
        if self.history.best_epoch == _START:
            logger.warning(
                "Training the text encoder did not lower the validation loss (%.4f at the start); the frozen encoder "
                "is kept. Lower --encoder_learning_rate, or train on more questions.",
                self.history.epochs[0].validation_loss,
            )
            return
        self.model._set_encoder(QuestionEncoder.trained(encoder.eval(), name=self.model.encoder.name))


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, then training mode again."""
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        module.train()


@contextmanager
def _keeping_freed_memory() -> Iterator[None]:
    """Have the C library keep what a step frees for the next step, instead of giving it back to the system.

    Fetching it anew, page by page, took up to a third of a step's time. Only glibc knows these two options (`mallopt`,
    M_TRIM_THRESHOLD and M_MMAP_THRESHOLD); afterwards they are what glibc starts with.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(-1, ctypes.c_int(2**31 - 1))
    libc.mallopt(-3, ctypes.c_int(2**30))
    try:
        yield
    finally:
        libc.mallopt(-1, ctypes.c_int(2**17))
        libc.mallopt(-3, ctypes.c_int(2**17))


def _gpu_has_bf16() -> bool:
    """Whether this GPU computes in bf16; older ones can only imitate it, slower than float32."""
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 matrices in hardware; elsewhere bf16 is slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
