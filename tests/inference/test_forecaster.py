"""The forecaster: probabilities, means over questions, benchmarks with what was observed, intervals that are wider."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from embedllm_hf import EmbedLLM, EmbedLLMConfig, Forecaster, Leaderboard, Router, load_responses, onboard
from embedllm_hf.item_response import transfer
from embedllm_hf.item_response.posterior import Z90
from embedllm_hf.item_response.transfer import transfer_variance
from embedllm_hf.predictors.stacked_fit import fit_blend
from tests.placing import pool_of, simulated_pool, with_answers, with_items
from tests.pool import trained_model

QUESTIONS = ["What is 17 multiplied by 47?", "Is a contract about a dog valid when it was a gift?"]
LLM = "planted/abacus-large"


@pytest.fixture(scope="module")
def model(planted_model) -> EmbedLLM:
    return EmbedLLM.from_pretrained(planted_model)


@pytest.fixture(scope="module")
def forecaster(model) -> Forecaster:
    """Of the network alone, without item parameters."""
    return Forecaster(model.with_bank(replace(model.bank, item_parameters=None, blend=None)))


def test_benchmark_forecast_counts_observed_answers_as_they_are(forecaster):
    """The forecast is the mean over observed answers and probabilities of the rest, inside its interval."""
    model = forecaster.model
    rows, llm_index = model.bank.benchmark_rows("law"), model.llm_index("planted/scribe-small")
    responses = model.bank.responses_of(llm_index)[rows]
    probabilities = model.network_proba(model.bank.question_embeds[rows].astype(np.float32))[:, llm_index]
    forecast = forecaster.benchmark("planted/scribe-small", "law", known_only=True)
    assert forecast.accuracy == pytest.approx(np.where(np.isnan(responses), probabilities, responses).mean())
    assert forecast.n_observed == np.sum(~np.isnan(responses)) < forecast.n_questions == len(rows)
    missing = probabilities[np.isnan(responses)].astype(float)
    reach = 1.6448536 * np.sqrt((missing * (1 - missing)).sum()) / len(rows)
    assert forecast.high - forecast.accuracy == pytest.approx(reach, rel=1e-4)


def test_questions_forecast_is_their_mean_probability(forecaster):
    """On one's own questions nothing is observed, and the forecast is the mean probability."""
    forecast = forecaster.questions(LLM, QUESTIONS)
    assert forecast.accuracy == pytest.approx(forecaster.probabilities(LLM, QUESTIONS).mean())
    assert (forecast.n_questions, forecast.n_observed) == (2, 0)
    with pytest.raises(ValueError, match="`questions` is empty"):
        forecaster.questions(LLM, [])


def test_answers_are_probabilities_with_their_intervals(forecaster):
    """Each question's probability, between the bounds that the router gives it."""
    answers = forecaster.answers(LLM, QUESTIONS)
    expected = forecaster.probabilities(LLM, QUESTIONS)
    np.testing.assert_allclose([answer.probability for answer in answers], expected)
    decisions = Router(forecaster.model)(QUESTIONS, llms=[LLM])
    for answer, decision in zip(answers, decisions, strict=True):
        assert (answer.low, answer.high, answer.at_least) == (decision.low, decision.high, decision.at_least)
        assert answer.low < answer.probability < answer.high
    with pytest.raises(KeyError, match="did you mean"):
        forecaster.answers("planted/abacus-larg", QUESTIONS)


def test_own_questions_are_forecast_by_the_blend(forecaster):
    """The mean of what the router would say, not of the network alone."""
    model = forecaster.model
    blended = Forecaster(model.with_bank(replace(model.bank, blend=fit_blend(model, model.bank))))
    accuracy = blended.questions(LLM, QUESTIONS).accuracy
    assert accuracy == pytest.approx(blended.probabilities(LLM, QUESTIONS).mean())
    assert abs(accuracy - forecaster.questions(LLM, QUESTIONS).accuracy) > 1e-4


