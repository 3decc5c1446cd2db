"""The whole recipe: responses in, a trained model with its bank out, saved, measured, pushed; and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from embedllm_hf import (
    EmbedLLM,
    EmbedLLMTrainer,
    EmbedLLMTrainingArguments,
    EncodedResponses,
    evaluate_model,
    load_splits,
)
from embedllm_hf.bank.bank_file import BANK_FILE
from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.data.splits import ResponseSplits
from embedllm_hf.encoding.guest import encoder_digest
from embedllm_hf.training.checkpoints import Checkpoints
from tests.pool import LLMS, make_split, new_model
from tests.tiny_encoder import save_tiny_encoder

TRAIN, VALIDATION, TEST = make_split(120), make_split(40, first_id=120, seed=1), make_split(60, first_id=160, seed=2)


def make_trainer(folder: Path, model: EmbedLLM | None = None, *, train=TRAIN, validation=VALIDATION, **args):
    """A trainer of the pool with made vectors, which trains in a moment."""
    settings = {"num_train_epochs": 3, "learning_rate": 0.02, "disable_tqdm": True, **args}
    arguments = EmbedLLMTrainingArguments(output_dir=str(folder), **settings)
    return EmbedLLMTrainer(model or new_model(), arguments, train_dataset=train, eval_dataset=validation)


@pytest.fixture(scope="module")
def data() -> ResponseSplits:
    return load_splits("planted")


@pytest.fixture(scope="module")
def recipe(data, tmp_path_factory) -> EmbedLLMTrainer:
    """The recipe of the README, done."""
    model = EmbedLLM.from_encoder("offline", llm_names=data.llm_names)
    args = EmbedLLMTrainingArguments(output_dir=str(tmp_path_factory.mktemp("recipe") / "model"), disable_tqdm=True)
    trainer = EmbedLLMTrainer(model, args, train_dataset=data.train, eval_dataset=data.validation)
    trainer.train()
    trainer.evaluate(data.test)
    return trainer


# --- what comes out ---


def test_the_saved_model_forecasts_what_the_trained_one_does(recipe, data):
    """Network and bank come back from the folder, and every probability is the same to the bit."""
    loaded = EmbedLLM.from_pretrained(recipe.args.output_dir)
    embeds = recipe.model.encoder.encode(data.test.questions)
    np.testing.assert_array_equal(loaded.predict_proba(embeds), recipe.model.predict_proba(embeds))
    assert (loaded.predict_proba(embeds) != loaded.network_proba(embeds)).any()
    assert len(loaded.bank) == data.train.n_questions
    assert loaded.bank.item_parameters is not None


def test_the_report_is_kept(recipe, data):
    """With the model and in its folder, with the seed and the seconds of the training."""
    metrics = recipe.model.metrics
    assert metrics["dataset"]["id"] == "planted"
    assert metrics["dataset"]["n_questions"] == data.test.n_questions
    assert (metrics["seed"], metrics["train_seconds"]) == (0, round(recipe.history.seconds, 2))
    assert json.loads((Path(recipe.args.output_dir) / "metrics.json").read_text()) == metrics
    assert f"value: {metrics['embedllm']['accuracy']:.4f}" in (Path(recipe.args.output_dir) / "README.md").read_text()


def test_the_command_line_does_the_same(recipe, planted_model):
    """`embedllm train` ends with the same weights, the same bank and the same report."""
    verbs = EmbedLLM.from_pretrained(planted_model)
    ours = recipe.model.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in verbs.state_dict().items())
    assert (planted_model / BANK_FILE).read_bytes() == (Path(recipe.args.output_dir) / BANK_FILE).read_bytes()
    assert {**verbs.metrics, "train_seconds": None} == {**recipe.model.metrics, "train_seconds": None}


def test_labelled_questions_are_enough_to_measure_on(recipe, data):
    """Without a training split the baselines come from the bank, and are those of the training responses."""
    loaded = EmbedLLM.from_pretrained(recipe.args.output_dir)
    report = evaluate_model(loaded, data.test.select(np.arange(50)))
    assert report.dataset.n_questions == 50
    assert {"embedllm", "llm_mean", "llm_category_mean", "knn"} <= set(report.scores)
    assert evaluate_model(loaded, data.test).scores == recipe.evaluate(data.test).scores


def test_pushing_uploads_what_is_saved(recipe, hub):
    """Bank, card and metrics too."""
    recipe.push_to_hub("user/recipe")
    files = hub.repo("user/recipe").files()
    saved = {path.name for path in Path(recipe.args.output_dir).iterdir()}
    assert saved <= set(files)
    assert EmbedLLM.from_pretrained("user/recipe").metrics == recipe.model.metrics


def test_training_again_renews_the_bank(tmp_path):
    """The bank is of the new training's questions and weights; the report of the first training is gone."""
    first = make_trainer(tmp_path)
    first.train()
    first.evaluate(TEST)
    before = first.model.bank
    again = make_trainer(tmp_path, first.model, train=TEST, overwrite_output_dir=True)
    again.train()
    assert again.model.bank.question_ids.tolist() == TEST.responses.question_ids.tolist()
    assert not np.array_equal(again.model.bank.item_parameters.abilities, before.item_parameters.abilities)
    assert again.model.metrics is None
    assert not (tmp_path / "metrics.json").exists()


