"""The router: planted specialists are found, filters and costs hold, decisions carry their numbers and evidence."""

import json
from dataclasses import replace

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, EmbedLLMConfig, QuestionEncoder, Router, RoutingPolicy, TokenPrice, load_responses
from embedllm_hf.data.planted import planted_llms, planted_probabilities
from embedllm_hf.predictors.confidence import bounds
from embedllm_hf.predictors.stacked_fit import fit_blend

QUESTION = "What is 17 multiplied by 47?"
COSTS = {name: 3.0 if "large" in name else 1.0 for name in planted_llms()}
FACTS = {
    name: {
        "family": name.split("/")[1].split("-")[0],
        "kind": "chat",
        "license": "cc-by-nc-4.0" if name.endswith("abacus-large") else "Apache-2.0" if "large" in name else "",
        "params_billions": 70 if "large" in name else "",
    }
    for name in planted_llms()
}


@pytest.fixture(scope="module")
def router(planted_model) -> Router:
    """A model of the planted pool with a blend, whose calibration was measured; with costs and facts."""
    model = EmbedLLM.from_pretrained(planted_model)
    blend = replace(fit_blend(model, model.bank), calibration=np.diag([0.04, 0.01]))
    model = model.with_bank(replace(model.bank, blend=blend))
    return Router(model, policy=RoutingPolicy(costs=COSTS, facts=FACTS))


def test_router_is_right_as_often_as_the_best_choice(router):
    """Over unseen questions the chosen LLM's planted probability comes close to the best one's, 0.92."""
    test = load_responses("planted", split="test")
    chosen = [planted_llms().index(decision.llm) for decision in router(list(test.questions))]
    planted = planted_probabilities(test.question_ids)
    assert planted[np.arange(len(chosen)), chosen].mean() > 0.88
    assert planted.max(axis=1).mean() == pytest.approx(0.92)


def test_one_in_one_out_list_in_list_out(router):
    """A text gives a decision, a list a list, and both say the same."""
    question = "Name the capital of Peru and say who are its neighbours."
    assert router([question]) == [router(question)]
    assert router(question).llm == "planted/atlas-large"
    assert router([]) == []


def test_decision_has_interval_cost_and_runner_up(router):
    """The numbers are those of the model, as plain Python, and `to_dict` is JSON."""
    decision = router(QUESTION)
    probs = router.model.predict_proba(router.encoder.encode([QUESTION]))[0]
    first, second = np.argsort(-probs)[:2]
    assert (decision.llm, decision.runner_up) == (planted_llms()[first], planted_llms()[second])
    assert decision.llm == "planted/abacus-large"
    assert decision.probability == pytest.approx(float(probs[first]))
    assert 0 <= decision.low < decision.probability < decision.high <= 1
    assert decision.cost == 3.0
    assert not decision.insufficient_evidence
    fields = {"llm", "probability", "low", "high", "at_least", "cost", "runner_up", "insufficient_evidence"}
    fields |= {"without_answers"}
    assert set(decision.to_dict()) == fields
    assert json.loads(json.dumps(decision.to_dict())) == decision.to_dict()


def test_bounds_are_those_of_the_whole_pool_whoever_may_be_chosen(router):
    """Alone, in a pair or with all, each LLM has its own interval and bound, also behind a new LLM in the pool.

    A new LLM's `at_least` is its `low`; the others have a calibrated bound.
    """
    bank, names = router.model.bank, planted_llms()
    whole = Router(router.model.with_bank(replace(bank, is_new=np.arange(8) == 2)))
    by_name = {other.llm: other for other in whole(QUESTION, top_k=8).ranking}
    logits = whole.model.predict_logits(whole.encoder.encode([QUESTION]))
    expected = np.stack(bounds(whole.model.bank, logits))[:, 0]
    for index, name in enumerate(names):
        alone, pair = whole(QUESTION, llms=[name]), whole(QUESTION, llms=[name, names[index - 1]], top_k=2)
        for given in (alone, by_name[name], next(other for other in pair.ranking if other.llm == name)):
            assert (given.low, given.high, given.at_least) == tuple(expected[:, index])
        assert (alone.at_least == alone.low) == (index == 2)


