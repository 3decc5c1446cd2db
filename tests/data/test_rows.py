"""The one reader of small tables: CSV and JSON Lines, each refusal with its line."""

import numpy as np
import pytest

from embedllm_hf.data.rows import number_of, read_rows


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
        ("a.csv", b"llm,cost\na,0.25\nb,0.2", r"a\.csv: ends within a line, expected a line break"),
        ("a.csv", b"llm,cost\na\n", r"a\.csv, line 2: 1 cells, but the header has 2 columns"),
        ("a.csv", b"llm, llm\na,b\n", r"a\.csv, line 1: column `llm` stands there more than once"),
        ("a.csv", b"llm,cost\na\0,1\n", r"a\.csv, line 2: not UTF-8 \(a NUL\)"),
        ("a.csv", "llm,cost\na,1\n".encode("utf-16"), r"a\.csv, line 1: not UTF-8, but UTF-16 by its looks"),
        ("a.csv", "llm,cost\na,1\n".encode("utf-16-le"), r"a\.csv, line 1: not UTF-8, but UTF-16 by its looks"),
        ("a.jsonl", b'{"llm": "a", "cost": 1, "cost": 2}', r"a\.jsonl, line 1: column `cost` stands there more"),
        ("a.jsonl", b'{"llm": "a"}\n{"llm": "b", "co', r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", b'{"a":' * 100_000, r"a\.jsonl, line 1: not JSON"),
        ("a.jsonl", b"9" * 5000, r"a\.jsonl, line 1: (not JSON|a JSON int)"),
        ("a.json", b"[]", r"a file of the kind `\.json` is not read here"),
        ("a.parquet", b"PAR1", r"a file of the kind `\.parquet` is not read here"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, name, content, message):
    """The message names file and line."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_rows(tmp_path / name))


def test_line_ends_of_all_kinds_and_no_others(tmp_path):
    """Lines may end with a carriage return alone; U+2028 is a sign of a text."""
    (tmp_path / "a.csv").write_bytes("llm, note\ra,x\u2028y\r".encode())
    assert cells(tmp_path / "a.csv") == [{"llm": "a", "note": "x\u2028y"}]
    (tmp_path / "a.jsonl").write_bytes('{"llm": "a", "note": "x\u2028y"}'.encode())  # an object closes itself
    assert cells(tmp_path / "a.jsonl") == [{"llm": "a", "note": "x\u2028y"}]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1", 1),
        (" 0.5 ", 0.5),
        (".5", 0.5),
        ("1e-2", 0.01),
        ("-1.", -1),
        (2, 2),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
    ],
)
def test_numbers_as_people_write_them(cell, expected):
    """And as JSON and NumPy hold them."""
    assert number_of(cell) == expected


@pytest.mark.parametrize(
    "cell", ["", "1_0", "0_1", "\u0661", "nan", "inf", "1,5", "$1", "0x1", "True", True, None, [1], {}]
)
def test_what_is_no_number_is_none(cell):
    """Also where Python would read one."""
    assert np.isnan(number_of(cell))


def test_a_number_beyond_all_others_is_no_error():
    """The range of what it stands for refuses it."""
    assert number_of(10**400) == number_of("1e400") == np.inf


def test_a_missing_file_is_named(tmp_path):
    """With the words of whoever asked for it."""
    with pytest.raises(FileNotFoundError, match=r"there is no table .*none\.csv"):
        list(read_rows(tmp_path / "none.csv", "there is no table"))
