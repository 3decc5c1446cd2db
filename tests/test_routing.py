"""Routing under costs and limits: the order of LLMs on worked cases, filters, costs, and what is refused."""

import json

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, QuestionEncoder, Router
from embedllm_hf.data.llm_table import TokenPrice
from embedllm_hf.data.planted import planted_llms
from embedllm_hf.data.sources import load_responses
from embedllm_hf.inference.router import rank_llms
from embedllm_hf.predictors.stacked import fit_blend

QUESTION = "What is 17 multiplied by 47?"
COSTS = {name: 3.0 if "large" in name else 1.0 for name in planted_llms()}
FACTS = {
    name: {
        "family": name.split("/")[1].split("-")[0],
        "kind": "chat",
        "licence": "cc-by-nc-4.0" if name.endswith("abacus-large") else "Apache-2.0" if "large" in name else "",
        "params_billions": 70 if "large" in name else "",
    }
    for name in planted_llms()
}


@pytest.fixture(scope="module")
def router(quickstart) -> Router:
    """A blended model of the planted pool, with costs and facts."""
    model, encoder = EmbedLLM.from_pretrained(quickstart), QuestionEncoder("offline")
    model.blend = fit_blend(model)
    return Router(model, encoder, costs=COSTS, facts=FACTS)


# --- the order of LLMs ---

PROBS = np.array([[0.9, 0.8, 0.6], [0.5, 0.5, 0.5]])
AT_LEAST = np.array([[0.7, 0.6, 0.3], [0.2, 0.2, 0.2]])
COST = np.array([5.0, 1.0, 0.0])


def test_without_costs_the_most_probable_comes_first_and_ties_go_to_the_first_column():
    """Equal probabilities are in the order of the pool."""
    order, insufficient = rank_llms(PROBS, AT_LEAST)
    assert order.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert not insufficient.any()


@pytest.mark.parametrize(
    ("weight", "expected"),
    [(0.0, [0, 1, 2]), (0.02, [0, 1, 2]), (0.03, [1, 0, 2]), (0.15, [1, 2, 0]), (0.25, [2, 1, 0])],
)
def test_a_cost_weight_orders_by_utility(weight, expected):
    """By hand: .9 - 5w, .8 - w, .6; the first two are equal at .025, the last two at .2."""
    order, _ = rank_llms(PROBS, AT_LEAST, cost=COST, cost_weight=weight)
    assert order[0].tolist() == expected
    assert order[1].tolist() == [2, 1, 0]  # equally probable: the cheaper first


def test_min_success_takes_the_cheapest_whose_lower_bound_reaches_it():
    """Of those that reach it the cheapest, then the dearer, then the rest by probability; if none does, marked."""
    order, insufficient = rank_llms(PROBS, AT_LEAST, cost=COST, min_success=0.6)
    assert order.tolist() == [[1, 0, 2], [2, 1, 0]]
    assert insufficient.tolist() == [False, True]
    order, _ = rank_llms(PROBS, AT_LEAST, min_success=0.6)
    assert order[0].tolist() == [0, 1, 2]  # without costs the most probable
    order, insufficient = rank_llms(PROBS, AT_LEAST, cost=COST, min_success=0.71)
    assert (order[0].tolist(), bool(insufficient[0])) == ([0, 1, 2], True)


def test_costs_may_differ_between_questions_and_some_llms_may_be_barred():
    """A row a question; who is barred is last, whatever it promises, and reaches nothing."""
    cost = np.array([[1.0, 5, 9], [9, 5, 1]])
    order, _ = rank_llms(PROBS, AT_LEAST, cost=cost, cost_weight=0.05)
    assert order.tolist() == [[0, 1, 2], [2, 1, 0]]
    allowed = np.array([[False, True, True], [False, False, True]])
    order, _ = rank_llms(PROBS, AT_LEAST, cost=cost, allowed=allowed)
    assert order.tolist() == [[1, 2, 0], [2, 1, 0]]
    order, insufficient = rank_llms(PROBS, AT_LEAST, cost=cost, min_success=0.65, allowed=allowed)
    assert order[0].tolist() == [1, 2, 0]
    assert insufficient.tolist() == [True, True]


# --- the router ---


def test_decision_has_interval_cost_and_runner_up(router):
    """The numbers are those of the predictor, as plain Python, and `to_dict` is JSON."""
    decision = router(QUESTION)
    probs = router.predictor.predict_proba(router.encoder.encode([QUESTION]))[0]
    first, second = np.argsort(-probs)[:2]
    assert (decision.llm, decision.runner_up) == (planted_llms()[first], planted_llms()[second])
    assert decision.llm == "planted/abacus-large"
    assert decision.probability == pytest.approx(float(probs[first]))
    assert 0 <= decision.low < decision.probability < decision.high <= 1
    assert decision.cost == 3.0
    assert not decision.insufficient_evidence
    fields = {"llm", "probability", "low", "high", "at_least", "cost", "runner_up", "insufficient_evidence"}
    assert set(decision.to_dict()) == fields
    assert json.loads(json.dumps(decision.to_dict())) == decision.to_dict()


