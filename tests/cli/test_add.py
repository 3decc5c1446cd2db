"""`embedllm add`: a table or a data set into a model, what it prints and writes, and what bad input gets."""

import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from embedllm_hf import EmbedLLM, EncodedResponses, add, load_responses
from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.data.files import VECTORS_FILE
from embedllm_hf.data.texts import withheld_texts
from embedllm_hf.encoding.embeddings_file import save_embeddings
from tests.command_line import refused, run

NEW = "lab/new"


@pytest.fixture(scope="module")
def frame():
    """The planted test split, which the model does not know, by the pool, and half of the training's by a new LLM."""
    known = load_responses("planted", split="train").to_long().to_pandas()
    mine = known[known["model_name"] == known["model_name"][0]][::2].assign(model_name=NEW)
    unknown = load_responses("planted", split="test").to_long().to_pandas()
    frame = unknown.drop(columns="model_id")
    return pd.concat([frame, mine.drop(columns="model_id")], ignore_index=True)


def test_a_table_is_added(capsys, planted_model, tmp_path, frame):
    """New questions and a new LLM at once; the old folder stays, the new one is that of `add`."""
    frame.to_csv(tmp_path / "more.csv", index=False)
    options = ("--model", planted_model, "--answers", tmp_path / "more.csv", "--output_dir", tmp_path / "o")
    code, out, _ = run(capsys, "add", *options)
    assert code == 0
    assert re.search(rf"^{NEW}, law: 0\.\d+, 90% interval \[0\.\d+, \d\.\d+\]$", out, re.M)
    assert "LLMs: 1 new, 0 placed again" in out
    n_new = load_responses("planted", split="test").n_questions
    assert re.search(rf"^questions: \d+ known, {n_new} new$", out, re.M)
    assert re.search(
        r"^retraining would pay: not yet, \d+% of .*; the new questions were forecast with log loss", out, re.M
    )
    old, new = EmbedLLM.from_pretrained(planted_model), EmbedLLM.from_pretrained(tmp_path / "o")
    np.testing.assert_array_equal(new.llm_embeds[:-1], old.llm_embeds)
    assert (new.config.llm_names[-1], len(new.bank.listed)) == (NEW, len(old.bank) + n_new)
    again = run(capsys, "add", *options, "--overwrite_output_dir")
    assert again[0] == 0
    assert refused(run(capsys, "add", *options), "holds a model already") is None


def test_a_folder_without_texts_is_added(capsys, planted_model, tmp_path, frame):
    """A data set folder brings vectors in the place of texts; `add` in Python does the same."""
    model = EmbedLLM.from_pretrained(planted_model)
    texts = load_responses("planted", split="test")
    embeds = model.encoder.encode(texts.questions)
    folder = tmp_path / "mine"
    folder.mkdir()
    table = texts.to_long()
    hidden = withheld_texts(texts.keys)[texts.question_indices].tolist()
    pq.write_table(
        table.set_column(table.schema.get_field_index("prompt"), "prompt", [hidden]), folder / "test.parquet"
    )
    encoder = EncoderId(model.config.encoder_name, model.config.encoder_revision)
    save_embeddings(folder / VECTORS_FILE, embeds, texts.question_ids, encoder, texts.keys)
    options = ("--answers", folder, "--split", "test", "--output_dir", tmp_path / "o")
    code, out, _ = run(capsys, "add", "--model", planted_model, *options)
    assert code == 0
    assert f"questions: 0 known, {texts.n_questions} new" in out
    added = add(model, EncodedResponses(texts, embeds)).model
    loaded = EmbedLLM.from_pretrained(tmp_path / "o")
    np.testing.assert_array_equal(loaded.bank.keys, added.bank.keys)
    np.testing.assert_array_equal(loaded.bank.item_parameters.intercepts, added.bank.item_parameters.intercepts)


def test_many_scores_are_cut_and_what_is_left_out_is_told(capsys, planted_model, tmp_path):
    """Twenty lines of scores; contradictions are counted; a question of a far kind makes training again pay."""
    frame = load_responses("planted", split="train").to_long().to_pandas().drop(columns="model_id")
    mine = frame[frame["model_name"] == frame["model_name"][0]][:30]
    more = [mine.assign(model_name=f"lab/{number}") for number in range(6)]
    wrong = frame[:3].assign(label=1 - frame["label"][:3])
    strange = frame[:200].assign(
        prompt=[f"{text} Not?" for text in frame["prompt"][:200]], label=1 - frame["label"][:200]
    )
    strange = strange.drop(columns="prompt_id")
    strange["prompt_id"] = 90_000 + frame["prompt_id"][:200]
    table = pd.concat([*more, wrong, strange], ignore_index=True)
    table.to_csv(tmp_path / "more.csv", index=False)
    options = ("--model", planted_model, "--answers", tmp_path / "more.csv", "--output_dir", tmp_path / "o")
    code, out, _ = run(capsys, "add", *options)
    assert code == 0
    assert out.count("90% interval") == 20
    assert "and 16 more scores; `embedllm forecast` tells each" in out
    assert "left out: 3 answers that contradict one that the model had" in out
    assert "retraining would pay: yes, " in out


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.csv", "prompt,label\nHi?,1\n", ("a.csv: column `model_name` is missing",)),
        ("a.csv", "prompt,model_name,label\nHi?,lab/a,3\n", ("a.csv, row 1: `label` is 3",)),
        (
            "a.csv",
            "prompt,model_name,label,category,benchmark\nHi?,lab/a,1,law,other\n",
            ("category `law` is of", "other"),
        ),
        ("a.jsonl", "{}\n", ("a.jsonl: a file of the kind `.jsonl` is not read here, expected .csv or .parquet",)),
        ("a", None, ("no such folder",)),
    ],
)
def test_bad_answers_get_one_line_and_nothing_is_written(capsys, planted_model, tmp_path, name, content, parts):
    """Each names the file and the row, with exit code 2."""
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    options = ("--model", planted_model, "--answers", path, "--output_dir", tmp_path / "o")
    refused(run(capsys, "add", *options), *parts)
    assert not (tmp_path / "o").exists()
