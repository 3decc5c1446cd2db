"""Portfolios: choices by hand, greedy within its guarantee and its limits, and the verb."""

import json
from itertools import combinations

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, portfolio
from embedllm_hf.data.planted import planted_llms
from embedllm_hf.inference.portfolio import choose_portfolio
from tests.command_line import refused, run


@pytest.fixture(scope="module")
def model(planted_model) -> EmbedLLM:
    return EmbedLLM.from_pretrained(planted_model)


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
    embeds = model.encoder.encode(["What is 17 multiplied by 47?", "Add 508 to 21 and halve the result."])
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
        ({"size": 1, "costs": {"other": 2}}, "no LLM of the pool has a cost"),
    ],
)
def test_limits_that_make_no_sense_are_refused(model, options, message):
    """Each with what was found and what to do."""
    with pytest.raises(ValueError, match=message):
        portfolio(model, **options)


# --- the command line ---


def test_portfolio_prints_its_steps_or_json(capsys, planted_model, tmp_path):
    """Under a number, and under a budget of another column of the table."""
    code, out, _ = run(capsys, "portfolio", "--model", planted_model, "--size", 2)
    assert code == 0
    chosen = portfolio(EmbedLLM.from_pretrained(planted_model), size=2)
    assert [line.split()[0] for line in out.splitlines()[1:3]] == list(chosen.llms)
    assert "2 LLMs (best of all choices)" in out
    table = tmp_path / "llms.csv"
    lines = [f"{name},{70 if 'large' in name else 7}" for name in planted_llms()]
    table.write_text("\n".join(["llm,params_billions", *lines, ""]))
    limits = ("--budget", 77, "--costs", table, "--cost_column", "params_billions", "--json")
    _, out, _ = run(capsys, "portfolio", "--model", planted_model, *limits)
    assert json.loads(out)["cost"] <= 77
    prices = "llm,usd_per_million_input_tokens,usd_per_million_output_tokens\n"
    table.write_text(prices + "".join(f"{name},1,2\n" for name in planted_llms()))
    limits = ("portfolio", "--model", planted_model, "--budget", 1, "--costs", table)
    refused(run(capsys, *limits), "llms.csv: its prices are by the token. Give --questions")
    (tmp_path / "own.txt").write_text("What is 17 multiplied by 47?\nIs a gift a contract?\n")
    _, out, _ = run(capsys, *limits, "--questions", tmp_path / "own.txt", "--json")
    chosen = json.loads(out)
    assert chosen["cost"] == pytest.approx(len(chosen["llms"]) * (2 * 512 + 7) / 1e6, rel=0.01)
    table.write_text("llm,params_billions\nplanted/atlas-large,70\n")
    refused(run(capsys, "portfolio", "--model", planted_model), "neither `size` nor `budget`")
    refused(
        run(capsys, "portfolio", "--model", planted_model, "--budget", 9, "--costs", table), "expected a column `cost`"
    )
