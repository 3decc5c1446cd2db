"""`EmbedLLMTrainer`: the training loop, on Accelerate.

Every epoch goes over shuffled blocks of questions x all LLMs, then measures the validation split; the weights of the
best epoch are kept. It sees text vectors, never text, and never the test split.
"""

from __future__ import annotations

import copy
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, DistributedType
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.scheduler import AcceleratedScheduler
from safetensors import SafetensorError
from tqdm.auto import tqdm
from transformers import get_scheduler

from .._errors import ExistingFile, InputError
from .._files import disk_error, whole_directory
from ..bank.question_bank import KnownQuestions
from ..data.responses import ResponseMatrix, check_pool
from ..metrics import log_loss
from ..modeling_embedllm import EmbedLLM
from .arguments import EmbedLLMTrainingArguments
from .batches import DENSE_CELLS, QuestionBlocks
from .processes import process_state

logger = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
_FLOPS_WORTH_THREADS = 1e8


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean training loss (None: before the first) and validation loss (None: no such split), in nats."""

    epoch: int
    train_loss: float | None
    validation_loss: float | None


@dataclass
class TrainingHistory:
    """What training has seen so far; saved in checkpoints.

    Attributes:
        epochs (`list[EpochRecord]`): One entry per finished epoch.
        best_epoch (`int | None`): The epoch whose weights are kept.
        best_weights (`dict[str, torch.Tensor]`): Those weights.
        seconds (`float`): Time spent in the loop, validation included.
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    best_epoch: int | None = None
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    def state_dict(self) -> dict:
        """For Accelerate's checkpoints: plain values and tensors."""
        return {**vars(self), "epochs": [asdict(record) for record in self.epochs]}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave."""
        vars(self).update({**state, "epochs": [EpochRecord(**record) for record in state["epochs"]]})

    def note(self, record: EpochRecord) -> bool:
        """Add an epoch; returns whether it is the best so far, or there is nothing to judge it by."""
        earlier = [other.validation_loss for other in self.epochs if other.validation_loss is not None]
        self.epochs.append(record)
        is_best = record.validation_loss is None or not earlier or record.validation_loss < min(earlier)
        if is_best:
            self.best_epoch = record.epoch
        return is_best

    def epochs_since_best(self) -> int:
        """Finished epochs after the best one."""
        return 0 if self.best_epoch is None else len(self.epochs) - 1 - self.best_epoch


class EmbedLLMTrainer:
    """Trains an `EmbedLLM` in place.

    Args:
        model (`EmbedLLM`): The network to train. Seed before building it, since its initial weights are random.
        args (`EmbedLLMTrainingArguments`): How.
        train (`ResponseMatrix`): Training responses, columns as in `model.config.llm_names`.
        train_embeds (`np.ndarray` of shape `(n_train, text_dim)`): Their questions' text vectors.
        validation (`ResponseMatrix`, *optional*): Validation responses. Without them the last epoch is kept.
        validation_embeds (`np.ndarray` of shape `(n_validation, text_dim)`, *optional*): Their text vectors.

    Raises:
        ValueError: If the LLMs or the widths are not the model's, or a split has no responses.
    """

    def __init__(
        self,
        model: EmbedLLM,
        args: EmbedLLMTrainingArguments,
        train: ResponseMatrix,
        train_embeds: np.ndarray,
        validation: ResponseMatrix | None = None,
        validation_embeds: np.ndarray | None = None,
    ) -> None:
        _check_split(model, train, train_embeds, "train")
        if validation is not None:
            if validation_embeds is None:
                raise InputError("`validation_embeds` is missing: `validation` needs its questions' text vectors.")
            _check_split(model, validation, validation_embeds, "validation")
        self.model = model
        self.args = args
        self.train_responses, self.train_embeds = train, train_embeds
        self.validation, self.validation_embeds = validation, validation_embeds
        self.history = TrainingHistory()
        process_state()  # before Accelerate looks for itself
        self.accelerator = Accelerator(
            mixed_precision=args.mixed_precision,
            log_with=args.report_to,
            project_dir=args.output_dir,
            step_scheduler_with_optimizer=False,  # one scheduler step a block, however many processes share it
        )

    @property
    def _checkpoint(self) -> Path:
        return Path(self.args.output_dir) / CHECKPOINTS / "last"

    def train(self) -> TrainingHistory:
        """Train until the last epoch or early stopping, load the best epoch's weights, attach the known questions.

        Returns:
            `TrainingHistory`: Losses by epoch, and which was kept.
        """
        args, accelerator = self.args, self.accelerator
        blocks = QuestionBlocks(
            self.train_responses,
            self.train_embeds,
            block_size=args.block_size,
            seed=args.seed,
            device=accelerator.device,
            process_index=accelerator.process_index,
            n_processes=accelerator.num_processes,
        )
        _start_from_llm_means(self.model, self.train_responses)
        n_steps = len(blocks) * args.num_train_epochs
        # FSDP leaves a network in pieces: it gets one of its own, whose weights `self.model` takes over each epoch.
        network = copy.deepcopy(self.model) if accelerator.distributed_type == DistributedType.FSDP else self.model
        groups = parameter_groups(network, args.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=args.learning_rate, fused=True)
        scheduler = get_scheduler(args.lr_scheduler_type, optimizer, int(args.warmup_ratio * n_steps), n_steps)
        model, optimizer, scheduler = accelerator.prepare(network, optimizer, scheduler)
        accelerator.register_for_checkpointing(self.history)
        if args.resume_from_checkpoint and self._checkpoint.is_dir():
            accelerator.load_state(str(self._checkpoint))
            logger.info("Resuming after epoch %d.", len(self.history.epochs))
        if args.report_to:
            accelerator.init_trackers("embedllm", config=asdict(args))

        progress = tqdm(
            total=n_steps,
            initial=len(self.history.epochs) * len(blocks),
            desc="training",
            unit="block",
            disable=args.disable_tqdm or not accelerator.is_main_process,
        )
        with progress, _threads_for(6 * blocks.block_size * self.model.num_parameters()):
            self._loop(model, optimizer, scheduler, blocks, progress)
        for tracker in accelerator.trackers:  # and no more: `end_training` would break up the group of processes
            tracker.finish()
        accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        self.model.load_state_dict(self.history.best_weights)
        self.model.eval()
        self.model.known_questions = KnownQuestions.from_responses(self.train_responses, self.train_embeds)
        self.model.item_response = None  # of other weights, as are the metrics
        self.model.metrics = None
        return self.history

    def _loop(
        self,
        model: torch.nn.Module,
        optimizer: AcceleratedOptimizer,
        scheduler: AcceleratedScheduler,
        blocks: QuestionBlocks,
        progress: tqdm,
    ) -> None:
        """Epoch by epoch, from where the history ends."""
        args, accelerator, history = self.args, self.accelerator, self.history
        began = time.perf_counter() - history.seconds
        # Each process sums the losses of its share of a block; DDP averages their gradients, so each is scaled up.
        loss_normalizer = blocks.mean_block_weight / accelerator.num_processes
        if accelerator.scaler is None and accelerator.distributed_type != DistributedType.XLA:
            # The wrapper looks for an optional package at every step, which takes a tenth of a small step's time.
            optimizer = optimizer.optimizer
        for epoch in range(len(history.epochs), args.num_train_epochs):
            if history.epochs_since_best() >= args.early_stopping_patience:
                break
            model.train()
            epoch_loss = torch.zeros((), device=accelerator.device)
            for block in blocks.epoch(epoch):
                output = model(**vars(block), loss_normalizer=loss_normalizer)
                accelerator.backward(output.loss)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
                epoch_loss += output.loss.detach()
                progress.update()
            mean_loss = (
                accelerator.reduce(epoch_loss, reduction="mean").item() * blocks.block_size / blocks.n_questions
            )
            if accelerator.distributed_type == DistributedType.FSDP:
                pieces = model.state_dict().items()
                self.model.load_state_dict({name: piece.full_tensor() for name, piece in pieces})
            self._finish_epoch(EpochRecord(epoch, mean_loss, self._validation_loss()), progress)
            history.seconds = time.perf_counter() - began
            if args.save_checkpoints:
                save_checkpoint(self.accelerator, self._checkpoint)

    def _validation_loss(self) -> float | None:
        """Log loss on the validation split, the same on every process."""
        if self.validation is None:
            return None
        validation = self.validation
        if validation.n_questions * validation.n_llms > DENSE_CELLS:
            pairs = (validation.question_indices, validation.llm_indices)
            return log_loss(self.model.predict_pairs(self.validation_embeds, *pairs), validation.values)
        return log_loss(self.model.predict_proba(self.validation_embeds), validation.responses())

    def _finish_epoch(self, record: EpochRecord, progress: tqdm) -> None:
        """Note an epoch, and keep its weights if it is the best (or if there is nothing to judge it by)."""
        if self.history.note(record):
            weights = self.model.state_dict().items()
            self.history.best_weights = {name: value.detach().clone() for name, value in weights}
        losses = {"train_loss": record.train_loss, "validation_loss": record.validation_loss}
        losses = {name: value for name, value in losses.items() if value is not None}
        progress.set_postfix({name: f"{value:.4f}" for name, value in losses.items()})
        if self.args.report_to:
            self.accelerator.log(losses, step=record.epoch)


def save_checkpoint(accelerator: Accelerator, folder: Path) -> None:
    """Replace the checkpoint in a folder by the current state, never leaving half of one.

    Raises:
        OSError: If the disk is full or the folder cannot be written; the last checkpoint stays.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        accelerator.save_state(str(partial))
    except (OSError, RuntimeError, SafetensorError) as error:  # torch reports a failed write as RuntimeError
        shutil.rmtree(partial, ignore_errors=True)
        raise disk_error(folder, error) from error
    if accelerator.is_main_process:
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    accelerator.wait_for_everyone()


