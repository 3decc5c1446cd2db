"""Models on the Hub: pushed in one commit, loaded by id and revision, offline, private, and what faults get."""

import json
import textwrap

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi
from transformers import AutoConfig, AutoModel, pipeline

from embedllm_hf import EmbedLLM, QuestionEncoder, Router
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.cli import main
from tests.hub.clients import no_waiting, run_python
from tests.hub.faults import COMMITS
from tests.pool import LLMS, make_split, new_model
from tests.tiny_encoder import save_tiny_encoder


@pytest.fixture(autouse=True)
def _no_waiting():
    with no_waiting():
        yield


def make_model(seed: int = 0) -> EmbedLLM:
    """A small model with a bank and metrics."""
    model = new_model(seed=seed).with_bank(QuestionBank.from_responses(make_split(12)))
    model.metrics = {"embedllm": {"accuracy": 0.75}, "dataset": {"id": "user/data", "split": "test"}}
    return model


def equal(first: EmbedLLM, second: EmbedLLM) -> bool:
    weights = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in weights)


def test_one_commit_holds_everything(hub):
    """Weights, configuration, card, metrics and bank arrive together, and come back equal."""
    model = make_model()
    model.push_to_hub("user/whole")
    repo = hub.repo("user/whole")
    assert {"config.json", "model.safetensors", "README.md", "metrics.json", "bank.safetensors"} <= set(repo.files())
    assert len(list(repo.history())) == 2  # the Hub's own first commit, and ours
    loaded = EmbedLLM.from_pretrained("user/whole")
    assert equal(loaded, model)
    assert loaded.metrics == model.metrics
    np.testing.assert_array_equal(loaded.bank.keys, model.bank.keys)
    assert "user/whole" in repo.read("README.md").decode()


def test_auto_classes(hub):
    """AutoModel and AutoConfig load it by its id."""
    model = make_model()
    model.push_to_hub("user/auto")
    assert AutoConfig.from_pretrained("user/auto").llm_names == list(LLMS)
    loaded = AutoModel.from_pretrained("user/auto")
    assert isinstance(loaded, EmbedLLM)
    assert equal(loaded, model)
    assert loaded.bank is not None


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
def test_offline_without_a_request(hub, tmp_path, planted_model):
    """After the first use a router works with HF_HUB_OFFLINE=1, and the Hub sees no request."""
    EmbedLLM.from_pretrained(planted_model).push_to_hub("user/router")
    code = """
        from embedllm_hf import Router
        print(Router.from_pretrained("user/router")("What is 17 multiplied by 23?").llm)
    """
    first = run_python("-c", textwrap.dedent(code), hub=hub, home=tmp_path)
    before = len(hub.requests)
    again = run_python("-c", textwrap.dedent(code), hub=hub, home=tmp_path, HF_HUB_OFFLINE="1")
    assert first.stdout.strip() == again.stdout.strip() == "planted/abacus-large", again.stderr
    assert len(hub.requests) == before


def test_a_pipeline_by_id(hub, planted_model):
    """`pipeline("llm-routing", model=id)` routes as the Router does."""
    EmbedLLM.from_pretrained(planted_model).push_to_hub("user/piped")
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
    with pytest.raises(error, match=message) as raised:
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
    """Weights whose hash is not the Hub's are fetched once more, then refused, and fetched anew the next time."""
    model = make_model()
    model.push_to_hub("user/bitrot")
    hub.faults.corrupt(on=r"GET .*model\.safetensors", times=2)
    with pytest.raises(OSError, match=r"user/bitrot: `model.safetensors` arrived damaged twice"):
        EmbedLLM.from_pretrained("user/bitrot")
    hub.faults.corrupt(on=r"GET .*model\.safetensors")
    assert equal(EmbedLLM.from_pretrained("user/bitrot"), model)


@pytest.mark.slow
def test_a_full_disk_in_the_cache(hub, tmp_path):
    """When the kernel refuses to write the cache, the line says so, and the model loads once there is room."""
    make_model().push_to_hub("user/no-room")
    code = """
        import resource, signal
        from embedllm_hf import EmbedLLM
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))
        try:
            EmbedLLM.from_pretrained("user/no-room")
        except OSError as error:
            print(error.strerror)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(EmbedLLM.from_pretrained("user/no-room").config.n_llms)
    """
    done = run_python("-c", textwrap.dedent(code), hub=hub, home=tmp_path)
    full, again = done.stdout.splitlines()
    assert "user/no-room: the disk is full" in full
    assert again == str(len(LLMS))


def test_no_network_at_all(hub):
    """With the Hub down a model of the cache loads; another one is refused with the remedy."""
    model = make_model()
    model.push_to_hub("user/cached")
    EmbedLLM.from_pretrained("user/cached")
    with hub.unreachable():
        assert equal(EmbedLLM.from_pretrained("user/cached"), model)
        with pytest.raises(ConnectionError, match=r"user/elsewhere: no such folder, not in.*the network"):
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
        ("cut-weights", ConnectionError, "the connection to the Hub failed"),
    ],
)
def test_faults_while_pushing_leave_nothing_half(hub, fault, error, message):
    """A refused or broken push is one line, and the repository never holds weights without a configuration."""
    name = f"user/pushing-{fault}"
    token = "hf_reader" if fault == "readonly" else None
    hub.create_repo(name)
    if fault == "conflict":
        hub.faults.status(409, on=COMMITS, times=3)
    elif fault == "limited":
        hub.faults.status(429, on=COMMITS, times=9, retry_after=7)
    elif fault == "broken":
        hub.faults.status(500, on=COMMITS, times=3)
    elif fault == "cut":
        hub.faults.cut_upload(after=100, on=COMMITS, times=9)
    elif fault == "cut-weights":
        hub.faults.cut_upload(after=100, times=20)
    with pytest.raises(error, match=message) as raised:
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


