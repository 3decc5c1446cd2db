"""Sharing responses on the Hub."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import load_dataset

from embedllm_hf import ResponseMatrix, load_responses
from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.data.files import VECTORS_FILE
from embedllm_hf.data.sources import load_splits
from embedllm_hf.encoding.embeddings_file import save_embeddings
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from tests.hub.clients import no_waiting
from tests.pool import LLMS, make_embeds, make_frame, make_split


@pytest.fixture(autouse=True)
def _no_waiting():
    with no_waiting():
        yield


def same(first: ResponseMatrix, second: ResponseMatrix) -> bool:
    return first.llm_names == second.llm_names and all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("question_ids", "questions", "categories", "indptr", "llm_indices", "values", "counts")
    )


def test_push_and_load_again(hub):
    """Splits pushed one by one come back equal, through this package and as splits of `load_dataset`."""
    splits = {"train": make_split(30), "validation": make_split(8, first_id=30), "test": make_split(9, first_id=38)}
    for name, split in splits.items():
        split.responses.push_to_hub("user/shared", split=name)
    for name, split in splits.items():
        assert same(load_responses("user/shared", split=name), split.responses)
    loaded = load_dataset("user/shared")
    assert {name: len(part) for name, part in loaded.items()} == {
        name: split.responses.n_observed for name, split in splits.items()
    }
    row = loaded["test"][0]
    assert row["prompt"].startswith("A ")
    assert row["label"] in (0.0, 1.0)
    assert row["model_name"] in LLMS
    repo = hub.repo("user/shared", "dataset")
    assert [commit.title for commit in repo.history()][:3] == [
        f"Add the {name} split" for name in ("test", "validation", "train")
    ]
    assert b"contradictory" in repo.read("README.md")


def test_benchmarks_are_pushed_and_load_again(hub):
    """The column goes with the splits, and the benchmarks come back."""
    data = load_splits("planted")
    told = {"law": "exams", "medicine": "exams", "cooking": "cooking_*"}
    splits = {name: replace(split, benchmark_of=told) for name, split in data.items()}
    replace(data, **splits).push_to_hub("user/told")
    for name, split in load_splits("user/told").items():
        assert same(split, splits[name])
        assert split.benchmark_of == told
        assert split.benchmarks == splits[name].benchmarks


def test_all_splits_go_in_one_commit(hub):
    """The splits of a data set are pushed at once, and come back equal."""
    data = load_splits("planted")
    first = hub.create_repo("user/planted", type="dataset").resolve().oid
    data.push_to_hub("user/planted")
    again = load_splits("user/planted")
    for name, split in data.items():
        assert same(again[name], split)
    last, before, *_ = hub.repo("user/planted", "dataset").history()
    assert (before.oid, last.oid) == (first, again.revision)
    assert last.title == "Add the train, validation, test splits"
    assert {name: part.num_rows for name, part in load_dataset("user/planted").items()} == {
        name: split.n_observed for name, split in data.items()
    }


def folder_with_vectors(folder: Path) -> Path:
    """A data set with the text vectors of its two splits."""
    splits = {"train": make_split(12), "test": make_split(6, first_id=12)}
    folder.mkdir()
    for name, split in splits.items():
        split.responses.to_long().to_pandas().to_parquet(folder / f"{name}.parquet")
    ids, keys = (
        np.concatenate([getattr(split.responses, name) for split in splits.values()])
        for name in ("question_ids", "keys")
    )
    save_embeddings(folder / VECTORS_FILE, make_embeds(ids), ids, EncoderId("offline"), keys)
    return folder


@pytest.mark.parametrize("at_once", [True, False])
def test_text_vectors_go_along(hub, tmp_path, at_once):
    """In the same commit; who loads the data set has them, and none are encoded."""
    data = load_splits(folder_with_vectors(tmp_path / "data"))
    if at_once:
        data.push_to_hub("user/vectors")
        assert len(list(hub.repo("user/vectors", "dataset").history())) == 2
    else:
        for name, split in data.items():
            split.push_to_hub("user/vectors", split=name)
    for name, split in load_splits("user/vectors").items():
        assert split.origin.vectors != data[name].origin.vectors
        ours, theirs = (EncodedResponses.from_own_file(one) for one in (data[name], split))
        np.testing.assert_array_equal(theirs.question_embeds, ours.question_embeds)
        assert theirs.encoder.is_same(EncoderId("offline"))


def test_text_vectors_of_other_questions_do_not_stay(hub, tmp_path, caplog):
    """Responses that bring none would be loaded with those of others; they go, and it is said."""
    load_splits(folder_with_vectors(tmp_path / "data")).push_to_hub("user/others")
    make_split(9, first_id=90).responses.push_to_hub("user/others", split="train")
    assert VECTORS_FILE not in hub.repo("user/others", "dataset").files()
    assert "user/others: its text vectors are not of what is pushed" in caplog.text
    assert load_responses("user/others", split="train").origin.vectors is None


def test_two_pushes_at_once_keep_both_splits(hub):
    """A split pushed by somebody else in the middle of a push is not undone."""
    make_split(10).responses.push_to_hub("user/both", split="train")
    other = make_split(6, first_id=10).responses
    hub.faults.before(lambda: other.push_to_hub("user/both", split="validation"))
    make_split(7, first_id=16).responses.push_to_hub("user/both", split="test")
    assert {name: part.num_rows > 0 for name, part in load_dataset("user/both").items()} == dict.fromkeys(
        ("train", "validation", "test"), True
    )


def test_repeats_survive_sharing(hub):
    """Counts and contradictions come back from the Hub."""
    frame = make_frame(10, hidden=0.0)
    frame.loc[0, "label"] = 1 - frame.loc[1, "label"]
    repeated = pd.concat([frame, frame.assign(label=frame.label.where(frame.index > 3, 1 - frame.label))])
    responses = ResponseMatrix.from_pandas(repeated, llm_names=LLMS)
    responses.push_to_hub("user/repeats", split="train")
    loaded = load_responses("user/repeats", split="train")
    assert replace(loaded.summary(), id=None, revision=None, split=None) == responses.summary()
    assert responses.summary().n_contradictions == 4


def test_a_fault_of_the_hub_is_waited_for(hub):
    """Whichever request meets it: making the data set, asking where it stands."""
    for on in (r"POST /api/repos/create", r"GET /api/datasets/user/patient"):
        hub.faults.status(503, on=on, times=1)
        make_split(10).responses.push_to_hub("user/patient", split="train")
    assert len(hub.repo("user/patient", "dataset").files()) > 2


def test_a_refused_push_changes_nothing(hub, monkeypatch):
    """A read-only token is refused in one line, and the data set stays as it was."""
    make_split(10).responses.push_to_hub("user/readonly", split="train")
    before = hub.repo("user/readonly", "dataset").resolve().oid
    with pytest.raises(PermissionError, match=r"user/readonly: the Hub refused \(403\).*token"):
        make_split(5).responses.push_to_hub("user/readonly", split="test", token="hf_reader")
    assert hub.repo("user/readonly", "dataset").resolve().oid == before
    with pytest.raises(ValueError, match="neither a folder nor a Hub id"):
        make_split(5).responses.push_to_hub("not an id", split="test")


@pytest.mark.parametrize("split", ["", " ", "a/b", "../train", "tr ain", "all", ".", None, 3])
def test_a_split_needs_a_name(hub, split):
    """Anything else would be a file that no loader finds, or one elsewhere; nothing is made on the Hub."""
    with pytest.raises(ValueError, match=r"`split` is .*expected a name of letters"):
        make_split(5).responses.push_to_hub("user/nameless", split=split)
    assert hub.requests == []


def test_the_order_of_the_llms_stays_for_the_splits_that_are_there(hub, caplog):
    """Pushed with another order and one LLM more: the first split is as it was, the second has all it had."""
    make_split(30).responses.push_to_hub("user/ordered", split="train")
    before = load_responses("user/ordered", split="train")
    frame = make_frame(10, first_id=30)
    names = ["lab/new", *reversed(LLMS)]
    new = frame[frame.model_name == LLMS[0]].assign(model_name="lab/new")
    other = ResponseMatrix.from_pandas(pd.concat([frame, new]).drop(columns="model_id"), llm_names=names)
    other.push_to_hub("user/ordered", split="test")
    assert "user/ordered: its other splits rely on the order of its LLMs" in caplog.text
    assert load_responses("user/ordered", split="train", llm_names=LLMS).n_observed == before.n_observed
    after = load_splits("user/ordered")
    assert after.llm_names == (*LLMS, "lab/new")
    assert same(after["test"], other.select(llms=after.llm_names))
    assert same(after["train"].select(llms=LLMS), before)
    ids = load_dataset("user/ordered", split="test").to_pandas().groupby("model_name").model_id.unique()
    assert {name: list(found) for name, found in ids.items()} == {name: [i] for i, name in enumerate(after.llm_names)}


def test_the_order_is_new_where_all_splits_are(hub):
    """Nothing relies on the old one any more."""
    make_split(30).responses.push_to_hub("user/reordered", split="train")
    turned = make_split(30).responses.select(llms=LLMS[::-1])
    turned.push_to_hub("user/reordered", split="train")
    assert load_responses("user/reordered", split="train").llm_names == LLMS[::-1]


def test_no_order_is_written_beside_splits_that_have_none(hub):
    """It would leave out the LLMs that only they have."""
    hub.create_repo("user/bare", {"train.csv": make_frame(20).to_csv(index=False).encode()}, type="dataset")
    few = make_frame(6, first_id=20).query("model_name != @LLMS[0]")
    ResponseMatrix.from_pandas(few).push_to_hub("user/bare", split="test")
    assert load_responses("user/bare", split="train").llm_names == LLMS


@pytest.mark.parametrize("old", ["train.csv", "data/train.parquet", "train-00000-of-00001.parquet", "training.csv"])
def test_a_split_is_replaced_whatever_its_files_were(hub, old):
    """Rows of the old table are not read beside, or in place of, the new one's."""
    frame = make_frame(20)
    content = frame.to_csv(index=False).encode() if old.endswith("csv") else frame.to_parquet(index=False)
    hub.create_repo("user/replaced", {old: content, "notes.csv": b"mine"}, type="dataset")
    new = make_split(5).responses
    new.push_to_hub("user/replaced", split="train")
    files = hub.repo("user/replaced", "dataset").files()
    assert old not in files
    assert {"train.parquet", "notes.csv"} <= set(files)
    assert load_responses("user/replaced", split="train").n_questions == 5


@pytest.mark.parametrize(
    "card", ["---\nconfigs:\n- config_name: x\n  data_files: '*.csv'\n---\n", "---\nconfigs: 3\n---\n"]
)
def test_a_card_that_cannot_be_extended_is_left_alone(hub, card):
    """A list of splits of another form is named, with what to do."""
    hub.create_repo("user/carded", {"README.md": card.encode()}, type="dataset")
    with pytest.raises(ValueError, match=r"user/carded: the metadata of its `README.md` have no list of splits"):
        make_split(5).responses.push_to_hub("user/carded", split="train")
