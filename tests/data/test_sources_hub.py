"""Data sets on the Hub: what is fetched, which revision, offline, streaming, and what faults get."""

import textwrap

import numpy as np
import pytest

from embedllm_hf import ResponseMatrix, load_responses
from embedllm_hf.data.files import VECTORS_FILE
from embedllm_hf.data.origin import DataOrigin
from embedllm_hf.data.sources import load_splits
from tests.hub.clients import no_waiting, run_python
from tests.hub.protocol import Answer
from tests.pool import LLMS, make_frame, make_split


@pytest.fixture(autouse=True)
def _no_waiting():
    with no_waiting():
        yield


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
    assert loaded.origin == DataOrigin(
        "user/original", hub.repo("user/original", "dataset").resolve().oid, "validation"
    )


def test_all_splits_are_of_one_commit(hub):
    """The data set is listed as often as for one split, and a commit between two tables changes nothing."""
    repo = hub.create_repo("user/changing", original_layout(), type="dataset")
    old = repo.resolve().oid
    other = make_frame(3, first_id=90).to_csv(index=False).encode()
    changed = {f"{name}.csv": other for name in ("train", "val", "test")}
    hub.faults.before(lambda: repo.commit(changed, "other"), on=r"GET .*/resolve/.*(train|val|test)\.csv")
    data = load_splits("user/changing")
    assert {name: split.n_questions for name, split in data.items()} == {"train": 40, "validation": 10, "test": 10}
    assert data.revision == old != repo.resolve().oid
    assert {split.origin.revision for _, split in data.items()} == {old}
    fetched = [request.target.split("/")[-1].split("?")[0] for request in hub.seen("GET .*/resolve/")]
    assert sorted(fetched) == ["model_order.csv", "test.csv", "train.csv", "val.csv"]
    hub.create_repo("user/single", original_layout(), type="dataset")
    load_responses("user/single", split="train")
    assert len(hub.seen("GET /api/datasets/user/changing")) == len(hub.seen("GET /api/datasets/user/single"))


def test_one_split_and_the_pool_of_all_are_of_one_commit(hub):
    """Without an order file, a commit between the tables cannot bring LLMs that the others do not know."""
    files = {name: content for name, content in original_layout().items() if name != "model_order.csv"}
    repo = hub.create_repo("user/pool", files, type="dataset")
    other = make_frame(3).assign(model_name="lab/new", model_id=9).to_csv(index=False).encode()
    hub.faults.before(lambda: repo.commit({"test.csv": other}, "other"), on=r"GET .*/resolve/.*csv")
    assert load_responses("user/pool", split="train").llm_names == LLMS


def test_its_own_text_vectors_are_of_the_same_commit(hub):
    """Fetched with the tables of one split or all, of that revision, and refused damaged."""
    files = {**original_layout(), VECTORS_FILE: b"of the first"}
    repo = hub.create_repo("user/vectors", files, type="dataset")
    old = repo.resolve().oid
    repo.commit({VECTORS_FILE: b"of the second"}, "other vectors")
    for revision, content in ((old, b"of the first"), (None, b"of the second")):
        data = load_splits("user/vectors", revision=revision)
        one = load_responses("user/vectors", split="test", revision=revision)
        for origin in (data.train.origin, data.test.origin, one.origin):
            assert origin.vectors.read_bytes() == content
    repo.commit({VECTORS_FILE: b"of the third"}, "again")
    hub.faults.corrupt(on=rf"GET .*{VECTORS_FILE}", times=2)
    with pytest.raises(OSError, match=rf"user/vectors: `{VECTORS_FILE}` arrived damaged twice"):
        load_splits("user/vectors")


def test_revisions(hub):
    """A branch, a commit, and the main branch each give their own responses, streamed or not."""
    repo = hub.create_repo("user/revisions", original_layout(), type="dataset")
    old = repo.resolve().oid
    repo.commit({"train.csv": make_frame(6).to_csv(index=False).encode()}, "fewer")
    assert load_responses("user/revisions", split="train").n_questions == 6
    assert load_responses("user/revisions", split="train", revision=old).n_questions == 40
    assert load_responses("user/revisions", split="train", revision=old, streaming=True).n_questions == 40
    with pytest.raises(FileNotFoundError, match="user/revisions@nope: the repository has no such revision"):
        load_responses("user/revisions", split="train", revision="nope")


