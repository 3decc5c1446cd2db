"""CSV and Parquet tables of responses: odd texts, streaming, damage."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedllm_hf import ResponseMatrix
from embedllm_hf.data import long_table as reading
from embedllm_hf.data.long_table import collect_responses, iterate_file
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
    return collect_responses(iterate_file(path), path.name, **options)


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
    """Without id, category and LLM id, texts are numbered by first appearance and in one category."""
    frame = make_frame(6)
    responses = read(write(frame[["prompt", "model_name", "label"]], table))
    assert list(responses.questions) == list(dict.fromkeys(frame["prompt"]))
    assert list(responses.question_ids) == [0, 1, 2, 3, 4, 5]
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


# --- streaming ---


def test_several_batches_give_the_same_as_one(tmp_path, monkeypatch):
    """Blocks of CSV, row groups of Parquet and batches in memory add up to the same matrix."""
    frame = pd.concat([make_frame(60), make_frame(60, seed=1)])  # the second half repeats and contradicts
    expected = ResponseMatrix.from_pandas(frame)
    assert expected.summary().n_contradictions > 0
    csv, parquet = write(frame, tmp_path / "t.csv"), write(frame, tmp_path / "t.parquet", row_group_size=37)
    monkeypatch.setattr(reading, "_CSV_BLOCK_BYTES", 1000)
    assert len(list(iterate_file(csv))) > 10
    assert read(csv).to_long().equals(expected.to_long())
    assert read(parquet).to_long().equals(expected.to_long())
    batches = pa.Table.from_pandas(frame, preserve_index=False).to_batches(max_chunksize=7)
    assert collect_responses(batches, "table").to_long().equals(expected.to_long())


def test_texts_without_ids_are_numbered_alike_in_one_batch_and_in_many(tmp_path, monkeypatch):
    """First appearance counts over the whole table, whatever the blocks and dictionaries of the file."""
    frame = make_frame(40)[["prompt", "model_name", "label"]].sample(frac=1, random_state=0)
    expected = ResponseMatrix.from_pandas(frame).to_long()
    monkeypatch.setattr(reading, "_CSV_BLOCK_BYTES", 500)
    assert read(write(frame, tmp_path / "t.csv")).to_long().equals(expected)
    assert read(write(frame, tmp_path / "t.parquet", row_group_size=11)).to_long().equals(expected)


def test_the_first_graded_label_may_come_late(tmp_path, monkeypatch):
    """A first block of 0 and 1 does not decide that labels are whole numbers."""
    frame = make_frame(60)
    frame["label"] = ["1"] * (len(frame) - 1) + ["0.5"]
    monkeypatch.setattr(reading, "_CSV_BLOCK_BYTES", 500)
    assert read(write(frame, tmp_path / "t.csv")).values.min() == 0.5


def test_a_text_is_kept_once_however_many_llms_answered(table):
    """A 1 MB prompt answered by 60 LLMs does not take 60 MB of Arrow memory, batch by batch."""
    frame = pd.DataFrame({"prompt": "x" * 1_000_000, "model_name": [f"m{i}" for i in range(60)], "label": 1})
    write(frame, table)
    before = pa.total_allocated_bytes()
    batches = list(iterate_file(table))
    assert sum(batch.num_rows for batch in batches) == 60
    for _ in range(100):  # Arrow's threads, which read ahead, give their buffers back a little later
        if pa.total_allocated_bytes() - before < 30_000_000:
            return
        time.sleep(0.1)
    pytest.fail(f"{pa.total_allocated_bytes() - before:,} bytes are held")


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
    monkeypatch.setattr(reading, "_CSV_BLOCK_BYTES", 500)
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


@pytest.mark.parametrize("count", [0, -1, 0.5])
def test_a_count_that_is_no_number_of_rows_is_refused(count):
    """A row stands for one row or more; anything else would make a response of nothing."""
    with pytest.raises(ValueError, match=r"table, row 2: `count` is .*expected a whole number"):
        ResponseMatrix.from_pandas(make_frame(2, hidden=0).iloc[:2].assign(count=[1, count]))


# --- damaged files ---


def test_a_table_without_rows_is_refused(table):
    """A header alone is an empty split."""
    with pytest.raises(ValueError, match=rf"{table.name}: no rows, expected one row a response. Is the split empty\?"):
        read(write(make_frame(4).iloc[:0], table))


def test_an_empty_file_is_refused(table):
    """Nothing at all is no table."""
    table.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{table.name}: cannot be read as .*Fetch or write it again"):
        read(table)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_parquet_file_is_refused(tmp_path, kept):
    """A Parquet file cut anywhere is named, with the remedy."""
    path = write(make_frame(100), tmp_path / "train.parquet")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ValueError, match=r"train\.parquet: cannot be read as parquet .*Is the file cut off"):
        read(path)


def test_a_parquet_file_with_a_damaged_page_is_refused(tmp_path):
    """Bytes overwritten in the middle, header and footer whole, do not pass."""
    path = write(make_frame(400), tmp_path / "train.parquet")
    content = bytearray(path.read_bytes())
    start = content.find(b"A logic question")  # in the prompts' dictionary page
    content[4 : max(start, 200)] = b"\xff" * (max(start, 200) - 4)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"train\.parquet: cannot be read as parquet"):
        read(path)


@pytest.mark.parametrize("rest", ["2,a", "2,a\n", "2,a,1,a whole wo"])
def test_a_csv_cut_in_the_middle_of_a_row_is_refused(tmp_path, rest):
    """A last row with too few cells, or without its line break, is a file cut off: half a cell is not a whole one."""
    path = tmp_path / "train.csv"
    path.write_text("prompt_id,model_name,label,prompt\n1,a,1,what?\n1,b,0,what?\n" + rest)
    with pytest.raises(ValueError, match=r"train\.csv: .*cut off.* again"):
        read(path)


@pytest.mark.parametrize(
    "content",
    [
        'prompt_id,model_name,prompt,label\n1,a,"what,\nnow?",1\n2,a,"and\nth',
        'prompt_id,model_name,label,prompt\n1,a,1,"what,\nnow?"\n2,a,1,"and\nth',
        'prompt_id,model_name,label,prompt\n1,a,1,"what,\nnow?"\n2,a,1,"and ""th""',
        'prompt_id,model_name,prompt,label\n1,a,"what,\nnow?",1\n2,a,"and\n',
        'prompt_id,model_name,label,prompt\n1,a,1,"what,\nnow?"\n2,a,1,"and\n',
    ],
    ids=["in a line", "last column", "after a doubled quote", "at a line's end", "last column, at a line's end"],
)
def test_a_csv_cut_inside_a_quoted_prompt_is_refused(tmp_path, content):
    """Half a prompt is not taken for a whole one, wherever its column stands and wherever in it the file ends."""
    path = tmp_path / "train.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"train\.csv.*cut off"):
        read(path)


def test_a_csv_in_another_encoding_is_refused(tmp_path):
    """Latin-1 is not read as if it were UTF-8."""
    path = tmp_path / "train.csv"
    path.write_bytes("prompt,model_name,label\ncafé?,a,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"train\.csv: cannot be read as csv .*UTF8"):
        read(path)


def test_a_file_that_is_not_there_is_no_damaged_file(tmp_path):
    """A missing file stays a `FileNotFoundError`."""
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read(tmp_path / "none.csv")


def test_the_fixed_pool_of_a_file_is_kept(table):
    """`llm_names` gives the columns, LLMs without a row included."""
    frame = make_frame(10)
    write(frame[frame["model_name"] != LLMS[2]], table)
    responses = read(table, llm_names=LLMS)
    assert responses.llm_names == LLMS
    assert not responses.observed()[:, 2].any()
    assert responses.observed()[:, 3].any()
