"""What `min_success` promises: kept on made-up pools, validated for each policy, strict where it must be."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from embedllm_hf import EmbedLLM, Router, RoutingPolicy, TokenPrice, load_responses
from embedllm_hf.data.planted import planted_llms
from embedllm_hf.evaluation.guarantee import check_guarantee
from embedllm_hf.inference.promise import Promise, promise_of, validated_threshold
from embedllm_hf.predictors.confidence import bounds

COSTS = {name: 3.0 if "large" in name else 1.0 for name in planted_llms()}


@pytest.fixture(scope="module")
def model(planted_model) -> EmbedLLM:
    return EmbedLLM.from_pretrained(planted_model)


def promised(model: EmbedLLM, **options) -> Promise:
    return promise_of(model, RoutingPolicy(**options).of_pool(model.config.llm_names, model.llms_without_answers))


# --- the threshold ---


@pytest.mark.parametrize("cost", [None, np.array([4.0, 2.0, 1.0])])
def test_the_promise_is_kept_in_95_of_100_draws(cost):
    """Of 200 made-up data sets, forecasts off by chance; the share right is known from 200,000 questions."""
    generator = np.random.default_rng(2)

    def draw(n_questions):
        logits = generator.normal(1.0, 1.2, (n_questions, 1)) + generator.normal(
            [0.6, 0.2, -0.4], 0.8, (n_questions, 3)
        )
        return expit(logits + generator.normal(0, 0.5, logits.shape)), expit(logits)

    probs, truth = draw(200_000)
    n_kept, shares = 0, []
    for _ in range(200):
        forecasts, means = draw(300)
        answers = (generator.random(means.shape) < means).astype(float)
        threshold = validated_threshold(forecasts, answers, 0.85, cost)
        if threshold is None:
            n_kept += 1
            continue
        reaches = probs >= threshold
        chosen = np.where(reaches, 0 if cost is None else -cost, -np.inf) + (probs if cost is None else 0)
        rows = np.flatnonzero(reaches.any(axis=1))
        n_kept += truth[rows, chosen[rows].argmax(axis=1)].mean() >= 0.85
        shares.append(len(rows) / len(probs))
    assert n_kept / 200 >= 0.95
    assert len(shares) > 150
    assert np.mean(shares) > 0.4


def test_the_cheapest_is_tested_where_there_are_costs():
    """The cheap LLM says 90% and is right in half of its answers: with costs no threshold up to 90% is kept."""
    probs = np.tile([0.95, 0.9], (200, 1))
    truth = np.stack([np.ones(200), np.arange(200) % 2], axis=1)
    assert validated_threshold(probs, truth, 0.8) == 0
    assert validated_threshold(probs, truth, 0.8, np.array([1.0, 2.0])) == 0
    assert validated_threshold(probs, truth, 0.8, np.array([2.0, 1.0])) == 0.91
    truth[:, 1] = np.nan  # who was not observed is not chosen
    assert validated_threshold(probs, truth, 0.8, np.array([2.0, 1.0])) == 0


def test_nothing_is_promised_of_too_few_questions():
    """Thirteen right answers of thirteen do not show 80%, fourteen do: .8 to the 14 is .044."""
    assert validated_threshold(np.full((13, 1), 0.99), np.ones((13, 1)), 0.8) is None
    assert validated_threshold(np.full((14, 1), 0.99), np.ones((14, 1)), 0.8) == 0
    assert validated_threshold(np.full((5, 2), 0.99), np.full((5, 2), np.nan), 0.8) is None


def test_llms_that_no_validation_question_was_put_to_need_their_own_bound():
    """The threshold is for the others; without one the bound decides for all."""
    probs, at_least = np.array([[0.7, 0.7, 0.5]]), np.array([[0.4, 0.4, 0.9]])
    assert Promise(0.8, np.array([True, False, True]), 0.6).reaches(probs, at_least).tolist() == [[True, False, False]]
    assert Promise(0.8, np.array([True, False, False]), 0.6).reaches(probs, at_least)[0].tolist() == [
        True,
        False,
        True,
    ]
    assert Promise(0.8, np.zeros(3, bool)).reaches(probs, at_least).tolist() == [[False, False, True]]


# --- of a model and a policy ---


def test_the_promise_is_that_of_the_validation_questions(model):
    """By the model's forecasts of them and the responses that it keeps; every restriction has its own."""
    validation = model.bank.validation
    probs = expit(model.predict_logits(validation.question_embeds.astype(np.float32)))
    truth = validation.dense_responses()
    counted = (~np.isnan(truth)).sum(axis=1) >= 2
    cost = np.array(list(COSTS.values()))
    for options, allowed, price in (
        ({}, truth, None),
        ({"costs": COSTS}, truth, cost),
        ({"costs": COSTS, "max_cost": 1}, np.where(cost <= 1, truth, np.nan), cost),
    ):
        expected = validated_threshold(probs[counted], allowed[counted], 0.6, price)
        assert promised(model, min_success=0.6, **options).threshold == expected
        assert expected is not None
    alone = promised(model, min_success=0.2, llms=["planted/abacus-large"])  # one observed LLM is enough
    assert alone.threshold is not None


