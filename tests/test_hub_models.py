"""Models on the Hub: pushed in one commit, loaded by id and revision, offline, private, and what faults get."""

import json
import textwrap

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, pipeline

from embedllm_hf import EmbedLLM, EmbedLLMConfig, Router
from embedllm_hf.cli import main
from embedllm_hf.data.known_questions import KnownQuestions

from .hub.clients import no_waiting, run_python
from .hub.faults import COMMITS
from .pool import LLMS, TEXT_DIM, make_split


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("embedllm_hf._hub.RETRY_SECONDS", (0, 0))


def make_model(seed: int = 0) -> EmbedLLM:
    """A small model with known questions and metrics."""
    torch.manual_seed(seed)
    model = EmbedLLM(EmbedLLMConfig(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4, encoder_name="offline")).eval()
    split = make_split(12)
    model.known_questions = KnownQuestions.from_responses(split.responses, split.question_embeds)
    model.metrics = {"embedllm": {"accuracy": 0.75}, "dataset": {"id": "user/data", "split": "test"}}
    return model


def equal(first: EmbedLLM, second: EmbedLLM) -> bool:
    weights = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in weights)


def test_one_commit_holds_everything(hub):
    """Weights, configuration, card, metrics and known questions arrive together, and come back equal."""
    model = make_model()
    model.push_to_hub("user/whole")
    repo = hub.repo("user/whole")
    assert {"config.json", "model.safetensors", "README.md", "metrics.json", "known_questions.safetensors"} <= set(
        repo.files()
    )
    assert len(list(repo.history())) == 2  # the Hub's own first commit, and ours
    loaded = EmbedLLM.from_pretrained("user/whole")
    assert equal(loaded, model)
    assert loaded.metrics == model.metrics
    np.testing.assert_array_equal(loaded.known_questions.keys, model.known_questions.keys)
    assert "user/whole" in repo.read("README.md").decode()


def test_auto_classes(hub):
    """AutoModel and AutoConfig load it by its id."""
    model = make_model()
    model.push_to_hub("user/auto")
    assert AutoConfig.from_pretrained("user/auto").llm_names == list(LLMS)
    loaded = AutoModel.from_pretrained("user/auto")
    assert isinstance(loaded, EmbedLLM)
    assert equal(loaded, model)
    assert loaded.known_questions is not None


def test_branch_tag_and_commit(hub):
    """Each revision gives its own weights, and its own metrics."""
    first, second = make_model(1), make_model(2)
    second.metrics = {"embedllm": {"accuracy": 0.5}}
    first.push_to_hub("user/versions")
    repo = hub.repo("user/versions")
    repo.refs["refs/tags/v1"] = commit = repo.resolve().oid
    second.push_to_hub("user/versions")
    second.push_to_hub("user/versions", revision="trial")
    for revision, expected in ((None, second), ("v1", first), (commit, first), ("trial", second)):
        options = {} if revision is None else {"revision": revision}
        loaded = EmbedLLM.from_pretrained("user/versions", **options)
        assert equal(loaded, expected), revision
        assert loaded.metrics == expected.metrics, revision
    with pytest.raises(FileNotFoundError, match="user/versions@v9: the repository has no such revision"):
        EmbedLLM.from_pretrained("user/versions", revision="v9")


def test_private_models(hub, monkeypatch, tmp_path):
    """A private model loads with the owner's token and is not there for others."""
    make_model().push_to_hub("user/mine", private=True)
    assert hub.repo("user/mine").private
    assert EmbedLLM.from_pretrained("user/mine").config.n_llms == len(LLMS)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(FileNotFoundError, match=r"user/mine: no such repository, or it is private.*HF_TOKEN"):
        EmbedLLM.from_pretrained("user/mine", cache_dir=tmp_path)