def test_without_an_order_file_the_pool_is_that_of_all_splits(hub):
    """Streamed or not, an LLM that one split lacks keeps its column, and streaming stores no table for it."""
    files = {name: content for name, content in original_layout().items() if name != "model_order.csv"}
    test = make_frame(10, first_id=50)
    files["test.csv"] = test[test["model_name"] != LLMS[2]].to_csv(index=False).encode()
    hub.create_repo("user/unordered", files, type="dataset")
    streamed = load_responses("user/unordered", split="test", streaming=True)
    assert not hub.seen(r"GET .*/resolve/.*model_order")
    assert streamed.llm_names == LLMS
    assert same(load_responses("user/unordered", split="test"), streamed)


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
    assert "user/offline: no such folder, not in the cache" in other.stderr


def test_unreachable_hub_falls_back_to_the_cache(hub):
    """With the Hub down, what was fetched before still loads; what was not is named with the remedy."""
    hub.create_repo("user/down", original_layout(), type="dataset")
    loaded = load_responses("user/down", split="train")
    with hub.unreachable():
        assert same(load_responses("user/down", split="train"), loaded)
        with pytest.raises(ConnectionError, match=r"user/never: no such folder, not in the cache.*Check the network"):
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
    with pytest.raises(error, match=message) as raised:
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
    with pytest.raises(OSError, match="user/cuts"):
        load_responses("user/cuts", split="train")
    hub.faults.clear()
    assert load_responses("user/cuts", split="train").n_questions == 40


def test_a_damaged_download_is_fetched_anew_or_refused(hub):
    """Bytes that do not hash to what the Hub announced are not used, and do not stay in the cache."""
    hub.create_repo("user/damaged", original_layout(), type="dataset")
    hub.faults.corrupt(on=r"GET .*train\.csv", times=2)
    with pytest.raises(OSError, match=r"user/damaged: `train.csv` arrived damaged twice.*Try again"):
        load_responses("user/damaged", split="train")
    hub.faults.corrupt(on=r"GET .*train\.csv")
    assert load_responses("user/damaged", split="train").n_questions == 40


CUT = "the connection to the Hub failed"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"cut_download": {"after": 700, "on": r"GET .*/train\."}}, None),
        ({"cut_download": {"after": 700, "on": r"GET .*/train\.", "times": 99}}, CUT),
        ({"reset": {"on": r"GET .*/train\."}}, None),
        ({"status": {"status": 503, "on": r"/train\.", "times": 2}}, None),
        ({"status": {"status": 503, "on": r"/train\.", "times": 99}}, r"a fault of its own \(503\)"),
        ({"status": {"status": 429, "retry_after": 7200, "on": r"/train\."}}, r"too many requests \(429\)"),
        ({"status": {"status": 403, "on": r"GET .*/train\.", "times": 99}}, r"the Hub refused \(403\)"),
    ],
    ids=["cut once", "cut always", "reset", "503 twice", "503 always", "429", "403"],
)
def test_a_stream_is_whole_or_an_error(hub, kind, fault, told):
    """Broken off, it goes on where it was; broken for good, one line says so, and no shorter table is read."""
    frame = make_frame(40)
    content = {"csv": frame.to_csv(index=False).encode(), "parquet": frame.to_parquet(index=False)}[kind]
    order = original_layout()["model_order.csv"]
    repo = f"user/stream-{kind}-{len(str(fault))}"
    hub.create_repo(repo, {f"train.{kind}": content, "model_order.csv": order}, type="dataset")
    load_responses(repo, split="train", streaming=True)
    for method, options in fault.items():
        getattr(hub.faults, method)(**options)
    if told is None:
        assert load_responses(repo, split="train", streaming=True).n_observed == len(frame)
    else:
        with pytest.raises(OSError, match=rf"^{repo}@\w+: .*{told}"):
            load_responses(repo, split="train", streaming=True)
    hub.faults.clear()


@pytest.mark.parametrize(
    ("kind", "on", "told"),
    [("parquet", r"GET .*/train\.", "cannot be read as parquet"), ("csv", "/paths-info/|/tree/", "is not the Hub")],
)
def test_a_login_page_in_a_stream_is_no_table(hub, kind, on, told):
    """In place of the table, and in place of what is said of it: one line with the data set's id."""
    repo = f"user/login-{kind}"
    content = {"csv": make_frame(9).to_csv(index=False).encode(), "parquet": make_frame(9).to_parquet(index=False)}
    hub.create_repo(repo, {f"train.{kind}": content[kind]}, type="dataset")
    hub.faults.answer(lambda answer: Answer(b"<html>Log in</html>"), on=on, times=99)
    with pytest.raises((OSError, ValueError), match=rf"^{repo}.*{told}"):
        load_responses(repo, split="train", streaming=True)
    hub.faults.clear()
