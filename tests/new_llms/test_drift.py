"""Whether an LLM has changed: what is compared with what, the verdict, the benchmarks, what is refused."""

import json

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, drift, load_responses, onboard
from tests.placing import pool_of

NAME = "lab/03"


@pytest.fixture(scope="module")
def model(simulated):
    """A pool of 24 simulated LLMs that have answered all; ids are rows, even ones of benchmark `one`."""
    return pool_of(simulated, 24)


def same(simulated, rows, seed: int) -> dict[int, float]:
    """Fresh answers of the LLM to some questions, drawn with its true probabilities."""
    rows = list(rows)
    drawn = np.random.default_rng(seed).random(len(rows)) < simulated.probabilities[rows, 3]
    return dict(zip(rows, drawn.astype(float).tolist(), strict=True))


def lost(simulated, rows) -> dict[int, float]:
    """The recorded answers to some questions, every second right one lost."""
    right = 0
    answers = {}
    for row in rows:
        right += int(simulated.responses[row, 3])
        answers[row] = float(simulated.responses[row, 3]) * (right % 2)
    return answers


def test_the_same_llm_is_left_in_peace(simulated, model):
    """24 LLMs, 12 times each, answer 100 questions with the probabilities of their recorded answers: 5% alarms."""
    generator, n_alarms = np.random.default_rng(0), 0
    for _ in range(12):
        for llm, name in enumerate(model.config.llm_names):
            rows = generator.permutation(400)[:100]
            fresh = generator.random(100) < simulated.probabilities[rows, llm]
            n_alarms += drift(model, name, dict(zip(rows.tolist(), fresh.tolist(), strict=True))).changed
    assert 0 < n_alarms <= 0.05 * 12 * 24


def test_a_drop_and_its_benchmark_are_found(simulated, model):
    """Half of the right answers to `one` are lost, `two` is as it was: worse, and `one` alone has moved."""
    answers = {**lost(simulated, range(0, 160, 2)), **same(simulated, range(1, 160, 2), 1)}
    answers = {row: answers[row] for row in range(160)}
    report = drift(model, NAME, answers)
    assert (report.verdict, report.changed) == ("worse", True)
    assert report.alarm_after < 160
    assert report.e_value <= report.largest_e_value
    assert report.largest_e_value >= 20
    one, two = report.benchmarks
    assert (one.benchmark, one.moved, two.benchmark, two.moved) == ("one", True, "two", False)
    assert one.largest_e_value >= 40  # two benchmarks share the level
    assert one.change < -0.2
    before = np.mean([simulated.responses[row, 3] for row in answers])
    assert report.change == pytest.approx(np.mean(list(answers.values())) - before)
    assert report.low < report.change < report.high < 0
    shown = str(report)
    assert shown.startswith(f"{NAME}: worse after {report.alarm_after} answers (largest e-value ")
    assert f"moved, of 2 benchmarks: one ({100 * one.change:+.1f} points)" in shown


def test_getting_better_is_a_change_too(model, simulated):
    """All wrong answers become right."""
    report = drift(model, NAME, dict.fromkeys(range(120), 1))
    assert report.verdict == "better"
    assert report.change == pytest.approx(1 - simulated.responses[:120, 3].mean())
    assert report.n_different == int((simulated.responses[:120, 3] == 0).sum())


def test_answers_that_repeat_are_no_change(model, simulated):
    """The recorded answers once more: nothing differs, and nothing is gained or lost."""
    report = drift(model, NAME, {row: float(simulated.responses[row, 3]) for row in range(200)})
    assert (report.verdict, report.alarm_after, report.n_different) == ("no sign of change", None, 0)
    assert (report.e_value, report.largest_e_value, report.change) == (1.0, 1.0, 0.0)
    assert report.low < 0 < report.high
    assert "moved, of 2 benchmarks: none for certain" in str(report)
    assert not report.to_dict()["changed"]


def test_one_may_look_after_each_answer(model, simulated):
    """The report on the first answers does not know the later ones; the alarm comes once and stays."""
    answers = list(lost(simulated, range(60)).items())
    last = drift(model, NAME, dict(answers))
    largest = 0.0
    for n in range(1, 61):
        report = drift(model, NAME, dict(answers[:n]))
        largest = max(largest, report.e_value)
        assert report.largest_e_value == pytest.approx(largest if largest > 1 else report.largest_e_value)
        assert report.changed == (n >= last.alarm_after)
        assert report.alarm_after in (None, last.alarm_after)


