"""Similar LLMs and portfolios: planted siblings are found, agreement and choices are those computed by hand."""

import json
from itertools import combinations

import numpy as np
import pytest

from embedllm_hf import EmbedLLM
from embedllm_hf.data.planted import planted_llms
from embedllm_hf.inference.similar import (
    choose_portfolio,
    portfolio,
    predicted_agreement,
    similar_llms,
    stand_in,
)
from tests.test_cli import refused, run


@pytest.fixture(scope="module")
def model(quickstart) -> EmbedLLM:
    return EmbedLLM.from_pretrained(quickstart)


# --- similar LLMs ---


@pytest.mark.parametrize("family", ["abacus", "atlas", "healer", "scribe"])
def test_the_sibling_is_the_most_alike(model, family):
    """Each planted family's small LLM is right on the questions of its large one, and its vector is the nearest."""
    found = similar_llms(model, f"planted/{family}-large", n=99)
    assert len(found) == 7
    assert stand_in(model, f"planted/{family}-large") == found[0]
    assert found[0].llm == f"planted/{family}-small"
    assert min(found, key=lambda other: other.distance).llm == f"planted/{family}-small"


def test_agreement_by_hand(model):
    """One minus the mean gap of the network's probabilities; symmetric, 1 with itself, in falling order."""
    known = model.known_questions
    probs = model.predict_proba(known.question_embeds.astype(np.float32)).astype(float)
    agreement = predicted_agreement(model)
    expected = [[1 - np.abs(probs[:, a] - probs[:, b]).mean() for b in range(8)] for a in range(8)]
    np.testing.assert_allclose(agreement, expected, atol=1e-6)
    found = similar_llms(model, "planted/atlas-large", n=3)
    values = [other.agreement for other in found]
    assert values == sorted(values, reverse=True)
    column = model.llm_index(found[0].llm)
    assert values[0] == pytest.approx(np.delete(agreement[model.llm_index("planted/atlas-large")], 2).max())
    ours, theirs = known.responses_of(2), known.responses_of(column)
    shared = ~np.isnan(ours) & ~np.isnan(theirs)
    assert found[0].n_shared == shared.sum()
    assert found[0].shared_agreement == pytest.approx((ours[shared] == theirs[shared]).mean())


def test_a_copy_is_the_stand_in_even_under_another_name(model):
    """An LLM with the same vector agrees wholly; without shared answers there is no share of them."""
    column = model.llm_index("planted/abacus-large")
    grown = model.with_llm("lab/copy", model.llm_embeds[column], model.llm_bias[column].item())
    copy = stand_in(grown, "planted/abacus-large")
    assert (copy.llm, copy.n_shared, copy.shared_agreement) == ("lab/copy", 0, None)
    assert copy.agreement == pytest.approx(1)
    assert copy.distance == pytest.approx(0, abs=1e-6)
    other = stand_in(grown, "planted/abacus-large", exclude=["lab/copy"])
    assert other == similar_llms(model, "planted/abacus-large", n=1)[0]
    left = similar_llms(grown, "planted/abacus-large", n=99, exclude=["lab/copy", "planted/atlas-small"])
    assert {found.llm for found in left} == {*planted_llms()} - {"planted/abacus-large", "planted/atlas-small"}


def test_what_cannot_be_compared_is_refused(model):
    """Unknown names, no others, no number, no known questions."""
    with pytest.raises(KeyError, match="did you mean `planted/atlas-large`"):
        similar_llms(model, "planted/atlas-larg")
    with pytest.raises(ValueError, match="`n` is 0"):
        similar_llms(model, "planted/atlas-large", n=0)
    with pytest.raises(ValueError, match="nobody is left to stand in"):
        stand_in(model, "planted/atlas-large", exclude=planted_llms())
    with pytest.raises(ValueError, match="keeps no known questions"):
        similar_llms(EmbedLLM(model.config), "planted/atlas-large")


# --- portfolios ---

# Three kinds of question; LLM 0 is middling everywhere, 1, 2 and 3 are each perfect on one kind, 3 is dear.
PROBS = np.array([[0.6, 1, 0, 0], [0.6, 0, 1, 0], [0.6, 0, 0, 1]])


def test_choice_by_hand():
    """One LLM: the middling one; two or three by number; under a budget without the dear one."""
    assert choose_portfolio(PROBS, size=1) == ([0], True)
    pair, _ = choose_portfolio(PROBS, size=2)
    assert PROBS[:, pair].max(axis=1).mean() == pytest.approx((1 + 0.6 + 0.6) / 3)
    assert sorted(choose_portfolio(PROBS, size=3)[0]) == [1, 2, 3]
    cost = np.array([1.0, 1, 1, 5])
    assert sorted(choose_portfolio(PROBS, cost=cost, budget=3)[0]) == [0, 1, 2]
    assert sorted(choose_portfolio(PROBS, cost=cost, budget=7)[0]) == [1, 2, 3]


def test_greedy_keeps_its_guarantee_and_its_limits():
    """In a pool too large for a whole search, greedy is within 1 - 1/e of the best pair, and within its budget."""
    generator = np.random.default_rng(0)
    probs, cost = generator.random((50, 18)), generator.integers(1, 9, 18).astype(float)
    chosen, exact = choose_portfolio(probs, size=2)
    best = max(probs[:, pair].max(axis=1).mean() for pair in combinations(range(18), 2))
    assert not exact
    assert len(chosen) == 2
    assert best >= probs[:, chosen].max(axis=1).mean() >= (1 - 1 / np.e) * best
    chosen, _ = choose_portfolio(probs, size=6, cost=cost, budget=10)
    assert cost[chosen].sum() <= 10
    assert len(chosen) == len(set(chosen)) <= 6
    single = probs[:, cost <= 10].mean(axis=0).max()
    assert probs[:, chosen].max(axis=1).mean() >= single


