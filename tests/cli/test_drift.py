"""`embedllm drift` and `embedllm probe --for_drift`: what they print, one after the other, and what bad input gets."""

import json

import pytest

from embedllm_hf import EmbedLLM, load_responses
from tests.command_line import refused, run
from tests.placing import write_answers

LLM = "planted/atlas-large"


@pytest.fixture(scope="module")
def probed(planted_model):
    return ("probe", "--model", planted_model, "--llm", LLM, "--for_drift")


def recorded(planted_model) -> dict[int, float]:
    """The answers that the model has of the LLM, by id."""
    model = EmbedLLM.from_pretrained(planted_model)
    responses = model.bank.responses_of(model.llm_index(LLM))
    return {int(id_): float(r) for id_, r in zip(model.bank.question_ids, responses, strict=True) if r == r}


def test_what_is_asked_tells_that_it_has_changed(capsys, planted_model, probed, tmp_path):
    """Ask what is listed, lose every right answer: worse; the same answers again: no sign of change."""
    code, out, _ = run(capsys, *probed, "-n", 60, "--dataset", "planted")
    assert code == 0
    lines = [line.split("\t") for line in out.splitlines() if "\t" in line]
    assert len(lines) == 60
    train = load_responses("planted", split="train")
    text_of = dict(zip(train.question_ids.tolist(), train.questions.tolist(), strict=True))
    assert all(text_of[int(id_)][:100] == text for id_, _, text in lines)
    assert out.splitlines()[-1].startswith("60 of ")
    known = recorded(planted_model)
    drifted = ("drift", "--model", planted_model, "--llm", LLM, "--answers")
    worse = write_answers(tmp_path / "worse.csv", {int(id_): 0 for id_, _, _ in lines})
    code, out, _ = run(capsys, *drifted, worse)
    assert code == 0
    assert out.startswith(f"{LLM}: worse after ")
    code, out, _ = run(capsys, *drifted, write_answers(tmp_path / "same.csv", known), "--json")
    report = json.loads(out)
    assert code == 0
    assert (report["verdict"], report["changed"], report["n_different"]) == ("no sign of change", False, 0)
    assert report["n_compared"] == len(known)
    code, out, _ = run(capsys, *drifted, worse, "--level", 1e-30)
    assert "no sign of change" in out


def test_the_next_questions_are_others(capsys, probed, tmp_path):
    """Those that have a fresh answer are not asked again; as JSON, ids and what is left."""
    first = json.loads(run(capsys, *probed, "-n", 5, "--benchmark", "law", "--json")[1])
    assert set(first["benchmarks"]) == {"law"}
    answers = write_answers(tmp_path / "a.csv", dict.fromkeys(first["question_ids"], 1))
    then = json.loads(run(capsys, *probed, "-n", 5, "--benchmark", "law", "--json", "--answers", answers)[1])
    assert not set(first["question_ids"]) & set(then["question_ids"])
    assert then["n_left"] == first["n_left"] - 5


def test_bad_input_is_refused(capsys, planted_model, probed, tmp_path):
    """An unknown LLM, answers to nothing that was recorded, a level, options that do not go together."""
    answers = write_answers(tmp_path / "a.csv", {})
    drifted = ("drift", "--model", planted_model, "--answers", answers, "--llm")
    refused(run(capsys, *drifted, LLM), "none of the 0 answers", "`embedllm probe --for_drift` lists")
    refused(run(capsys, *drifted, "planted/atlas"), "unknown LLM `planted/atlas`", LLM)
    refused(run(capsys, *drifted, LLM, "--level", 2), "`level` is 2, expected a chance of false alarms in (0, 1)")
    refused(run(capsys, *probed, "--against", "other/llm"), "--against does not go with --for_drift")
    refused(run(capsys, *probed, "--until_width", 0.1), "--until_width does not go with --for_drift")
    refused(run(capsys, *probed, "--strategy", "stratified"), "`strategy` is 'stratified'")
    refused(run(capsys, *probed[:-2], "planted/none", "--for_drift"), "unknown LLM `planted/none`")