def test_an_alarm_stays(model, simulated):
    """After a drop the LLM is as it was, for long: the evidence has become less, the alarm and its direction stay."""
    answers = {**lost(simulated, range(80)), **{row: 1.0 for row in range(80, 400)}}
    report = drift(model, NAME, answers)
    assert report.verdict == "worse"
    assert report.change > 0
    assert drift(model, NAME, lost(simulated, range(80))).largest_e_value >= 20
    answers = {**lost(simulated, range(80)), **{row: 1.0 for row in range(80, 140)}}
    assert drift(model, NAME, answers).e_value < 20 <= drift(model, NAME, answers).largest_e_value


def test_benchmarks_share_the_level(model, simulated):
    """When answers to one of two benchmarks are just an alarm, they are not yet enough to name the benchmark."""
    answers = list(lost(simulated, range(0, 200, 2)).items())
    n = drift(model, NAME, dict(answers)).alarm_after
    report = drift(model, NAME, dict(answers[:n]))
    assert report.changed
    assert report.benchmarks[0].largest_e_value == report.largest_e_value < 40
    assert not report.benchmarks[0].moved
    assert drift(model, NAME, dict(answers)).benchmarks[0].moved


def test_only_answers_with_a_recorded_one_are_compared(model, simulated):
    """New texts count as answers and are not compared; a question by its text is the one that it is by its id."""
    answers = {0: 1, "A text that nobody knows?": 0, "Question 2?": 1, 2: 1, "Question 4?": 0.5}
    report = drift(model, NAME, answers)
    assert (report.n_answers, report.n_compared) == (5, 3)
    expected = np.array([1, 1, 0.5]) - simulated.responses[[0, 2, 4], 3]
    assert report.change == pytest.approx(expected.mean())


def test_an_llm_that_was_onboarded_can_be_followed(planted_model):
    """Its own texts can be compared as well; they are of no benchmark."""
    train = load_responses("planted", split="train")
    law, other = (int(train.question_ids[train.categories == name][0]) for name in ("law", "cooking"))
    own = "Is a lease for a cat valid?"
    grown = onboard(EmbedLLM.from_pretrained(planted_model), "new/llm", {law: 1, own: 1})
    report = drift(grown, "new/llm", {law: 0, own: 0, other: 0})
    assert (report.n_answers, report.n_compared, report.change) == (3, 2, -1)
    assert [(one.benchmark, one.n_compared) for one in report.benchmarks] == [("law", 1)]
    assert report.n_benchmarks == 1


def test_the_report_is_json_however_clear_it_is(model, simulated):
    """Evidence beyond what a number can hold is a large number."""
    big = drift(model, NAME, {row: 1 - float(simulated.responses[row, 3] > 0) for row in range(400)})
    assert json.loads(json.dumps(big.to_dict(), allow_nan=False))["n_different"] == 400
    clear = drift(model, NAME, dict.fromkeys(np.flatnonzero(simulated.responses[:, 3]).tolist(), 0), level=1e-9)
    assert clear.verdict == "worse"
    assert len(clear.to_dict()["benchmarks"]) == 2


def test_what_cannot_be_tested_is_refused(model):
    """In one line that says what to do."""
    with pytest.raises(KeyError, match=r"unknown LLM `lab/3`.*did you mean"):
        drift(model, "lab/3", {0: 1})
    with pytest.raises(ValueError, match=r"`new/none` has no recorded answers .* `refine\(model, name, answers\)`"):
        drift(onboard(model, "new/none", {}), "new/none", {0: 1})
    with pytest.raises(ValueError, match=r"none of the 1 answers of `lab/03` .* `embedllm probe --for_drift` lists"):
        drift(model, NAME, {"A text that nobody knows?": 0})
    with pytest.raises(ValueError, match="none of the 0 answers"):
        drift(model, NAME, {})
    with pytest.raises(KeyError, match="unknown question id `4000`"):
        drift(model, NAME, {4000: 1})
    with pytest.raises(ValueError, match=r"question 2 contradict each other: 1 and 0\. Keep one"):
        drift(model, NAME, {"Question 2?": 1, 2: 0})
    with pytest.raises(ValueError, match=r"the answer to 0 is 2, expected a grade in \[0, 1\]"):
        drift(model, NAME, {0: 2})
    for level in (0, 1, 1.5):
        with pytest.raises(ValueError, match=f"`level` is {level:g}, expected a chance of false alarms"):
            drift(model, NAME, {0: 1}, level=level)
