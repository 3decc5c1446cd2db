"""The benchmark runs and its references do the same work as the library; no test here measures time."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from embedllm_hf import EmbedLLM, EmbedLLMConfig, load_responses
from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.encoding.embeddings_file import save_embeddings
from scripts.speed import made
from scripts.speed.slow_references import PAIRS_A_BATCH, PairDataset, PairNetwork, count_epochs_until_best
from tests.pool import LLMS, TEXT_DIM, make_split

ROOT = Path(__file__).parents[3]


def run_benchmark(*options: str) -> str:
    """Run the command at small sizes; what it prints."""
    command = [sys.executable, "-m", "scripts.speed", "--quick", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_command_prints_every_row(tmp_path):
    """Each row of the table is there, as a number, in the table and in JSON; the one left out is named."""
    printed = run_benchmark("--output", str(tmp_path / "speed.json"))
    report = json.loads((tmp_path / "speed.json").read_text())
    assert len(report["rows"]) == 11
    for row in report["rows"]:
        assert np.isfinite(row["ratio"])
        assert row["name"] in printed
    assert "The row `real` was left out: it needs --dataset and --question_embeddings." in printed
    assert report["machine"]["torch"] == torch.__version__


def test_the_row_on_real_data_is_there_where_data_are_given(tmp_path):
    """With a data set and its text vectors it says how far both sides came, ours at least as far."""
    splits = [load_responses("planted", split=split) for split in ("train", "validation")]
    ids = np.concatenate([split.question_ids for split in splits])
    topics = np.concatenate([split.categories for split in splits])
    embeds = np.stack([topics == topic for topic in np.unique(topics)], axis=1).astype(np.float32)
    save_embeddings(tmp_path / "vectors.safetensors", embeds, ids, EncoderId("topics"))
    given = ["--dataset", "planted", "--question_embeddings", str(tmp_path / "vectors.safetensors")]
    row = run_benchmark("real", *given)
    theirs, ours = (float(part) for part in re.findall(r" to (0\.\d+)", row))
    assert 0.5 < theirs <= ours
    assert "left out" not in row


def test_the_pair_network_is_the_papers_form():
    """With the same weights the difference of its two logits is the logit of `EmbedLLMConfig.paper()`."""
    split = make_split(10)
    model = EmbedLLM(EmbedLLMConfig.paper(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4)).eval()
    reference = PairNetwork(split.question_embeds, len(LLMS), 4, noise_std=0.05).eval()
    reference.llms.load_state_dict(model.llm_embedding.state_dict())
    reference.projection.load_state_dict(model.question_proj.state_dict())
    reference.classifier.load_state_dict(model.classifier.state_dict())
    questions, llms = torch.arange(10), torch.arange(10) % len(LLMS)
    expected = model(torch.as_tensor(split.question_embeds), llms).logits
    logits = reference(llms, questions)
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], expected)


def test_the_pair_data_set_holds_each_observed_pair():
    """One item an observed response, with its LLM, question and label."""
    split = make_split(10)
    truth = split.responses.responses()
    items = list(PairDataset(split.responses))
    assert len(items) == split.responses.n_observed
    assert all(truth[question, llm] == label for llm, question, label in items)


def test_batches_are_those_of_a_loader():
    """What is cut out of arrays is what a `DataLoader` of single pairs yields, in its order, the last batch short."""
    pairs = PairDataset(make_split(500).responses)
    loader = DataLoader(pairs, batch_size=PAIRS_A_BATCH)
    assert len(loader) > 1
    for batch, expected in zip(pairs.batches(), loader, strict=True):
        assert all(torch.equal(part, wanted) for part, wanted in zip(batch, expected, strict=True))


def test_the_pair_loop_learns():
    """The reference is a fair one: it learns the planted skill, and tells in which epoch it was best."""
    train, validation = make_split(200), make_split(40, first_id=200)
    torch.manual_seed(0)
    best, epoch = count_epochs_until_best(train, validation, embed_dim=8, learning_rate=0.02, n_epochs=40)
    assert best > 0.85
    torch.manual_seed(0)
    again = count_epochs_until_best(train, validation, embed_dim=8, learning_rate=0.02, n_epochs=epoch)
    assert again == (best, epoch)


def test_the_generated_csv_loads(tmp_path):
    """It has the rows asked for, in the original's layout."""
    made.write_csv(tmp_path, 300, n_llms=7)
    responses = load_responses(tmp_path, split="train")
    assert responses.summary().n_rows == 300
    assert responses.n_llms == 7


def test_made_responses_are_a_matrix():
    """Each question has ascending LLMs, and about as many answers as asked for."""
    responses = made.make_responses(50, 30, answers=10)
    for row in np.split(responses.llm_indices, responses.indptr[1:-1]):
        assert (np.diff(row) > 0).all()
    assert 300 < responses.n_observed <= 500
    assert made.make_responses(5, 4).n_observed == 20
