"""Long tables of responses: odd texts, many batches, bad rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedllm_hf import ResponseMatrix
from embedllm_hf.data import files, long_table
from embedllm_hf.data.files import iterate_file
from embedllm_hf.data.texts import text_id
from tests.data.test_responses import long_frame
from tests.pool import LLMS, make_frame

ODD_PROMPTS = [
    "two\nlines, and a comma",
    "windows\r\nlines",
    'she said "no", twice: ""',
    '"',
    "  spaces around  ",
    "日本語の質問、そして العربية и русский — 🦙",
    "NA",
    "null",
    "\\n is not a line, 'nor' is this; $x^2$ \t tab",
    "1",
    "long: " + "naïve words, " * 80_000,  # 1 MB
]


def odd_frame() -> pd.DataFrame:
    """Every odd prompt, answered by three LLMs."""
    rows = [
        (number, name, (number + position) % 2, text, "a,b" if number % 2 else "NaN")
        for number, text in enumerate(ODD_PROMPTS)
        for position, name in enumerate(("llm, with comma", "null", "7"))
    ]
    return pd.DataFrame(rows, columns=["prompt_id", "model_name", "label", "prompt", "category"])


def read(path: Path, **options) -> ResponseMatrix:
    return ResponseMatrix.from_tables([(path.name, iterate_file(path))], **options)


def write(frame: pd.DataFrame, path: Path, **options) -> Path:
    """Write a table as its suffix says."""
    if path.suffix == ".csv":
        path.write_bytes(frame.to_csv(index=False).encode())
    else:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, **options)
    return path


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path) -> Path:
    """Where a table of either format may go."""
    return tmp_path / f"train.{request.param}"


# --- what is in the file comes out ---


def test_odd_texts_come_back_to_the_byte(table):
    """Newlines, quotes, commas, other scripts, words that mean "missing" elsewhere and 1 MB of text are unchanged."""
    responses = read(write(odd_frame(), table))
    assert list(responses.questions) == ODD_PROMPTS
    assert responses.llm_names == ("7", "llm, with comma", "null")
    assert set(responses.categories) == {"a,b", "NaN"}
    assert responses.n_observed == 3 * len(ODD_PROMPTS)


def test_csv_and_parquet_and_pandas_give_the_same_matrix(tmp_path):
    """The same rows make the same matrix whatever they were kept in."""
    for frame in (odd_frame(), make_frame(40)):
        expected = ResponseMatrix.from_pandas(frame).to_long()
        for suffix in ("csv", "parquet"):
            assert read(write(frame, tmp_path / f"t.{suffix}")).to_long().equals(expected)


def test_only_three_columns_are_needed(table):
    """Without id, category and LLM id, questions stand by first appearance and in one category."""
    frame = make_frame(6)
    responses = read(write(frame[["prompt", "model_name", "label"]], table))
    assert list(responses.questions) == list(dict.fromkeys(frame["prompt"]))
    assert list(responses.question_ids) == [text_id(text) for text in responses.questions]
    assert set(responses.categories) == {"all"}


def test_other_columns_are_ignored(table):
    """Columns that the library does not know change nothing, even with odd values."""
    frame = make_frame(6)
    extra = frame.assign(category_id=range(len(frame)), note='a "note"\nof two lines')
    assert read(write(extra, table)).to_long().equals(ResponseMatrix.from_pandas(frame).to_long())


def test_graded_labels_come_back(table):
    """Labels between 0 and 1 are kept."""
    frame = make_frame(6)
    frame["label"] = np.linspace(0, 1, len(frame)).astype(np.float32)
    assert read(write(frame, table)).to_long().equals(ResponseMatrix.from_pandas(frame).to_long())


def test_names_and_texts_of_digits_stay_text(tmp_path):
    """An LLM called `007` and a prompt `1.0` are not read as numbers."""
    path = tmp_path / "t.csv"
    path.write_text("prompt,model_name,label\n1.0,007,1\n2,10,0\n")
    responses = read(path)
    assert list(responses.questions) == ["1.0", "2"]
    assert responses.llm_names == ("007", "10")


def test_a_byte_order_mark_and_windows_line_ends_are_no_obstacle(tmp_path):
    """A CSV as spreadsheets write it reads like any other."""
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbf" + make_frame(6).to_csv(index=False, lineterminator="\r\n").encode())
    assert read(path).to_long().equals(ResponseMatrix.from_pandas(make_frame(6)).to_long())


def test_a_column_count_of_something_else_is_no_weight():
    """Tokens, votes or options: only `label_count` says how many answers a label is the mean of."""
    frame = long_frame([(1, "a", 0), (1, "a", 1)])
    expected = ResponseMatrix.from_pandas(frame).to_long()
    more = frame.assign(count=[1, 501], contradictory=["yes", "no"], n_answers=[4, 4], weight=0.1)
    assert ResponseMatrix.from_pandas(more).to_long().equals(expected)


def test_a_count_column_stands_for_that_many_rows():
    """0.5 counted twice and 1 counted once is 2 right of 3, weight 3."""
    frame = long_frame([(1, "a", 0.5), (1, "a", 1)], label_count=[2, 1])
    responses = ResponseMatrix.from_pandas(frame)
    np.testing.assert_array_equal(responses.values, np.float32([2 / 3]))
    assert responses.summary().n_rows == 3


# --- streaming ---


def test_several_batches_give_the_same_as_one(tmp_path, monkeypatch):
    """Blocks of CSV, row groups of Parquet and batches in memory add up to the same matrix."""
    frame = pd.concat([make_frame(60), make_frame(60, seed=1)])  # the second half repeats and contradicts
    expected = ResponseMatrix.from_pandas(frame)
    assert expected.summary().n_contradictions > 0
    csv, parquet = write(frame, tmp_path / "t.csv"), write(frame, tmp_path / "t.parquet", row_group_size=37)
    monkeypatch.setattr(files, "_CSV_BLOCK_BYTES", 1000)
    assert len(list(iterate_file(csv))) > 10
    assert read(csv).to_long().equals(expected.to_long())
    assert read(parquet).to_long().equals(expected.to_long())
    batches = pa.Table.from_pandas(frame, preserve_index=False).to_batches(max_chunksize=7)
    assert ResponseMatrix.from_tables([("table", batches)]).to_long().equals(expected.to_long())


def test_texts_without_ids_are_numbered_alike_in_one_batch_and_in_many(tmp_path, monkeypatch):
    """First appearance counts over the whole table, whatever the blocks and dictionaries of the file."""
    frame = make_frame(40)[["prompt", "model_name", "label"]].sample(frac=1, random_state=0)
    expected = ResponseMatrix.from_pandas(frame).to_long()
    monkeypatch.setattr(files, "_CSV_BLOCK_BYTES", 500)
    assert read(write(frame, tmp_path / "t.csv")).to_long().equals(expected)
    assert read(write(frame, tmp_path / "t.parquet", row_group_size=11)).to_long().equals(expected)


def test_the_first_graded_label_may_come_late(tmp_path, monkeypatch):
    """A first block of 0 and 1 does not decide that labels are whole numbers."""
    frame = make_frame(60)
    frame["label"] = ["1"] * (len(frame) - 1) + ["0.5"]
    monkeypatch.setattr(files, "_CSV_BLOCK_BYTES", 500)
    assert read(write(frame, tmp_path / "t.csv")).values.min() == 0.5


# --- bad rows ---


@pytest.mark.parametrize("name", ["prompt", "model_name", "label"])
def test_a_missing_column_is_named_with_the_file(table, name):
    """The message has file, missing column, columns found and expected."""
    write(make_frame(4).rename(columns={name: "other"}), table)
    with pytest.raises(ValueError, match=rf"{table.name}: column `{name}` is missing; found .*`other`.*, expected"):
        read(table)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("label", "right", "row 3: `label` is 'right', expected a number"),
        ("label", "2", r"row 3: `label` is 2, expected a number in \[0, 1\]"),
        ("label", "", "row 3: `label` is (empty|''), expected a number"),
        ("prompt", " ", "row 3: `prompt` is empty, expected the question's text"),
        ("prompt", "another text", "row 3: `prompt_id` 0 has another text than before"),
        ("model_name", "", "row 3: `model_name` is empty"),
    ],
)
def test_a_bad_cell_is_named_with_file_and_row(table, column, value, message):
    """Rows count from 1 without the header, also behind a prompt of several lines."""
    frame = make_frame(4, hidden=0).astype({"label": str})
    frame["prompt"] = frame["prompt"] + "\nthink\nwell"
    frame.loc[2, column] = value
    with pytest.raises(ValueError, match=f"{table.name}, {message}"):
        read(write(frame, table))


def test_a_bad_label_in_a_later_block_is_named_with_its_row(tmp_path, monkeypatch):
    """Behind a first block of numbers, a label that is none is still a row of the file and not a broken file."""
    frame = make_frame(60, hidden=0).astype({"label": str})
    frame.loc[300, "label"] = "right"
    monkeypatch.setattr(files, "_CSV_BLOCK_BYTES", 500)
    with pytest.raises(ValueError, match=r"t\.csv, row 301: `label` is 'right', expected a number"):
        read(write(frame, tmp_path / "t.csv"))


def test_a_bad_id_in_csv_is_named_with_its_row(tmp_path):
    """An id that is no number is a row of the file and not a broken file."""
    path = tmp_path / "t.csv"
    path.write_text("prompt_id,prompt,model_name,label\n1,p,a,1\nx,p,b,1\n")
    with pytest.raises(ValueError, match=r"t\.csv, row 2: `prompt_id` is 'x', expected a whole number"):
        read(path)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 2.5], "row 2: `prompt_id` is 2.5, expected a whole number"),
        ([1, np.nan], "row 2: `prompt_id` is empty, expected a whole number"),
        (["1", "q2"], "row 2: `prompt_id` is 'q2', expected a whole number"),
    ],
)
def test_an_unusable_id_is_named_with_its_row(ids, message):
    """Ids are whole numbers."""
    frame = make_frame(2, hidden=0).iloc[[0, 6]].assign(prompt_id=ids)
    with pytest.raises(ValueError, match=f"table, {message}"):
        ResponseMatrix.from_pandas(frame)


@pytest.mark.parametrize("count", [0, -1, 0.5, 2**41])
def test_a_count_that_is_no_number_of_rows_is_refused(count):
    """A row stands for one row or more; anything else would make a response of nothing."""
    with pytest.raises(ValueError, match=r"table, row 2: `label_count` is .*expected a whole number"):
        ResponseMatrix.from_pandas(make_frame(2, hidden=0).iloc[:2].assign(label_count=[1, count]))


def test_the_fixed_pool_of_a_file_is_kept(table):
    """`llm_names` gives the columns, LLMs without a row included."""
    frame = make_frame(10)
    write(frame[frame["model_name"] != LLMS[2]], table)
    responses = read(table, llm_names=LLMS)
    assert responses.llm_names == LLMS
    assert not responses.observed()[:, 2].any()
    assert responses.observed()[:, 3].any()


# --- tables in memory ---


@pytest.mark.parametrize("name", ["prompt", "model_name", "label"])
def test_a_missing_column_of_a_table_in_memory_is_named(name):
    """The message has the missing column, those found and those expected."""
    frame = make_frame(4).rename(columns={name: "other"})
    with pytest.raises(ValueError, match=rf"table: column `{name}` is missing; found .*`other`.*, expected .*Rename"):
        ResponseMatrix.from_pandas(frame)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 0, 1.5], r"row 3: `label` is 1.5, expected a number in \[0, 1\]"),
        ([1, -0.25, 2], r"row 2: `label` is -0.25, expected a number in \[0, 1\]"),
        ([np.inf, 0, 1], r"row 1: `label` is inf, expected a number in \[0, 1\]"),
        ([1, np.nan, 1], "row 2: `label` is empty, expected a number"),
        ([1, 0, None], "row 3: `label` is empty, expected a number"),
        (["1", "0", "right"], "row 3: `label` is 'right', expected a number"),
        (["1", "", "0"], "row 2: `label` is empty, expected a number"),
        (["1_0", "0", "1"], "row 1: `label` is '1_0', expected a number"),
    ],
)
def test_a_bad_label_is_named_with_its_row(labels, message):
    """A label outside [0, 1], no number or nothing is refused with row, value, expectation and remedy."""
    with pytest.raises(ValueError, match=rf"table, {message}.*Correct or drop the row"):
        ResponseMatrix.from_pandas(long_frame([(1, "a", 0), (2, "a", 0), (3, "a", 0)], label=labels))


def test_rows_are_counted_over_all_batches():
    """A bad row in a later chunk of a table is named by its place in the whole table."""
    table = pa.Table.from_pandas(long_frame([(i, "a", 1 if i != 17 else 3) for i in range(20)]))
    chunked = pa.concat_tables([table.slice(start, 5) for start in range(0, 20, 5)])
    with pytest.raises(ValueError, match="table, row 18: `label` is 3"):
        ResponseMatrix.from_long(chunked)


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_a_question_without_a_text_is_named_with_its_row(text):
    """An empty, blank or missing prompt is refused."""
    with pytest.raises(ValueError, match=r"table, row 2: `prompt` is empty, expected .*text"):
        ResponseMatrix.from_pandas(long_frame([(1, "a", 1), (2, "a", 1)], prompt=["fine", text]))


def test_an_id_with_two_texts_is_named_with_its_row():
    """The second text of an id is refused, in one batch and across batches."""
    frame = long_frame([(1, "a", 1), (2, "a", 1), (1, "b", 1)], prompt=["one", "two", "another"])
    message = "table, row 3: `prompt_id` 1 has another text than before, expected one text per id"
    with pytest.raises(ValueError, match=message):
        ResponseMatrix.from_pandas(frame)
    table = pa.Table.from_pandas(frame)
    with pytest.raises(ValueError, match=message):
        ResponseMatrix.from_long(pa.concat_tables([table.slice(0, 2), table.slice(2)]))


@pytest.mark.parametrize("name", ["", None])
def test_an_llm_without_a_name_is_named_with_its_row(name):
    """An empty or missing LLM name is refused, and the message says that it is empty."""
    with pytest.raises(ValueError, match="table, row 2: `model_name` is empty"):
        ResponseMatrix.from_pandas(long_frame([(1, "a", 1), (2, name, 1)]))


def test_an_llm_outside_the_pool_is_refused_with_close_names():
    """A row of an LLM that a fixed pool lacks is refused with its row, and the name that was meant."""
    frame = long_frame([(1, LLMS[0], 1), (1, "lab/poetri-c", 1)])
    with pytest.raises(ValueError, match=r"table, row 2: `model_name` is 'lab/poetri-c'.*lab/poetry-c"):
        ResponseMatrix.from_pandas(frame, llm_names=[*(f"lab/a-{i}" for i in range(9)), *LLMS])


def test_text_columns_must_hold_text():
    """A prompt column of numbers is refused with its type."""
    with pytest.raises(ValueError, match="table: column `prompt` holds int64, expected text"):
        ResponseMatrix.from_pandas(long_frame([(1, "a", 1)], prompt=[5]))


def test_a_column_of_mixed_types_is_refused():
    """What Arrow cannot read of a frame is said in a word about the frame."""
    with pytest.raises(ValueError, match="`frame`: a column mixes types"):
        ResponseMatrix.from_pandas(long_frame([(1, "a", 1), (2, "a", "right")]))


def test_an_empty_table_is_refused():
    """No rows are no split."""
    with pytest.raises(ValueError, match="table: no rows, expected one row a response"):
        ResponseMatrix.from_pandas(make_frame(4).iloc[:0])


def test_an_unknown_rule_for_repeats_is_refused():
    """The rules are listed."""
    with pytest.raises(ValueError, match="`duplicates` is 'first', expected one of 'mean', 'last', 'majority', 'max'"):
        ResponseMatrix.from_pandas(make_frame(4), duplicates="first")


# --- ids, names and categories as other tables write them ---


@pytest.mark.parametrize("ids", [["1.0", "2.", " 3 "], [1.0, 2.0, 3.0], pd.Categorical([1, 2, 3])])
def test_whole_numbers_are_ids_however_they_are_written(ids):
    """As pandas writes them beside missing ones, with spaces, or encoded."""
    frame = long_frame([(id_, "a", 1) for id_ in (1, 2, 3)]).assign(prompt_id=ids)
    assert ResponseMatrix.from_pandas(frame).question_ids.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("prompt_id", np.array([1, 2**63], np.uint64), r"row 2: `prompt_id` is 9223372036854775808, expected a whole"),
        (
            "prompt_id",
            ["1", "9" * 5000],
            r"row 2: `prompt_id` is '9{59}\.\.\., expected a whole number from 0 to 2\^63",
        ),
        ("prompt_id", [1, -11], "row 2: `prompt_id` is -11, expected a whole number from 0 to"),
        ("prompt_id", ["1", "1_0"], "row 2: `prompt_id` is '1_0', expected a whole number"),
        ("prompt_id", [1, np.inf], "row 2: `prompt_id` is inf, expected a whole number"),
        ("prompt_id", ["gsm8k-1", "gsm8k-2"], "leave the column out: questions are then told apart by their texts"),
        ("prompt_id", [True, False], "column `prompt_id` holds bool, expected a whole number"),
        ("prompt_id", pd.to_datetime(["2026-01-01"] * 2), "column `prompt_id` holds timestamp.*leave the column out"),
        (
            "model_id",
            ["lab/a", "lab/b"],
            "row 1: `model_id` is 'lab/a', .* leave the column out: LLMs are then ordered",
        ),
        ("model_id", [0, -1], "row 2: `model_id` is -1"),
        ("label", [[1], [0]], "column `label` holds list"),
        ("label", pd.to_timedelta([0, 1]), "column `label` holds duration"),
        ("prompt", [["a"], ["b"]], "column `prompt` holds list.*, expected text"),
        ("prompt", [b"a", b"b"], "column `prompt` holds binary, expected text"),
        ("model_name", [{"a": 1}] * 2, "column `model_name` holds struct.*, expected text"),
        ("category", [["a"], ["b"]], r"row 1: `category` is \['a'\], expected a text"),
        ("category", [b"a", b"b"], "row 1: `category` is b'a', expected a text"),
        ("category", ["a", "b\x1b[2J"], r"row 2: `category` is 'b\\x1b\[2J', with a sign that does not print"),
        ("prompt", ["a", "b\0"], r"row 2: `prompt` is 'b\\x00', with a NUL"),
        ("model_name", ["a", "b\x1b[2J"], r"row 2: `model_name`: the LLM's name 'b\\x1b\[2J' holds a sign"),
        ("model_name", ["a  b", "a b"], "`model_name`: 'a  b' and 'a b' look the same"),
    ],
)
def test_columns_of_other_kinds_are_refused_with_a_remedy(table, column, values, message):
    """Whatever the type, of a file as in memory, the line names the place; no tick of a clock becomes an id."""
    frame = long_frame([(1, "a", 1), (2, "b", 1)]).assign(**{column: values})
    with pytest.raises(ValueError, match=f"table.*{message}"):
        ResponseMatrix.from_pandas(frame)
    if table.suffix == ".parquet":
        with pytest.raises(ValueError, match=rf"train\.parquet.*{message}"):
            read(write(frame, table))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 5], ["0", "5"]),
        ([0.0, np.nan], ["0", "all"]),
        ([True, False], ["True", "False"]),
        (pd.Categorical([3, 4]), ["3", "4"]),
        ([" law\n", None], ["law", "all"]),
        (["", "e\u0301"], ["all", "\u00e9"]),
    ],
)
def test_categories_are_texts(table, values, expected):
    """A number is its text, also 0; nothing is `all`; spaces and the form of letters make no other category."""
    frame = long_frame([(1, "a", 1), (2, "b", 1)]).assign(category=values)
    assert ResponseMatrix.from_pandas(frame).categories.tolist() == expected
    if table.suffix == ".parquet":
        assert read(write(frame, table)).categories.tolist() == expected


def test_one_llm_has_one_name(table, caplog):
    """White space and the form of letters make no other LLM; upper case does, with a warning."""
    names = ["caf\u00e9", " cafe\u0301 ", "caf\u00e9\n", "Caf\u00e9"]
    responses = read(write(long_frame([(id_, name, 1) for id_, name in enumerate(names)]), table))
    assert responses.llm_names == ("Caf\u00e9", "caf\u00e9")
    assert (
        "1 names of LLMs differ in upper and lower case only, `Caf\u00e9` and `caf\u00e9` for instance" in caplog.text
    )
    with pytest.raises(TypeError, match="`llm_names` is one name, 'ab', expected a list"):
        read(table, llm_names="ab")


def test_one_text_has_one_id_however_it_is_written_down():
    """Line ends and outer white space make no other text under an id, nor another question without ids."""
    frame = long_frame([(1, "a", 1), (1, "b", 0)], prompt=["two\nlines", "two\r\nlines "])
    for table in (frame, frame.drop(columns="prompt_id")):
        responses = ResponseMatrix.from_pandas(table)
        assert responses.questions.tolist() == ["two\nlines"]
        assert responses.n_observed == 2


def test_counts_beyond_32_bits_are_kept():
    """Three thousand million answers are that many."""
    responses = ResponseMatrix.from_pandas(long_frame([(1, "a", 1), (1, "b", 0)], label_count=3_000_000_000))
    assert responses.counts.tolist() == [3_000_000_000] * 2
    assert responses.summary().n_rows == 6_000_000_000


@pytest.mark.parametrize("duplicates", ["mean", "last", "majority", "max"])
def test_repeats_are_merged_as_they_come(monkeypatch, duplicates):
    """Batch by batch or all at once, rows of a pair give one response, the same; and few entries wait."""
    generator = np.random.default_rng(0)
    rows = [(int(q), f"lab/{m}", float(y)) for q, m, y in generator.integers(0, (7, 5, 2), (4000, 3))]
    table = pa.Table.from_pandas(long_frame(rows))
    expected = ResponseMatrix.from_long(table, duplicates=duplicates).to_long()
    monkeypatch.setattr(long_table, "_MERGED_AT", 40)
    waiting = []
    merge = long_table._Entries.merged

    def watched(parts):
        waiting.append(sum(len(part.ids) for part in parts))
        return merge(parts)

    monkeypatch.setattr(long_table._Entries, "merged", watched)
    batches = table.to_batches(max_chunksize=20)
    found = ResponseMatrix.from_tables([("table", batches)], duplicates=duplicates)
    assert found.to_long().equals(expected)
    assert max(waiting) < 200


def test_what_is_no_table_is_refused():
    """With its type."""
    with pytest.raises(TypeError, match="`frame` is <class 'dict'>, expected a pandas frame"):
        ResponseMatrix.from_pandas({"prompt": ["a"]})
    with pytest.raises(TypeError, match=r"`table` is <class 'pandas.*DataFrame'>, expected a `pyarrow.Table`"):
        ResponseMatrix.from_long(make_frame(4))
    twice = pd.concat([make_frame(4), make_frame(4)[["label"]]], axis=1)
    with pytest.raises(ValueError, match="table: column `label` stands there more than once"):
        ResponseMatrix.from_pandas(twice)


def with_benchmarks(frame: pd.DataFrame) -> pd.DataFrame:
    """The pool's two categories as two benchmarks whose names their words would not give."""
    return frame.assign(
        benchmark=frame["category"].map({"logic": "leaderboard_bbh", "poetry": "leaderboard_gpqa"}),
        category=frame["category"].map({"logic": "leaderboard_a", "poetry": "leaderboard_b"}),
    )


