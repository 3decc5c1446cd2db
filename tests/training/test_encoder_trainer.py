"""Training the text encoder: it learns what a frozen one barely sees, resumes to the bit, travels with the model."""

import shutil
import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from embedllm_hf import EmbedLLM, EmbedLLMTrainingArguments, QuestionEncoder, Router
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.cli import main
from embedllm_hf.encoding.encoded_responses import encode_responses
from embedllm_hf.encoding.guest import encoder_digest
from embedllm_hf.training.batches import Block
from embedllm_hf.training.checkpoints import Checkpoints
from embedllm_hf.training.encoder_trainer import TextEncoderTrainer, summed_ranking_loss
from embedllm_hf.training.network_trainer import NetworkTrainer
from tests.command_line import refused, run
from tests.launching import finish, launch, patient
from tests.pool import LLMS, make_split
from tests.tiny_encoder import save_tiny_encoder

TRAIN, VALIDATION = (make_split(n, first_id=first, seed=first).responses for n, first in ((240, 0), (60, 240)))
LOGIC, POETRY = "A logic question, number 7?", "A poetry question, number 7?"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """The folder of the tiny encoder."""
    return save_tiny_encoder(tmp_path_factory.mktemp("tiny"))


def make_trainer(tiny: Path, output_dir: Path, *, resume: bool = False, **options) -> TextEncoderTrainer:
    """A trainer that starts from the solution of the frozen encoder."""
    AcceleratorState._reset_state(reset_partial_state=True)
    encoder = QuestionEncoder(str(tiny), cache_dir=output_dir.parent / "cache", device="cpu")
    network = {"learning_rate": 0.05, "weight_decay": 0.01, "num_train_epochs": 10, "disable_tqdm": True}
    settings = {"encoder_epochs": 4, "encoder_block_size": 16, "encoder_learning_rate": 6e-3, **network, **options}
    args = EmbedLLMTrainingArguments(output_dir=str(output_dir), **{"encoder_precision": "fp32", **settings})
    model = EmbedLLM.from_encoder(encoder, llm_names=LLMS, embed_dim=4)
    NetworkTrainer(model, args, *(encode_responses(split, encoder) for split in (TRAIN, VALIDATION))).train()
    args.save_checkpoints, args.resume_from_checkpoint = "encoder_save_steps" in options, resume
    return TextEncoderTrainer(model, args, TRAIN, VALIDATION)


def trained_weights(trainer: TextEncoderTrainer) -> dict[str, torch.Tensor]:
    """All weights of network and encoder."""
    encoder = trainer.model.encoder.load().state_dict()
    return {**trainer.model.state_dict(), **{f"encoder.{name}": value for name, value in encoder.items()}}


def assert_same_weights(one, other, **tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=tolerance.get("atol", 0.0), msg=name)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> TextEncoderTrainer:
    """A trainer that has trained."""
    trainer = make_trainer(tiny, tmp_path_factory.mktemp("trained") / "out")
    trainer.train()
    return trainer


# --- what is learned ---


def test_learns_what_the_frozen_encoder_barely_sees(trained, tiny):
    """Both topics have nearly one vector at the start; training tells them apart, and the losses say so."""
    frozen = QuestionEncoder(str(tiny), device="cpu").encode([LOGIC, POETRY])
    np.testing.assert_allclose(frozen[0], frozen[1], atol=0.05)
    history = trained.history
    assert [record.epoch for record in history.epochs] == [-1, 0, 1, 2, 3]
    start, *_, last = (record.validation_loss for record in history.epochs)
    assert last < 0.75 * start
    probabilities = trained.model.network_proba(trained.model.encoder.encode([LOGIC, POETRY]))
    assert (probabilities[0, :3] > 0.7).all()
    assert (probabilities[1, :3] < 0.3).all()


def test_the_frozen_encoder_stays_as_it_was(tiny, tmp_path):
    """A copy is trained: the encoder that the model had keeps its weights, and each has a cache of its own."""
    trainer = make_trainer(tiny, tmp_path / "out", encoder_epochs=1)
    frozen, before = trainer.model.encoder, deepcopy(trainer.model.encoder.load().state_dict())
    trainer.train()
    trained = trainer.model.encoder
    assert all(torch.equal(value, before[name]) for name, value in frozen.load().state_dict().items())
    assert trainer.model.config.encoder_digest == encoder_digest(trained._find()) == trained.digest != frozen.digest
    assert frozen._cache().path != trained._cache().path
    assert not trainer.model.training


