"""Sharing responses on the Hub."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from datasets import load_dataset

from embedllm_hf import ResponseMatrix, load_responses
from embedllm_hf.data.sources import load_splits
from tests.hub.clients import no_waiting
from tests.pool import LLMS, make_frame, make_split


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
