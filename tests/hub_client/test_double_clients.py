"""transformers, datasets and evaluate against the test Hub, and a client in a process of its own."""

import json

import pytest
from huggingface_hub import HfApi

from tests.hub.clients import run_python


@pytest.fixture(scope="module")
def bert():
    from transformers import BertConfig, BertModel

    sizes = {"vocab_size": 8, "hidden_size": 4, "intermediate_size": 4, "max_position_embeddings": 4}
    return BertModel(BertConfig(num_hidden_layers=1, num_attention_heads=1, **sizes))


def test_transformers_push_and_load_at_every_kind_of_revision(hub, bert, tmp_path):
    import torch
    from transformers import AutoModel

    bert.push_to_hub("user/bert")
    api = HfApi()
    api.create_tag("user/bert", tag="v1")
    with torch.no_grad():
        bert.pooler.dense.bias.fill_(7.0)
    api.create_branch("user/bert", branch="exp")
    bert.push_to_hub("user/bert", revision="exp")
    bert.push_to_hub("user/bert", create_pr=True)
    seven = {}
    for revision in ("main", "v1", "exp", "refs/pr/1", hub.repo("user/bert").resolve("exp").oid):
        loaded = AutoModel.from_pretrained("user/bert", revision=revision, cache_dir=tmp_path)
        seven[revision] = bool((loaded.pooler.dense.bias == 7).all())
    assert list(seven.values()) == [False, False, True, True, True]
    with pytest.raises(OSError, match="v9"):
        AutoModel.from_pretrained("user/bert", revision="v9", cache_dir=tmp_path)


def test_transformers_runs_custom_code_from_the_hub(hub, tmp_path):
    from transformers import AutoConfig

    code = (
        b"from transformers import PretrainedConfig\nclass C(PretrainedConfig):\n    model_type = 'cust'\n    x = 5\n"
    )
    config = json.dumps({"model_type": "cust", "auto_map": {"AutoConfig": "conf.C"}}).encode()
    hub.create_repo("user/custom", {"conf.py": code, "config.json": config})
    assert AutoConfig.from_pretrained("user/custom", trust_remote_code=True, cache_dir=tmp_path).x == 5


def test_datasets_push_load_and_stream(hub, tmp_path):
    import datasets

    table = datasets.Dataset.from_dict({"x": list(range(50))})
    datasets.DatasetDict(train=table, test=table.select(range(5))).push_to_hub("user/table", private=True)
    table.select(range(10)).push_to_hub("user/table", split="test")
    table.push_to_hub("user/table", "second", create_pr=True)
    loaded = datasets.load_dataset("user/table", cache_dir=str(tmp_path))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {"train": 50, "test": 10}
    streamed = datasets.load_dataset("user/table", split="train", streaming=True)
    assert [row["x"] for row in streamed.skip(40).take(3)] == [40, 41, 42]
    second = datasets.load_dataset("user/table", "second", revision="refs/pr/1", cache_dir=str(tmp_path))
    assert second["train"].num_rows == 50
    assert HfApi().dataset_info("user/table").private


def test_datasets_fetch_only_the_files_of_the_wanted_split(hub, tmp_path):
    import datasets

    files = {"train.csv": b"a,b\n1,x\n2,y\n", "test.csv": b"a,b\n9,t\n", "question_order.csv": b"q\n1\n"}
    hub.create_repo("user/csv", files, type="dataset")
    wanted = {"data_files": {"test": "test.csv"}, "split": "test"}
    assert datasets.load_dataset("user/csv", cache_dir=str(tmp_path), **wanted)[0] == {"a": 9, "b": "t"}
    assert list(datasets.load_dataset("user/csv", streaming=True, **wanted)) == [{"a": 9, "b": "t"}]
    assert not hub.seen(r"GET .*/resolve/.*(train|question_order)\.csv")


def test_evaluate_loads_a_metric_from_a_space(hub):
    import evaluate

    code = """
import datasets
import evaluate
class Share(evaluate.Metric):
    def _info(self):
        features = datasets.Features({name: datasets.Value("int64") for name in ("predictions", "references")})
        return evaluate.MetricInfo(description="d", citation="c", features=features)
    def _compute(self, predictions, references):
        return {"share": sum(p == r for p, r in zip(predictions, references)) / len(predictions)}
"""
    hub.create_repo("user/share", {"share.py": code.encode()}, type="space")
    assert evaluate.load("user/share").compute(predictions=[1, 2], references=[1, 3]) == {"share": 0.5}


def test_a_child_process_works_from_its_cache_without_a_request(hub, tmp_path):
    hub.create_repo("user/cached", {"config.json": b'{"x": 1}'}, private=True)
    code = "import huggingface_hub as h; print(open(h.hf_hub_download('user/cached', 'config.json')).read())"
    first = run_python("-c", code, hub=hub, home=tmp_path)
    assert first.stdout == '{"x": 1}\n', first.stderr
    hub.requests.clear()
    again = run_python("-c", code, hub=hub, home=tmp_path, token=None, HF_HUB_OFFLINE="1")
    assert (again.stdout, hub.requests) == ('{"x": 1}\n', []), again.stderr