def test_cost_weight_and_max_cost_move_to_the_cheaper_sibling(router):
    """A high weight, and a limit below the dear ones, choose the small specialist."""
    assert router(QUESTION, cost_weight=0.5).llm == "planted/abacus-small"
    decision = router(QUESTION, max_cost=1.0)
    assert (decision.llm, decision.cost) == ("planted/abacus-small", 1.0)
    assert router(QUESTION, costs={name: 2 for name in planted_llms()}, max_cost=2).llm == "planted/abacus-large"


def test_min_success_is_cheap_where_it_can_and_says_where_it_cannot(router):
    """A low demand is met by a cheap LLM; one that nobody meets gives the most probable one, marked."""
    modest = router(QUESTION, min_success=0.2)
    assert (modest.cost, modest.insufficient_evidence) == (1.0, False)
    assert modest.at_least >= 0.2
    extreme = router(QUESTION, min_success=0.999)
    assert (extreme.llm, extreme.insufficient_evidence) == ("planted/abacus-large", True)


def test_names_patterns_and_facts_limit_the_choice(router):
    """Allow and deny lists by name and pattern; family, kind and size from the facts; all of them at once."""
    assert router(QUESTION, llms=["planted/scribe-*", "planted/healer-small"]).llm.startswith("planted/")
    assert router(QUESTION, llms=["planted/*-small"]).llm == "planted/abacus-small"
    assert router(QUESTION, exclude=["*/abacus-large"]).llm == "planted/abacus-small"
    assert "abacus" not in router(QUESTION, exclude=["*abacus*"]).llm
    assert router(QUESTION, family=["atlas", "scribe"]).llm.split("/")[1].split("-")[0] in ("atlas", "scribe")
    assert router(QUESTION, max_params=70).llm == "planted/abacus-large"
    only = router(QUESTION, llms=["planted/atlas-large"], kind=["chat"], max_params=70)
    assert (only.llm, only.runner_up) == ("planted/atlas-large", None)
    with pytest.raises(ValueError, match="no LLM of 8 is left"):
        router(QUESTION, max_params=1)  # sizes that are not known are not small


def test_licences_allow_and_deny(router):
    """By value or pattern, whatever the case; what is not known passes no allow list, and no deny list holds it."""
    assert router(QUESTION).llm == "planted/abacus-large"
    assert "large" in router(QUESTION, licence=["apache-2.0"]).llm
    assert router(QUESTION, licence=["apache-2.0"]).llm != "planted/abacus-large"
    assert router(QUESTION, exclude=["licence:*-NC-*"]).llm == "planted/abacus-small"
    both = router(QUESTION, llms=["licence:cc-*", "planted/atlas-small"], top_k=8)
    assert [item.llm for item in both.ranking] == ["planted/abacus-large", "planted/atlas-small"]
    assert router(QUESTION, exclude=["family:abacus"], llms=["licence:*"], top_k=8).ranking[-1].llm.endswith("-large")


def test_the_order_of_the_allow_list_does_not_matter(router):
    """The same LLMs in another order give the same decision."""
    names = list(planted_llms())
    assert router(QUESTION, llms=names) == router(QUESTION, llms=names[::-1]) == router(QUESTION)


def test_prices_by_the_token_count_the_question(router):
    """The length is that of the encoder's tokenizer; a long question goes to whom it is cheap to ask."""
    reader = TokenPrice(input=50_000, output=0)
    prices = {name: 0.9 for name in planted_llms()} | {"planted/abacus-large": reader}
    decision, long = router([QUESTION, QUESTION * 40], costs=prices, top_k=8, max_cost=2)
    n_tokens = len(router.encoder.load().tokenizer.tokenize(QUESTION))
    assert (decision.llm, decision.cost) == ("planted/abacus-large", pytest.approx(n_tokens * 0.05))
    assert len(decision.ranking) == 8
    assert (len(long.ranking), "planted/abacus-large" in [item.llm for item in long.ranking]) == (7, False)
    assert long.runner_up == long.ranking[1].llm
    with pytest.raises(
        ValueError, match=r"`max_cost` is 0.5, but the cheapest LLM for `questions\[1\]`, .* costs 0.9"
    ):
        router([QUESTION, QUESTION * 40], costs=prices, max_cost=0.5)
    only = router(QUESTION, costs=prices, max_cost=0.5)
    assert (only.llm, only.runner_up) == ("planted/abacus-large", None)


