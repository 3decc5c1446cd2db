"""Router and Forecaster: the planted specialists are found, one in is one out, and the encoder is checked."""

import json

import numpy as np
import pytest

from embedllm_hf import Forecaster, QuestionEncoder, Router
from embedllm_hf.data.planted import planted_llms, planted_probabilities
from embedllm_hf.data.sources import load_responses
from embedllm_hf.predictors.stacked import fit_blend


@pytest.fixture(scope="module")
def router(quickstart):
    return Router.from_pretrained(quickstart)


@pytest.fixture(scope="module")
def forecaster(quickstart):
    """Of the network alone; with an item-response model see `test_item_response` and `test_onboarding`."""
    forecaster = Forecaster.from_pretrained(quickstart)
    forecaster.model.item_response = None
    return forecaster


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


def test_decision_is_the_models_probability(router):
    """The probability is the highest over the pool, as Python numbers that JSON takes."""
    decision = router("Find the bug in this Rust code, which parses a date.")
    probabilities = router.predictor.predict_proba(
        router.encoder.encode(["Find the bug in this Rust code, which parses a date."])
    )
    assert decision.probability == pytest.approx(float(probabilities.max()))
    expected = {"llm": decision.llm, "probability": decision.probability}
    assert expected.items() <= json.loads(json.dumps(decision.to_dict())).items()


def test_router_refuses_what_it_cannot_do(router):
    """No LLM to choose from, an unknown one, an empty text."""
    with pytest.raises(ValueError, match="`llms` is empty"):
        router("Hi?", llms=[])
    with pytest.raises(KeyError, match="did you mean `planted/atlas-large`"):
        router("Hi?", llms=["planted/atlas-larg"])
    with pytest.raises(ValueError, match=r"`questions\[1\]` is ' '"):
        router(["Hi?", " "])


def test_another_encoder_is_refused(router):
    """A model takes text vectors of its own encoder only; `offline` goes by its published name, too."""
    with pytest.raises(ValueError, match=r"`encoder` is `some/other`.*trained with `offline`"):
        Router(router.model, QuestionEncoder("some/other"))
    assert Router(router.model, QuestionEncoder("sentence-transformers/all-MiniLM-L6-v2")).model is router.model


def test_benchmark_forecast_counts_observed_answers_as_they_are(forecaster):
    """The forecast is the mean over observed answers and probabilities of the rest, inside its interval."""
    known = forecaster.model.known_questions
    rows = known.benchmark_rows("law")
    column = forecaster.model.llm_index("planted/scribe-small")
    responses = known.responses_of(column)[rows]
    probabilities = forecaster.model.predict_proba(known.question_embeds[rows].astype(np.float32))[:, column]
    forecast = forecaster.benchmark("planted/scribe-small", "law")
    assert forecast.accuracy == pytest.approx(np.where(np.isnan(responses), probabilities, responses).mean())
    assert forecast.n_observed == np.sum(~np.isnan(responses)) < forecast.n_questions == len(rows)
    missing = probabilities[np.isnan(responses)].astype(float)
    reach = 1.6448536 * np.sqrt((missing * (1 - missing)).sum()) / len(rows)
    assert forecast.high - forecast.accuracy == pytest.approx(reach, rel=1e-4)


def test_questions_forecast_is_their_mean_probability(forecaster):
    """On one's own questions nothing is observed, and the forecast is the mean probability."""
    questions = ["What is 17 multiplied by 47?", "Is a contract about a dog valid when it was a gift?"]
    forecast = forecaster.questions("planted/abacus-large", questions)
    assert forecast.accuracy == pytest.approx(forecaster.probabilities("planted/abacus-large", questions).mean())
    assert (forecast.n_questions, forecast.n_observed) == (2, 0)
    with pytest.raises(ValueError, match="`questions` is empty"):
        forecaster.questions("planted/abacus-large", [])


def test_answers_are_probabilities_with_their_intervals(forecaster):
    """Each question's probability, between the bounds that the router gives it."""
    questions = ["What is 17 multiplied by 47?", "Is a contract about a dog valid when it was a gift?"]
    answers = forecaster.answers("planted/abacus-large", questions)
    expected = forecaster.probabilities("planted/abacus-large", questions)
    np.testing.assert_allclose([answer.probability for answer in answers], expected)
    decisions = Router(forecaster.model, forecaster.encoder)(questions, llms=["planted/abacus-large"])
    for answer, decision in zip(answers, decisions, strict=True):
        assert (answer.low, answer.high, answer.at_least) == (decision.low, decision.high, decision.at_least)
        assert answer.low < answer.probability < answer.high
    with pytest.raises(KeyError, match="did you mean"):
        forecaster.answers("planted/abacus-larg", questions)


def test_own_questions_are_forecast_by_the_blend(forecaster):
    """The mean of what the router would say, not of the network alone."""
    model = forecaster.model._of_pool(list(planted_llms()), list(range(8)))
    model.item_response, model.blend = None, fit_blend(forecaster.model)
    blended = Forecaster(model, forecaster.encoder)
    questions = ["What is 17 multiplied by 47?", "Is a contract about a dog valid when it was a gift?"]
    accuracy = blended.questions("planted/abacus-large", questions).accuracy
    assert accuracy == pytest.approx(blended.probabilities("planted/abacus-large", questions).mean())
    assert abs(accuracy - forecaster.questions("planted/abacus-large", questions).accuracy) > 1e-4


def test_unknown_benchmark_gets_close_names(forecaster):
    """A benchmark nobody knows is refused with the nearest ones."""
    with pytest.raises(KeyError, match=r"unknown benchmark `laws`.*`law`"):
        forecaster.benchmark("planted/abacus-large", "laws")


def test_a_model_without_known_questions_has_no_benchmarks(forecaster):
    """Such a model says so."""
    from embedllm_hf import EmbedLLM, EmbedLLMConfig

    bare = EmbedLLM(EmbedLLMConfig(llm_names=["a", "b"], text_dim=384, encoder_name="offline"))
    with pytest.raises(ValueError, match="keeps no known questions"):
        Forecaster(bare, forecaster.encoder).benchmark("a", "law")