def test_cost_weight_and_max_cost_move_to_the_cheaper_sibling(router):
    """A high weight, and a limit below the dear ones, choose the small specialist."""
    assert router(QUESTION, cost_weight=0.5).llm == "planted/abacus-small"
    decision = router(QUESTION, max_cost=1.0)
    assert (decision.llm, decision.cost) == ("planted/abacus-small", 1.0)
    assert router(QUESTION, costs={name: 2 for name in planted_llms()}, max_cost=2).llm == "planted/abacus-large"


def test_min_success_is_cheap_where_it_can_and_says_where_it_cannot(router):
    """A low demand is met by a cheap LLM; one that nobody meets gives the most probable one, flagged."""
    modest = router(QUESTION, min_success=0.2)
    assert (modest.cost, modest.insufficient_evidence) == (1.0, False)
    assert modest.at_least >= 0.2
    extreme = router(QUESTION, min_success=0.999)
    assert (extreme.llm, extreme.insufficient_evidence) == ("planted/abacus-large", True)


def test_names_patterns_and_facts_limit_the_choice(router):
    """Allow and deny lists by name and pattern; family, kind and size from the facts; all of them at once."""
    assert router(QUESTION, llms=["planted/scribe-*", "planted/healer-small"]).llm.split("-")[0] != "planted/abacus"
    assert router(QUESTION, llms=["planted/*-small"]).llm == "planted/abacus-small"
    assert router(QUESTION, exclude=["*/abacus-large"]).llm == "planted/abacus-small"
    assert "abacus" not in router(QUESTION, exclude=["*abacus*"]).llm
    assert router(QUESTION, family=["atlas", "scribe"]).llm.split("/")[1].split("-")[0] in ("atlas", "scribe")
    assert router(QUESTION, max_params=70).llm == "planted/abacus-large"
    only = router(QUESTION, llms=["planted/atlas-large"], kind=["chat"], max_params=70)
    assert (only.llm, only.runner_up) == ("planted/atlas-large", None)
    with pytest.raises(ValueError, match="no LLM of 8 is left"):
        router(QUESTION, max_params=1)  # sizes that are not known are not small


def test_licenses_allow_and_deny(router):
    """By value or pattern, whatever the case; what is not known passes no allow list, and no deny list holds it."""
    assert "large" in router(QUESTION, license=["apache-2.0"]).llm
    assert router(QUESTION, license=["apache-2.0"]).llm != router(QUESTION).llm == "planted/abacus-large"
    assert router(QUESTION, exclude=["license:*-NC-*"]).llm == "planted/abacus-small"
    both = router(QUESTION, llms=["license:cc-*", "planted/atlas-small"], top_k=8)
    assert [item.llm for item in both.ranking] == ["planted/abacus-large", "planted/atlas-small"]
    assert router(QUESTION, exclude=["family:abacus"], llms=["license:*"], top_k=8).ranking[-1].llm.endswith("-large")


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