@pytest.mark.slow
def test_offline_without_a_request(hub, tmp_path, quickstart):
    """After the first use a router works with HF_HUB_OFFLINE=1, and the Hub sees no request."""
    EmbedLLM.from_pretrained(quickstart).push_to_hub("user/router")
    code = """
        from embedllm_hf import Router
        print(Router.from_pretrained("user/router")("What is 17 multiplied by 23?").llm)
    """
    first = run_python("-c", textwrap.dedent(code), hub=hub, home=tmp_path)
    before = len(hub.requests)
    again = run_python("-c", textwrap.dedent(code), hub=hub, home=tmp_path, HF_HUB_OFFLINE="1")
    assert first.stdout.strip() == again.stdout.strip() == "planted/abacus-large", again.stderr
    assert len(hub.requests) == before


def test_a_pipeline_by_id(hub, quickstart):
    """`pipeline("llm-routing", model=id)` routes as the Router does."""
    EmbedLLM.from_pretrained(quickstart).push_to_hub("user/piped")
    route = pipeline("llm-routing", model="user/piped")
    question = "How do I cook lentils with coconut milk?"
    assert route(question)["llm"] == Router.from_pretrained("user/piped")(question).llm == "planted/healer-large"


def test_training_pushes_at_the_end(hub, tmp_path, capsys):
    """`--push_to_hub` uploads what was saved, metrics included."""
    options = ["--dataset", "planted", "--encoder", "offline", "--num_train_epochs", "1", "--disable_tqdm"]
    assert main(["train", *options, "--output_dir", str(tmp_path / "model"), "--push_to_hub", "user/trained"]) == 0
    repo = hub.repo("user/trained")
    saved = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert json.loads(repo.read("metrics.json")) == saved
    assert "user/trained" in capsys.readouterr().out
    assert equal(EmbedLLM.from_pretrained("user/trained"), EmbedLLM.from_pretrained(tmp_path / "model"))


def test_a_failed_push_does_not_lose_the_run(hub, tmp_path, capsys):
    """The model is on the disk, and the line says how to push it later."""
    hub.faults.status(403, on=r"POST /api/repos/create")
    folder = tmp_path / "model"
    options = ["--dataset", "planted", "--encoder", "offline", "--num_train_epochs", "1", "--disable_tqdm"]
    assert main(["train", *options, "--output_dir", str(folder), "--push_to_hub", "user/refused"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"the model is saved to {folder}" in error
    assert "EmbedLLM.from_pretrained" in error
    assert "push_to_hub('user/refused')" in error
    EmbedLLM.from_pretrained(folder).push_to_hub("user/refused")
    assert "model.safetensors" in hub.repo("user/refused").files()


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        ({"status": 401, "code": "RepoNotFound"}, FileNotFoundError, "no such repository, or it is private"),
        ({"status": 403}, PermissionError, r"the Hub refused \(403\)"),
        ({"status": 403, "code": "GatedRepo"}, PermissionError, "access must be granted"),
        ({"status": 404, "code": "RevisionNotFound"}, FileNotFoundError, "no such revision"),
        ({"status": 429, "times": 9, "retry_after": 7}, OSError, r"too many requests \(429\). Try again in 7 seconds"),
        ({"status": 503, "times": 3}, OSError, r"a fault of its own \(503\)"),
    ],
)
def test_faults_while_loading(hub, order, error, message):
    """Whatever the Hub answers, loading gives one line with the repository and the remedy."""
    name = f"user/loading-{order['status']}-{order.get('code', 'x')}"
    make_model().push_to_hub(name)
    hub.faults.status(order.pop("status"), on=r"GET /api/models/", **order)
    with no_waiting(), pytest.raises(error, match=message) as raised:
        EmbedLLM.from_pretrained(name)
    hub.faults.clear()
    assert str(raised.value).startswith(name)
    assert "\n" not in str(raised.value)


def test_gated_models(hub, monkeypatch, tmp_path):
    """A gated model asks to be granted access, and loads once it is."""
    make_model().push_to_hub("user/gated")
    hub.repo("user/gated").gated = "manual"
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(PermissionError, match="user/gated: access must be granted"):
        EmbedLLM.from_pretrained("user/gated", cache_dir=tmp_path)
    hub.repo("user/gated").granted.add("other")
    assert EmbedLLM.from_pretrained("user/gated", cache_dir=tmp_path).config.n_llms == len(LLMS)