def test_unknown_benchmark_gets_close_names(forecaster):
    """A benchmark nobody knows is refused with the nearest ones."""
    with pytest.raises(KeyError, match=r"unknown benchmark `laws`.*`law`"):
        forecaster.benchmark(LLM, "laws")


def test_a_model_without_a_bank_has_no_benchmarks():
    """Such a model says so."""
    bare = EmbedLLM(EmbedLLMConfig(llm_names=["a", "b"], text_dim=384, encoder_name="offline"))
    with pytest.raises(ValueError, match="no question bank, so nothing is known of questions and benchmarks"):
        Forecaster(bare).benchmark("a", "law")


# --- with item parameters ---


def test_known_questions_that_were_all_answered_are_still_a_sample():
    """Of their own score nothing is left to forecast; of a larger benchmark's the more, the larger it is."""
    simulated = simulated_pool()
    forecaster = Forecaster(pool_of(simulated, 12))
    sizes = [{"known_only": True}, {"benchmark_size": 200}, {"benchmark_size": 250}, {"benchmark_size": 9999}, {}]
    forecasts = [forecaster.benchmark("lab/03", "one", **size) for size in sizes]
    share = simulated.responses[::2, 3].mean()
    for forecast in forecasts:
        assert forecast.accuracy == pytest.approx(share)
        assert (forecast.n_questions, forecast.n_observed) == (200, 200)
    widths = [forecast.high - forecast.low for forecast in forecasts]
    assert widths[0] == widths[1] < 1e-6 < widths[2] < widths[3] < widths[4]
    assert widths[2] == pytest.approx(widths[4] * np.sqrt(1 / 5), rel=0.01)
    assert widths[4] == pytest.approx(2 * Z90 * np.sqrt(share * (1 - share) / 200), rel=0.01)


def test_the_intervals_of_a_pool_hold_what_the_benchmark_would_have_shown():
    """Of 400 LLMs 85 to 95% have their true share of right answers to new questions inside; half of them are sparse.

    The truth is that of the simulation: each LLM's probability, over the questions that might have been drawn.
    """
    simulated, draw = simulated_pool(n_questions=240, n_llms=400, seed=1), np.random.default_rng(2)
    ability = np.random.default_rng(1).normal(size=400)  # as `simulated_pool` draws it
    intercepts, slopes = draw.normal(size=(20_000, 1)), draw.uniform(0.2, 2.0, (20_000, 1))
    truth = expit(intercepts + slopes * ability).mean(axis=0)
    responses = np.where((np.arange(400) < 200) | (draw.random((240, 400)) < 0.3), simulated.responses, np.nan)
    model = with_items(
        simulated.model.with_bank(with_answers(simulated.model.bank, responses)),
        calibrate=False,
    )
    forecasts = [Forecaster(model).benchmark(name, "one") for name in model.config.llm_names]
    low, high = np.array([(forecast.low, forecast.high) for forecast in forecasts]).T
    assert ((low >= 0) & (low < high) & (high <= 1)).all()
    inside = (low <= truth) & (truth <= high)
    assert 0.85 <= inside[:200].mean() <= 0.95
    assert 0.85 <= inside[200:].mean() <= 0.97


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"benchmark_size": 3}, "`benchmark_size` is 3, but the model knows 200 questions of `one`"),
        ({"benchmark_size": 300, "known_only": True}, "`benchmark_size` is 300, but `known_only` leaves the rest out"),
        ({"benchmark_size": 300.5}, "`benchmark_size` is 300.5, expected a whole number"),
    ],
)
def test_sizes_that_cannot_be_are_refused(size, message):
    """Less than is known, no whole number, a size of what is left out: by forecaster and leaderboard."""
    model = pool_of(simulated_pool(n_llms=4), 4, calibrate=False)
    with pytest.raises(ValueError, match=message):
        Forecaster(model).benchmark("lab/03", "one", **size)
    with pytest.raises(ValueError, match=message):
        Leaderboard(model).benchmark("one", **size)