# --- validation, and what is refused before any work ---


@pytest.mark.parametrize("encoded", [True, False])
def test_a_share_of_the_training_questions_is_set_aside(tmp_path, encoded):
    """Without validation responses, a tenth; it is not trained on, and vectors stay with their questions."""
    trainer = make_trainer(tmp_path, train=TRAIN if encoded else TRAIN.responses, validation=None)
    rest, taken = trainer.train_dataset, trainer.eval_dataset
    if encoded:
        for part in (rest, taken):
            np.testing.assert_array_equal(part.question_embeds, TRAIN.question_embeds[part.responses.question_ids])
        rest, taken = rest.responses, taken.responses
    assert (rest.n_questions, taken.n_questions) == (108, 12)
    assert not set(rest.question_ids.tolist()) & set(taken.question_ids.tolist())


def test_nothing_is_set_aside_where_nothing_is_wanted(tmp_path):
    """With a share of 0 all questions are trained on, and no epoch has a validation loss."""
    trainer = make_trainer(tmp_path, validation=None, validation_share=0.0)
    assert {record.validation_loss for record in trainer.train().epochs} == {None}
    assert len(trainer.model.bank) == 120


@pytest.mark.parametrize("split", ["train", "validation"])
def test_what_does_not_fit_the_model_is_refused(tmp_path, split):
    """Vectors of another encoder, other LLMs, no responses: when the trainer is made, and nothing is written."""
    given = {"train": TRAIN, "validation": VALIDATION}[split]
    name = {"train": "train_dataset", "validation": "eval_dataset"}[split]
    other = replace(given, encoder=EncoderId("lab/other"))
    with pytest.raises(ValueError, match=rf"`{name}` has text vectors .* from `lab/other`.*from_encoder"):
        make_trainer(tmp_path / "model", **{split: other})
    with pytest.raises(ValueError, match=f"`{name}` has 5 LLMs that are not the model's 6"):
        make_trainer(tmp_path / "model", **{split: given.responses.select(llms=LLMS[:5])})
    assert list(tmp_path.iterdir()) == []


def test_the_text_encoder_is_not_trained_without_validation(tmp_path):
    """Nothing would say which epoch to keep."""
    with pytest.raises(ValueError, match="`train_encoder` needs an `eval_dataset`, or a `validation_share`"):
        make_trainer(tmp_path, validation=None, validation_share=0.0, train_encoder=True)


def test_a_folder_with_a_model_is_kept(tmp_path):
    """Unless it may be overwritten."""
    make_trainer(tmp_path).train()
    with pytest.raises(FileExistsError, match="holds a model already"):
        make_trainer(tmp_path)


