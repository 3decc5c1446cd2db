"""The network's training: it learns the planted skill, keeps the best epoch, resumes to the bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from embedllm_hf import EmbedLLMTrainingArguments
from embedllm_hf.configuration_embedllm import PAPER_FORM, EncoderId
from embedllm_hf.metrics import accuracy, log_loss
from embedllm_hf.training.checkpoints import Checkpoints
from embedllm_hf.training.fit_bank import fit_bank
from embedllm_hf.training.network_trainer import NetworkTrainer, parameter_groups, start_from_llm_means
from tests.pool import LLMS, make_split, new_model

TRAIN, VALIDATION, TEST = make_split(120), make_split(40, first_id=120, seed=1), make_split(60, first_id=160, seed=2)


def make_trainer(output_dir, *, train=TRAIN, validation=VALIDATION, config=None, **args) -> NetworkTrainer:
    AcceleratorState._reset_state(reset_partial_state=True)
    settings = {"num_train_epochs": 6, "weight_decay": 0.1, "learning_rate": 0.02, "disable_tqdm": True, **args}
    arguments = EmbedLLMTrainingArguments(output_dir=str(output_dir), **settings)
    return NetworkTrainer(new_model(seed=arguments.seed, **(config or {})), arguments, train, validation)


def weights_of(trainer: NetworkTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.mark.parametrize("mixed_precision", ["no", "bf16"])
def test_learns_the_planted_skill(tmp_path, mixed_precision):
    """Nine in ten answers follow the skill; unseen questions are predicted nearly that well, by float32 weights."""
    trainer = make_trainer(tmp_path, mixed_precision=mixed_precision)
    history = trainer.train()
    assert accuracy(trainer.model.network_proba(TEST.question_embeds), TEST.responses.responses()) > 0.85
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    assert not trainer.model.training
    assert {value.dtype for value in trainer.model.state_dict().values()} == {torch.float32}


def test_the_best_epoch_is_kept(tmp_path):
    """The model ends with the weights of the epoch whose validation loss was lowest, and reports that loss."""
    trainer = make_trainer(tmp_path, num_train_epochs=12, learning_rate=0.3, early_stopping_patience=12)
    history = trainer.train()
    losses = [record.validation_loss for record in history.epochs]
    assert history.best_epoch == int(np.argmin(losses)) < len(losses) - 1
    kept = log_loss(trainer.model.network_proba(VALIDATION.question_embeds), VALIDATION.responses.responses())
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
    form = {**PAPER_FORM, "embed_dim": 4}
    whole = make_trainer(tmp_path / "whole", config=form)
    whole.train()
    interrupted = make_trainer(tmp_path / "cut", config=form, save_checkpoints=True)
    save = Checkpoints.save

    def save_and_die(*where):
        save(*where)
        if len(interrupted.history.epochs) == stop_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        interrupted.train()
    monkeypatch.undo()
    names = [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()]
    assert names == [f"network-{stop_after:06d}.safetensors"]

    resumed = make_trainer(tmp_path / "cut", config=form, resume_from_checkpoint=True)
    torch.manual_seed(99)  # the checkpoint brings the state of the generators
    history = resumed.train()
    assert [record.epoch for record in history.epochs] == list(range(6))
    for name, value in weights_of(whole).items():
        assert torch.equal(value, weights_of(resumed)[name]), name


def test_a_model_may_be_on_the_device_already(tmp_path):
    """A new model that was moved to where it is trained is trained as any other."""
    moved, plain = make_trainer(tmp_path / "moved"), make_trainer(tmp_path / "plain")
    moved.model.to(moved.accelerator.device)
    moved.train()
    plain.train()
    for name, value in weights_of(plain).items():
        assert torch.equal(value, weights_of(moved)[name]), name


def test_tracker_gets_the_losses(tmp_path):
    """A tracker that Accelerate knows receives both losses of every epoch."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = make_trainer(tmp_path, report_to="tensorboard").train()
    events = EventAccumulator(str(tmp_path / "embedllm")).Reload()
    for name in ("train_loss", "validation_loss"):
        logged = [event.value for event in events.Scalars(name)]
        assert logged == pytest.approx([getattr(record, name) for record in history.epochs], rel=1e-5)


