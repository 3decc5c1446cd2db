"""The real responses that the package brings."""

from pathlib import Path

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, QuestionEncoder, Router, RoutingPolicy, load_responses, load_splits
from embedllm_hf.data.files import EMBEDDED
from embedllm_hf.data.llm_table import read_llm_table
from embedllm_hf.data.splits import ResponseSplits
from embedllm_hf.data.texts import is_withheld
from embedllm_hf.encoding.encoded_responses import EncodedResponses, encode_responses
from scripts.embedded.build import canonical_names, load_sources, merge, write

LARGEST = 8_000_000  # bytes of the folder


@pytest.fixture(scope="module")
def data() -> ResponseSplits:
    return load_splits("open-llm-responses")


def test_it_is_what_its_readme_says(data):
    """Questions, LLMs and responses, without a text; small, with its sources beside it."""
    assert sum(split.n_questions for _, split in data.items()) == 14_582
    assert sum(split.n_observed for _, split in data.items()) == 448_665
    assert len(data.llm_names) == 105
    assert data.id == "open-llm-responses"
    assert all(is_withheld(text) for _, split in data.items() for text in split.questions)
    known = [set(split.keys.tolist()) for _, split in data.items()]
    assert sum(map(len, known)) == len(set.union(*known)) == 14_506  # some stand twice in a split, none in two
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) < LARGEST
    readme = (EMBEDDED / "README.md").read_text(encoding="utf-8")
    assert all(word in readme for word in ("14,582", "448,665", "105 LLMs", "Apache-2.0", "TIGER-AI-Lab", "KOR-Bench"))


def test_it_brings_its_vectors(data):
    """Of unit length; for the encoder that made them, by either of its names, and for no other."""
    encoded = encode_responses(data.test, QuestionEncoder("offline"))
    assert encoded.encoder.published == "sentence-transformers/all-MiniLM-L6-v2"
    np.testing.assert_allclose(np.linalg.norm(encoded.question_embeds, axis=1), 1, atol=0.01)
    with pytest.raises(ValueError, match="withholds its texts and brings text vectors of"):
        encode_responses(data.test, QuestionEncoder("user/other"))


def test_one_split_alone_is_the_same(data):
    """With the pool of all of them."""
    alone = load_responses("open-llm-responses", split="test")
    assert alone.llm_names == data.llm_names
    assert alone.origin.vectors == EMBEDDED / "question_embeddings.safetensors"


def test_its_llms_have_facts(data):
    """Family, kind and licence of each, a price with its date of most; policies take them by the data set's name."""
    facts = read_llm_table("open-llm-responses")
    assert list(facts) == list(data.llm_names)
    assert all(one["family"] and one["kind"] and one["license"] for one in facts.values())
    assert all(bool(one["price_date"]) == bool(one["usd_per_million_output_tokens"]) for one in facts.values())
    model = EmbedLLM.from_encoder("offline", llm_names=data.llm_names, text_dim=384).eval()
    policy = RoutingPolicy(facts="open-llm-responses", costs="open-llm-responses", license=["apache-2.0"])
    chosen = Router(model, policy=policy)("What is 17 * 23?").llm
    assert facts[chosen]["license"] == "apache-2.0"


@pytest.mark.real_data
def test_it_is_made_of_its_sources(data, real_data, tmp_path):
    """The script makes the same again; a text of a source finds its question; no name is left without its LLM."""
    sources = load_sources([real_data, real_data.parent / "kor-bench"], canonical_names())
    write(merge(sources), tmp_path / "made")
    made = load_splits(tmp_path / "made")
    for name, split in data.items():
        assert made[name].questions.tolist() == split.questions.tolist()
        assert made[name].llm_names == split.llm_names
        np.testing.assert_array_equal(made[name].responses(), split.responses())
    assert {path.name for path in Path(tmp_path / "made").iterdir()} | {"README.md"} == {
        path.name for path in EMBEDDED.iterdir()
    }
    known = load_splits(real_data).train
    rows = {key: row for row, key in enumerate(data.train.keys.tolist())}
    assert all(key in rows for key in known.keys.tolist())
    encoded = EncodedResponses.from_own_file(data.train)
    as_published = EncodedResponses.from_file(
        known, real_data / "question_embeddings.all-MiniLM-L6-v2.safetensors"
    ).question_embeds
    ours = encoded.question_embeds[[rows[key] for key in known.keys.tolist()]]
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(as_published, axis=1)
    assert ((ours * as_published).sum(axis=1) > 0.9999 * norms).all()
