"""The real responses that the package brings."""

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, QuestionEncoder, Router, RoutingPolicy, load_responses, load_splits
from embedllm_hf.data.files import EMBEDDED
from embedllm_hf.data.llm_table import read_llm_table
from embedllm_hf.data.splits import ResponseSplits
from embedllm_hf.data.texts import is_withheld
from embedllm_hf.encoding.encoded_responses import encode_responses

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
