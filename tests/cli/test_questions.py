"""Questions of a file or of standard input, as the verbs read them."""

import pytest

from embedllm_hf.cli._questions import read_questions


def test_a_closed_standard_input_is_said(monkeypatch):
    """Python has none then."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ValueError, match=r"`--questions -`: standard input is closed\. Pipe the questions in"):
        read_questions("-")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "q.csv",
            b"question\nWhat is 2, 3 and 4 together?\n",
            r"q\.csv, line 2: 2 cells, but the header has 1 columns",
        ),
        ("q.csv", b"question\nWhat is 2 and 3", r"q\.csv: ends within a line"),
        ("q.json", b'[{"question": "hi"}, {"question": "you"}]', r"kind `\.json` is not read here"),
        ("q.tsv", b"question\nhi\n", r"kind `\.tsv` is not read here"),
        ("q.parquet", b"PAR1", r"kind `\.parquet` is not read here"),
        ("q.txt", "What?\n".encode("utf-16"), "line 1: not UTF-8, but UTF-16 by its looks"),
        ("q.txt", b"What?\nWh\0y?\n", r"line 2: not UTF-8 \(a NUL\)"),
        (
            "q.jsonl",
            b'{"question": "bad \\ud83d text"}',
            r"line 1: the question is 'bad \\ud83d text', which is no Uni",
        ),
        ("q.jsonl", b"[" * 100_000, "line 1: not JSON"),
    ],
)
def test_no_question_is_cut_or_made_of_another_file(tmp_path, name, content, message):
    """A file of another kind is not one text a line, and a comma in a text ends no question."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_questions(str(tmp_path / name))
