"""The table of LLMs: costs of a call and of a token, facts, and what is refused."""

import numpy as np
import pytest

from embedllm_hf.data.llm_table import (
    TokenPrice,
    are_by_token,
    costs_at,
    costs_of,
    read_costs,
    read_llm_table,
    select_llms,
)


def test_costs_from_a_file(tmp_path):
    """Either name of each column; an empty cell is no cost; facts come along."""
    path = tmp_path / "llms.csv"
    path.write_text("model_name,params_billions,usd_per_million_output_tokens,family\na/b,7,0.5,x\nc/d,70,,y\n")
    assert read_costs(path) == {"a/b": 0.5}
    assert read_llm_table(path)["c/d"]["family"] == "y"
    path.write_text("llm,cost\na/b,0\n")
    assert read_costs(path) == {"a/b": 0.0}
    with pytest.raises(ValueError, match="no cost for 1 of 2 LLMs, `c/d`"):
        costs_of(read_costs(path), ["a/b", "c/d"])
    assert costs_of({"c": 2, "a": 1}, ["a", "c"]).tolist() == [1, 2]


def test_both_spellings_of_license_are_one_fact(tmp_path):
    """A column `licence` is read as `license`, and found under that name."""
    path = tmp_path / "llms.csv"
    for spelling in ("licence", "license"):
        path.write_text(f"llm,{spelling}\na/b,MIT\nc/d,\n")
        facts = read_llm_table(path)
        assert facts["a/b"] == {"llm": "a/b", "license": "MIT"}
        assert select_llms(["a/b", "c/d"], facts, llms=["license:mit"]).tolist() == [0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,cost\na,1\n", "column `llm` or `model_name`.*found the columns `cost`, `name`"),
        (b"", "of an empty table"),
        (b"llm,price\na,1\n", "expected a column `cost`.*found `llm`, `price`"),
        (b"llm,cost\na,1\na,2\n", "`a` stands there twice"),
        (b"llm,cost\na,-1\n", "`a` is '-1', expected a number of 0 or more"),
        (b"llm,cost\na,cheap\n", "`a` is 'cheap'"),
        (b"llm,cost\na,nan\n", "`a` is 'nan'"),
        (b"llm,cost\na,1_0\n", r"costs\.csv: that of `a` is '1_0', expected a number"),
        (b"llm,cost\na,1\n a ,2\n", "line 3: `a` stands there twice"),
        (b"llm,cost\n,1\n", "line 2: `llm`: the LLM's name '' is empty"),
        (b"llm,cost\na\x1b[2J,1\n", r"line 2: `llm`: the LLM's name 'a\\x1b\[2J' holds a sign"),
        (b"llm,cost\na b,1\na  b,2\n", "'a b' and 'a  b' look the same"),
        (b"llm,licence,license\na,MIT,Apache\n", "has the columns `licence` and `license`, which are one"),
        (b"llm,cost\na,0.2", "ends within a line"),
        (b"llm,cost\n\xff,1\n", "not UTF-8"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, content, message):
    """The error has the file or the LLM, and what was found."""
    path = tmp_path / "costs.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_costs(path)
    with pytest.raises(FileNotFoundError, match="there is no table of LLMs"):
        read_costs(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"llm": 5, "cost": 1}', "line 1: `llm`: the LLM's name 5 is no text"),
        ('{"llm": "a", "cost": [1]}', r"line 1: `cost` is \[1\], expected a text or a number"),
        ('{"llm": "a", "cost": true}', "`a` is 'True', expected a number"),
        ('{"llm": "a", "cost": NaN}', "`a` is 'nan', expected a number"),
    ],
)
def test_cells_of_json_are_checked_too(tmp_path, line, message):
    """By name and type; null is a cost that is not known."""
    path = tmp_path / "costs.jsonl"
    path.write_text(line)
    with pytest.raises((ValueError, TypeError), match=message):
        read_costs(path)
    path.write_text('{"llm": "a", "cost": null}\n{"llm": " e\u0301", "cost": 2}')
    assert read_costs(path) == {"\u00e9": 2}


