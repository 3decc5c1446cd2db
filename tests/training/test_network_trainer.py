"""Training: it learns the planted skill, resumes to the bit, and does not depend on the number of processes."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from transformers import set_seed

from embedllm_hf import (
    EmbedLLM,
    EmbedLLMConfig,
    EmbedLLMTrainer,
    EmbedLLMTrainingArguments,
    ResponseMatrix,
)
from embedllm_hf.metrics import accuracy, log_loss
from embedllm_hf.training.batches import QuestionBlocks
from embedllm_hf.training.trainer import CHECKPOINTS, save_checkpoint

from .launching import run_on_one_and_on_two
from .pool import LLMS, TEXT_DIM, make_frame, make_split

TRAIN, VALIDATION, TEST = make_split(120), make_split(40, first_id=120, seed=1), make_split(60, first_id=160, seed=2)


@pytest.fixture(autouse=True)
def _fresh_accelerator():
    """Accelerate keeps one state a process; each test here starts its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def make_trainer(output_dir, *, train=TRAIN, validation=VALIDATION, config=None, **args) -> EmbedLLMTrainer:
    settings = {"num_train_epochs": 6, "weight_decay": 0.1, "learning_rate": 0.02, "disable_tqdm": True, **args}
    arguments = EmbedLLMTrainingArguments(output_dir=str(output_dir), **settings)
    set_seed(arguments.seed)
    model = EmbedLLM(config or EmbedLLMConfig(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4, encoder_name="offline"))
    parts = (None, None) if validation is None else (validation.responses, validation.question_embeds)
    return EmbedLLMTrainer(model, arguments, train.responses, train.question_embeds, *parts)


