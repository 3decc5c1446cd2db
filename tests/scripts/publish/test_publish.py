"""Publishing: everything arrives, once, goes on after a fault, and is looked at where it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard, ModelCard

from embedllm_hf import EmbedLLM, QuestionEncoder, load_splits
from embedllm_hf.data.files import EMBEDDED, VECTORS_FILE
from embedllm_hf.encoding.embeddings_file import save_embeddings
from embedllm_hf.encoding.encoded_responses import EncodedResponses, encode_responses
from scripts.publish import checks, parts
from tests.pool import make_split

WRITES = r"^(POST|PUT|DELETE) "


def heads(hub) -> dict[str, str]:
    """The commit that each repository is at."""
    return {repo.id: repo.resolve().oid for repo in hub.store.repos.values()}


def test_everything_is_pushed_once_and_loads_back(hub, publish, planted_model, trained):
    """The data set of the package with card and vectors, models with theirs, the Space; nothing the second time."""
    given = {"dataset": EMBEDDED.name, "model": planted_model, "trained_encoder_model": trained}
    code, out, err = publish(**given)
    assert (code, err) == (0, ""), out
    assert out.count(": pushed ") == 4
    assert out.count(": checked, ") == 4 + 2 + 2 * 2 + 1
    assert set(hub.repo("user/open-llm-responses", "dataset").files()) == {path.name for path in EMBEDDED.iterdir()}
    data, there = load_splits(EMBEDDED.name), load_splits("user/open-llm-responses")
    for name, split in data.items():
        assert EMBEDDED not in there[name].origin.vectors.parents
        np.testing.assert_array_equal(there[name].responses(), split.responses())
    assert encode_responses(there.test, QuestionEncoder("offline")).text_dim == 384  # without a text
    rows = {name: part.num_rows for name, part in load_dataset("user/open-llm-responses").items()}
    assert rows == {name: split.n_observed for name, split in data.items()}
    assert DatasetCard.load("user/open-llm-responses").data.license == "apache-2.0"
    assert "planted" in ModelCard.load("user/embedllm-open-llm-responses").text
    for repo_id, folder in {"": planted_model, "-trained-encoder": trained}.items():
        loaded = EmbedLLM.from_pretrained(f"user/embedllm-open-llm-responses{repo_id}")
        np.testing.assert_array_equal(loaded.llm_embeds, EmbedLLM.from_pretrained(folder).llm_embeds)
    before = heads(hub)
    code, out, _ = publish(**given)
    assert code == 0
    assert out.count(": already there") == 4
    assert heads(hub) == before


def test_a_model_names_the_data_set_where_that_is(hub, publish, tiny):
    """With id and commit, if it was measured on these responses; of other data the name stays as it is."""
    assert publish(trained_encoder_model=None)[0] == 0
    repo = hub.repo("user/tiny", "dataset")
    assert ModelCard.load("user/embedllm-tiny").data.datasets == ["user/tiny"]
    there = EmbedLLM.from_pretrained("user/embedllm-tiny")
    assert there.metrics["dataset"] | {"id": "user/tiny", "revision": repo.resolve().oid} == there.metrics["dataset"]
    other = EmbedLLM.from_pretrained("user/embedllm-tiny")
    other.metrics["dataset"] = {**other.metrics["dataset"], "id": "tiny", "revision": None, "n_observed": 3}
    named = parts.named_on_hub(other, load_splits(tiny), "user/tiny", "0" * 40)
    assert named.metrics["dataset"]["id"] == "tiny"


@pytest.mark.parametrize("on", ["POST /api/models/{}/commit/", "POST /{}.git/info/lfs"])
def test_after_a_fault_in_the_third_repository_it_goes_on(hub, publish, on):
    """One line names it; the next run pushes what is missing, and what is there not again."""
    third = "user/embedllm-tiny-trained-encoder"
    hub.faults.status(500, on=on.format(third), times=99)
    code, _, err = publish()
    hub.faults.clear()
    assert code == 2
    assert err.startswith(f"publish: error: {third}: ")
    assert err.count("\n") == 1
    before = heads(hub)
    assert ("space", "user/embedllm-router") not in hub.store.repos
    code, out, _ = publish()
    assert code == 0
    assert (out.count(": already there"), out.count(": pushed ")) == (2, 2)
    after = heads(hub)
    assert {repo_id for repo_id in before if after[repo_id] == before[repo_id]} == {"user/tiny", "user/embedllm-tiny"}


@pytest.mark.parametrize(
    ("repo_id", "kind", "name"),
    [
        ("user/tiny", "dataset", "train.parquet"),
        ("user/tiny", "dataset", VECTORS_FILE),
        ("user/embedllm-tiny", "model", "model.safetensors"),
        ("user/embedllm-tiny", "model", "README.md"),
        ("user/embedllm-router", "space", "app.py"),
    ],
)
def test_a_file_that_changed_after_the_push_is_found(hub, publish, repo_id, kind, name):
    """By the check of the same run; the next one puts it right."""
    publish()
    repo = hub.repo(repo_id, kind)
    hub.faults.before(lambda: repo.commit({name: b"changed"}), on=rf"GET /api/{kind}s/{repo_id}(/revision/main)?$")
    code, out, _ = publish()
    assert code == 1
    assert f"{repo_id}: CHECK FAILED, `{name}` on the Hub: other content than was pushed" in out
    code, out, _ = publish()
    assert code == 0
    assert f"{repo_id}: pushed 1 of " in out


def test_a_fault_while_checking_is_told(hub, publish):
    """What cannot be loaded back is not checked, so the run fails; repeated, it finds all in place."""
    hub.faults.status(500, on="GET /user/embedllm-tiny/resolve/", times=99)
    code, out, _ = publish()
    hub.faults.clear()
    assert code == 1
    assert "user/embedllm-tiny: CHECK FAILED, user/embedllm-tiny: " in out
    code, out, _ = publish()
    assert (code, out.count(": already there")) == (0, 4)


def test_what_the_library_has_no_more_does_not_stay_in_the_space(hub, publish):
    """Its source there is replaced whole; a file of the user's own stays."""
    gone = f"{EMBEDDED.parents[1].name}/gone.py"
    space = hub.create_repo("user/embedllm-router", {gone: b"", "mine.txt": b""}, type="space")
    assert publish()[0] == 0
    assert gone not in space.files()
    assert "mine.txt" in space.files()