TOLD = {"leaderboard_a": "leaderboard_bbh", "leaderboard_b": "leaderboard_gpqa"}


def test_the_benchmark_of_a_category_is_told(table):
    """It comes from the files, stays through selection, parts put together and tables, and is no guess from names."""
    frame = with_benchmarks(make_frame(12))
    responses = read(write(frame, table))
    assert responses.benchmark_of == TOLD
    assert responses.benchmarks == {name: (category,) for category, name in TOLD.items()}
    assert read(write(frame.drop(columns="benchmark"), table)).benchmarks == {"leaderboard": tuple(TOLD)}
    parts = [responses.select(np.arange(12) % 2 == part) for part in (0, 1)]
    assert parts[0].benchmarks == {"leaderboard_bbh": ("leaderboard_a",)}
    long = responses.to_long()
    for again in (
        ResponseMatrix.concat(parts),
        ResponseMatrix.from_long(long),
        ResponseMatrix.from_pandas(long.to_pandas()),
    ):
        assert again.benchmark_of == TOLD
        assert again.to_long().equals(long)
    mixed = replace(parts[0], benchmark_of={})
    assert ResponseMatrix.concat([mixed, parts[1]]).benchmark_of == TOLD
    with pytest.raises(ValueError, match=r"category `leaderboard_a` is of the benchmark `x` in part 1"):
        ResponseMatrix.concat([replace(parts[0], benchmark_of={"leaderboard_a": "x"}), parts[1]])