# --- with the text encoder, and resumed ---


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return save_tiny_encoder(tmp_path_factory.mktemp("tiny"))


def test_questions_that_are_trained_on_choose_nothing(tmp_path, caplog):
    """Validation questions whose texts are in training, under other ids, leave the model as it is without them."""
    copies = TRAIN.select(np.arange(30))
    copies = replace(copies, responses=replace(copies.responses, question_ids=copies.responses.question_ids + 5000))
    mixed = EncodedResponses.concat([VALIDATION, copies])
    clean, leaky = make_trainer(tmp_path / "clean"), make_trainer(tmp_path / "leaky", validation=mixed)
    assert "30 of 70 questions of `eval_dataset` are left out: their texts are in `train_dataset`" in caplog.text
    assert list(leaky.eval_dataset.responses.question_ids) == list(VALIDATION.responses.question_ids)
    clean.train()
    leaky.train()
    embeds = TEST.question_embeds
    np.testing.assert_array_equal(clean.model.predict_proba(embeds), leaky.model.predict_proba(embeds))


def test_a_validation_split_of_training_questions_is_none(tmp_path):
    """A share of the training questions is set aside in its place, of which no text is trained on twice."""
    trainer = make_trainer(tmp_path, validation=TRAIN, validation_share=0.2)
    assert trainer.eval_dataset.responses.n_questions == 24
    assert trainer.train_dataset.responses.n_questions == 96
    questions = TRAIN.responses.questions.copy()
    questions[60:] = questions[:60]
    twice = replace(TRAIN, responses=replace(TRAIN.responses, questions=questions))
    trainer = make_trainer(tmp_path, train=twice, validation=None, validation_share=0.2)
    assert not set(trainer.eval_dataset.responses.keys) & set(trainer.train_dataset.responses.keys)


def make_joint_trainer(folder: Path, tiny: Path, **args) -> EmbedLLMTrainer:
    settings = {"train_encoder": True, "encoder_epochs": 1, "encoder_block_size": 16, "encoder_learning_rate": 6e-3}
    model = EmbedLLM.from_encoder(str(tiny), llm_names=LLMS, embed_dim=4)
    splits = {"train": TRAIN.responses, "validation": VALIDATION.responses}
    return make_trainer(folder, model, **splits, **{**settings, "learning_rate": 0.05, **args})


def test_the_bank_has_the_trained_encoders_vectors(tmp_path, tiny):
    """What the model knows belongs to the encoder that was kept, whatever vectors the training began with."""
    trainer = make_joint_trainer(tmp_path, tiny)
    trainer.train()
    model = trainer.model
    assert model.config.encoder_digest == encoder_digest(model.encoder._find())
    embeds = model.encoder.encode(TRAIN.responses.questions)
    np.testing.assert_allclose(model.bank.question_embeds, embeds, rtol=1e-3, atol=1e-4)  # kept as float16
    assert trainer.eval_dataset.encoder == model.encoder.id
    scores = trainer.evaluate(trainer.eval_dataset).scores
    assert scores["embedllm"]["accuracy"] > scores["llm_mean"]["accuracy"] + 0.1


def test_a_killed_run_goes_on_with_the_text_encoder(tmp_path, tiny, monkeypatch):
    """Resumed, the network is not trained again, and the end is that of a run without interruption."""
    whole = make_joint_trainer(tmp_path / "whole", tiny)
    whole.train()
    save = Checkpoints.save

    def save_and_die(*where):
        save(*where)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        make_joint_trainer(tmp_path / "cut", tiny, save_checkpoints=True, encoder_save_steps=3).train()
    monkeypatch.undo()
    resumed = make_joint_trainer(tmp_path / "cut", tiny, save_checkpoints=True, resume_from_checkpoint=True)
    resumed.train()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert resumed.model.encoder.digest == whole.model.encoder.digest