def test_prices_by_the_token_pass_at_every_length(model):
    """The highest threshold of those at single lengths; equal prices at all lengths are as fixed costs."""
    fixed = {name: TokenPrice(0, cost) for name, cost in COSTS.items()}
    by_call = promised(model, min_success=0.6, costs=COSTS).threshold
    assert promised(model, min_success=0.6, costs=fixed).threshold == by_call
    reading = {name: TokenPrice(10 if cost == 1 else 1, cost) for name, cost in COSTS.items()}
    dear_to_read = promised(model, min_success=0.6, costs={name: 4 - cost for name, cost in COSTS.items()})
    assert by_call != dear_to_read.threshold
    assert promised(model, min_success=0.6, costs=reading).threshold == max(by_call, dear_to_read.threshold)


def test_a_saved_model_makes_the_same_promise(model, tmp_path):
    """The validation questions are in its bank."""
    model.save_pretrained(tmp_path)
    loaded = EmbedLLM.from_pretrained(tmp_path)
    for options in ({}, {"costs": COSTS}):
        before, after = (promised(one, min_success=0.6, **options) for one in (model, loaded))
        assert before.threshold == after.threshold


def test_router_and_report_answer_the_same_questions(model):
    """The flags, and the choice of the cheapest that reaches the threshold; the report counts what was observed."""
    test = load_responses("planted", split="test")
    texts, truth = list(test.questions), test.responses()
    decisions = Router(model, policy=RoutingPolicy(costs=COSTS, min_success=0.6))(texts)
    threshold = promised(model, costs=COSTS, min_success=0.6).threshold
    probs = model.predict_proba(model.encoder.encode(texts))
    for decision, row in zip(decisions, probs, strict=True):
        assert decision.insufficient_evidence == (row.max() < threshold)
        cheapest = [COSTS[name] for name, prob in zip(planted_llms(), row, strict=True) if prob >= threshold]
        assert decision.insufficient_evidence or decision.cost == min(cheapest)
    logits = model.predict_logits(model.encoder.encode(texts))
    observed = np.where(np.isnan(truth), 0.5, truth)  # as if each had been asked
    kept = check_guarantee(model, logits, observed, 0.6, COSTS)
    assert kept.threshold == threshold
    assert kept.share_answered == pytest.approx(np.mean([not one.insufficient_evidence for one in decisions]))
    assert f"validated threshold {threshold:g}" in str(kept)
    strict = check_guarantee(model, logits, observed, 0.6, COSTS, strict=True)
    assert strict.share_answered < kept.share_answered
    assert "by each answer's bound" in str(strict)


def test_strict_is_the_bound_of_each_answer(model):
    """Chosen is the cheapest LLM whose `at_least` reaches it, as it was before there was a threshold."""
    texts = list(load_responses("planted", split="test").questions)
    at_least = bounds(model.bank, model.predict_logits(model.encoder.encode(texts)))[2]
    strict = Router(model, policy=RoutingPolicy(costs=COSTS, min_success=0.5, strict=True))(texts)
    assert {one.insufficient_evidence for one in strict} == {True, False}
    for decision, row in zip(strict, at_least, strict=True):
        assert decision.insufficient_evidence == (row.max() < 0.5)
        assert decision.insufficient_evidence or decision.at_least >= 0.5
    validated = Router(model)(texts, costs=COSTS, min_success=0.5)
    assert sum(one.insufficient_evidence for one in validated) < sum(one.insufficient_evidence for one in strict)
    assert Router(model)(texts, costs=COSTS, min_success=0.5, strict=True) == strict


def test_the_fallback_is_said_once(model, caplog):
    """Where no threshold passes, and where the model keeps no validation questions; asked for, it is not said."""
    text = "What is 17 multiplied by 47?"
    few = replace(model.bank, validation=None)
    for bank, why in ((model.bank, "no threshold keeps it on the model's"), (few, "the model keeps no validation")):
        caplog.clear()
        router = Router(model.with_bank(bank), policy=RoutingPolicy(min_success=0.99))
        with caplog.at_level(logging.WARNING):
            assert [router(text), router(text)] == [router(text, strict=True)] * 2
        (line,) = [record.message for record in caplog.records]
        assert line.startswith(f"`min_success` 0.99: {why}")
        assert line.endswith("so each answer's own bound decides, as with `strict=True`.")


def test_less_is_promised_of_graded_answers():
    """Of answers that are each 90% right the test is less sure than of the exact binomial: 15 are not enough."""
    forecasts = np.full((20, 1), 0.95)
    assert validated_threshold(forecasts[:15], np.ones((15, 1)), 0.8) == 0
    assert validated_threshold(forecasts[:15], np.full((15, 1), 0.9), 0.8) is None
    assert validated_threshold(np.tile(forecasts, (10, 1)), np.full((200, 1), 0.9), 0.8) == 0