def test_pairs_of_a_large_pool_train_what_blocks_train(tmp_path, monkeypatch):
    """Where questions x LLMs are too many to hold, training on observed pairs ends with the same weights."""
    dense = make_trainer(tmp_path / "dense")
    dense.train()
    for module in ("batches", "network_trainer"):
        monkeypatch.setattr(f"embedllm_hf.training.{module}.DENSE_CELLS", 10)
    sparse = make_trainer(tmp_path / "sparse")
    history = sparse.train()
    for name, value in weights_of(dense).items():
        torch.testing.assert_close(value, weights_of(sparse)[name], rtol=1e-4, atol=1e-5)
    expected = [record.validation_loss for record in dense.history.epochs]
    assert [record.validation_loss for record in history.epochs] == pytest.approx(expected, abs=1e-5)


def test_splits_must_be_the_models(tmp_path):
    """Other LLMs, another width and another encoder are refused before any training."""
    with pytest.raises(ValueError, match="`train` has 5 LLMs that are not the model's 6"):
        make_trainer(tmp_path, train=TRAIN.select(llms=LLMS[:5]))
    narrow = replace(VALIDATION, question_embeds=VALIDATION.question_embeds[:, :3])
    with pytest.raises(ValueError, match=r"`validation` has text vectors of width 3 from .*, expected width 8 from"):
        make_trainer(tmp_path, validation=narrow)
    with pytest.raises(ValueError, match=r"`train` has text vectors of width 8 from `lab/other`, .*from_encoder"):
        make_trainer(tmp_path, train=replace(TRAIN, encoder=EncoderId("lab/other")))


# --- what training starts from, and what it may not keep ---


def test_biases_do_not_decay():
    """Weight decay is for the matrices; everything of one dimension has none, and each parameter is in one group."""
    model = new_model()
    decayed, free = parameter_groups(model, 0.7)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.7, 0.0)
    assert {parameter.ndim for parameter in decayed["params"]} == {2}
    assert {parameter.ndim for parameter in free["params"]} == {1}
    assert any(parameter is model.llm_bias for parameter in free["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))


def test_a_new_model_starts_from_the_llms_means():
    """The bias gives each LLM the logit of its mean, half an answer added to either side."""
    model = new_model()
    start_from_llm_means(model, TRAIN.responses)
    truth = TRAIN.responses.responses()
    right, count = np.nansum(truth, axis=0), (~np.isnan(truth)).sum(axis=0)
    logits = (model.llm_bias + model.shared_offset).detach().numpy()
    np.testing.assert_allclose(logits, np.log((right + 0.5) / (count - right + 0.5)), atol=1e-6)


def test_a_trained_model_goes_on_from_its_biases():
    """One bias that is not zero says that the model was trained, and no bias is moved."""
    model = new_model()
    with torch.no_grad():
        model.llm_bias[2] = 0.25
    before = model.llm_bias.detach().clone()
    start_from_llm_means(model, TRAIN.responses)
    assert torch.equal(model.llm_bias, before)


def test_training_again_drops_what_was_fitted(tmp_path):
    """Bank and metrics are of other weights: neither is there when the weights have moved."""
    trainer = make_trainer(tmp_path)
    trainer.model._set_bank(fit_bank(trainer.model, TRAIN, VALIDATION, calibrate=False))
    trainer.model.metrics = {"embedllm": {"accuracy": 0.5}}
    assert trainer.model.bank.item_parameters is not None
    trainer.train()
    assert (trainer.model.bank, trainer.model.metrics) == (None, None)