def test_what_was_fitted_to_the_frozen_encoder_is_dropped(tiny, tmp_path):
    """The bank's vectors are of the frozen encoder, and the metrics of other weights."""
    trainer = make_trainer(tiny, tmp_path / "out", encoder_epochs=1)
    trainer.model._set_bank(QuestionBank.from_responses(encode_responses(TRAIN, trainer.model.encoder)))
    trainer.model.metrics = {"embedllm": {"accuracy": 0.5}}
    trainer.train()
    assert (trainer.model.bank, trainer.model.metrics) == (None, None)


def test_the_start_is_kept_where_nothing_is_better(tiny, tmp_path, caplog):
    """A learning rate that destroys the encoder ends with the frozen solution, and says so."""
    trainer = make_trainer(tiny, tmp_path / "out", encoder_learning_rate=3.0, encoder_epochs=1)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    frozen = trainer.model.encoder
    trainer.train()
    assert "the frozen encoder is kept" in caplog.text
    assert trainer.model.encoder is frozen
    assert trainer.model.config.encoder_digest == frozen.digest
    assert_same_weights(before, trainer.model.state_dict())


def test_the_order_of_llms_can_be_trained_alone(tiny, tmp_path):
    """With nearly all weight on the order, the right family still comes first."""
    trainer = make_trainer(tiny, tmp_path / "out", ranking_weight=50.0)
    joint_loss = trainer.train().epochs
    assert joint_loss[1].train_loss > 3 * joint_loss[0].validation_loss  # the ranking loss is in it
    embeds = trainer.model.encoder.encode([LOGIC, POETRY])
    best = trainer.model.network_proba(embeds).argmax(axis=1)
    assert best[0] < 3 <= best[1]


# --- the same, in other ways ---


def test_resume_equals_no_interruption(trained, tiny, tmp_path, monkeypatch):
    """A run that is killed within an epoch and resumed ends with the same weights to the bit."""
    interrupted = make_trainer(tiny, tmp_path / "cut", encoder_save_steps=5)
    save = Checkpoints.save

    def save_and_die(*where):
        save(*where)
        if len(interrupted.history.epochs) == 2 and interrupted.history.step == 5:  # of the second epoch
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        interrupted.train()
    monkeypatch.undo()
    resumed = make_trainer(tiny, tmp_path / "cut", resume=True)
    history = resumed.train()
    assert [record.epoch for record in history.epochs] == [-1, 0, 1, 2, 3]
    assert [record.train_loss for record in history.epochs] == [e.train_loss for e in trained.history.epochs]
    assert_same_weights(trained_weights(trained), trained_weights(resumed))


@pytest.mark.parametrize("options", [{"gradient_accumulation_steps": 5}, {"gradient_checkpointing": True}])
def test_saving_memory_changes_nothing(trained, tiny, tmp_path, options):
    """Parts of a block, or activations computed twice, give the gradients of the whole block."""
    trainer = make_trainer(tiny, tmp_path / "out", **options)
    trainer.train()
    assert_same_weights(trained_weights(trained), trained_weights(trainer), atol=2e-3)
    assert trainer.history.epochs[1].train_loss == pytest.approx(trained.history.epochs[1].train_loss, rel=1e-4)


def test_half_precision_learns_too(tiny, tmp_path):
    """The encoder's forward pass in bf16 learns the topics; the network and the weights stay float32."""
    trainer = make_trainer(tiny, tmp_path / "out", encoder_precision="bf16")
    history = trainer.train()
    assert history.epochs[-1].validation_loss < 0.75 * history.epochs[0].validation_loss
    assert {value.dtype for value in trained_weights(trainer).values() if value.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize("has_it", [True, False])
def test_a_gpu_that_imitates_half_precision_does_without(tiny, tmp_path, monkeypatch, has_it):
    """By itself the encoder takes bf16 only where a GPU has it: torch's own question counts imitations, too."""
    trainer = make_trainer(tiny, tmp_path / "out", encoder_precision="auto")
    trainer.accelerator = SimpleNamespace(device=torch.device("cuda"))
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or has_it
    )
    assert trainer._precision() == (torch.bfloat16 if has_it else torch.float32)


