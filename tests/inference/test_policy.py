"""The routing policy: the order of LLMs on worked cases, one check when it is made, and one decision everywhere."""

import json

import numpy as np
import pytest
from transformers import pipeline

from embedllm_hf import Router, RoutingPolicy
from embedllm_hf.data import llm_table
from embedllm_hf.data.planted import planted_llms
from embedllm_hf.inference import policy as policy_module
from embedllm_hf.inference.policy import rank_llms
from tests.command_line import run

QUESTIONS = ["What is 17 multiplied by 47?", "Name the capital of Peru and say who are its neighbours."]

# --- the order of LLMs ---

PROBS = np.array([[0.9, 0.8, 0.6], [0.5, 0.5, 0.5]])
AT_LEAST = np.array([[0.7, 0.6, 0.3], [0.2, 0.2, 0.2]])
COST = np.array([5.0, 1.0, 0.0])


def test_without_costs_the_most_probable_comes_first_and_ties_go_to_the_first_llm():
    """Equal probabilities are in the order of the pool."""
    order, flagged = rank_llms(PROBS)
    assert order.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert not flagged.any()


@pytest.mark.parametrize(
    ("weight", "expected"),
    [(0.0, [0, 1, 2]), (0.02, [0, 1, 2]), (0.03, [1, 0, 2]), (0.15, [1, 2, 0]), (0.25, [2, 1, 0])],
)
def test_a_cost_weight_orders_by_utility(weight, expected):
    """By hand: .9 - 5w, .8 - w, .6; the first two are equal at .025, the last two at .2."""
    order, _ = rank_llms(PROBS, cost=COST, cost_weight=weight)
    assert order[0].tolist() == expected
    assert order[1].tolist() == [2, 1, 0]  # equally probable: the cheaper first


def test_the_cheapest_that_reaches_it_comes_first():
    """Of those that reach it the cheapest, then the dearer, then the rest by probability; if none does, flagged."""
    order, flagged = rank_llms(PROBS, AT_LEAST >= 0.6, cost=COST)
    assert order.tolist() == [[1, 0, 2], [2, 1, 0]]
    assert flagged.tolist() == [False, True]
    order, _ = rank_llms(PROBS, AT_LEAST >= 0.6)
    assert order[0].tolist() == [0, 1, 2]  # without costs the most probable
    order, flagged = rank_llms(PROBS, AT_LEAST >= 0.71, cost=COST)
    assert (order[0].tolist(), bool(flagged[0])) == ([0, 1, 2], True)


def test_costs_may_differ_between_questions_and_some_llms_may_be_barred():
    """A row a question; who is barred is last, whatever its bound, and reaches nothing."""
    cost = np.array([[1.0, 5, 9], [9, 5, 1]])
    order, _ = rank_llms(PROBS, cost=cost, cost_weight=0.05)
    assert order.tolist() == [[0, 1, 2], [2, 1, 0]]
    allowed = np.array([[False, True, True], [False, False, True]])
    order, _ = rank_llms(PROBS, cost=cost, allowed=allowed)
    assert order.tolist() == [[1, 2, 0], [2, 1, 0]]
    order, flagged = rank_llms(PROBS, AT_LEAST >= 0.65, cost=cost, allowed=allowed)
    assert order[0].tolist() == [1, 2, 0]
    assert flagged.tolist() == [True, True]


# --- one policy, built once ---


@pytest.fixture
def table(tmp_path):
    """Costs and facts of the planted pool, in one file."""
    path = tmp_path / "llms.csv"
    rows = [f"{name},{3 if 'large' in name else 1},{name[8:-6]}" for name in planted_llms()]
    path.write_text("\n".join(["llm,cost,family", *rows, ""]))
    return path


def test_a_policy_decides_alike_in_router_pipeline_and_verb(capsys, planted_model, table):
    """Families from the table and a limit of cost: the same dicts, to the last digit, from all three."""
    policy = RoutingPolicy(costs=table, family=["abacus", "atlas"], max_cost=1)
    expected = [decision.to_dict() for decision in Router.from_pretrained(planted_model, policy=policy)(QUESTIONS)]
    assert [decision["llm"] for decision in expected] == ["planted/abacus-small", "planted/atlas-small"]
    assert {decision["cost"] for decision in expected} == {1.0}
    assert pipeline("llm-routing", model=str(planted_model), policy=policy)(QUESTIONS) == expected
    options = ("--costs", table, "--family", "abacus,atlas", "--max_cost", 1)
    _, out, _ = run(capsys, "route", "--model", planted_model, *options, "--json", *QUESTIONS)
    assert json.loads(out) == [{"question": q, **given} for q, given in zip(QUESTIONS, expected, strict=True)]