def weights_of(trainer: EmbedLLMTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def test_learns_the_planted_skill(tmp_path):
    """Nine in ten answers follow the skill, and unseen questions are predicted nearly that well."""
    trainer = make_trainer(tmp_path)
    history = trainer.train()
    probs = trainer.model.predict_proba(TEST.question_embeds)
    assert accuracy(probs, TEST.responses.responses()) > 0.85
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    assert not trainer.model.training
    assert len(trainer.model.known_questions) == 120


def test_the_best_epoch_is_kept(tmp_path):
    """The model ends with the weights of the epoch whose validation loss was lowest, and reports that loss."""
    trainer = make_trainer(tmp_path, num_train_epochs=12, learning_rate=0.3, early_stopping_patience=12)
    history = trainer.train()
    losses = [record.validation_loss for record in history.epochs]
    assert history.best_epoch == int(np.argmin(losses)) < len(losses) - 1
    kept = log_loss(trainer.model.predict_proba(VALIDATION.question_embeds), VALIDATION.responses.responses())
    assert kept == pytest.approx(min(losses), abs=1e-9)


def test_early_stopping(tmp_path):
    """Training ends once the patience is used up."""
    history = make_trainer(tmp_path, num_train_epochs=60, learning_rate=0.3, early_stopping_patience=2).train()
    assert len(history.epochs) == history.best_epoch + 3 < 60


def test_without_validation_the_last_epoch_is_kept(tmp_path):
    """With nothing to judge by, every epoch is run and the last one is the result."""
    history = make_trainer(tmp_path, validation=None).train()
    assert history.best_epoch == 5
    assert history.epochs[-1].validation_loss is None


def test_same_seed_same_weights(tmp_path):
    """Two runs with one seed agree to the bit; another seed gives other weights."""
    runs = []
    for seed in (0, 0, 1):
        trainer = make_trainer(tmp_path, seed=seed)
        trainer.train()
        runs.append(weights_of(trainer)["llm_embedding.weight"])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("stop_after", [1, 4])
def test_resume_equals_no_interruption(tmp_path, monkeypatch, stop_after):
    """A run that is killed after some epochs and resumed ends with the same weights to the bit, noise included."""
    config = EmbedLLMConfig.paper(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4, encoder_name="offline")
    whole = make_trainer(tmp_path / "whole", config=config)
    whole.train()

    interrupted = make_trainer(tmp_path / "cut", config=config, save_checkpoints=True)

    def save_and_die(*where):
        save_checkpoint(*where)
        if len(interrupted.history.epochs) == stop_after:
            raise KeyboardInterrupt

    monkeypatch.setattr("embedllm_hf.training.trainer.save_checkpoint", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        interrupted.train()
    monkeypatch.undo()
    assert (tmp_path / "cut" / CHECKPOINTS / "last").is_dir()

    AcceleratorState._reset_state(reset_partial_state=True)
    resumed = make_trainer(tmp_path / "cut", config=config, resume_from_checkpoint=True, seed=0)
    torch.manual_seed(99)  # the checkpoint brings the state of the generators
    history = resumed.train()
    assert [record.epoch for record in history.epochs] == list(range(6))
    for name, value in weights_of(whole).items():
        assert torch.equal(value, weights_of(resumed)[name]), name


def test_blocks_cover_each_question_once():
    """An epoch's blocks, over one process or three, hold every question once, in an order that the epoch decides."""

    def ids(n_processes: int, epoch: int) -> list[list[float]]:
        shares = [
            QuestionBlocks(
                TRAIN.responses, TRAIN.question_embeds, block_size=32, seed=0, device=torch.device("cpu"),
                process_index=index, n_processes=n_processes,
            )
            for index in range(n_processes)
        ]  # fmt: skip
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
    frame = pd.concat([frame, repeats, repeats, repeats])
    responses = ResponseMatrix.from_pandas(frame, llm_names=LLMS)
    blocks = QuestionBlocks(
        responses, np.zeros((40, TEXT_DIM), np.float32), block_size=10, seed=0, device=torch.device("cpu")
    )
    assert blocks.label_weights[0].tolist() == [4.0] * len(LLMS)
    total = sum(block.label_weights.sum().item() for block in blocks.epoch(0))
    assert total == pytest.approx(blocks.mean_block_weight * 40 / blocks.block_size)


@pytest.mark.parametrize("mixed_precision", ["no", "bf16"])
def test_mixed_precision_learns_too(tmp_path, mixed_precision):
    """bf16 learns the skill as well, and leaves weights in float32."""
    trainer = make_trainer(tmp_path, mixed_precision=mixed_precision)
    trainer.train()
    assert {value.dtype for value in trainer.model.state_dict().values()} == {torch.float32}
    probs = trainer.model.predict_proba(TEST.question_embeds)
    assert accuracy(probs, TEST.responses.responses()) > 0.85


def test_tracker_gets_the_losses(tmp_path):
    """A tracker that Accelerate knows receives both losses of every epoch."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = make_trainer(tmp_path, report_to="tensorboard").train()
    events = EventAccumulator(str(tmp_path / "embedllm")).Reload()
    for name in ("train_loss", "validation_loss"):
        logged = [event.value for event in events.Scalars(name)]
        assert logged == pytest.approx([getattr(record, name) for record in history.epochs], rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_size": 0}, "`block_size` is 0"),
        ({"learning_rate": 0.0}, "`learning_rate` is 0.0"),
        ({"weight_decay": -1.0}, "`weight_decay` is -1.0"),
        ({"warmup_ratio": 1.0}, "`warmup_ratio` is 1.0"),
        ({"mixed_precision": "fp8"}, "`mixed_precision` is 'fp8'"),
        ({"lr_scheduler_type": "step"}, "`lr_scheduler_type` is 'step'"),
    ],
)
def test_arguments_are_checked(change, message):
    """A value out of range is refused by name."""
    with pytest.raises(ValueError, match=message):
        EmbedLLMTrainingArguments(**change)


def test_splits_must_be_the_models(tmp_path):
    """Other LLMs, other widths and a missing companion are refused before any training."""
    fewer = TRAIN.responses.select(llms=LLMS[:5])
    with pytest.raises(ValueError, match="`train` has 5 LLMs that are not the model's 6"):
        make_trainer(tmp_path, train=type(TRAIN)(fewer, TRAIN.question_embeds))
    with pytest.raises(ValueError, match=r"`train_embeds` has shape \(120, 3\), expected \(120, 8\)"):
        make_trainer(tmp_path, train=type(TRAIN)(TRAIN.responses, TRAIN.question_embeds[:, :3]))
    model = EmbedLLM(EmbedLLMConfig(llm_names=LLMS, text_dim=TEXT_DIM))
    args = EmbedLLMTrainingArguments()
    with pytest.raises(ValueError, match="`validation_embeds` is missing"):
        EmbedLLMTrainer(model, args, TRAIN.responses, TRAIN.question_embeds, VALIDATION.responses)


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    """The whole training on two processes gives the one-process model up to summation order."""
    folders = [tmp_path / "one", tmp_path / "two"]
    command = ["train", "--dataset", "planted", "--encoder", "offline", "--disable_tqdm", "--output_dir"]
    run_on_one_and_on_two(*([*command, str(folder)] for folder in folders))
    one, two = (EmbedLLM.from_pretrained(folder).state_dict() for folder in folders)
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-3, atol=1e-4)
    losses = [json.loads((folder / "metrics.json").read_text())["embedllm"]["log_loss"] for folder in folders]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_pairs_of_a_large_pool_train_what_blocks_train(tmp_path, monkeypatch):
    """Where questions x LLMs are too many to hold, training on observed pairs ends with the same weights."""
    dense = make_trainer(tmp_path / "dense")
    dense.train()
    for module in ("batches", "trainer"):
        monkeypatch.setattr(f"embedllm_hf.training.{module}.DENSE_CELLS", 10)
    AcceleratorState._reset_state(reset_partial_state=True)
    sparse = make_trainer(tmp_path / "sparse")
    history = sparse.train()
    for name, value in weights_of(dense).items():
        torch.testing.assert_close(value, weights_of(sparse)[name], rtol=1e-4, atol=1e-5)
    expected = [record.validation_loss for record in dense.history.epochs]
    assert [record.validation_loss for record in history.epochs] == pytest.approx(expected, abs=1e-5)


def test_blocks_of_pairs_hold_what_dense_blocks_hold(monkeypatch):
    """Spread over questions x LLMs, each block's pairs are the dense block, over one process and over two."""
    options = {"block_size": 32, "seed": 3, "device": torch.device("cpu")}
    for index, n_processes in ((0, 1), (1, 2)):
        share = {"process_index": index, "n_processes": n_processes}
        dense = QuestionBlocks(TRAIN.responses, TRAIN.question_embeds, **options, **share)
        with monkeypatch.context() as patch:
            patch.setattr("embedllm_hf.training.batches.DENSE_CELLS", 10)
            sparse = QuestionBlocks(TRAIN.responses, TRAIN.question_embeds, **options, **share)
        for block, pairs in zip(dense.epoch(1), sparse.epoch(1), strict=True):
            spread = torch.zeros_like(block.label_weights)
            spread[pairs.question_indices, pairs.llm_indices] = pairs.label_weights
            assert torch.equal(spread, block.label_weights)
            spread[pairs.question_indices, pairs.llm_indices] = pairs.labels
            assert torch.equal(spread, block.labels)
            assert torch.equal(pairs.question_embeds, block.question_embeds)