def test_known_questions_among_ones_own_count_as_they_were_answered(model):
    """A text that the bank knows and the LLM answered counts by its response; a new one by its probability."""
    train = load_responses("planted", split="train")
    llm_index = model.llm_index(LLM)
    row = int(np.flatnonzero(~np.isnan(train.column(llm_index)))[0])
    forecast = Forecaster(model).questions(LLM, [str(train.questions[row]), QUESTIONS[0]])
    unknown = Forecaster(model).questions(LLM, QUESTIONS[:1])
    assert (forecast.n_questions, forecast.n_observed) == (2, 1)
    assert forecast.accuracy == pytest.approx((train.column(llm_index)[row] + unknown.accuracy) / 2)


def test_an_llm_without_ability_is_forecast_by_the_network(tmp_path):
    """A vector that was added by hand has no ability; its forecast is the network's."""
    grown = trained_model(tmp_path).with_llm("by/hand", np.ones(4), 0.5)
    assert not grown.bank.item_parameters.has_ability(6)
    by_network = grown.with_bank(replace(grown.bank, item_parameters=None))
    assert Forecaster(grown).benchmark("by/hand", "logic") == Forecaster(by_network).benchmark("by/hand", "logic")


@pytest.mark.parametrize(
    ("answered", "share"), [((), 0), ((0, 2, 4, 6), 1), ((0, 2, 4, 6, 1), 4 / 5), ((0, 2, 1, 3), 1 / 2), ((1, 3), 0)]
)
def test_answers_to_other_benchmarks_bring_a_shift(monkeypatch, answered, share):
    """The more of an LLM's answers are from elsewhere, the more of the pool's errors on a benchmark is told.

    What it has answered of the benchmark tells of the shift. There is none without any answers: then the prior is that
    of LLMs that took the benchmark. Odd questions are of benchmark `two`.
    """
    grown = onboard(pool_of(simulated_pool(), 12), "new/llm", {row: row % 4 == 0 for row in answered})
    found = []
    for variance in (0.0, 0.001):
        monkeypatch.setattr(transfer, "benchmark_transfer", lambda bank, rows, given=variance: given)
        found.append(Forecaster(grown).known_score("new/llm", "two"))
    without, with_shift = found
    inside = [row // 2 for row in answered if row % 2]
    gain, residual = 0.0, 0.0
    if inside:
        item = grown.bank.item_parameters
        rows = 2 * np.array(inside) + 1
        p = expit(item.intercepts[rows] + item.discriminations[rows] @ item.abilities[12])
        residual, chance = -p.mean(), (p * (1 - p)).sum() / len(rows) ** 2  # all of them were wrong
        gain = 0.001 * share / (0.001 * share + chance)
    left = 0.001 * share * (1 - gain) * (1 - len(inside) / 200) ** 2
    assert with_shift.ability_variance - without.ability_variance == pytest.approx(left, rel=1e-4, abs=1e-9)
    moved = np.delete(with_shift.values - without.values, inside)
    np.testing.assert_allclose(moved, gain * residual, rtol=1e-4, atol=1e-9)


def test_the_interval_holds_the_pools_errors_where_nothing_was_answered(model):
    """A planted LLM placed from its answers to all topics but law has a wider interval there than with them."""
    bank = model.bank
    responses, law = bank.responses_of(model.llm_index("planted/scribe-large")), bank.benchmark_rows("law")
    answers = {int(bank.question_ids[row]): float(responses[row]) for row in np.flatnonzero(~np.isnan(responses))}
    elsewhere = {id_: answer for id_, answer in answers.items() if id_ not in set(bank.question_ids[law].tolist())}
    grown = onboard(model, "new/llm", elsewhere)
    forecast = Forecaster(grown).benchmark("new/llm", "law")
    known = Forecaster(onboard(model, "new/llm", answers)).benchmark("new/llm", "law")
    assert forecast.n_observed == 0 < known.n_observed
    assert forecast.high - forecast.low > known.high - known.low
    reach = max(forecast.high - forecast.accuracy, forecast.accuracy - forecast.low)
    assert reach >= Z90 * np.sqrt(transfer_variance(grown.bank, law))
