"""Files of the layout: which of them make a split, streaming, and damage."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from embedllm_hf import ResponseMatrix
from embedllm_hf.data.files import iterate_file, order_table, read_order, split_files, split_name
from embedllm_hf.data.rows import read_rows
from tests.pool import make_frame


def read(path: Path) -> ResponseMatrix:
    return ResponseMatrix.from_tables([(path.name, iterate_file(path))])


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table as its suffix says."""
    if path.suffix == ".csv":
        path.write_bytes(frame.to_csv(index=False).encode())
    else:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    return path


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path) -> Path:
    """Where a table of either format may go."""
    return tmp_path / f"train.{request.param}"


# --- which files make a split ---


@pytest.mark.parametrize(
    ("files", "split", "expected"),
    [
        (["train.csv", "test.csv"], "train", ["train.csv"]),
        (["val.csv"], "validation", ["val.csv"]),
        (["validation.parquet"], "val", ["validation.parquet"]),
        (["dev.csv"], "val", ["dev.csv"]),
        (["train.csv", "train.parquet"], "train", ["train.parquet"]),
        (["data/train-1-of-2.parquet", "data/train-0-of-2.parquet", "data/test-0-of-1.parquet"], "train",
         ["data/train-0-of-2.parquet", "data/train-1-of-2.parquet"]),
        (["train_extra.csv", "my_train.csv", "other/train.csv", "train.csv.gz", "Train.csv"], "train", []),
        (["rare.csv", "train.csv"], "rare", ["rare.csv"]),
        (["model_order.csv", "question_order.csv"], "train", []),
        ([], "test", []),
    ],
)  # fmt: skip
def test_split_files_takes_the_tables_of_the_split_and_no_others(files, split, expected):
    """Names, aliases, shards in order, Parquet rather than CSV; look-alikes are left out."""
    assert split_files(files, split) == expected


def test_aliases_are_one_split():
    """`val`, `valid` and `dev` are `validation`; an unknown name stays what it is."""
    assert {split_name(alias) for alias in ("val", "valid", "dev", "validation")} == {"validation"}
    assert split_name("training") == "train"
    assert split_name("rare") == "rare"


# --- streaming ---


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
    with pytest.raises(ValueError, match=r"train\.csv.*cut off.* again"):
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
    with pytest.raises(ValueError, match=r"train\.csv.*cannot be read as csv .*UTF-8"):
        read(path)


def test_a_file_that_is_not_there_is_no_damaged_file(tmp_path):
    """A missing file stays a `FileNotFoundError`."""
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read(tmp_path / "none.csv")


# --- what other programs write ---


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_another_encoding_is_named(tmp_path, encoding):
    """What Windows shells write, with and without a mark of the byte order."""
    (tmp_path / "t.csv").write_bytes(make_frame(4).to_csv(index=False).encode(encoding))
    with pytest.raises(ValueError, match=r"t\.csv: not UTF-8, but UTF-16 by its looks. Save the file as UTF-8"):
        read(tmp_path / "t.csv")


def test_old_line_ends_are_read(tmp_path):
    """Lines may end with a carriage return alone."""
    (tmp_path / "t.csv").write_bytes(make_frame(6).to_csv(index=False, lineterminator="\r").encode())
    assert read(tmp_path / "t.csv").to_long().equals(ResponseMatrix.from_pandas(make_frame(6)).to_long())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("p\u00e9,a,1", "row 3: invalid UTF8, save the file as UTF-8"),
        ("p,a", "row 3: 2 cells, but the header has 3 columns"),
        ("p, with a comma,a,1", "row 3: 4 cells, but the header has 3 columns"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path, row, message):
    """With its number, behind a text of several lines."""
    (tmp_path / "t.csv").write_text(f'prompt,model_name,label\n"a\nb",a,1\nb,a,0\n{row}\n', encoding="latin-1")
    with pytest.raises(ValueError, match=rf"t\.csv: cannot be read as csv .{message}"):
        read(tmp_path / "t.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_header_that_is_no_text_is_refused(tmp_path, suffix):
    """Names of columns in another encoding are no traceback."""
    path = write(make_frame(4).assign(note="x"), tmp_path / f"t.{suffix}")
    path.write_bytes(path.read_bytes().replace(b"note", b"n\xffte"))
    with pytest.raises(ValueError, match=rf"t\.{suffix}: cannot be read as {suffix}"):
        read(path)


@pytest.mark.parametrize("name", ["prompt", "label", "prompt_id"])
def test_a_column_that_stands_twice_is_named(tmp_path, name):
    """Which of the two is meant, nobody knows."""
    frame = make_frame(4).rename(columns={"category": name})
    with pytest.raises(ValueError, match=rf"t\.csv: column `{name}` stands there more than once"):
        read(write(frame, tmp_path / "t.csv"))


def test_text_that_is_no_text_is_refused(tmp_path):
    """Bytes that are no UTF-8 under a text's type are damage, not a traceback."""
    offsets, content = pa.py_buffer(np.array([0, 2, 4], np.int32)), pa.py_buffer(b"\xff\xfeok")
    prompts = pa.Array.from_buffers(pa.string(), 2, [None, offsets, content])
    pq.write_table(pa.table({"prompt": prompts, "model_name": ["a", "b"], "label": [1, 0]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t\.parquet, rows 1 to 2: damaged"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize("texts", [["x" * 30_000_000], ["z" * 900_000 + str(number) for number in range(300)]])
def test_a_small_file_does_not_unpack_into_much_memory(tmp_path, texts):
    """The footer says what a column unpacks to, before it is unpacked."""
    table = pa.table({"prompt": texts, "model_name": ["a"] * len(texts), "label": [1] * len(texts)})
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
    assert (tmp_path / "t.parquet").stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"t\.parquet: [0-9]+ rows unpack from .* to [0-9,]{10,} bytes"):
        read(tmp_path / "t.parquet")


def test_an_order_file_holds_no_formula(tmp_path):
    """A name that a spreadsheet would compute stands behind a quotation mark there, and reads back as it is."""
    names = ["=cmd|' /C calc'!A0", "+1", "-x", "@cf/meta", "'plain", "lab/a"]
    pa_csv.write_csv(order_table(names), tmp_path / "model_order.csv")
    cells = [row.cells["model_name"] for row in read_rows(tmp_path / "model_order.csv")]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert read_order(tmp_path / "model_order.csv") == names
