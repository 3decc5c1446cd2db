"""The rules of reading logs: which text, which score, what is missing, whose answer, and damaged files."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from embedllm_hf import load_responses, load_splits, read_logs
from embedllm_hf.logs.records import Metric, utc
from embedllm_hf.logs.texts import Affixes, rendered, texts_of_fields, without_labels
from tests.logs import made
from tests.logs.made import QUESTIONS, TIME, lm_eval

LATER = "2026-04-04T05-06-07.123456"


# --- the text ---


def test_the_few_shot_prompt_is_never_the_text(tmp_path):
    """The task's template on the question's own row, without the labels around it."""
    lm_eval(tmp_path)
    assert set(read_logs(tmp_path).to_long()["prompt"].to_pylist()) == set(QUESTIONS)


def test_without_a_template_the_fields_of_the_row_count(tmp_path):
    """A function in place of a template, of which the log has the source only."""
    lm_eval(tmp_path, doc_to_text="def doc_to_text(doc):\n    return doc['question']\n")
    assert set(read_logs(tmp_path).to_long()["prompt"].to_pylist()) == set(QUESTIONS)


def test_options_are_lettered():
    """A list of options, and ARC's form of it; where there are none, the question alone."""
    doc = {"question": "Which is a cat?", "choices": {"text": ["Tom", "Spike"], "label": ["A", "B"]}}
    texts = texts_of_fields(doc)
    assert next(iter(texts.values())) == "Which is a cat?\nA. Tom\nB. Spike"
    assert texts["question"] == "Which is a cat?"
    assert texts_of_fields({"query": "Who?"}) == {"query": "Who?"}
    assert texts_of_fields({"answer": "8"}) == {}


def test_what_all_prompts_of_a_task_share_is_taken_away():
    """At the ends of labels and lines only: what questions begin with alike is theirs."""
    texts = [f"Answer shortly.\nQuestion: What is {n} + 1?\nAnswer:" for n in range(3)]
    affixes = Affixes(texts)
    assert [affixes.bare(text) for text in texts] == [f"What is {n} + 1?" for n in range(3)]
    assert Affixes(["What is 1?", "What is 2?"]).bare("What is 1?") == "What is 1?"
    assert Affixes(["alone:\nWho?"]).bare("alone:\nWho?") == "alone:\nWho?"
    assert without_labels("Question: Who is Tom?\nAnswer:") == "Who is Tom?"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ 'a' * 1000000000 }}",
        "{{ question.center(1000000000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ question | center(1000000000) }}",
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
        "{% set a = 'xx' %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
        "{% set a = choices.append(1) %}{{ question }}",
        "{% include '/etc/passwd' %}",
        "{{ no_such_field }}",
        "{{ question",
    ],
)
def test_a_template_of_a_log_does_no_harm(template):
    """It is code of whoever wrote the log: what gets out, takes all memory or fails is not rendered."""
    doc = {"question": "Who?", "choices": ["a"]}
    assert rendered(template, doc) is None
    assert doc == {"question": "Who?", "choices": ["a"]}


def test_a_template_with_a_loop_and_a_condition_is_rendered():
    """What tasks are written with."""
    template = "{{question.strip()}}{% for c in choices %}\n{{loop.index}} {{c}}{% endfor %}{% if n > 1 %}!{% endif %}"
    assert rendered(template, {"question": " Who? ", "choices": ["a", "b"], "n": 2}) == "Who?\n1 a\n2 b!"


# --- the score ---


def test_of_two_filters_the_lenient_one_counts_and_both_are_said(tmp_path):
    """Unless the other one is named."""
    lm_eval(tmp_path, scores={"strict-match": [1, 0] * 5, "flexible-extract": [1, 1] * 5})
    logs = read_logs(tmp_path)
    assert logs.runs[0].metric == Metric("exact_match", "flexible-extract")
    assert "exact_match,strict-match 0.500, beside 1.000" in logs.summary()
    strict = read_logs(tmp_path, metrics={"cat_*": "exact_match,strict-match"})
    assert strict.runs[0].mean == 0.5
    assert len(strict.to_long()) == 10