def test_llms_without_a_cost_are_left_out_which_is_said_once(router, caplog):
    """A table of two LLMs is a choice of two, by names or patterns; who is left out is a warning of one line."""
    part = {"planted/abacus-large": 1.0, "planted/scribe-small": 2.0}
    cautious = Router(router.model, policy=RoutingPolicy(costs=part))
    decisions = [cautious(QUESTION, top_k=8), cautious(QUESTION, top_k=8, llms=["planted/*"], max_cost=5)]
    assert [{item.llm for item in decision.ranking} for decision in decisions] == [set(part)] * 2
    assert [record.message.split(" for ")[0] for record in caplog.records] == [
        "left out of the choice: no cost is given"
    ]
    caplog.clear()
    assert Router(router.model, policy=RoutingPolicy(costs=part, llms=list(part)))(QUESTION).cost == 1.0
    assert Router(router.model)(QUESTION).cost is None
    assert not caplog.records


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
    bank, names = router.model.bank, router.model.config.llm_names
    assert len(decision.evidence) == 5
    similarities = [item.similarity for item in decision.evidence]
    assert similarities == sorted(similarities, reverse=True)
    for item in decision.evidence:
        row = bank.question_ids.tolist().index(item.question_id)
        assert item.category == bank.categories[bank.category_indices[row]] == "arithmetic"
        for index, name in enumerate(names):
            response = bank.responses_of(index)[row]
            assert (name in item.right, name in item.wrong) == (response == 1, response == 0)
    assert json.loads(json.dumps(decision.to_dict())) == decision.to_dict()


def test_many_questions_are_routed_as_each_alone(router):
    """More questions than one block of the predictor holds say what single calls say, evidence too."""
    questions = list(load_responses("planted", split="test").questions[:70])
    at_once = router(questions, explain=True)
    for row in (0, 63, 64, 69):
        alone = router(questions[row], explain=True)
        assert (alone.llm, alone.evidence[0].question_id) == (
            at_once[row].llm,
            at_once[row].evidence[0].question_id,
        )


def test_a_long_question_is_routed(router):
    """100,000 characters are no problem."""
    assert router("Add 17 to 4. " * 8000).llm in planted_llms()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_cost": 0.5}, ValueError, "cheapest LLM, `planted/abacus-small`, costs 1"),
        ({"top_k": 0}, ValueError, "`top_k` is 0"),
        ({"costs": {"lab/other": 1}}, ValueError, "no LLM of 8 is left to choose from: no cost is given for"),
        ({"llms": []}, ValueError, "`llms` is empty"),
        ({"llms": ["planted/abacus-lage"]}, KeyError, "did you mean `planted/abacus-large`"),
        ({"llms": ["meta/*"]}, KeyError, r"no LLM fits the pattern `meta/\*"),
        ({"exclude": ["*"]}, ValueError, "no LLM of 8 is left"),
        ({"family": ["bacus"]}, ValueError, "`family` is `bacus`, expected a list of some of `abacus`"),
        ({"kind": "chat"}, ValueError, "`kind` is 'chat', expected a list"),
        ({"license": ["mit"]}, ValueError, "`license` is `mit`, expected a list of some of `Apache-2.0`, `cc-by-nc"),
        ({"exclude": ["license:mit"]}, ValueError, "`license` is `mit`"),
    ],
)
def test_bad_options_are_refused(router, options, error, message):
    """Each with the option, what was found and what is expected."""
    with pytest.raises(error, match=message):
        router(QUESTION, **options)


def test_an_empty_text_is_refused(router):
    """The message has its position."""
    with pytest.raises(ValueError, match=r"`questions\[1\]` is ' '"):
        router(["Hi?", " "])


def test_another_encoder_is_refused(router):
    """A model takes text vectors of its own encoder only; `offline` goes by its published name, too."""
    with pytest.raises(ValueError, match=r"`encoder` is `some/other`.*trained with `sentence-transformers/all-MiniLM"):
        Router(router.model, QuestionEncoder("some/other"))
    assert Router(router.model, QuestionEncoder("sentence-transformers/all-MiniLM-L6-v2")).model is router.model


def test_a_model_without_a_bank_routes_and_cannot_explain(router):
    """A bare network is enough to choose; evidence needs known questions."""
    bare = Router(EmbedLLM(EmbedLLMConfig(llm_names=["a", "b"], text_dim=384, encoder_name="offline")))
    assert bare(QUESTION).llm in ("a", "b")
    with pytest.raises(ValueError, match="no question bank"):
        bare(QUESTION, explain=True)
