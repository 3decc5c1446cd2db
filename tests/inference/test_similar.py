"""Similar LLMs: planted siblings and copies are found, agreement is that computed by hand, and the verb."""

import json

import numpy as np
import pytest

from embedllm_hf import EmbedLLM
from embedllm_hf.data.planted import planted_llms
from embedllm_hf.inference.similar import predicted_agreement, similar_llms
from tests.command_line import refused, run


@pytest.fixture(scope="module")
def model(planted_model) -> EmbedLLM:
    return EmbedLLM.from_pretrained(planted_model)


@pytest.mark.parametrize("family", ["abacus", "atlas", "healer", "scribe"])
def test_the_sibling_is_the_most_alike(model, family):
    """Each planted family's small LLM is right on the questions of its large one, and its vector is the nearest."""
    found = similar_llms(model, f"planted/{family}-large", n=99)
    assert len(found) == 7
    assert found[0].llm == f"planted/{family}-small"
    assert min(found, key=lambda other: other.distance).llm == f"planted/{family}-small"


def test_agreement_by_hand(model):
    """One minus the mean gap of the network's probabilities; symmetric, 1 with itself, in falling order."""
    bank = model.bank
    probs = model.network_proba(bank.question_embeds.astype(np.float32)).astype(float)
    agreement = np.array([predicted_agreement(model, llm_index) for llm_index in range(8)])
    expected = [[1 - np.abs(probs[:, a] - probs[:, b]).mean() for b in range(8)] for a in range(8)]
    np.testing.assert_allclose(agreement, expected, atol=1e-6)
    found = similar_llms(model, "planted/atlas-large", n=3)
    values = [other.agreement for other in found]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(np.delete(agreement[model.llm_index("planted/atlas-large")], 2).max())
    ours, theirs = bank.responses_of(2), bank.responses_of(model.llm_index(found[0].llm))
    shared = ~np.isnan(ours) & ~np.isnan(theirs)
    assert found[0].n_shared == shared.sum()
    assert found[0].shared_agreement == pytest.approx((ours[shared] == theirs[shared]).mean())


def test_a_copy_is_the_most_alike_under_another_name(model):
    """An LLM with the same vector agrees wholly; without shared answers there is no share of them."""
    index = model.llm_index("planted/abacus-large")
    grown = model.with_llm("lab/copy", model.llm_embeds[index], model.llm_bias[index].item())
    (copy,) = similar_llms(grown, "planted/abacus-large", 1)
    assert (copy.llm, copy.n_shared, copy.shared_agreement) == ("lab/copy", 0, None)
    assert copy.agreement == pytest.approx(1)
    assert copy.distance == pytest.approx(0, abs=1e-6)
    others = similar_llms(grown, "planted/abacus-large", 1, exclude=["lab/copy"])
    assert others == similar_llms(model, "planted/abacus-large", 1)
    left = similar_llms(grown, "planted/abacus-large", n=99, exclude=["lab/copy", "planted/atlas-small"])
    assert {found.llm for found in left} == {*planted_llms()} - {"planted/abacus-large", "planted/atlas-small"}


def test_what_cannot_be_compared_is_refused(model):
    """Unknown names, no number, no question bank; with all others excluded there is nobody."""
    with pytest.raises(KeyError, match="did you mean `planted/atlas-large`"):
        similar_llms(model, "planted/atlas-larg")
    with pytest.raises(ValueError, match="`n` is 0"):
        similar_llms(model, "planted/atlas-large", n=0)
    assert similar_llms(model, "planted/atlas-large", exclude=planted_llms()) == []
    with pytest.raises(ValueError, match="the model has no question bank"):
        similar_llms(EmbedLLM(model.config), "planted/atlas-large")


def test_similar_prints_a_line_or_json_an_llm(capsys, planted_model, model):
    """The contract's verb: as many as asked for, the most alike first."""
    options = ("similar", "--model", planted_model, "--llm", "planted/abacus-large", "-n", 2)
    code, out, _ = run(capsys, *options, "--json")
    expected = [other.to_dict() for other in similar_llms(model, "planted/abacus-large", 2)]
    assert code == 0
    assert json.loads(out) == expected
    _, out, _ = run(capsys, *options)
    assert [line.split()[0] for line in out.splitlines()] == ["llm", *[other["llm"] for other in expected]]
    _, out, _ = run(capsys, *options, "--exclude", expected[0]["llm"])
    assert out.splitlines()[1].split()[0] == expected[1]["llm"]
    refused(run(capsys, *options[:4], "planted/abacus"), "unknown LLM `planted/abacus`", "did you mean")