@pytest.mark.parametrize("metric", ["bleu", "rouge1", "f1", "word_perplexity"])
def test_likeness_and_probability_are_no_grades(tmp_path, metric):
    """The task is left out by its name, with what would take it; named, it is taken."""
    lm_eval(tmp_path, metric=metric, scores={"none": [0.3] * 10})
    logs = read_logs(tmp_path)
    assert logs.runs == []
    assert f"left out: lm-eval: cat_legs: `{metric}`: none says whether an answer is right" in logs.summary()
    with pytest.raises(ValueError, match="the logs give no responses"):
        logs.to_long()
    assert read_logs(tmp_path, metrics={"*": metric}).runs[0].mean == pytest.approx(0.3)


@pytest.mark.parametrize("value", [1.5, -0.5, ["8", "8"], "8"])
def test_a_value_that_is_no_grade_leaves_the_metric_out(tmp_path, value):
    """One such value is enough: the metric is about something else."""
    lm_eval(tmp_path, scores={"none": [1.0] * 9 + [value]})
    assert read_logs(tmp_path).runs == []


def test_less_is_better_is_no_grade(tmp_path):
    """As the results say it."""
    lm_eval(tmp_path, metric="exact_match", results={"higher_is_better": {"cat_legs": {"exact_match": False}}})
    assert read_logs(tmp_path).runs == []


def test_what_was_not_scored_is_missing(tmp_path):
    """Neither null nor NaN is wrong: no row, and counted."""
    lm_eval(tmp_path, scores={"none": [1, None, float("nan"), 0, 1, 1, 1, 1, 1, 1]})
    logs = read_logs(tmp_path)
    table = logs.to_long().to_pandas()
    assert len(table) == 8
    assert table["label"].sum() == 7
    assert logs.runs[0].run.not_scored == {"no exact_match": 2}


def test_other_means_than_the_harness_has_are_told(tmp_path):
    """Something is misread then."""
    path = lm_eval(tmp_path, scores={"none": [1, 0] * 5})
    assert "look here" not in read_logs(tmp_path).summary()
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[:9]))
    (found,) = [line for line in read_logs(tmp_path).summary().splitlines() if line.startswith("look here")]
    assert found == "look here: lab/one, cat_legs: lm-eval says 0.500, its rows 0.556"


def test_a_metric_that_is_not_there_is_refused(tmp_path):
    """With what is there; a task that is not there likewise."""
    lm_eval(tmp_path)
    with pytest.raises(ValueError, match="no answer has that score; found `exact_match`"):
        read_logs(tmp_path, metrics={"cat_legs": "acc"})
    with pytest.raises(ValueError, match="no such task; there is `cat_legs`"):
        read_logs(tmp_path, metrics={"dog_legs": "acc"})


# --- who, what, when ---


def test_the_latest_run_of_a_question_wins(tmp_path):
    """Another run of ten questions, and a later one of three: these three count as they came out then."""
    lm_eval(tmp_path, scores={"none": [0.0] * 10})
    lm_eval(tmp_path, scores={"none": [1.0] * 3}, questions=QUESTIONS[:3], time=LATER)
    table = read_logs(tmp_path).to_long().to_pandas().set_index("prompt")["label"]
    assert len(table) == 10
    assert table[table == 1].index.tolist() == sorted(QUESTIONS[:3], key=table.index.tolist().index)


def test_without_results_the_folder_names_the_llm_and_that_is_said(tmp_path):
    """Without such a folder it is not guessed: the file is left out."""
    path = lm_eval(tmp_path / "runs", llm="lab/two")
    (path.parent / f"results_{TIME}.json").unlink()
    logs = read_logs(tmp_path / "runs")
    assert logs.llm_names == ["lab/two"]
    assert "lab/two, cat_legs: named by its folder, lab__two" in logs.summary()
    path.rename(tmp_path / path.name)
    assert read_logs(tmp_path / path.name).left_out[0][1].startswith("no results file beside it names the LLM")


