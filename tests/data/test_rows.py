"""The one reader of small tables: CSV and JSON Lines, each refusal with its line."""

import pytest

from embedllm_hf.data.rows import read_rows


def cells(path) -> list[dict]:
    return [row.cells for row in read_rows(path)]


def test_csv_and_json_lines_give_the_same_rows(tmp_path):
    """A mark of the byte order, Windows line ends, blank lines and texts of several lines are read."""
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfllm,note\r\na,"one, two\r\nthree"\r\n\r\nb,\r\n')
    (tmp_path / "a.jsonl").write_text('{"llm": "a", "note": "one, two\\nthree"}\n\n{"llm": "b", "note": ""}\n')
    expected = [{"llm": "a", "note": "one, two\nthree"}, {"llm": "b", "note": ""}]
    assert cells(tmp_path / "a.csv") == cells(tmp_path / "a.jsonl") == expected


def test_cells_may_be_long(tmp_path):
    """A text of 300,000 characters is a cell like any other."""
    (tmp_path / "a.csv").write_text(f"prompt\n{'x' * 300_000}\n")
    assert len(cells(tmp_path / "a.csv")[0]["prompt"]) == 300_000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"question\nWhat is 2, 3 and 4 together?\n", r"a\.csv, line 2: 2 cells, but the header has 1"),
        ("a.csv", b"llm,cost,cost\na,1,2\n", r"a\.csv, line 1: column `cost` stands there more than once"),
        ("a.csv", b'llm,note\na,"open\n', r"a\.csv, line 2: cannot be read as CSV"),
        ("a.csv", b"llm\n\xff\n", r"a\.csv, line 2: not UTF-8"),
        ("a.jsonl", b'{"llm": "a"}\n{"llm"\n', r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl, line 1: a JSON list, expected an object"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl, line 1: not JSON"),
        ("a.json", b"[]", r"a file of the kind `\.json` is not read here"),
        ("a.parquet", b"PAR1", r"a file of the kind `\.parquet` is not read here"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, name, content, message):
    """The message names file and line."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_rows(tmp_path / name))


def test_a_missing_file_is_named(tmp_path):
    """With the words of whoever asked for it."""
    with pytest.raises(FileNotFoundError, match=r"there is no table .*none\.csv"):
        list(read_rows(tmp_path / "none.csv", "there is no table"))
