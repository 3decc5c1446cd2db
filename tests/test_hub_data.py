"""Data sets on the Hub: what is fetched, which revision, offline, streaming, sharing, and what faults get."""

import textwrap

import numpy as np
import pandas as pd
import pytest
from datasets import load_dataset

from embedllm_hf import ResponseMatrix, load_responses
from embedllm_hf.data.sources import available_splits

from .hub.clients import no_waiting, run_python
from .pool import LLMS, make_frame, make_split


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("embedllm_hf.hub.client.RETRY_SECONDS", (0, 0))


def original_layout(first_id: int = 0) -> dict[str, bytes]:
    """The five CSV files of the original data set, and a large file that nobody needs."""
    sizes = {"train": (40, 0), "val": (10, 40), "test": (10, 50)}
    files = {
        f"{name}.csv": make_frame(size, first_id=first_id + first).to_csv(index=False).encode()
        for name, (size, first) in sizes.items()
    }
    files["model_order.csv"] = ("model_id,model_name\n" + "".join(f"{i},{n}\n" for i, n in enumerate(LLMS))).encode()
    files["question_order.csv"] = b"prompt_id,prompt\n" + b"0,x\n" * 1000
    files["checkpoints/huge.pth"] = b"0" * 100_000
    return files


def same(first: ResponseMatrix, second: ResponseMatrix) -> bool:
    return first.llm_names == second.llm_names and all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("question_ids", "questions", "categories", "indptr", "llm_indices", "values", "counts")
    )


def test_only_the_needed_files_are_fetched(hub):
    """Of the original's layout, one split takes its table and the order of the LLMs, nothing else."""
    hub.create_repo("user/original", original_layout(), type="dataset")
    loaded = load_responses("user/original", split="val")
    fetched = {request.target.split("/")[-1].split("?")[0] for request in hub.seen("GET .*/resolve/")}
    assert fetched == {"val.csv", "model_order.csv"}
    assert same(loaded, make_split(10, first_id=40).responses)
    assert available_splits("user/original") == ["train", "validation", "test"]


def test_revisions(hub):
    """A branch, a commit, and the main branch each give their own responses."""
    repo = hub.create_repo("user/revisions", original_layout(), type="dataset")
    old = repo.resolve().oid
    repo.commit({"train.csv": make_frame(6).to_csv(index=False).encode()}, "fewer")
    assert load_responses("user/revisions", split="train").n_questions == 6
    assert load_responses("user/revisions", split="train", revision=old).n_questions == 40
    with pytest.raises(FileNotFoundError, match="user/revisions@nope: the repository has no such revision"):
        load_responses("user/revisions", split="train", revision="nope")


