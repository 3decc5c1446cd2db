"""Leaderboards: specialists lead on their topic, and the probabilities are those of simulated exams."""

import json
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit, logit, ndtr

from embedllm_hf import EmbedLLM, Forecaster
from embedllm_hf.data.planted import planted_llms
from embedllm_hf.inference.forecaster import known_probabilities
from embedllm_hf.inference.leaderboard import Leaderboard, only_one_right, score_distribution, win_probabilities
from tests.command_line import refused, run
from tests.placing import pool_of, simulated_pool

ARITHMETIC = ["What is 17 multiplied by 47?", "Add 508 to 21 and halve the result.", "Divide 96 by 12, to two places."]


@pytest.fixture(scope="module")
def board(planted_model) -> Leaderboard:
    return Leaderboard.from_pretrained(planted_model)


def test_the_specialists_lead_on_their_topic(board):
    """Both planted abacus LLMs come first on arithmetic, the large one before the small one, in falling order."""
    rows = board(ARITHMETIC)
    assert [row.llm for row in rows[:2]] == ["planted/abacus-large", "planted/abacus-small"]
    assert [row.rank for row in rows] == list(range(1, 9))
    assert [row.accuracy for row in rows] == sorted((row.accuracy for row in rows), reverse=True)
    assert all(0 <= row.low <= row.accuracy <= row.high <= 1 for row in rows)
    assert all(row.beats_next >= 0.5 for row in rows[:-1])
    assert rows[-1].beats_next is None
    assert rows[0].only_one == max(row.only_one for row in rows)
    assert json.loads(json.dumps([row.to_dict() for row in rows]))[0]["llm"] == "planted/abacus-large"


def test_more_questions_make_it_surer(board):
    """The same question mix three times over narrows the interval, and the favourite's chance rises."""
    once, thrice = board(ARITHMETIC), board(ARITHMETIC * 3)
    assert thrice[0].high - thrice[0].low < once[0].high - once[0].low or once[0].high == 1
    pair = ["planted/abacus-large", "planted/atlas-small"]
    (once, _), (thrice, _) = (board(questions, llms=pair) for questions in (ARITHMETIC, ARITHMETIC * 3))
    assert once.llm == thrice.llm == pair[0]
    assert thrice.beats_next > once.beats_next > 0.5


def test_some_llms_only(board):
    """The rest of the pool is not ranked, and their numbers are as in the whole ranking."""
    names = list(planted_llms()[:2])
    rows = board(ARITHMETIC, llms=names)
    whole = {row.llm: row for row in board(ARITHMETIC)}
    assert {row.llm for row in rows} == set(names)
    assert all(row.accuracy == pytest.approx(whole[row.llm].accuracy) for row in rows)


@pytest.mark.parametrize("question_sd", [0.1, 1.2])
def test_the_distribution_is_that_of_simulated_exams(question_sd):
    """Shares of exams drawn with a spread of the questions: means, covariance, wins, and questions of one alone."""
    generator = np.random.default_rng(0)
    probs = generator.uniform(0.2, 0.9, (60, 3))
    probs[:, 1] = (probs[:, 0] + 0.05).clip(max=0.95)
    centre = logit(probs) * np.sqrt(1 + np.pi * question_sd**2 / 8)
    own = question_sd * generator.normal(size=(20_000, 60, 1))
    answers = generator.random((20_000, 60, 3)) < expit(centre + own)
    shares = answers.mean(axis=1)
    means, covariance = score_distribution(probs, question_sd)
    np.testing.assert_allclose(means, shares.mean(axis=0), atol=0.006)
    np.testing.assert_allclose(covariance, np.cov(shares.T), atol=2.5e-4)
    wins = win_probabilities(means, covariance)
    simulated = (shares[:, 1] > shares[:, 0]).mean() + (shares[:, 1] == shares[:, 0]).mean() / 2
    assert wins[1, 0] == pytest.approx(simulated, abs=0.02)
    assert wins[0, 1] == pytest.approx(1 - wins[1, 0])
    alone = (answers & (answers.sum(axis=2, keepdims=True) == 1)).mean(axis=(0, 1))
    np.testing.assert_allclose(only_one_right(probs, question_sd), alone, atol=0.006)