@pytest.mark.parametrize("fault", ["busy", "cut"])
def test_passing_faults_while_loading(hub, fault):
    """A Hub that is busy twice, or a connection that breaks once, ends in a whole model."""
    name, model = f"user/passing-{fault}", make_model()
    model.push_to_hub(name)
    if fault == "busy":
        hub.faults.status(503, on=r"GET .*/resolve/.*model\.safetensors", times=2)
    else:
        hub.faults.cut_download(after=300, on=r"GET .*model\.safetensors")
    with no_waiting():
        assert equal(EmbedLLM.from_pretrained(name), model)


def test_a_damaged_download_is_never_loaded(hub):
    """Weights whose hash is not the Hub's are refused, and fetched anew the next time."""
    model = make_model()
    model.push_to_hub("user/bitrot")
    hub.faults.corrupt(on=r"GET .*model\.safetensors")
    with pytest.raises(OSError, match=r"user/bitrot: `model.safetensors` arrived damaged"):
        EmbedLLM.from_pretrained("user/bitrot")
    assert equal(EmbedLLM.from_pretrained("user/bitrot"), model)


def test_no_network_at_all(hub):
    """With the Hub down a model of the cache loads; another one is refused with the remedy."""
    model = make_model()
    model.push_to_hub("user/cached")
    EmbedLLM.from_pretrained("user/cached")
    with hub.unreachable(), no_waiting():
        assert equal(EmbedLLM.from_pretrained("user/cached"), model)
        with pytest.raises(FileNotFoundError, match=r"user/elsewhere: not in the cache.*Check the network"):
            EmbedLLM.from_pretrained("user/elsewhere")
        with pytest.raises(ConnectionError, match=r"user/cached: the connection to the Hub failed"):
            model.push_to_hub("user/cached")


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("readonly", PermissionError, r"the Hub refused \(403\)"),
        ("conflict", OSError, r"somebody changed the repository meanwhile \(409\)"),
        ("limited", OSError, r"too many requests \(429\)"),
        ("broken", OSError, r"a fault of its own \(500\)"),
        ("cut", ConnectionError, "the connection to the Hub failed"),
    ],
)
def test_faults_while_pushing_leave_nothing_half(hub, fault, error, message):
    """A refused or broken push is one line, and the repository never holds weights without a configuration."""
    name = f"user/pushing-{fault}"
    token = "hf_reader" if fault == "readonly" else None
    hub.create_repo(name)
    if fault == "conflict":
        hub.faults.status(409, on=COMMITS)
    elif fault == "limited":
        hub.faults.status(429, on=COMMITS, times=9, retry_after=7)
    elif fault == "broken":
        hub.faults.status(500, on=COMMITS, times=3)
    elif fault == "cut":
        hub.faults.cut_upload(after=100, on=COMMITS, times=9)
    with no_waiting(), pytest.raises(error, match=message) as raised:
        make_model().push_to_hub(name, token=token)
    hub.faults.clear()
    assert "\n" not in str(raised.value)
    assert not {"model.safetensors", "config.json"} & set(hub.repo(name).files())


def test_pushing_through_passing_faults(hub):
    """A commit that the Hub fails twice by its own fault arrives the third time, once."""
    hub.faults.status(503, on=COMMITS, times=2)
    with no_waiting():
        make_model().push_to_hub("user/third-time")
    assert len(list(hub.repo("user/third-time").history())) == 2


def test_a_pull_request_leaves_the_main_branch(hub):
    """`create_pr=True` proposes the model."""
    hub.create_repo("user/proposal")
    make_model().push_to_hub("user/proposal", create_pr=True)
    assert "model.safetensors" not in hub.repo("user/proposal").files()
    assert "model.safetensors" in hub.repo("user/proposal").files("refs/pr/1")
    assert equal(EmbedLLM.from_pretrained("user/proposal", revision="refs/pr/1"), make_model())