def test_a_dry_run_pushes_nothing(hub, publish):
    """It says what it would push, and what is there already; without a model, that one would be trained."""
    code, out, _ = publish("--dry_run", trained_encoder_model=None)
    assert code == 0
    assert "user/tiny: would push 5 of 5 files to this dataset" in out
    assert "user/embedllm-tiny-trained-encoder: left out" in out
    assert "user/embedllm-router: would push" in out
    publish("--dry_run", model=None)
    assert not hub.seen(WRITES)
    publish()
    before = heads(hub)
    hub.repo("user/tiny", "dataset").commit({"README.md": b"mine"})
    code, out, _ = publish("--dry_run", model=None)
    assert "user/tiny: would push 1 of 5 files" in out
    assert "user/embedllm-tiny: would be trained" in out
    assert "user/embedllm-router: already there" in out
    assert {**heads(hub), "user/tiny": None} == {**before, "user/tiny": None}


def test_private_means_all_of_it(hub, publish):
    """And the Space's owner is told what it then needs."""
    code, out, _ = publish("--private")
    assert code == 0
    assert len(hub.store.repos) == 4
    assert all(repo.private for repo in hub.store.repos.values())
    assert "the secret HF_TOKEN" in out


def small_folder(folder: Path) -> Path:
    """A few planted questions with vectors of the offline encoder, which a model can be trained on."""
    encoded = []
    folder.mkdir()
    for name, split in load_splits("planted").items():
        encoded.append(encode_responses(split.select(np.arange(40)), QuestionEncoder("offline")))
        encoded[-1].responses.to_long().to_pandas().to_parquet(folder / f"{name}.parquet")
    both = EncodedResponses.concat(encoded)
    embeds, ids, keys = both.question_embeds, both.responses.question_ids, both.responses.keys
    save_embeddings(folder / VECTORS_FILE, embeds, ids, both.encoder, keys)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    return folder


def killed(*args: object) -> None:
    raise KeyboardInterrupt