def save_trained(model: EmbedLLM, output_dir: str | Path, *, remote_code: bool = False) -> None:
    """Write a model into a folder, whole or not at all.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    with whole_directory(output_dir) as partial:
        model.save_pretrained(partial, remote_code=remote_code)


@contextmanager
def _threads_for(step_flops: float) -> Iterator[None]:
    """Train small steps on one thread.

    Several threads lose more by waiting for each other than they win, most of all when the processor is busy with
    something else (measured: 140 s instead of 1 s beside two other jobs on two cores).
    """
    threads = torch.get_num_threads()
    if step_flops < _FLOPS_WORTH_THREADS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def check_output_dir(args: EmbedLLMTrainingArguments) -> None:
    """Refuse an output folder that holds a model, before any work is done.

    Raises:
        FileExistsError: Unless it may be overwritten, or training resumes in it.
    """
    folder = Path(args.output_dir)
    if folder.exists() and not folder.is_dir():
        raise ExistingFile(f"`output_dir`: {folder} is a file, expected a folder. Choose another name.")
    if (folder / "config.json").exists() and not (args.overwrite_output_dir or args.resume_from_checkpoint):
        raise ExistingFile(
            f"`output_dir`: {folder} holds a model already. Choose another folder, or pass --overwrite_output_dir."
        )


def check_split_of_model(model: EmbedLLM, responses: ResponseMatrix, split: str) -> None:
    """Refuse responses without any observation, or of other LLMs than the model's."""
    check_pool(responses, split)
    if list(responses.llm_names) != list(model.config.llm_names):
        raise InputError(
            f"`{split}` has {responses.n_llms} LLMs that are not the model's {model.config.n_llms}, or in another "
            "order. Load every split with the same `llm_names`."
        )


