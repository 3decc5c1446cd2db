"""`embedllm route`: limits and costs, files of questions and standard input, and what bad input gets."""

import io
import json
import types

import pytest

from embedllm_hf.data.planted import planted_llms
from tests.command_line import refused, run

QUESTIONS = ["What is 64 multiplied by 33?", "How do I cook lentils with coconut milk?"]


@pytest.fixture
def costs(tmp_path):
    path = tmp_path / "costs.csv"
    lines = [f"{name},{3 if 'large' in name else 1},{name[8:-6]},chat" for name in planted_llms()]
    path.write_text("\n".join(["llm,cost,family,kind", *lines]) + "\n")
    return path


def test_costs_change_the_choice(capsys, planted_model, costs):
    """A weight and a limit choose the cheap sibling, whose cost is printed."""
    for limit in (("--cost_weight", 0.5), ("--max_cost", 1)):
        code, out, _ = run(capsys, "route", "--model", planted_model, "--costs", costs, *limit, QUESTIONS[0])
        assert code == 0
        assert out.startswith("planted/abacus-small ")
        assert "cost 1" in out


def test_min_success_flags_what_nobody_reaches(capsys, planted_model, costs):
    """The flag is in the line and in the JSON."""
    options = ("route", "--model", planted_model, "--costs", costs, "--min_success")
    _, out, _ = run(capsys, *options, 0.999, QUESTIONS[0])
    assert "insufficient evidence" in out
    _, out, _ = run(capsys, *options, 0.1, "--json", QUESTIONS[0])
    (decision,) = json.loads(out)
    assert (decision["insufficient_evidence"], decision["cost"]) == (False, 1.0)


def test_strict_flags_more(capsys, planted_model, costs):
    """`--strict` asks for each answer's own bound, and needs a share to ask for."""
    options = ("route", "--model", planted_model, "--costs", costs, "--json")
    _, out, _ = run(capsys, *options, "--min_success", 0.7, QUESTIONS[0])
    validated = json.loads(out)[0]
    _, out, _ = run(capsys, *options, "--min_success", 0.7, "--strict", QUESTIONS[0])
    strict = json.loads(out)[0]
    assert [validated["insufficient_evidence"], strict["insufficient_evidence"]] == [False, True]
    refused(run(capsys, *options, "--strict", QUESTIONS[0]), "`strict` is about `min_success`")


def test_ranking_and_explanation_are_printed(capsys, planted_model, costs):
    """`--top_k` and `--explain` add lines; filters by pattern and by the table's facts hold."""
    limits = ("--costs", costs, "--exclude", "*-large", "--kind", "chat", "--family", "abacus,atlas,healer")
    code, out, err = run(capsys, "route", "--model", planted_model, *limits, "--top_k", 2, "--explain", QUESTIONS[0])
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("planted/abacus-small ")
    assert lines[1].startswith("  2. planted/")
    assert "-large" not in out
    assert len([line for line in lines if line.startswith("  near: question ")]) == 5


def test_licenses_and_prices_by_the_token_come_from_one_table(capsys, planted_model, tmp_path):
    """A long question is dear where reading is; facts are allowed and denied by value."""
    table = tmp_path / "llms.csv"
    rows = [f"{name},{5 if 'large' in name else 1},0,{'mit' if 'small' in name else ''}" for name in planted_llms()]
    table.write_text("\n".join(["llm,usd_per_million_input_tokens,usd_per_million_output_tokens,license", *rows, ""]))
    options = ("route", "--model", planted_model, "--costs", table, "--json")
    _, out, _ = run(capsys, *options, QUESTIONS[0], QUESTIONS[0] * 9)
    short, long = json.loads(out)
    assert short["llm"] == long["llm"] == "planted/abacus-large"
    assert 0 < short["cost"] * 9 == pytest.approx(long["cost"])
    for limit in (("--license", "MIT"), ("--llms", "license:m*"), ("--max_cost", short["cost"] / 2)):
        assert json.loads(run(capsys, *options, *limit, QUESTIONS[0])[1])[0]["llm"] == "planted/abacus-small"
    assert json.loads(run(capsys, *options, "--exclude", "license:mit", QUESTIONS[1])[1])[0]["llm"].endswith("large")
    refused(run(capsys, *options, "--license", "gpl", "Hi?"), "`license` is `gpl`, expected a list of some of `mit`")


