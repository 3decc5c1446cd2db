"""Each format's reader on small logs of its form; the genuine ones are in `test_real_logs`."""

import contextlib
import json

import pytest

from embedllm_hf import read_logs
from embedllm_hf._errors import UserError
from embedllm_hf.data.sources import load_question_names
from embedllm_hf.logs.formats import reader_of
from embedllm_hf.logs.records import Metric
from tests.logs import made

# Labels of ten questions: every other one is right.
ODD = {question: float(place % 2) for place, question in enumerate(made.QUESTIONS)}


def labels(logs, llm: str) -> dict[str, float]:
    frame = logs.to_long().to_pandas()
    frame = frame[frame["model_name"] == llm]
    return dict(zip(frame["prompt"].astype(str), frame["label"], strict=True))


@pytest.mark.parametrize("old", [False, True])
def test_lighteval(tmp_path, old):
    """Structures, or each cell as the text of a Python value; the results name the LLM and have the means."""
    made.lighteval(tmp_path, old=old)
    logs = read_logs(tmp_path)
    assert labels(logs, "lab/one") == ODD
    (counted,) = logs.runs
    assert (counted.metric, counted.run.benchmark, counted.differs) == (Metric("em"), "cat_legs", False)
    assert counted.run.aggregates[counted.metric] == 0.5
    (results,) = (tmp_path / "results").rglob("*.json")
    results.unlink()
    assert read_logs(tmp_path).llm_names == ["lab/one"]  # by its folders


def test_promptfoo(tmp_path):
    """Two providers in a file; whether an answer passed counts, not the mean of assertions; an error is missing."""
    made.promptfoo(tmp_path / "p")
    logs = read_logs(tmp_path)
    even = {question: 1 - right for question, right in ODD.items()}
    assert labels(logs, "openai:chat:lab/one") == even
    passed = labels(logs, "openai:chat:lab/two")
    assert passed == {question: even[question] for question in made.QUESTIONS[:-1]}
    table = logs.to_long().to_pandas()
    assert set(table["cost"]) == {0.25}
    assert set(table["seconds"]) == {0.1}
    path = tmp_path / "p" / "results.json"
    content = json.loads(path.read_text())
    content["results"]["results"] = []
    path.write_text(json.dumps(content))
    assert "it holds no results; --no-write leaves them out" in read_logs(tmp_path).summary()


def test_every_eval_ever(tmp_path):
    """A row without a result was not measured, whatever score stands there; the aggregate is that of the rest."""
    made.every_eval_ever(tmp_path / "e")
    logs = read_logs(tmp_path)
    assert labels(logs, "lab/one") == {question: ODD[question] for question in made.QUESTIONS[:-1]}
    (counted,) = logs.runs
    assert counted.run.not_scored == {"not measured": 1}
    assert not counted.differs
    assert counted.run.benchmark == "cat_legs"


def test_evalscope(tmp_path):
    """Two answers a question are repeats; the LLM has the organisation that the folder drops."""
    made.evalscope(tmp_path)
    logs = read_logs(tmp_path)
    assert labels(logs, "lab/one") == ODD
    assert sorted(logs.to_long()["label_count"].to_pylist()) == [1, *[2] * 9]
    assert logs.runs[0].run.not_scored == {"status error": 1}


def test_llm_router_bench(tmp_path):
    """What each answer cost is kept."""
    made.llm_router_bench(tmp_path)
    logs = read_logs(tmp_path)
    assert labels(logs, "lab/one") == ODD
    assert set(logs.to_long()["cost"].to_pylist()) == {0.25}
    assert set(logs.to_long()["benchmark"].to_pylist()) == {"cat_legs"}


def test_a_format_is_told_by_its_content(tmp_path):
    """Whatever a file is called; tables of responses, results and configurations are no logs."""
    path = made.lm_eval(tmp_path)
    other = path.with_name("answers.json")
    other.write_bytes(path.read_bytes())
    assert reader_of(other) is reader_of(path) is not None
    assert reader_of(next(path.parent.glob("results_*.json"))) is None
    (tmp_path / "train.jsonl").write_text('{"prompt": "Who?", "label": 1, "model_name": "a"}\n')
    assert reader_of(tmp_path / "train.jsonl") is None


@pytest.mark.parametrize(
    "change", [{"doc_id": []}, {"metrics": 7}, {"filter": {}}, {"doc": 5}, {"exact_match": {"a": 1}}]
)
def test_what_a_harness_does_not_write_is_one_line_or_left_out(tmp_path, change):
    """No other error comes of it."""
    path = made.lm_eval(tmp_path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, **change}) + "\n" for row in rows))
    with contextlib.suppress(UserError):  # of one line, as `read_logs` makes them
        read_logs(tmp_path).summary()


@pytest.mark.parametrize(("text", "said"), [("\ud83d what?", "half of a surrogate pair"), ("", "give no responses")])
def test_texts_that_are_none_are_refused_or_left_out(tmp_path, text, said):
    """What cannot be written, and what is empty; with others beside it an empty one has no row."""
    made.lm_eval(tmp_path / "log", questions=[text])
    with pytest.raises(ValueError, match=said):
        read_logs(tmp_path / "log").to_long()
    if not text:
        made.lm_eval(tmp_path / "log", questions=["", *made.QUESTIONS])
        assert len(read_logs(tmp_path / "log").to_long()) == 10


def test_a_damaged_parquet_is_no_log_or_told(tmp_path):
    """A column's name that is no UTF-8 any more, in details and in a data set with names of its questions."""
    path = made.lighteval(tmp_path / "log")
    path.write_bytes(path.read_bytes().replace(b"metric", b"\xe5etric"))
    with pytest.raises(ValueError, match=r"no log of|is not what that writes|cannot be read"):
        read_logs(path)
    made.lm_eval(tmp_path / "other")
    read_logs(tmp_path / "other").save(tmp_path / "data")
    for table in (tmp_path / "data").glob("*.parquet"):
        table.write_bytes(table.read_bytes().replace(b"source", b"\xe5ource"))
    with pytest.raises(ValueError, match="cannot be read as parquet"):
        load_question_names(tmp_path / "data")


def test_such_an_error_names_the_file_and_the_harness(tmp_path):
    """And what was met."""
    path = made.lm_eval(tmp_path)
    path.write_text(path.read_text().replace('"metrics": ["exact_match"]', '"metrics": 7'))
    with pytest.raises(
        ValueError, match=rf"{path.name}: looks like a log of lm-eval, but is not what that writes \(Type"
    ):
        read_logs(tmp_path)