def _check_split(model: EmbedLLM, responses: ResponseMatrix, question_embeds: np.ndarray, split: str) -> None:
    """Refuse responses or text vectors that are not the model's."""
    check_split_of_model(model, responses, split)
    expected = (responses.n_questions, model.config.text_dim)
    if question_embeds.shape != expected:
        raise InputError(
            f"`{split}_embeds` has shape {question_embeds.shape}, expected {expected}: one text vector a question, "
            f"from `{model.config.encoder_name}`."
        )


@torch.no_grad()
def _start_from_llm_means(model: EmbedLLM, responses: ResponseMatrix) -> None:
    """Start the biases of an untrained model at each LLM's log odds, with half an answer added to either side."""
    if model.llm_bias is None or model.llm_bias.any():
        return
    weights = responses.entry_weights
    count = np.bincount(responses.llm_indices, weights, minlength=responses.n_llms)
    right = np.bincount(responses.llm_indices, weights * responses.values, minlength=responses.n_llms)
    log_odds = torch.as_tensor(np.log((right + 0.5) / (count - right + 0.5)))
    model.llm_bias.copy_(log_odds - (model.classifier.bias[1] - model.classifier.bias[0]))


def parameter_groups(model: EmbedLLM, weight_decay: float) -> list[dict]:
    """Decay the matrices, not the biases, whose size is not a sign of over-fitting."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": biases, "weight_decay": 0.0}]