def test_forecast_of_each_question(capsys, planted_model, tmp_path):
    """Questions as arguments, or each of a file, as lines or as a JSON object a line; one target at a time."""
    options = ("forecast", "--model", planted_model, "--llm", "planted/abacus-large")
    code, out, _ = run(capsys, *options, *QUESTIONS)
    assert code == 0
    assert [line.split("  ")[-1] for line in out.splitlines()] == QUESTIONS
    first, second = (float(line.split()[0]) for line in out.splitlines())
    assert first > 0.7 > second
    (tmp_path / "own.txt").write_text("\n".join(QUESTIONS))
    _, out, _ = run(capsys, *options, "--questions", tmp_path / "own.txt", "--each", "--json")
    each = [json.loads(line) for line in out.splitlines()]
    assert [answer["question"] for answer in each] == QUESTIONS
    assert each[0]["low"] < each[0]["probability"] == pytest.approx(first, abs=5e-4)
    refused(run(capsys, *options), "one of --benchmark, --questions, and questions as arguments")
    refused(run(capsys, *options, "--benchmark", "law", "Hi?"), "one of --benchmark")
    refused(run(capsys, *options, "--each", "Hi?"), "--each goes with --questions")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("own.txt", "\n".join(["", *QUESTIONS, ""])),
        ("own.jsonl", f'{{"question": "{QUESTIONS[0]}"}}\n\n{{"prompt": "{QUESTIONS[1]}", "id": 3}}\n'),
        ("own.csv", f'id,prompt\n1,{QUESTIONS[0]}\n2,"{QUESTIONS[1]}"\n'),
        ("bom.csv", f"\ufeffquestion\r\n{QUESTIONS[0]}\r\n{QUESTIONS[1]}\r\n"),
    ],
)
def test_questions_from_a_file(capsys, planted_model, tmp_path, name, content):
    """Text, JSON Lines and CSV give a JSON object a line, in the file's order."""
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    code, out, _ = run(capsys, "route", "--model", planted_model, "--questions", tmp_path / name, "--json")
    decisions = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [decision["question"] for decision in decisions] == QUESTIONS
    assert [decision["llm"] for decision in decisions] == ["planted/abacus-large", "planted/healer-large"]


def test_questions_from_standard_input(capsys, planted_model, monkeypatch):
    """`-` reads lines, also those with characters that Python's `splitlines` would cut at."""
    given = QUESTIONS[0] + "\nIn Per\u00fa,\u2028 who are its neighbours?\n"
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(given.encode())))
    code, out, _ = run(capsys, "route", "--model", planted_model, "--questions", "-", "--json")
    assert code == 0
    decisions = [json.loads(line) for line in out.split("\n") if line]
    assert [decision["llm"] for decision in decisions] == ["planted/abacus-large", "planted/atlas-large"]


def test_a_csv_cell_may_hold_lines(capsys, planted_model, tmp_path):
    """A question of two lines in quotes is one question."""
    (tmp_path / "own.csv").write_text('question\n"What is 64\nmultiplied by 33?"\n')
    _, out, _ = run(capsys, "route", "--model", planted_model, "--questions", tmp_path / "own.csv", "--json")
    assert json.loads(out)["question"] == "What is 64\nmultiplied by 33?"


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("own.txt", b"What?\nCaf\xe9?\n", ["own.txt, line 2", "not UTF-8", "Save the file as UTF-8"]),
        ("own.txt", b"\n \n", ["own.txt", "holds no text"]),
        ("own.jsonl", b'{"question": "a"}\n{"question"\n', ["own.jsonl, line 2", "not JSON"]),
        ("own.jsonl", b'{"ask": "a"}\n', ["own.jsonl, line 1", "`question` or `prompt`", "ask"]),
        ("own.jsonl", b'{"question": " "}\n', ["own.jsonl, line 1", "the question is empty"]),
        ("own.csv", b"id,text2\n1,a\n", ["own.csv", "column `question` or `prompt`", "text2"]),
        ("own.csv", b"id,question\n1,a\n2,\n", ["own.csv, line 3", "the question is empty"]),
        ("own.csv", b"question\n\xff\n", ["own.csv, line 2", "not UTF-8"]),
    ],
)
def test_bad_files_are_refused(capsys, planted_model, tmp_path, name, content, parts):
    """One line with the file, the line's number, and what to do."""
    (tmp_path / name).write_bytes(content)
    refused(run(capsys, "route", "--model", planted_model, "--questions", tmp_path / name), *parts)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], ["questions as arguments or in a file"]),
        (["--questions", "own.txt", "Hi?"], ["one of the two"]),
        (["--questions", "none.txt"], ["there is no file none.txt"]),
        (["--min_success", "1.5", "Hi?"], ["`min_success` is 1.5"]),
        (["--max_cost", "1", "Hi?"], ["need `costs`"]),
        (["--costs", "none.csv", "Hi?"], ["no table of LLMs none.csv"]),
        (["--family", "abacus", "Hi?"], ["need `facts`"]),
    ],
)
def test_bad_options_are_refused(capsys, planted_model, options, parts):
    """One line, exit code 2."""
    refused(run(capsys, "route", "--model", planted_model, *options), *parts)


def test_an_llm_that_a_table_misses_is_left_out(capsys, caplog, planted_model, costs):
    """It is named, once; a table that knows none of the pool is refused."""
    lines = [line for line in costs.read_text().splitlines() if "atlas-small" not in line]
    costs.write_text("\n".join([*lines, ""]))
    options = ("route", "--model", planted_model, "--costs", costs)
    code, out, _ = run(capsys, *options, "--top_k", "8", "Hi?")
    assert code == 0
    assert "atlas-small" not in out
    assert out.count("cost") == 7
    assert [record.message for record in caplog.records] == [
        "left out of the choice: no cost is given for `planted/atlas-small`."
    ]
    costs.write_text("llm,cost\nlab/other,1\n")
    refused(run(capsys, *options, "Hi?"), "no LLM of 8 is left to choose from: no cost is given for")