def test_adapters_are_merged(tiny, tmp_path):
    """Adapters train few weights, and leave an encoder of the same form as before."""
    trainer = make_trainer(tiny, tmp_path / "out", adapter_rank=4, encoder_learning_rate=2e-2)
    before = trainer.model.encoder.load().state_dict()
    history = trainer.train()
    assert history.epochs[-1].validation_loss < history.epochs[0].validation_loss
    after = trainer.model.encoder.load().state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("dense" in name or "attention" in name for name in changed)  # not the token vectors


def test_adapters_need_their_package(tiny, tmp_path, monkeypatch):
    """The message names the extra."""
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"embedllm.hf\[adapters\]"):
        make_trainer(tiny, tmp_path / "out", adapter_rank=4)  # before anything is trained


@pytest.mark.slow
@patient
def test_two_processes_equal_one(tiny, tmp_path):
    """`accelerate launch` on two CPU processes gives the one-process encoder up to summation order."""
    folders = [str(tmp_path / "one"), str(tmp_path / "two")]
    command = ["train", "--dataset", "planted", "--encoder", str(tiny), "--train_encoder", "--disable_tqdm"]
    command += ["--encoder_epochs", "1", "--encoder_learning_rate", "1e-3", "--encoder_block_size", "128"]
    command += ["--encoder_precision", "fp32", "--output_dir"]
    assert main([*command, folders[0]]) == 0
    finish(launch([*command, folders[1], "--save_checkpoints"]), n_processes=2)
    assert [path.name for path in (Path(folders[1]) / "checkpoints").iterdir()] == ["finished.json"]
    one, two = (EmbedLLM.from_pretrained(folder) for folder in folders)
    assert None not in (one.config.encoder_digest, two.config.encoder_digest)
    weights = [model.encoder.load().state_dict() for model in (one, two)]
    assert_same_weights(*weights, atol=1e-3)
    assert_same_weights(one.state_dict(), two.state_dict(), atol=5e-3)


# --- losses and blocks ---


def block_of(labels: list, weights: list) -> Block:
    return Block(torch.empty(len(labels), 0), torch.tensor(labels), torch.tensor(weights))


def test_ranking_loss_by_hand():
    """-log of the chance that a draw by softmax is right; unsolved questions and missing LLMs say nothing."""
    logits = torch.tensor([[0.0, np.log(3.0), 9.0], [1.0, 2.0, 3.0], [0.5, 0.5, 7.0]], dtype=torch.float64)
    logits.requires_grad_(True)
    labels = [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.5, 1.0, 0.0]]
    weights = [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 2.0, 0.0]]
    loss = summed_ranking_loss(logits, block_of(labels, weights))
    assert loss.item() == pytest.approx(-np.log(3 / 4) - np.log(0.5 * 0.5 + 0.5))
    loss.backward()
    assert not logits.grad[1].any()
    assert not logits.grad[:, 2].any()
    assert logits.grad[0, 1] < 0 < logits.grad[0, 0]


def test_ranking_loss_of_pairs_is_that_of_the_table():
    """Where a pool is too large for tables, its pairs give the same loss."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 5, generator=generator)
    labels, weights = (torch.randint(0, 2, (7, 5), generator=generator).float() for _ in range(2))
    table = Block(torch.empty(7, 0), labels, weights)
    rows, columns = weights.nonzero(as_tuple=True)
    pairs = Block(torch.empty(7, 0), labels[rows, columns], weights[rows, columns], rows, columns)
    one, other = summed_ranking_loss(logits, table), summed_ranking_loss(logits[rows, columns], pairs)
    assert one.item() == pytest.approx(other.item(), rel=1e-6)


def test_pairs_of_a_large_pool_train_what_tables_train(trained, tiny, tmp_path, monkeypatch):
    """The whole training runs on pairs, too."""
    monkeypatch.setattr("embedllm_hf.training.batches.DENSE_CELLS", 0)
    trainer = make_trainer(tiny, tmp_path / "out")
    trainer.train()
    assert_same_weights(trained_weights(trained), trained_weights(trainer), atol=2e-3)


# --- the encoder travels with the model ---


@pytest.fixture
def saved(trained, tmp_path) -> Path:
    trained.model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_saved_and_loaded_to_the_bit(trained, saved):
    """The encoder stands in the model's folder as safetensors, and gives the same vectors."""
    assert (saved / "text_encoder" / "model.safetensors").is_file()
    assert not [path for path in saved.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]
    loaded = EmbedLLM.from_pretrained(saved)
    np.testing.assert_array_equal(loaded.encoder.encode([LOGIC]), trained.model.encoder.encode([LOGIC]))
    assert loaded.encoder.load() is not trained.model.encoder.load()
    assert loaded.encoder.id == trained.model.encoder.id
    assert Router(loaded)(LOGIC).llm in LLMS[:3]
    assert Router(loaded)(POETRY).llm in LLMS[3:]


