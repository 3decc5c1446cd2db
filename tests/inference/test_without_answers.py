"""An LLM of which no answer is known is never chosen, ranked or forecast as if it were known."""

from dataclasses import replace

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, Forecaster, Router, onboard
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.encoding.question_encoder import QuestionEncoder
from embedllm_hf.inference.leaderboard import Leaderboard
from embedllm_hf.inference.policy import RoutingPolicy
from embedllm_hf.inference.portfolio import portfolio
from embedllm_hf.inference.similar import similar_llms
from tests.pool import NEVER, model_with_one_unasked

QUESTION = "A logic question, number 1001?"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> EmbedLLM:
    """Seven LLMs, the last of which was never asked."""
    return model_with_one_unasked(tmp_path_factory.mktemp("weak"))


class Encoder(QuestionEncoder):
    """Encodes nothing: each text has the vector of its length."""

    def __init__(self) -> None:
        super().__init__("offline")

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.stack([np.random.default_rng(len(text)).normal(size=8) for text in texts]).astype(np.float32)


def with_encoder(kind: type, model: EmbedLLM, **options):
    use = kind(model, **options)
    use.encoder = Encoder()
    return use


def test_the_bank_says_who_has_no_answers(model):
    """By the columns of its responses; a bare network knows nothing of anybody, so there is nobody to mark."""
    assert model.llms_without_answers == (NEVER,)
    assert model.bank.n_answers[:-1].all()
    assert model.with_bank(None).llms_without_answers == ()


def test_the_network_alone_would_choose_it(model):
    """Which is why it is left out: its start of one half is more than any that was asked reaches."""
    assert model.network_proba(np.zeros((1, 8), np.float32))[0].argmax() == model.llm_index(NEVER)


def test_it_is_not_chosen_and_one_line_says_so(model, caplog):
    """Nor by a pattern; the runner-up and the ranking hold it as little."""
    router = with_encoder(Router, model)
    for options in (
        {},
        {"llms": ["lab/*"]},
        {"min_success": 0.9},
        {"cost_weight": 0.1, "costs": {NEVER: 0, "lab/logic-a": 1}},
    ):
        decision = router(QUESTION, top_k=9, **options)
        assert NEVER not in {decision.llm, decision.runner_up, *(item.llm for item in decision.ranking)}
        assert not decision.without_answers
    assert [record.message for record in caplog.records if NEVER in record.message] == [
        "left out of the choice: no answers are known of `lab/never`; onboard them with some, or name them in `llms`."
    ]
    with pytest.raises(ValueError, match="no LLM of 7 is left to choose from: no answers are known of `lab/never`"):
        Router(model, policy=RoutingPolicy(llms=["lab/n*"]))


def test_by_name_it_is_chosen_and_marked(model):
    """Whoever names it gets it, with a mark in every output."""
    router = with_encoder(Router, model)
    decision = router(QUESTION, llms=[NEVER])
    assert decision.llm == NEVER
    assert decision.without_answers
    assert decision.to_dict()["without_answers"] is True
    ranked = router(QUESTION, llms=[NEVER, "lab/poetry-a"], top_k=2).ranking
    assert {item.llm: item.without_answers for item in ranked} == {NEVER: True, "lab/poetry-a": False}


def test_its_forecast_is_one_of_the_pool_wherever_it_is_asked_for(model):
    """Router and forecaster agree: the mean of the LLMs that were asked, and an interval that holds each of them."""
    texts = [QUESTION, "another one", "a third"]
    router, forecaster = with_encoder(Router, model), with_encoder(Forecaster, model)
    routed = router(texts, llms=[NEVER])
    answers, score = forecaster.answers(NEVER, texts), forecaster.questions(NEVER, texts)
    others = np.array([forecaster.probabilities(name, texts) for name in model.config.llm_names[:-1]])
    np.testing.assert_allclose([item.probability for item in routed], others.mean(axis=0), atol=1e-6)
    assert [item.probability for item in routed] == [item.probability for item in answers]
    assert score.accuracy == pytest.approx(others.mean(), abs=1e-6)
    for answer, probs in zip(answers, others.T, strict=True):
        assert answer.low < probs.min()
        assert answer.high > probs.max()
        assert answer.at_least == answer.low
    assert score.low < others.mean(axis=1).min()
    assert score.high > others.mean(axis=1).max()
    assert all(item.without_answers for item in (*answers, score))