def test_benchmarks_are_the_groups_with_a_score_of_their_own(tmp_path):
    """A suite without one is none; the outermost of nested groups counts; a table says otherwise."""
    groups = {"suite": ["mmlu", "arc_easy"], "mmlu": ["mmlu_stem"], "mmlu_stem": ["mmlu_algebra"]}
    for task in ("mmlu_algebra", "mmlu_pro_math", "arc_easy", "arc_challenge"):
        scored = {"mmlu": {"acc,none": 1.0}, "mmlu_stem": {"acc,none": 1.0}, "suite": {"alias": "suite"}}
        results = {"results": {task: {"exact_match,none": 1.0}, **scored}, "group_subtasks": groups}
        lm_eval(tmp_path, task=task, results=results, questions=[f"{task} {text}" for text in QUESTIONS])
    found = dict(
        read_logs(tmp_path).to_long().select(["category", "benchmark"]).to_pandas().drop_duplicates().to_numpy()
    )
    expected = {"mmlu_algebra": "mmlu", "mmlu_pro_math": "mmlu_pro_math", "arc_easy": "arc_easy"}
    assert found == {**expected, "arc_challenge": "arc_challenge"}
    (tmp_path / "b.csv").write_text("task,benchmark\narc_easy,arc\narc_challenge,arc\n")
    logs = read_logs(tmp_path / "lab__one", benchmarks=tmp_path / "b.csv")
    assert {counted.run.benchmark for counted in logs.runs} == {"mmlu", "mmlu_pro_math", "arc"}


def test_a_task_has_one_benchmark_whoever_ran_it(tmp_path):
    """The group that one harness tells is that of another's rows, too; a table of responses could not hold both."""
    groups = {"group_subtasks": {"cats": ["cat_legs"]}}
    results = {"results": {"cat_legs": {"exact_match,none": 1.0}, "cats": {"exact_match,none": 1.0}}, **groups}
    lm_eval(tmp_path / "one", results=results)
    made.promptfoo(tmp_path / "two")
    assert set(read_logs(tmp_path).to_long()["benchmark"].to_pylist()) == {"cats"}
    assert load_responses(tmp_path, split="all").benchmark_of == {"cat_legs": "cats"}


def test_a_limit_and_chosen_questions_are_told(tmp_path):
    """The first n are no random draw, and questions named one by one are an adaptive choice."""
    lm_eval(tmp_path / "first", results={"config": {"model_args": "pretrained=lab/one", "limit": 10.0}})
    chosen = {"n-samples": {"cat_legs": {"original": 100, "effective": 10}}}
    lm_eval(tmp_path / "chosen", results=chosen)
    first, adaptive = read_logs(tmp_path / "first"), read_logs(tmp_path / "chosen")
    assert first.runs[0].run.chosen == "first"
    assert "`cat_legs`: only the first questions were asked" in first.summary()
    assert adaptive.runs[0].run.chosen == "adaptive"


def test_times_of_any_form_sort():
    """Names of files, ISO, seconds; what is none sorts first."""
    assert (
        utc("2026-03-04T05-06-07.123456")
        == utc("2026-03-04T05:06:07.123456Z")
        == utc("2026-03-04T06:06:07.123456+01:00")
    )
    assert utc(0) == "1970-01-01T00:00:00+00:00"
    assert utc("yesterday") == utc(None) == ""


# --- files ---


def test_a_cut_last_line_is_tolerated_and_told(tmp_path):
    """A killed harness leaves one; a damaged line before it is named."""
    path = lm_eval(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    logs = read_logs(tmp_path)
    assert len(logs.to_long()) == 9
    assert "its last line, 10, is cut off" in logs.summary()
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3][:50] + b"\n", *lines[4:]]))
    with pytest.raises(ValueError, match=rf"{path.name}, line 4: no JSON"):
        read_logs(tmp_path)


def test_a_file_that_cannot_be_read_is_left_out_and_named(tmp_path):
    """Beside whole logs half a Parquet, half a JSON and lines that begin amiss are told; alone they are refused."""
    lm_eval(tmp_path / "all" / "whole")
    half = [made.lighteval(tmp_path / "all" / "l"), made.promptfoo(tmp_path / "all" / "p")]
    for path in half:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    amiss = lm_eval(tmp_path / "all" / "amiss")
    amiss.write_bytes(amiss.read_bytes()[7:].replace(b"{", b"{{", 1))
    amiss.write_bytes(b"{" + amiss.read_bytes())
    logs = read_logs(tmp_path / "all")
    assert len(logs.to_long()) == 10
    assert {what for what, _ in logs.left_out} == {str(path) for path in (*half, amiss)}
    assert logs.summary().count("neither JSON nor Parquet that can be read; cut off?") == 3
    for path in (*half, amiss):
        with pytest.raises(ValueError, match=rf"no log of .*{re.escape(path.name)}.*cut off\?"):
            read_logs(path)


