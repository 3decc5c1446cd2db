"""A model is trained again from the responses in its own bank."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from embedllm_hf import EmbedLLM, cost_report, evaluate_model, load_responses, load_splits, onboard
from embedllm_hf.cli import main
from embedllm_hf.encoding.encoded_responses import encode_responses
from tests.command_line import refused, run


@pytest.fixture(scope="module")
def planted_model(tmp_path_factory) -> Path:
    """A model of the planted pool."""
    folder = tmp_path_factory.mktemp("planted")
    options = ["--encoder", "offline", "--num_train_epochs", "3", "--disable_tqdm"]
    assert main(["train", "--dataset", "planted", *options, "--output_dir", str(folder / "first")]) == 0
    return folder / "first"


def test_a_model_is_trained_again_from_its_own_bank(planted_model, tmp_path, capsys):
    """From the responses of both splits, without a text: the figures are those of the data set."""
    options = ["--num_train_epochs", "3", "--disable_tqdm", "--output_dir", str(tmp_path / "again")]
    code, out, _ = run(capsys, "train", "--dataset", planted_model, *options)
    assert code == 0
    assert "planted validation: 104 questions x 8 LLMs" in out
    first, again = (EmbedLLM.from_pretrained(folder) for folder in (planted_model, tmp_path / "again"))
    assert [len(model.bank) for model in (first, again)] == [640, 640]
    assert (first.bank.responses != again.bank.responses).nnz == 0
    test = encode_responses(load_responses("planted", split="test"), first.encoder)
    reports = [evaluate_model(model, test).to_dict()["embedllm"] for model in (first, again)]
    assert reports[1]["auc"] == pytest.approx(reports[0]["auc"], abs=0.002)


def test_a_warm_start_goes_on_from_the_weights_and_keeps_new_llms(planted_model, tmp_path, capsys):
    """One step of no length leaves the weights as they were; an LLM that was placed is one of the pool."""
    first = EmbedLLM.from_pretrained(planted_model)
    answers = {int(id_): 1 for id_ in first.bank.question_ids[:40]}
    onboard(first, "new/llm", answers).save_pretrained(tmp_path / "grown")
    options = ["--num_train_epochs", "1", "--learning_rate", "1e-12", "--weight_decay", "0", "--disable_tqdm"]
    train = ["train", "--dataset", tmp_path / "grown", *options, "--output_dir"]
    assert run(capsys, *train, tmp_path / "warm", "--warm_start")[0] == 0
    assert run(capsys, *train, tmp_path / "cold")[0] == 0
    grown, warm, cold = (EmbedLLM.from_pretrained(tmp_path / name) for name in ("grown", "warm", "cold"))
    np.testing.assert_allclose(warm.llm_embeds, grown.llm_embeds, atol=1e-6)
    assert not np.allclose(cold.llm_embeds, grown.llm_embeds, atol=1e-2)
    assert warm.config.llm_names[-1] == "new/llm"
    assert warm.bank.n_answers[-1] == 40
    assert not warm.bank.is_new.any()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--encoder", "offline"], ["--encoder", "that of the model", "stays"]),
        (["--train_encoder"], ["`train_encoder` needs the texts"]),
    ],
)
def test_what_a_bank_cannot_give_is_refused(planted_model, tmp_path, capsys, options, parts):
    """Another encoder needs the texts, and so does training one."""
    refused(
        run(capsys, "train", "--dataset", planted_model, "--output_dir", tmp_path / "m", "--disable_tqdm", *options),
        *parts,
    )


def test_a_data_set_is_no_warm_start(tmp_path, capsys):
    """It has no weights."""
    options = ["--encoder", "offline", "--output_dir", str(tmp_path / "m"), "--warm_start"]
    refused(run(capsys, "train", "--dataset", "planted", *options), "--warm_start", "planted")


def test_told_benchmarks_reach_every_verb(tmp_path, capsys):
    """A data set's own benchmarks: in the report, cards, curve, forecasts, probes and a model trained again."""
    told = {"law": "exams", "medicine": "exams"}
    for name, split in load_splits("planted").items():
        pq.write_table(replace(split, benchmark_of=told).to_long(), tmp_path / f"{name}.parquet")
    options = ["--num_train_epochs", "3", "--disable_tqdm"]
    first, again = tmp_path / "first", tmp_path / "again"
    assert (
        main(["train", "--dataset", str(tmp_path), "--encoder", "offline", *options, "--output_dir", str(first)]) == 0
    )
    assert main(["train", "--dataset", str(first), *options, "--output_dir", str(again)]) == 0
    report = [json.loads((folder / "metrics.json").read_text())["benchmarks"] for folder in (first, again)]
    assert list(report[0]) == list(report[1]) == ["arithmetic", "cooking", "geography", "exams", "programming"]
    assert "| `exams` |" in (again / "README.md").read_text()
    model = EmbedLLM.from_pretrained(again)
    assert model.bank.benchmarks["exams"] == model.bank.validation.benchmarks["exams"] == tuple(told)
    llm = model.config.llm_names[0]
    for verb in (["forecast", "--llm", llm], ["probe", "--llm", "lab/new", "-n", "2"]):
        code, out, _ = run(capsys, *verb, "--model", again, "--benchmark", "exams")
        assert code == 0
        assert "exams" in out
    pool = load_splits(tmp_path)
    costs = {name: 1.0 + number for number, name in enumerate(pool.llm_names)}
    assert "exams" in evaluate_model(model, pool.test).benchmarks
    assert "exams" in cost_report(model, pool.test, costs=costs).benchmarks