def test_the_files_of_a_policy_are_read_once(planted_model, table, monkeypatch):
    """When it is made, as costs and as facts; then the file may go, and fields may change at a call."""
    read = []

    def spy(path):
        read.append(path)
        return original(path)

    original = llm_table.read_llm_table
    for module in (llm_table, policy_module):
        monkeypatch.setattr(module, "read_llm_table", spy)
    policy = RoutingPolicy(costs=table, cost_weight=0.5)
    n_read = len(read)
    table.unlink()
    router = Router.from_pretrained(planted_model, policy=policy)
    assert router(QUESTIONS[0]).llm == "planted/abacus-small"
    assert router(QUESTIONS[0], family=["atlas"]).llm == "planted/atlas-small"
    assert pipeline("llm-routing", model=router.model, policy=policy)(QUESTIONS[0])["llm"] == "planted/abacus-small"
    assert 1 <= n_read == len(read) <= 2


def test_single_fields_differ_at_a_call_and_do_not_stay(planted_model, table):
    """The rest of the policy holds; another whole policy for a call can be changed too."""
    policy = RoutingPolicy(costs=table, exclude=["*/abacus-large"])
    router = Router.from_pretrained(planted_model, policy=policy)
    assert router(QUESTIONS[0]).llm == "planted/abacus-small"
    changed = router(QUESTIONS[0], llms=["*-large"], top_k=8)
    assert {other.llm for other in changed.ranking} == {name for name in planted_llms() if "large" in name} - {
        "planted/abacus-large"
    }
    assert router(QUESTIONS[0], exclude=[]).llm == "planted/abacus-large"
    assert router(QUESTIONS[0]).llm == "planted/abacus-small"
    other = RoutingPolicy(llms=["planted/atlas-*"])
    assert router(QUESTIONS[0], policy=other, exclude=["*-large"]) == router(
        QUESTIONS[0], policy=other.changed(exclude=["*-large"])
    )
    assert router(QUESTIONS[0], policy=other).cost is None
    assert router.policy == policy == policy.changed()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_success": 0}, "`min_success` is 0, expected a probability between 0 and 1"),
        ({"min_success": 1.0}, "`min_success` is 1.0"),
        ({"min_success": float("nan")}, "`min_success` is nan"),
        ({"cost_weight": -1}, "`cost_weight` is -1"),
        ({"cost_weight": float("inf"), "costs": {}}, "`cost_weight` is inf"),
        ({"cost_weight": 1, "min_success": 0.5}, "no place beside it"),
        ({"max_cost": 1}, "need `costs`"),
        ({"strict": True}, "`strict` is about `min_success`, which is not given"),
        ({"cost_weight": 0.1}, "need `costs`"),
        ({"max_cost": -2, "costs": {}}, "`max_cost` is -2"),
        ({"costs": {"a": -1}}, "`a` is -1, expected a number of 0"),
        ({"costs": {"a": None}}, "is None, expected a number"),
        ({"costs": "none.csv"}, "no table of LLMs none.csv"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_when_it_is_made(options, message):
    """Each with the option, what was found and what is expected; no model is needed for that."""
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        RoutingPolicy(**options)
    if "costs" not in options:
        with pytest.raises(ValueError, match=message):
            RoutingPolicy().changed(**options)


def test_a_policy_that_does_not_fit_the_pool_is_refused_with_the_router(planted_model):
    """Before any question comes: an LLM that is not there, filters that need facts or leave nobody."""
    for policy, error, message in (
        (RoutingPolicy(llms=["planted/abacus-lage"]), KeyError, "did you mean `planted/abacus-large`"),
        (RoutingPolicy(family=["abacus"]), ValueError, "need `facts`"),
        (RoutingPolicy(exclude=["*"]), ValueError, "no LLM of 8 is left"),
    ):
        with pytest.raises(error, match=message):
            Router.from_pretrained(planted_model, policy=policy)