def test_top_k_is_a_ranking(router):
    """The chosen LLM first, in falling utility, as many as asked for or as there are."""
    decision = router(QUESTION, top_k=3, cost_weight=0.1)
    utilities = [item.probability - 0.1 * item.cost for item in decision.ranking]
    assert utilities == sorted(utilities, reverse=True)
    assert [item.llm for item in decision.ranking[:2]] == [decision.llm, decision.runner_up]
    assert len(router(QUESTION, top_k=99).ranking) == 8
    assert len(decision.to_dict()["ranking"]) == 3


def test_explanation_is_the_nearest_known_questions(router):
    """Those of the same kind, nearest first, with the LLMs that were right and wrong as the data has it."""
    (decision,) = router([QUESTION], explain=True)
    known, names = router.model.known_questions, router.model.config.llm_names
    assert len(decision.evidence) == 5
    similarities = [item.similarity for item in decision.evidence]
    assert similarities == sorted(similarities, reverse=True)
    for item in decision.evidence:
        row = known.question_ids.tolist().index(item.question_id)
        assert item.category == known.categories[known.category_indices[row]] == "arithmetic"
        for column, name in enumerate(names):
            response = known.responses_of(column)[row]
            assert (name in item.right, name in item.wrong) == (response == 1, response == 0)
    assert json.loads(json.dumps(decision.to_dict())) == decision.to_dict()


def test_many_questions_are_routed_in_blocks(router, monkeypatch):
    """Blocks say what one call would have said."""
    questions = list(load_responses("planted", split="test").questions[:30])
    at_once = router(questions, explain=True)
    monkeypatch.setattr("embedllm_hf.inference.router._ROUTING_ROWS", 7)
    in_blocks = router(questions, explain=True)
    assert [item.llm for item in in_blocks] == [item.llm for item in at_once]
    assert [item.evidence[0].question_id for item in in_blocks] == [item.evidence[0].question_id for item in at_once]


def test_a_long_question_is_routed(router):
    """100,000 characters are no problem."""
    assert router("Add 17 to 4. " * 8000).llm in planted_llms()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"min_success": 0}, ValueError, "`min_success` is 0, expected a probability between 0 and 1"),
        ({"min_success": 1.0}, ValueError, "`min_success` is 1.0"),
        ({"min_success": float("nan")}, ValueError, "`min_success` is nan"),
        ({"cost_weight": -1}, ValueError, "`cost_weight` is -1"),
        ({"cost_weight": 1, "min_success": 0.5}, ValueError, "no place beside it"),
        ({"max_cost": 0.5}, ValueError, "cheapest LLM, `planted/abacus-small`, costs 1"),
        ({"max_cost": -2}, ValueError, "`max_cost` is -2"),
        ({"top_k": 0}, ValueError, "`top_k` is 0"),
        ({"costs": {"planted/abacus-large": 1}}, ValueError, "no cost for 7 of 8 LLMs"),
        ({"costs": {"planted/abacus-large": -1}}, ValueError, "`planted/abacus-large` is -1, expected a number of 0"),
        ({"costs": {"planted/abacus-large": None}}, ValueError, "is None, expected a number"),
        ({"llms": []}, ValueError, "`llms` is empty"),
        ({"llms": ["planted/abacus-lage"]}, KeyError, "did you mean `planted/abacus-large`"),
        ({"llms": ["meta/*"]}, KeyError, "no LLM fits the pattern `meta/"),
        ({"exclude": ["*"]}, ValueError, "no LLM of 8 is left"),
        ({"family": ["bacus"]}, ValueError, "`family` is `bacus`, expected a list of some of `abacus`"),
        ({"kind": "chat"}, ValueError, "`kind` is 'chat', expected a list"),
        ({"licence": ["mit"]}, ValueError, "`licence` is `mit`, expected a list of some of `Apache-2.0`, `cc-by-nc"),
        ({"exclude": ["licence:mit"]}, ValueError, "`licence` is `mit`"),
    ],
)
def test_bad_options_are_refused(router, options, error, message):
    """Each with the option, what was found and what is expected."""
    with pytest.raises(error, match=message.replace("*", r"\*")):
        router(QUESTION, **options)


def test_limits_need_their_tables(router):
    """Without costs and facts the options that need them are refused."""
    bare = Router(router.model, router.encoder)
    assert bare(QUESTION).cost is None
    for options in ({"max_cost": 1}, {"cost_weight": 0.1}):
        with pytest.raises(ValueError, match="need `costs`"):
            bare(QUESTION, **options)
    with pytest.raises(ValueError, match="need `facts`"):
        bare(QUESTION, family=["abacus"])
    part = {"planted/abacus-large": 1.0}
    assert bare(QUESTION, costs=part, llms=list(part)).cost == 1.0  # only those that may be chosen need one