def test_a_model_is_trained_from_the_hub_once(hub, publish, tmp_path, monkeypatch, caplog):
    """From the data set that was just pushed, at its commit; its card says so. Later runs take it as it is."""
    given = {"dataset": small_folder(tmp_path / "small"), "model": None, "trained_encoder_model": None}
    with monkeypatch.context() as patched:
        patched.setattr(parts.EmbedLLMTrainer, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(**given)
    code, out, _ = publish(**given)
    assert code == 0
    assert "this run has ended already; its model is taken as it is" in caplog.text
    revision = hub.repo("user/small", "dataset").resolve().oid
    card = ModelCard.load("user/embedllm-small")
    assert card.data.datasets == ["user/small"]
    assert revision in card.text
    assert hub.seen(f"GET /api/datasets/user/small/revision/{revision}")
    before = heads(hub)
    monkeypatch.setattr(parts, "EmbedLLMTrainer", None)
    code, out, _ = publish(**given)
    assert code == 0
    assert "training" not in out
    assert heads(hub) == before


def test_the_checks_tell_others_apart(hub, tiny, frozen, trained):
    """Another model, encoder or data set, other vectors, a card of something else, and a Space of another model."""
    data, models = load_splits(tiny), [EmbedLLM.from_pretrained(folder) for folder in (frozen, trained)]
    make_split(5).responses.push_to_hub("user/other", split="train")
    with pytest.raises(checks.Differs, match="there are the splits `train`, expected"):
        checks.same_responses("user/other", data)
    data.push_to_hub("user/bare", vectors=None)
    with pytest.raises(checks.Differs, match="the text vectors of the split `train` differ"):
        checks.same_responses("user/bare", data)
    replace(data, train=data.train.select(np.arange(79))).push_to_hub("user/changed")
    with pytest.raises(checks.Differs, match="the responses of the split `train` differ"):
        checks.same_responses("user/changed", data)
    for model in models:
        other = model.with_llm("lab/new", model.llm_embeds[0]) if model is models[0] else model.untrained(seed=1)
        other.push_to_hub("user/model")
        with pytest.raises(checks.Differs, match="its forecasts differ"):
            checks.same_forecasts("user/model", model)
    retrained = EmbedLLM.from_pretrained(trained)
    encoder = retrained.encoder.load()
    next(encoder.parameters()).data.neg_()
    retrained._set_encoder(QuestionEncoder.trained(encoder, name="tiny"))
    retrained.push_to_hub("user/model")
    with pytest.raises(checks.Differs, match="its text encoder gives other vectors"):
        checks.same_forecasts("user/model", models[1])
    models[0].untrained().push_to_hub("user/model")
    with pytest.raises(checks.Differs, match="it does not name the data set tiny"):
        checks.model_card("user/model", models[0])
    hub.create_repo("user/space", {"README.md": b"---\nsdk: gradio\nmodels: [user/else]\n---\n"}, type="space")
    with pytest.raises(checks.Differs, match="no Space of gradio for the model user/mine"):
        checks.space_card("user/space", "user/mine")


def test_what_cannot_be_published_is_told_before_anything_is(hub, publish, frozen, trained, tmp_path):
    """One line with the remedy each, and no repository is made."""
    unmeasured, bare = tmp_path / "unmeasured", tmp_path / "bare"
    model = EmbedLLM.from_pretrained(frozen)
    model.metrics = None
    model.save_pretrained(unmeasured)
    bare.mkdir()
    make_split(5).responses.to_long().to_pandas().to_parquet(bare / "train.parquet")
    refusals = [
        ({"user": "other"}, "the token is of user, org. Give one of these as --user"),
        ({"model": tmp_path / "none"}, "no such folder"),
        ({"model": trained}, "its text encoder was trained. Give it as --trained_encoder_model"),
        ({"trained_encoder_model": frozen}, "its text encoder was not trained. Give it as --model"),
        ({"model": unmeasured}, "was not measured. Train it with `embedllm train`"),
        ({"dataset": bare}, "its `README.md` is missing, or names no `license`"),
    ]
    for changed, message in refusals:
        code, out, err = publish(**changed)
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
    assert not hub.store.repos


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "user: there is no token of the Hub. Log in (hf auth login)"),
        ("hf_nobody", "user: the Hub refused (401)"),
        ("hf_other", "user: the token is of other"),
        ("hf_reader", "user/tiny: the Hub refused (403). Log in (hf auth login) with a token that may do this"),
    ],
)
def test_a_token_that_may_not_publish(hub, publish, monkeypatch, token, message):
    """None, one that is not valid, one of another account, and one that may only read."""
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    code, out, err = publish()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not hub.store.repos