def test_its_benchmark_score_is_one_of_the_pool(model):
    """The mean of the pool's scores, none of the questions observed, and an interval as wide as the pool."""
    forecaster = Forecaster(model)
    others = [forecaster.benchmark(name, "logic") for name in model.config.llm_names[:-1]]
    never = forecaster.benchmark(NEVER, "logic")
    assert never.accuracy == pytest.approx(np.mean([other.accuracy for other in others]), abs=0.02)
    assert never.low <= min(other.accuracy for other in others)
    assert never.high >= max(other.accuracy for other in others)
    assert (never.n_observed, never.without_answers) == (0, True)
    assert not any(other.without_answers for other in others)


def test_it_stands_last_on_a_leaderboard_beside_which_nobody_is_compared(model):
    """Marked, on own questions and on a benchmark; the others' rows are as without it."""
    board, known = with_encoder(Leaderboard, model), list(model.config.llm_names[:-1])
    for rank in (
        lambda **options: board([QUESTION, "b", "cc"], **options),
        lambda **options: board.benchmark("logic", **options),
    ):
        *ranked, last = rank()
        assert (last.llm, last.rank, last.without_answers) == (NEVER, 7, True)
        assert (last.beats_next, last.only_one, ranked[-1].beats_next) == (None, None, None)
        assert ranked == rank(llms=known)
        assert rank(llms=[NEVER, known[0]])[1] == replace(last, rank=2)


def test_it_is_in_no_portfolio(model):
    """It would be the first one; it is named as left out, as are LLMs without a cost."""
    chosen = portfolio(model, size=7)
    assert NEVER not in chosen.llms
    assert (chosen.without_answers, chosen.without_cost) == ((NEVER,), ())
    priced = portfolio(model, size=2, costs={NEVER: 0, "lab/logic-a": 1})
    assert priced.llms == ("lab/logic-a",)
    assert set(priced.without_cost) == set(model.config.llm_names) - {NEVER, "lab/logic-a"}
    with pytest.raises(ValueError, match="no answers are known of any LLM that could be chosen"):
        portfolio(model, size=2, costs={NEVER: 0})


def test_it_is_like_nobody(model):
    """And nobody like it."""
    assert NEVER not in {other.llm for other in similar_llms(model, "lab/logic-a", 9)}
    with pytest.raises(ValueError, match="no answers are known of `lab/never`"):
        similar_llms(model, NEVER)


def test_one_that_was_placed_by_the_prior_is_marked_the_same(model, caplog):
    """`onboard` without answers, and a vector added by hand: nothing is known; with answers it is a candidate."""
    for grown in (onboard(model, "new/llm", {}), model.with_llm("new/llm", np.full(4, 9.0))):
        decision = with_encoder(Router, grown)(QUESTION, top_k=9)
        assert "new/llm" not in {item.llm for item in decision.ranking}
        assert Forecaster(grown).benchmark("new/llm", "logic").without_answers
    answered = onboard(model, "new/llm", {0: 1, 2: 1, 4: 1, 6: 0})
    assert "new/llm" in {item.llm for item in with_encoder(Router, answered)(QUESTION, top_k=9).ranking}


def test_a_pool_of_which_nothing_is_known_is_refused(model):
    """In words, by router, forecaster and portfolio."""
    alone = model
    for name in model.config.llm_names[:-1]:
        alone = alone.without_llm(name)
    assert isinstance(alone.bank, QuestionBank)
    with pytest.raises(ValueError, match="no answers are known of `lab/never`"):
        Router(alone)
    with pytest.raises(ValueError, match="no answers are known of `lab/never` or any other LLM"):
        Forecaster(alone).benchmark(NEVER, "logic")