def test_some_categories_may_have_no_benchmark(table):
    """An empty cell tells none; a row with a benchmark and no category is of a category of that name."""
    frame = with_benchmarks(make_frame(12))
    frame.loc[frame["category"] == "leaderboard_a", "benchmark"] = ""
    frame.loc[frame["category"] == "leaderboard_b", "category"] = ""
    responses = read(write(frame, table))
    assert responses.benchmark_of == {"leaderboard_gpqa": "leaderboard_gpqa"}
    assert set(responses.categories) == {"leaderboard_a", "leaderboard_gpqa"}
    assert ResponseMatrix.from_long(responses.to_long()).benchmark_of == responses.benchmark_of
    bare = read(write(frame.drop(columns="category"), table))
    assert set(bare.categories) == {"all", "leaderboard_gpqa"}


@pytest.mark.parametrize("batch", [5, 10_000])
def test_a_second_benchmark_of_a_category_is_refused(batch):
    """The message names table, row, both benchmarks and the remedy, also where the question was met before."""
    frame = with_benchmarks(make_frame(12, hidden=0))
    frame.loc[40, "benchmark"] = "another"
    batches = pa.Table.from_pandas(frame).to_batches(max_chunksize=batch)
    expected = (
        r"train.csv, row 41: `benchmark` of the category 'leaderboard_a' is 'another' and was 'leaderboard_bbh', "
        r"expected one benchmark a category. Correct the row, or give each benchmark categories of its own."
    )
    with pytest.raises(ValueError, match=expected):
        ResponseMatrix.from_tables([("train.csv", batches)])
    with pytest.raises(ValueError, match=r"table, row 1: `benchmark` is 'a\\x07', with a sign that does not print"):
        ResponseMatrix.from_pandas(frame.assign(benchmark="a\a"))