def test_long_cells_and_strange_line_ends_are_read(tmp_path):
    """A note of 140,000 characters, one with U+2028."""
    path = tmp_path / "costs.csv"
    path.write_text(f"llm,cost,note\na,1,{'x' * 140_000}\nb,2,x\u2028y\n")
    assert read_costs(path) == {"a": 1, "b": 2}


PRICED = "llm,usd_per_million_input_tokens,usd_per_million_output_tokens,output_tokens"


def test_costs_by_the_token(tmp_path):
    """Both prices make a price by the token, by hand; one that misses a price has no cost; `cost` comes first."""
    path = tmp_path / "llms.csv"
    path.write_text(f"{PRICED}\na,2,10,300\nb,1,4,\nc,,4,9\n")
    costs = read_costs(path)
    assert costs == {"a": TokenPrice(2, 10, 300), "b": TokenPrice(1, 4, 512)}
    assert are_by_token(costs)
    by_question = costs_of(costs | {"flat": 0.5}, ["b", "flat", "a"], np.array([100, 0]))
    expected = [[(100 + 4 * 512) / 1e6, 0.5, (200 + 3000) / 1e6], [4 * 512 / 1e6, 0.5, 3000 / 1e6]]
    np.testing.assert_allclose(by_question, expected)
    assert costs_at(costs, 100)["a"] == pytest.approx(3200 / 1e6)
    assert not are_by_token(costs_at(costs, 100))
    assert read_costs(path, column="usd_per_million_output_tokens") == {"a": 10, "b": 4, "c": 4}
    with pytest.raises(ValueError, match="that of `a` is by the token, and no question's length is known"):
        costs_of(costs, ["a"])
    path.write_text("llm,cost,usd_per_million_input_tokens,usd_per_million_output_tokens\na,7,1,2\n")
    assert read_costs(path) == {"a": 7}
    for row in ("a,-1,2,3", "a,1,free,3", "a,1,2,-3"):
        path.write_text(f"{PRICED}\n{row}\n")
        with pytest.raises(ValueError, match=r"that of `a` is '.*', expected a number of 0 or more"):
            read_costs(path)
    with pytest.raises(ValueError, match="that of `a` is nan"):
        read_costs({"a": TokenPrice(float("nan"), 1)})


NAMES = ("lab/one", "lab/two:8b", "other/three")
FACTS = {
    "lab/one": {"license": "MIT", "params_billions": "7"},
    "other/three": {"license": "llama3", "family": "llama"},
}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [0, 1, 2]),
        ({"llms": ["other/*", "lab/one"]}, [0, 2]),
        ({"llms": ["lab/two:8b"]}, [1]),  # a name, though it has a colon
        ({"llms": ["license:mit", "family:lla*"]}, [0, 2]),
        ({"exclude": ["license:mit"]}, [1, 2]),
        ({"exclude": ["family:*"]}, [0, 1]),  # what is not known is not denied
        ({"having": {"license": ["mit", "llama*"], "family": ["LLAMA"]}}, [2]),
        ({"having": {"license": None}, "max_params": 7}, [0]),
    ],
)
def test_lists_by_name_pattern_and_fact(filters, expected):
    """Entries of one list are alternatives; lists come on top of each other."""
    assert select_llms(NAMES, FACTS, **filters).tolist() == expected


@pytest.mark.parametrize(
    ("filters", "error", "message"),
    [
        (
            {"having": {"license": ["gpl"]}},
            ValueError,
            "`license` is `gpl`, expected a list of some of `MIT`, `llama3`",
        ),
        ({"having": {"kind": ["chat"]}}, ValueError, "`kind` is `chat`.*nothing: the table has no such column"),
        ({"having": {"license": []}}, ValueError, r"`license` is \[\]"),
        ({"llms": ["tone:mild"]}, KeyError, "unknown LLM `tone:mild`"),
        ({"llms": ["lab/one"], "exclude": ["license:mit"]}, ValueError, "no LLM of 3 is left"),
    ],
)
def test_lists_that_fit_nobody_are_refused(filters, error, message):
    """Each says what there is."""
    with pytest.raises(error, match=message):
        select_llms(NAMES, FACTS, **filters)
    with pytest.raises(ValueError, match="`license`, `max_params` need `facts`"):
        select_llms(NAMES, None, having={"license": ["mit"]}, max_params=3)
