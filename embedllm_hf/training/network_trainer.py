"""`NetworkTrainer`: the training loop of the network alone, on Accelerate.

Every epoch goes over shuffled blocks of questions x all LLMs, then measures the validation split; the weights of the
best epoch are kept. It sees text vectors, never text, and never the test split.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm
from transformers import get_scheduler, set_seed

from .._errors import InputError
from .._threads import threads_for
from ..data.responses import ResponseMatrix, check_pool
from ..encoding.encoded_responses import EncodedResponses
from ..metrics import log_loss
from ..network import EmbedLLMNetwork
from ..pool_edits import PooledNetwork
from .arguments import EmbedLLMTrainingArguments
from .batches import DENSE_CELLS, QuestionBlocks
from .checkpoints import NETWORK, Checkpoints, EpochRecord, TrainingHistory, TrainingState
from .divergence import blame, check_finite, check_loss, place_in_epoch
from .processes import process_state, share_of
from .runs import describe_run

logger = logging.getLogger(__name__)


class NetworkTrainer:
    """Trains a network in place.

    Args:
        model (`PooledNetwork`): The network; an `EmbedLLM`, for instance. Seed before building it, since its initial
            weights are random (`EmbedLLM.from_encoder` does). A bank that it has is dropped: it is of other weights.
        args (`EmbedLLMTrainingArguments`): How.
        train (`EncodedResponses`): Training responses, LLMs as in `model.config.llm_names`.
        validation (`EncodedResponses`, *optional*): Validation responses. Without them the last epoch is kept.

    Raises:
        ValueError: If the LLMs or the widths are not the model's, or a split has no responses.
    """

    def __init__(
        self,
        model: PooledNetwork,
        args: EmbedLLMTrainingArguments,
        train: EncodedResponses,
        validation: EncodedResponses | None = None,
    ) -> None:
        for split, encoded in (("train", train), ("validation", validation)):
            if encoded is not None:
                check_split(model, encoded, split)
        self.model = model
        self.args = args
        self.train_split, self.validation = train, validation
        self.history = TrainingHistory()
        process_state()  # before Accelerate looks for itself
        self.accelerator = Accelerator(
            mixed_precision=args.mixed_precision,
            log_with=args.report_to,
            project_dir=args.output_dir,
            step_scheduler_with_optimizer=False,  # one scheduler step a block, however many processes share it
        )
        self.run = describe_run(args, self.accelerator, model, {"training": train, "validation": validation})

    def train(self) -> TrainingHistory:
        """Train until the last epoch or early stopping, and load the best epoch's weights.

        Returns:
            `TrainingHistory`: Losses by epoch, and which was kept.
        """
        args, accelerator, split = self.args, self.accelerator, self.train_split
        self.model._forget_fitted()
        set_seed(args.seed + 1)  # of the noise on text vectors; the initial weights have the other one
        options = {"block_size": args.block_size, "seed": args.seed, **share_of(accelerator)}
        blocks = QuestionBlocks(split, **options)
        start_from_llm_means(self.model, split.responses)
        n_steps = len(blocks) * args.num_train_epochs
        # FSDP leaves a network in pieces: it gets one of its own, whose weights `self.model` takes over each epoch.
        network = copy.deepcopy(self.model) if accelerator.distributed_type == DistributedType.FSDP else self.model
        parts = make_optimizer(parameter_groups(network, args.weight_decay), args, n_steps)
        model, optimizer, scheduler = accelerator.prepare(network, *parts)
        checkpoints = Checkpoints(args.output_dir, NETWORK, self.run)
        state = TrainingState(accelerator, accelerator.unwrap_model(model), optimizer, scheduler, self.history)
        if args.resume_from_checkpoint and checkpoints.resume(state):
            logger.info("Resuming after epoch %d.", len(self.history.epochs))
        if args.report_to:
            accelerator.init_trackers("embedllm", config=asdict(args))

        done, hidden = len(self.history.epochs) * len(blocks), args.disable_tqdm or not accelerator.is_main_process
        progress = tqdm(desc="training", unit="block", total=n_steps, initial=done, disable=hidden)
        with progress, threads_for(6 * blocks.block_size * self.model.num_parameters()):
            self._loop(model, state, checkpoints, blocks, progress)
        for tracker in accelerator.trackers:  # and no more: `end_training` would break up the group of processes
            tracker.finish()
        accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        self.model.load_state_dict(self.history.best_weights)
        self.model.eval()
        return self.history

    def _loop(
        self,
        model: torch.nn.Module,
        state: TrainingState,
        checkpoints: Checkpoints,
        blocks: QuestionBlocks,
        progress: tqdm,
    ) -> None:
        """Epoch by epoch, from where the history ends."""
        args, accelerator, history = self.args, self.accelerator, self.history
        optimizer, scheduler = state.optimizer, state.scheduler
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
            losses = torch.zeros(len(blocks), device=accelerator.device)
            for index, block in enumerate(blocks.epoch(epoch)):
                output = model(**vars(block), loss_normalizer=loss_normalizer)
                accelerator.backward(output.loss)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
                losses[index] = output.loss.detach()
                progress.update()
            epoch_loss = accelerator.reduce(losses.sum(), reduction="mean").item()
            place, rates = place_in_epoch(epoch, losses), blame(args.learning_rate, args.weight_decay)
            mean_loss = epoch_loss * blocks.block_size / blocks.n_questions
            check_loss("the loss", mean_loss, place, rates)
            if accelerator.distributed_type == DistributedType.FSDP:
                pieces = model.state_dict().items()
                self.model.load_state_dict({name: piece.full_tensor() for name, piece in pieces})
            check_finite("weights are", self.model.state_dict().values(), place, rates)
            validation_loss = self._validation_loss()
            check_loss("the validation loss", validation_loss, place, rates)
            self._finish_epoch(EpochRecord(epoch, mean_loss, validation_loss), progress)
            history.seconds = time.perf_counter() - began
            if args.save_checkpoints:
                checkpoints.save(state)

    def _validation_loss(self) -> float | None:
        """Log loss on the validation split, the main process's: all must agree on the best epoch and on the last."""
        if self.validation is None:
            return None
        loss = validation_loss(self.model, self.validation) if self.accelerator.is_main_process else None
        return broadcast_object_list([loss])[0]

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


