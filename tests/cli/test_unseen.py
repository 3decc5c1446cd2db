"""`embedllm evaluate --unseen_llms`: the experiment end to end on the planted pool, and what it refuses."""

import json

import numpy as np

from embedllm_hf import load_splits
from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.encoding.embeddings_file import save_embeddings
from embedllm_hf.new_llms.unseen_llms import MEAN, NEIGHBOURS
from tests.command_line import refused, run
from tests.pool import make_embeds

UNSEEN = ("evaluate", "--unseen_llms", "--dataset", "planted")


def test_the_verb_writes_table_numbers_and_figure(capsys, tmp_path):
    """All methods are there, no path of this machine, no text of a question; the folds are counted on the way."""
    ids = np.concatenate([split.question_ids for _, split in load_splits("planted").items()])
    save_embeddings(tmp_path / "vectors.safetensors", make_embeds(ids), ids, EncoderId("offline"))
    given = ("--question_embeddings", tmp_path / "vectors.safetensors", "--output_dir", tmp_path / "out")
    code, out, err = run(capsys, *UNSEEN, *given, "--quick", "--seeds", 5, 6)
    assert (code, out.count(" of 2 seeds done")) == (0, 2)
    assert "seed 5: 100%" in err
    assert "2/2" in err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.md", "unseen_llms.json", "placement.png"}
    report = json.loads((tmp_path / "out" / "unseen_llms.json").read_text())
    assert {row["method"] for row in report["scores"]} >= {"adaptive", "random", "stratified", MEAN, NEIGHBOURS}
    assert {row["n_answers"] for row in report["scores"]} == {0, 8, 16}
    command = "embedllm evaluate --unseen_llms --dataset planted --quick --seeds 5 6"
    assert (report["about"]["command"], report["about"]["seeds"]) == (command, [5, 6])
    assert set(report["scores"][0]["by_seed"]) == {"5", "6"}
    text = (tmp_path / "out" / "README.md").read_text() + json.dumps(report)
    assert str(tmp_path) not in text
    assert "multiplied by" not in text
    assert "## New questions" in text


def test_the_verb_refuses_what_cannot_be(capsys, tmp_path):
    """No folder for the report, one fold, and neither a model nor the experiment: one line, nothing written."""
    refused(run(capsys, *UNSEEN), "--unseen_llms needs --output_dir")
    refused(run(capsys, *UNSEEN, "--output_dir", tmp_path / "o", "--n_folds", 1), "--n_folds is 1, expected 2 or more")
    refused(run(capsys, "evaluate", "--dataset", "planted"), "--model is needed", "--unseen_llms")
    assert not (tmp_path / "o").exists()