def test_it_is_saved_again_from_where_it_was_loaded(saved, tmp_path):
    """A loaded model writes its encoder elsewhere and in place; one without an encoder leaves none of another's."""
    loaded = EmbedLLM.from_pretrained(saved).with_llm("new/llm", np.zeros(4))
    loaded.save_pretrained(tmp_path / "again")
    loaded.save_pretrained(saved)
    for folder in (tmp_path / "again", saved):
        assert EmbedLLM.from_pretrained(folder).encoder.load()
    EmbedLLM.from_encoder("offline", llm_names=LLMS, text_dim=8).save_pretrained(saved)
    assert not (saved / "text_encoder").exists()


def test_it_goes_to_the_hub_and_back(trained, hub, tmp_path):
    """One upload holds model and encoder, one download brings both."""
    trained.model.push_to_hub("user/trained")
    loaded = EmbedLLM.from_pretrained("user/trained", cache_dir=tmp_path)
    np.testing.assert_array_equal(loaded.encoder.encode([POETRY]), trained.model.encoder.encode([POETRY]))


def test_a_missing_or_foreign_encoder_is_refused(saved, tiny):
    """A model without its encoder, or with another one in its place, would score nonsense."""
    shutil.rmtree(saved / "text_encoder")
    with pytest.raises(OSError, match=r"text_encoder: has no `modules\.json`"):
        EmbedLLM.from_pretrained(saved)
    shutil.copytree(tiny, saved / "text_encoder")
    with pytest.raises(ValueError, match="another text encoder than the one that the model was saved with"):
        EmbedLLM.from_pretrained(saved).encoder.encode(["a text that no cache has seen"])


def test_an_encoder_cut_in_half_is_named(saved):
    """One line that names the folder, not the reader's own words alone."""
    weights = saved / "text_encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(ValueError, match="text_encoder: holds another text encoder than"):
        EmbedLLM.from_pretrained(saved).encoder.encode(["another text that no cache has seen"])


def test_an_untrained_model_takes_a_trained_encoder_along(trained, tmp_path):
    """A new model for another model's trained encoder knows it, and is saved with it."""
    other = EmbedLLM.from_encoder(trained.model.encoder, llm_names=LLMS)
    assert other.config.encoder == trained.model.config.encoder
    other.save_pretrained(tmp_path)
    np.testing.assert_array_equal(
        EmbedLLM.from_pretrained(tmp_path).encoder.encode([LOGIC]), trained.model.encoder.encode([LOGIC])
    )


# --- the command line ---


def test_train_embed_and_evaluate(tiny, tmp_path, capsys):
    """The verbs train the encoder, write its vectors, and take them; those of the frozen one are refused."""
    folder, frozen, vectors = tmp_path / "model", str(tmp_path / "frozen.st"), str(tmp_path / "trained.st")
    data = ["--dataset", "planted"]
    options = ["--encoder_epochs", "1", "--encoder_learning_rate", "1e-3", "--encoder_block_size", "256"]
    train = ["train", *data, "--encoder", str(tiny), "--output_dir", str(folder), "--disable_tqdm", "--train_encoder"]
    assert run(capsys, *train, *options)[0] == 0
    model = EmbedLLM.from_pretrained(folder)
    assert model.config.encoder_digest is not None
    assert len(model.bank) > 0
    assert model.metrics["embedllm"]["accuracy"] > model.metrics["llm_mean"]["accuracy"]
    assert run(capsys, "embed", *data, "--encoder", tiny, "--output", frozen)[0] == 0
    assert run(capsys, "embed", *data, "--model", folder, "--output", vectors)[0] == 0
    evaluate = ["evaluate", "--model", str(folder), *data, "--question_embeddings"]
    assert run(capsys, *evaluate, vectors)[0] == 0
    refused(run(capsys, *evaluate, frozen), "the text vectors are of the encoder", "expected")