def validation_loss(model: EmbedLLMNetwork, split: EncodedResponses) -> float:
    """Log loss of a network on a split, of pairs alone where the table is large; NaN if a logit is not finite."""
    responses, embeds = split.responses, split.question_embeds
    if responses.n_questions * responses.n_llms <= DENSE_CELLS:
        logits, truth = model.network_logits(embeds), responses.responses()
    else:
        logits = model.pair_logits(embeds, responses.question_indices, responses.llm_indices)
        truth = responses.values
    if not np.isfinite(logits).all():
        return math.nan
    return log_loss(torch.from_numpy(logits).sigmoid_().numpy(), truth)


def check_llms(model: PooledNetwork, responses: ResponseMatrix, split: str) -> None:
    """Refuse responses without any observation, or of other LLMs than the model's."""
    check_pool(responses, split)
    if list(responses.llm_names) != list(model.config.llm_names):
        raise InputError(
            f"`{split}` has {responses.n_llms} LLMs that are not the model's {model.config.n_llms}, or in another "
            "order. Load every split with the same `llm_names`."
        )


def check_split(model: PooledNetwork, encoded: EncodedResponses, split: str) -> None:
    """Refuse responses or text vectors that are not the model's."""
    check_llms(model, encoded.responses, split)
    other = encoded.encoder is not None and not encoded.encoder.is_same(model.config.encoder)
    if encoded.text_dim != model.config.text_dim or other:
        raise InputError(
            f"`{split}` has text vectors of width {encoded.text_dim} from `{encoded.encoder}`, expected width "
            f"{model.config.text_dim} from `{model.config.encoder}`, the model's. Encode the questions with that "
            "encoder, or make the model for theirs: `EmbedLLM.from_encoder(...)`, on the command line --encoder."
        )


@torch.no_grad()
def start_from_llm_means(model: PooledNetwork, responses: ResponseMatrix) -> None:
    """Start the biases of an untrained model at each LLM's logit, with half an answer added to either side."""
    if model.llm_bias is None or model.llm_bias.any():
        return
    weights = responses.entry_weights
    count = np.bincount(responses.llm_indices, weights, minlength=responses.n_llms)
    right = np.bincount(responses.llm_indices, weights * responses.values, minlength=responses.n_llms)
    logits = torch.as_tensor(np.log((right + 0.5) / (count - right + 0.5)), device=model.llm_bias.device)
    model.llm_bias.copy_(logits - model.shared_offset)


def parameter_groups(model: EmbedLLMNetwork, weight_decay: float) -> list[dict[str, Any]]:
    """Decay the matrices, not the biases, whose size is not a sign of over-fitting."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": biases, "weight_decay": 0.0}]


def make_optimizer(
    groups: list[dict[str, Any]], args: EmbedLLMTrainingArguments, n_steps: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW over groups of parameters, at the network's learning rate unless a group has its own, and its schedule."""
    optimizer = torch.optim.AdamW(groups, lr=args.learning_rate, fused=True)
    return optimizer, get_scheduler(args.lr_scheduler_type, optimizer, int(args.warmup_ratio * n_steps), n_steps)