def test_a_sign_that_does_not_print_is_refused_before_anything_is_written(tmp_path):
    """In the name of a task, which would be a category."""
    lm_eval(tmp_path / "log", task="cat\x07legs")
    with pytest.raises(ValueError, match=r"the task's name is 'cat\\x07legs', with a sign that does not print"):
        read_logs(tmp_path / "log")


def test_a_csv_is_read_as_strictly_as_all_others(tmp_path):
    """Cut off, ragged, of another encoding, without rows; a folder of them is read whole."""
    columns, path = {"prompt": "q", "label": "ok", "model_name": "=lab/one"}, tmp_path / "csv" / "a.csv"
    path.parent.mkdir()
    for content, said in (
        ("q,ok\nWho?,1\nWhat?,", "ends within a line"),
        ("q,ok\nWho?,1\nWhat, when?,1\n", "line 3: 3 cells, but the header has 2 columns"),
        ("q,ok,ok\nWho?,1,0\n", "`ok` stands there more than once"),
        ("q,ok\n", "it holds no rows"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=said):
            read_logs(path, columns=columns).to_long()
    path.write_text("q,ok\nWho?,1\n")
    path.with_name("b.csv").write_text("q,ok\nWhat?,0\n")
    assert len(read_logs(path.parent, columns=columns).to_long()) == 2


def test_no_pickle_is_read(tmp_path):
    """A file that would run code when it is unpickled is no log, and stays unread."""
    (tmp_path / "results.pkl").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(ValueError, match="no log of"):
        read_logs(tmp_path)
    with pytest.raises(ValueError, match=r"a file of the kind `.pkl` is not read"):
        read_logs(tmp_path / "results.pkl", columns={"prompt": "p", "label": "l", "model_name": "m"})


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet"])
def test_any_table_by_the_names_of_its_columns(tmp_path, kind):
    """Names with dots go into objects, `=` gives the value itself; grades may be words."""
    frame = pd.DataFrame({"input": QUESTIONS, "ok": [True, False] * 5, "who": "lab/one"})
    path = tmp_path / f"export.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        rows = [{"input": row.input, "scores": {"ok": bool(row.ok)}, "who": row.who} for row in frame.itertuples()]
        path.write_text(json.dumps({"rows": rows}) if kind == "json" else "\n".join(map(json.dumps, rows)) + "\n")
    label = "ok" if kind in ("csv", "parquet") else "scores.ok"
    logs = read_logs(path, columns={"prompt": "input", "label": label, "model_name": "who", "benchmark": "=cats"})
    table = logs.to_long().to_pandas()
    assert table["label"].sum() == 5
    assert set(table["benchmark"]) == {"cats"}
    assert logs.llm_names == ["lab/one"]
    with pytest.raises(ValueError, match=r"(row|line|item) 1: no `wrong`; there is .*input"):
        read_logs(path, columns={"prompt": "wrong", "label": label, "model_name": "who"})


def test_what_is_collected_is_a_data_set_with_names_of_its_questions(tmp_path):
    """Saved, loaded, and the questions keep their splits when more is collected."""
    lm_eval(tmp_path / "logs", scores={"none": [1, 0] * 5})
    logs = read_logs(tmp_path / "logs")
    logs.save(tmp_path / "data")
    data = load_splits(tmp_path / "data")
    assert sum(split.n_questions for _, split in data.items()) == 10
    long = logs.to_long().to_pandas()
    assert set(long["source"]) == {f"lm-eval:cat_legs:{index}" for index in range(10)}
    lm_eval(tmp_path / "logs", llm="lab/two", scores={"none": [0] * 10})
    more = {name: set(table["prompt"].to_pylist()) for name, table in read_logs(tmp_path / "logs").splits().items()}
    for name, split in data.items():
        assert set(split.questions) == more[name]
    report = json.loads((tmp_path / "data" / "collected.json").read_text())
    assert report["runs"][0]["mean"] == report["runs"][0]["harness_mean"] == 0.5


def test_each_question_is_kept_once(tmp_path):
    """Ten LLMs more add their grades, of sixteen bytes an answer, and nothing else."""
    for number in range(10):
        lm_eval(tmp_path, llm=f"lab/{number}")
    logs = read_logs(tmp_path)
    assert len(logs.questions.texts) == 10
    assert all(counted.run.grades[counted.metric].scores.itemsize == 8 for counted in logs.runs)
    assert np.isclose(sum(counted.mean for counted in logs.runs), 10)