def test_a_dear_first_choice_does_not_spoil_a_budget():
    """Greedy by gain takes the dear LLM and has no money left; by gain over cost it takes the cheap pair."""
    probs = np.zeros((4, 17))
    probs[:, 0] = 0.55
    probs[:2, 1], probs[2:, 2] = 1, 1
    cost = np.full(17, 1.0)
    cost[0] = 2.0
    assert sorted(choose_portfolio(probs, cost=cost, budget=2)[0]) == [1, 2]


def test_portfolio_of_the_planted_pool(model):
    """Two LLMs are of two families; all numbers are those of the probabilities; the whole pool is the bound."""
    two = portfolio(model, size=2)
    assert two.exact
    assert len({name.split("-")[0] for name in two.llms}) == 2
    assert two.steps[-1] == two.expected_accuracy <= two.pool_accuracy
    assert list(two.steps) == sorted(two.steps)
    assert portfolio(model, size=8).expected_accuracy == pytest.approx(two.pool_accuracy)
    assert json.loads(json.dumps(two.to_dict())) == two.to_dict()


def test_portfolio_under_a_budget_on_ones_own_questions(model):
    """Only arithmetic, one cheap LLM: the small abacus; LLMs without a cost are not chosen."""
    from embedllm_hf import QuestionEncoder

    embeds = QuestionEncoder("offline").encode(["What is 17 multiplied by 47?", "Add 508 to 21 and halve the result."])
    costs = {name: 3.0 if "large" in name else 1.0 for name in planted_llms()}
    chosen = portfolio(model, budget=1, costs=costs, question_embeds=embeds)
    assert (chosen.llms, chosen.cost) == (("planted/abacus-small",), 1.0)
    costs.pop("planted/abacus-small")
    assert "planted/abacus-small" not in portfolio(model, budget=1, costs=costs, question_embeds=embeds).llms


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither `size` nor `budget`"),
        ({"size": 0}, "`size` is 0"),
        ({"budget": 1}, "`budget` needs `costs`"),
        ({"budget": 1, "costs": {"planted/abacus-large": 2}}, "`budget` is 1, but the cheapest costs 2"),
        ({"budget": 1, "costs": {"other": 2}}, "no LLM of the pool has a cost"),
    ],
)
def test_limits_that_make_no_sense_are_refused(model, options, message):
    """Each with what was found and what to do."""
    with pytest.raises(ValueError, match=message):
        portfolio(model, **options)


# --- the command line ---


def test_similar_prints_a_line_or_json_an_llm(capsys, quickstart, model):
    """The contract's verb: as many as asked for, the most alike first."""
    options = ("similar", "--model", quickstart, "--llm", "planted/abacus-large", "-n", 2)
    code, out, _ = run(capsys, *options, "--json")
    expected = [other.to_dict() for other in similar_llms(model, "planted/abacus-large", 2)]
    assert code == 0
    assert json.loads(out) == expected
    _, out, _ = run(capsys, *options)
    assert [line.split()[0] for line in out.splitlines()] == ["llm", *[other["llm"] for other in expected]]
    _, out, _ = run(capsys, *options, "--exclude", expected[0]["llm"])
    assert out.splitlines()[1].split()[0] == expected[1]["llm"]
    refused(run(capsys, *options[:4], "planted/abacus"), "unknown LLM `planted/abacus`", "did you mean")


def test_portfolio_prints_its_steps_or_json(capsys, quickstart, tmp_path):
    """Under a number, and under a budget of another column of the table."""
    code, out, _ = run(capsys, "portfolio", "--model", quickstart, "--size", 2)
    assert code == 0
    assert len(out.splitlines()) == 3
    assert "2 LLMs (best of all choices)" in out
    table = tmp_path / "llms.csv"
    lines = [f"{name},{70 if 'large' in name else 7}" for name in planted_llms()]
    table.write_text("\n".join(["llm,params_billions", *lines]))
    limits = ("--budget", 77, "--costs", table, "--cost_column", "params_billions", "--json")
    _, out, _ = run(capsys, "portfolio", "--model", quickstart, *limits)
    assert json.loads(out)["cost"] <= 77
    prices = "llm,usd_per_million_input_tokens,usd_per_million_output_tokens\n"
    table.write_text(prices + "\n".join(f"{name},1,2" for name in planted_llms()))
    limits = ("portfolio", "--model", quickstart, "--budget", 1, "--costs", table)
    refused(run(capsys, *limits), "llms.csv: its prices are by the token. Give --questions")
    (tmp_path / "own.txt").write_text("What is 17 multiplied by 47?\nIs a gift a contract?\n")
    _, out, _ = run(capsys, *limits, "--questions", tmp_path / "own.txt", "--json")
    chosen = json.loads(out)
    assert chosen["cost"] == pytest.approx(len(chosen["llms"]) * (2 * 512 + 7) / 1e6, rel=0.01)
    table.write_text("llm,params_billions\nplanted/atlas-large,70\n")
    refused(run(capsys, "portfolio", "--model", quickstart), "neither `size` nor `budget`")
    refused(
        run(capsys, "portfolio", "--model", quickstart, "--budget", 9, "--costs", table), "expected a column `cost`"
    )
