"""The benchmark runs and its references do the same work as the library; no test here measures time."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from embedllm_hf import EmbedLLM, EmbedLLMConfig, load_responses
from embedllm_hf.experiments import speed
from embedllm_hf.experiments.slow_references import PairDataset, PairNetwork, train_pairs_until_best

from .pool import LLMS, TEXT_DIM, make_split

ROOT = Path(__file__).parent.parent


def test_the_script_prints_every_row(tmp_path):
    """Each row of the table is there, as a number, in the table and in JSON."""
    command = [sys.executable, "scripts/benchmark.py", "--quick", "--output", str(tmp_path / "speed.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / "speed.json").read_text())
    assert len(report["rows"]) == 10
    for row in report["rows"]:
        assert np.isfinite(row["ratio"])
        assert row["name"] in done.stdout
    assert report["machine"]["torch"] == torch.__version__


def test_the_pair_network_is_the_papers_form():
    """With the same weights the reference's logits are those of `EmbedLLMConfig.paper()`."""
    split = make_split(10)
    model = EmbedLLM(EmbedLLMConfig.paper(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4)).eval()
    reference = PairNetwork(split.question_embeds, len(LLMS), 4, noise_std=0.05).eval()
    reference.llms.load_state_dict(model.llm_embedding.state_dict())
    reference.projection.load_state_dict(model.question_proj.state_dict())
    reference.classifier.load_state_dict(model.classifier.state_dict())
    questions, llms = torch.arange(10), torch.arange(10) % len(LLMS)
    expected = model(torch.as_tensor(split.question_embeds), llms).logits
    torch.testing.assert_close(reference(llms, questions), expected)


def test_the_pair_data_set_holds_each_observed_pair():
    """One item an observed response, with its LLM, question and label."""
    split = make_split(10)
    truth = split.responses.responses()
    items = list(PairDataset(split.responses))
    assert len(items) == split.responses.n_observed
    assert all(truth[question, llm] == label for llm, question, label in items)


def test_the_pair_loop_learns():
    """The reference is a fair one: it learns the planted skill."""
    train, validation = make_split(200), make_split(40, first_id=200)
    parts = (train.responses, train.question_embeds, validation.responses, validation.question_embeds)
    torch.manual_seed(0)
    best, seconds = train_pairs_until_best(*parts, embed_dim=8, learning_rate=0.02, n_epochs=40, patience=40)
    assert best > 0.85
    assert seconds > 0


def test_the_generated_csv_loads(tmp_path):
    """It has the rows asked for, in the original's layout."""
    speed.write_csv(tmp_path, 300, n_llms=7)
    responses = load_responses(tmp_path, split="train")
    assert responses.summary().n_rows == 300
    assert responses.n_llms == 7


def test_made_responses_are_a_matrix():
    """Each question has ascending LLMs, and about as many answers as asked for."""
    responses = speed.make_responses(50, 30, answers=10)
    for row in np.split(responses.llm_indices, responses.indptr[1:-1]):
        assert (np.diff(row) > 0).all()
    assert 300 < responses.n_observed <= 500
    assert speed.make_responses(5, 4).n_observed == 20