def test_a_known_benchmark_counts_what_was_observed(board):
    """Observed responses as they are, the rest as the forecaster has them; alone right as counted by hand."""
    model = board.model
    bank, item = model.bank, model.bank.item_parameters
    rows = bank.benchmark_rows("law")
    probs = expit(item.intercepts[rows, None] + item.discriminations[rows] @ item.abilities.T)
    observed = np.stack([bank.responses_of(llm_index)[rows] for llm_index in range(8)], axis=1)
    np.testing.assert_allclose(known_probabilities(model, rows), np.where(np.isnan(observed), probs, observed))
    forecaster = Forecaster(model, board.encoder)
    expected = np.column_stack([forecaster.known_score(name, "law").values for name in planted_llms()])
    np.testing.assert_array_equal(expected[~np.isnan(observed)], observed[~np.isnan(observed)])
    ranking = {row.llm: row for row in board.benchmark("law")}
    assert [row.rank for row in ranking.values()] == list(range(1, 9))
    wrong = 1 - expected
    for llm_index, name in enumerate(planted_llms()):
        assert ranking[name].accuracy == pytest.approx(expected[:, llm_index].mean())
        alone = (expected[:, llm_index] * np.delete(wrong, llm_index, axis=1).prod(axis=1)).mean()
        assert ranking[name].only_one == pytest.approx(alone, abs=1e-4)
    assert list(ranking) == [planted_llms()[llm_index] for llm_index in np.argsort(-expected.mean(axis=0))]
    two = board.benchmark("law", llms=["planted/healer-small", "planted/scribe-large"])
    assert [row.llm for row in two] == ["planted/scribe-large", "planted/healer-small"]
    with pytest.raises(KeyError, match=r"unknown benchmark `laws`.*`law`"):
        board.benchmark("laws")
    with pytest.raises(ValueError, match="no question bank, so nothing is known of questions and benchmarks"):
        Leaderboard(EmbedLLM(model.config), board.encoder).benchmark("law")


def test_a_benchmark_is_compared_on_one_sample_of_its_questions():
    """All answered: each interval is the forecaster's; who comes first is as sure as the paired differences are."""
    simulated = simulated_pool(n_llms=12)
    model = pool_of(simulated, 12, calibrate=False)
    rows, known = Leaderboard(model).benchmark("one"), Leaderboard(model).benchmark("one", known_only=True)
    forecaster, names = Forecaster(model), model.config.llm_names
    for row, exact in zip(rows, known, strict=True):
        forecast = forecaster.benchmark(row.llm, "one")
        assert (row.accuracy, row.low, row.high) == (forecast.accuracy, forecast.low, forecast.high)
        assert (row.llm, row.accuracy, row.only_one) == (exact.llm, exact.accuracy, exact.only_one)
        assert exact.high - exact.low < 1e-6
    for (row, following), exact in zip(pairwise(rows), known, strict=False):
        one, other = (simulated.responses[::2, names.index(name)] for name in (row.llm, following.llm))
        sure = ndtr((one - other).mean() / ((one - other).std() / np.sqrt(200)))
        assert row.beats_next == pytest.approx(sure, abs=0.01)
        assert exact.beats_next == (1 if one.mean() > other.mean() else pytest.approx(0.5))
    larger = Leaderboard(model).benchmark("one", benchmark_size=300)
    assert all(a.beats_next <= b.beats_next for a, b in zip(rows[:-1], larger[:-1], strict=True))


def test_what_cannot_be_ranked_is_refused(board):
    """No questions, no LLMs, unknown ones."""
    with pytest.raises(ValueError, match="`questions` is empty"):
        board([])
    with pytest.raises(ValueError, match="`llms` is empty"):
        board(ARITHMETIC, llms=[])
    with pytest.raises(KeyError, match="did you mean `planted/atlas-large`"):
        board(ARITHMETIC, llms=["planted/atlas-larg"])


def test_the_command_line_prints_the_ranking(capsys, planted_model, board, tmp_path):
    """A line an LLM, or JSON, for a file of questions."""
    path = tmp_path / "own.txt"
    path.write_text("\n".join(ARITHMETIC))
    options = ("leaderboard", "--model", planted_model, "--questions", path)
    code, out, _ = run(capsys, *options, "--json")
    assert code == 0
    assert json.loads(out) == [row.to_dict() for row in board(ARITHMETIC)]
    _, out, _ = run(capsys, *options, "--llms", "planted/atlas-large,planted/abacus-small")
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["planted/abacus-small", "planted/atlas-large"]
    code, out, _ = run(capsys, "leaderboard", "--model", planted_model, "--benchmark", "law", "--json")
    assert json.loads(out) == [row.to_dict() for row in board.benchmark("law")]
    about = ("leaderboard", "--model", planted_model, "--benchmark", "law")
    assert run(capsys, *about)[1].endswith("interval and comparison are for the whole benchmark\n")
    _, out, _ = run(capsys, *about, "--known_only", "--json")
    assert json.loads(out) == [row.to_dict() for row in board.benchmark("law", known_only=True)]
    _, out, _ = run(capsys, *about, "--benchmark_size", 999)
    assert out.endswith("interval and comparison are for all its 999 questions\n")
    refused(run(capsys, *options, "--known_only"), "--known_only and --benchmark_size go with --benchmark")
    path.write_text("")
    refused(run(capsys, *options), "holds no text")
