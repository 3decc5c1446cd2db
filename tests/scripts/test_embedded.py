"""The script that makes the real responses that the package brings."""

from pathlib import Path

import numpy as np
import pytest

from embedllm_hf import load_splits
from embedllm_hf.data.files import EMBEDDED
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from scripts.embedded.build import canonical_names, load_sources, merge, write


@pytest.mark.real_data
def test_it_is_made_of_its_sources(real_data, tmp_path):
    """The script makes the same again; a text of a source finds its question; no name is left without its LLM."""
    data = load_splits("open-llm-responses")
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