# --- over another model ---


def test_a_push_over_another_model_leaves_nothing_of_it(hub, tmp_path):
    """Bank, metrics, pictures and text encoder of the first are gone; a file of the user's own stays."""
    first = make_model()
    first._set_encoder(QuestionEncoder.trained(QuestionEncoder(str(save_tiny_encoder(tmp_path))).load(), name="tiny"))
    first.push_to_hub("user/reused")
    HfApi().upload_file(path_or_fileobj=b"mine", path_in_repo="notes.txt", repo_id="user/reused")
    HfApi().upload_file(path_or_fileobj=b"drawn", path_in_repo="reliability.png", repo_id="user/reused")
    files = hub.repo("user/reused").files
    assert {"bank.safetensors", "metrics.json", "text_encoder/modules.json"} <= set(files())
    new_model().push_to_hub("user/reused")
    new_model().push_to_hub("user/fresh")
    assert set(files()) == {*hub.repo("user/fresh").files(), "notes.txt"}
    loaded = EmbedLLM.from_pretrained("user/reused")
    assert (loaded.bank, loaded.metrics, loaded.config.encoder_digest) == (None, None, None)


# --- one LLM pushed ---


def test_two_people_add_an_llm_at_once(hub):
    """The second one's change is made again on top of the first one's, and the model has both LLMs."""
    model = make_model()
    model.push_to_hub("org/shared")
    first = model.with_llm("lab/first", np.full(4, 0.1))
    second = model.with_llm("lab/second", np.full(4, 0.2))
    hub.faults.before(lambda: first.push_llm_to_hub("lab/first", "org/shared"))
    second.push_llm_to_hub("lab/second", "org/shared")
    shared = EmbedLLM.from_pretrained("org/shared")
    assert shared.config.llm_names == [*LLMS, "lab/first", "lab/second"]
    np.testing.assert_allclose(shared.llm_embeds[-2:, 0], [0.1, 0.2], rtol=1e-6)
    np.testing.assert_array_equal(shared.llm_embeds[:-2], model.llm_embeds)
    titles = [commit.title for commit in hub.repo("org/shared").history()]
    assert titles[:3] == ["Add lab/second", "Add lab/first", "Upload EmbedLLM"]


def test_an_llm_as_a_pull_request(hub):
    """Proposed, it is not in the main branch before it is merged."""
    model = make_model()
    model.push_to_hub("org/proposals")
    model.with_llm("lab/new", np.zeros(4)).push_llm_to_hub("lab/new", "org/proposals", create_pr=True)
    assert "lab/new" not in EmbedLLM.from_pretrained("org/proposals").config.llm_names
    proposed = EmbedLLM.from_pretrained("org/proposals", revision="refs/pr/1")
    assert proposed.config.llm_names[-1] == "lab/new"


def test_a_model_with_code_keeps_it(hub):
    """One LLM more, and `trust_remote_code` still finds the classes that the configuration names."""
    model = make_model()
    model.push_to_hub("org/code", remote_code=True)
    model.with_llm("lab/new", np.zeros(4)).push_llm_to_hub("lab/new", "org/code")
    assert "AutoModel" in json.loads(hub.repo("org/code").read("config.json"))["auto_map"]


def test_an_llm_of_another_space_is_refused(hub):
    """Vectors of a model with another questions' side are not mixed in, nor is a name taken twice."""
    make_model(1).push_to_hub("org/space")
    other = make_model(1).with_llm("lab/new", np.zeros(4))
    with torch.no_grad():  # one weight, by one bit
        weight = other.question_proj.weight[3, 5]
        weight.copy_(torch.nextafter(weight, torch.tensor(torch.inf)))
    with pytest.raises(ValueError, match=r"org/space: `question_proj\.weight` differs from this model's"):
        other.push_llm_to_hub("lab/new", "org/space")
    make_model(1).with_llm("lab/new", np.zeros(4)).push_llm_to_hub("lab/new", "org/space")
    with pytest.raises(ValueError, match="the pool has an LLM `lab/new` already"):
        make_model(1).with_llm("lab/new", np.ones(4)).push_llm_to_hub("lab/new", "org/space")


def test_an_llm_that_is_there_already_is_done(hub):
    """A push that is repeated, since its answer was never heard, says where the LLM is and commits nothing."""
    model = make_model()
    model.push_to_hub("org/again")
    grown = model.with_llm("lab/new", np.full(4, 0.5))
    first = grown.push_llm_to_hub("lab/new", "org/again")
    assert grown.push_llm_to_hub("lab/new", "org/again").oid == first.oid == hub.repo("org/again").resolve().oid