def test_private_data_needs_the_token(hub, monkeypatch):
    """The owner's token loads a private data set; without one, the line says to log in."""
    hub.create_repo("user/secret", original_layout(), type="dataset", private=True)
    assert load_responses("user/secret", split="test").n_questions == 10
    hub.create_repo("user/hidden", original_layout(), type="dataset", private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(FileNotFoundError, match=r"user/hidden: no such repository, or it is private.*hf auth login"):
        load_responses("user/hidden", split="test")


@pytest.mark.slow
def test_offline_from_the_cache_without_a_request(hub, tmp_path):
    """After the first use the data loads with HF_HUB_OFFLINE=1 and no request; what was never fetched says so."""
    hub.create_repo("user/offline", original_layout(), type="dataset")
    code = """
        import sys
        from embedllm_hf import load_responses
        print(load_responses("user/offline", split=sys.argv[1]).n_observed)
    """
    program = ("-c", textwrap.dedent(code), "train")
    first = run_python(*program, hub=hub, home=tmp_path)
    before = len(hub.requests)
    again = run_python(*program, hub=hub, home=tmp_path, HF_HUB_OFFLINE="1")
    assert first.returncode == again.returncode == 0, again.stderr
    assert first.stdout == again.stdout
    assert len(hub.requests) == before
    other = run_python("-c", textwrap.dedent(code), "test", hub=hub, home=tmp_path, HF_HUB_OFFLINE="1")
    assert "user/offline: not in the cache" in other.stderr


def test_unreachable_hub_falls_back_to_the_cache(hub):
    """With the Hub down, what was fetched before still loads; what was not is named with the remedy."""
    hub.create_repo("user/down", original_layout(), type="dataset")
    loaded = load_responses("user/down", split="train")
    with hub.unreachable(), no_waiting():
        assert same(load_responses("user/down", split="train"), loaded)
        with pytest.raises(FileNotFoundError, match=r"user/never: not in the cache.*Check the network"):
            load_responses("user/never", split="train")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_streaming_gives_the_same_and_stores_no_table(hub, kind):
    """Read over the network, the responses are the same, and the table is not in the cache."""
    files = original_layout()
    if kind == "parquet":
        del files["train.csv"]
        files["train.parquet"] = make_frame(40).to_parquet(index=False)
    repo = f"user/streamed-{kind}"
    hub.create_repo(repo, files, type="dataset")
    streamed = load_responses(repo, split="train", streaming=True)
    assert not hub.seen(rf"GET .*/resolve/[^/]*/train.{kind}.* 200")
    assert same(streamed, load_responses(repo, split="train"))


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
    assert load_responses("user/repeats", split="train").summary() == responses.summary()
    assert responses.summary().n_contradictions == 4


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        ({"status": 401, "code": "RepoNotFound"}, FileNotFoundError, "log in"),
        ({"status": 403}, PermissionError, r"the Hub refused \(403\)"),
        ({"status": 403, "code": "GatedRepo"}, PermissionError, "access must be granted"),
        ({"status": 404, "code": "RepoNotFound"}, FileNotFoundError, "no such repository"),
        ({"status": 404, "code": "RevisionNotFound"}, FileNotFoundError, "no such revision"),
        ({"status": 409}, OSError, r"somebody changed the repository meanwhile \(409\)"),
        ({"status": 429, "times": 9, "retry_after": 7}, OSError, r"too many requests \(429\)"),
        ({"status": 500, "times": 3}, OSError, r"a fault of its own \(500\)"),
    ],
)
def test_faults_of_the_hub_become_one_line(hub, order, error, message):
    """Whatever the Hub answers, the error is one line with the repository and the remedy."""
    name = f"user/fault-{order['status']}-{order.get('code', 'x')}"
    hub.create_repo(name, original_layout(), type="dataset")
    hub.faults.status(order.pop("status"), on=r"GET /api/datasets/", **order)
    with no_waiting(), pytest.raises(error, match=message) as raised:
        load_responses(name, split="train")
    hub.faults.clear()
    assert str(raised.value).startswith(name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("on", [r"GET /api/datasets/", r"GET .*/resolve/"])
def test_two_faults_and_then_success(hub, on):
    """A Hub that is busy twice is asked a third time."""
    name = f"user/busy{len(on)}"
    hub.create_repo(name, original_layout(), type="dataset")
    hub.faults.status(503, on=on, times=2)
    with no_waiting():
        assert load_responses(name, split="train").n_questions == 40


def test_a_cut_download_is_completed_or_refused(hub):
    """A connection that breaks once is resumed; one that always breaks leaves nothing that would be loaded."""
    hub.create_repo("user/cut", original_layout(), type="dataset")
    hub.faults.cut_download(after=500, on=r"GET .*train\.csv")
    with no_waiting():
        assert load_responses("user/cut", split="train").n_questions == 40
    hub.create_repo("user/cuts", original_layout(), type="dataset")
    hub.faults.cut_download(after=0, on=r"GET .*train\.csv", times=50)
    with no_waiting(), pytest.raises(OSError, match="user/cuts"):
        load_responses("user/cuts", split="train")
    hub.faults.clear()
    assert load_responses("user/cuts", split="train").n_questions == 40


def test_a_damaged_download_is_refused_and_fetched_anew(hub):
    """Bytes that do not hash to what the Hub announced are not used, and do not stay in the cache."""
    hub.create_repo("user/damaged", original_layout(), type="dataset")
    hub.faults.corrupt(on=r"GET .*train\.csv")
    with pytest.raises(OSError, match=r"user/damaged: `train.csv` arrived damaged.*Try again"):
        load_responses("user/damaged", split="train")
    assert load_responses("user/damaged", split="train").n_questions == 40


def test_a_refused_push_changes_nothing(hub, monkeypatch):
    """A read-only token is refused in one line, and the data set stays as it was."""
    make_split(10).responses.push_to_hub("user/readonly", split="train")
    before = hub.repo("user/readonly", "dataset").resolve().oid
    with pytest.raises(PermissionError, match=r"user/readonly: the Hub refused \(403\).*token"):
        make_split(5).responses.push_to_hub("user/readonly", split="test", token="hf_reader")
    assert hub.repo("user/readonly", "dataset").resolve().oid == before
    with pytest.raises(ValueError, match="neither a folder nor a Hub id"):
        make_split(5).responses.push_to_hub("not an id", split="test")
