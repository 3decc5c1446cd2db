"""Folders and Hub data sets in the EmbedLLM layout: which files make a split, and the order of the LLMs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedllm_hf import ResponseMatrix, load_responses
from embedllm_hf.data.sources import available_splits, dataset_revision, split_files, split_name
from tests.pool import LLMS, make_frame

ABSENT = LLMS[2]  # the LLM that the test split lacks, in the middle of the order


def write_table(path: Path, frame: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        path.write_bytes(frame.to_csv(index=False).encode())
    else:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)


def write_folder(folder: Path, suffix: str = "csv", *, order: bool = True, **frames: pd.DataFrame) -> Path:
    """Tables by split, and `model_order.csv` unless told otherwise."""
    for split, frame in frames.items():
        write_table(folder / f"{split}.{suffix}", frame)
    if order:
        write_table(folder / "model_order.csv", pd.DataFrame({"model_id": range(len(LLMS)), "model_name": LLMS}))
    return folder


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


def test_available_splits_are_those_with_tables(tmp_path):
    """Splits are found by their files, in the order train, validation, test; the planted pool has all three."""
    write_folder(tmp_path, test=make_frame(4), val=make_frame(4))
    assert available_splits(str(tmp_path)) == ["validation", "test"]
    assert available_splits("planted") == ["train", "validation", "test"]


# --- folders ---


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_folder_gives_the_rows_of_the_split_asked_for(tmp_path, suffix):
    """Each split of a folder is its own table, whatever the format; a `Path` is as good as a `str`."""
    frames = {"train": make_frame(20), "val": make_frame(10, first_id=20), "test": make_frame(10, first_id=30)}
    write_folder(tmp_path, suffix, **frames)
    for split, frame in frames.items():
        expected = ResponseMatrix.from_pandas(frame, llm_names=LLMS).to_long()
        assert load_responses(tmp_path, split=split).to_long().equals(expected)
        assert load_responses(str(tmp_path), split=split).to_long().equals(expected)
    assert (
        load_responses(tmp_path, split="validation").to_long().equals(load_responses(tmp_path, split="val").to_long())
    )


def test_shards_are_one_table(tmp_path):
    """Shards in `data/` add up, also where a question's rows are in two of them."""
    frame = make_frame(20)
    write_table(tmp_path / "data" / "train-00000-of-00002.parquet", frame.iloc[:31])
    write_table(tmp_path / "data" / "train-00001-of-00002.parquet", frame.iloc[31:])
    expected = ResponseMatrix.from_pandas(frame).to_long()
    assert load_responses(tmp_path, split="train").to_long().equals(expected)


def test_the_rule_for_repeats_reaches_the_table(tmp_path):
    """`duplicates` decides what repeated rows of a file become."""
    frame = make_frame(10, hidden=0)
    write_folder(tmp_path, train=pd.concat([frame.assign(label=1), frame.assign(label=0)]))
    for rule, value in (("mean", 0.5), ("last", 0), ("majority", 0), ("max", 1)):
        assert set(load_responses(tmp_path, split="train", duplicates=rule).values) == {value}


@pytest.mark.parametrize("with_ids", [True, False], ids=["model_id", "no model_id"])
@pytest.mark.parametrize("order", [True, False], ids=["model_order.csv", "no order file"])
def test_an_llm_absent_from_one_split_shifts_nothing(tmp_path, order, with_ids):
    """Every split has the same columns; the absent LLM's is empty, and all others keep their responses."""
    train, test = make_frame(20), make_frame(20, first_id=20)
    lacking = test[test["model_name"] != ABSENT].copy()
    # As the original does: ids are ranked anew in the split, so that those behind the absent LLM are off by one.
    lacking["model_id"] -= (lacking["model_id"] > LLMS.index(ABSENT)).astype(int)
    columns = [name for name in train.columns if with_ids or name != "model_id"]
    write_folder(tmp_path, order=order, train=train[columns], test=lacking[columns])
    loaded = {split: load_responses(tmp_path, split=split) for split in ("train", "test")}
    assert loaded["train"].llm_names == loaded["test"].llm_names == LLMS
    assert not loaded["test"].observed()[:, LLMS.index(ABSENT)].any()
    whole = ResponseMatrix.from_pandas(test, llm_names=LLMS).responses()
    whole[:, LLMS.index(ABSENT)] = np.nan
    np.testing.assert_array_equal(loaded["test"].responses(), whole)


def test_an_llm_absent_from_train_has_its_column_there_too(tmp_path):
    """Without an order file the pool is the LLMs of all splits, whichever is loaded."""
    train = make_frame(20)
    write_folder(tmp_path, order=False, train=train[train["model_name"] != ABSENT], test=make_frame(20, first_id=20))
    assert load_responses(tmp_path, split="train").llm_names == LLMS


def test_the_order_file_decides_by_id_and_not_by_line(tmp_path):
    """Lines of `model_order.csv` may stand in any order: its `model_id` counts."""
    write_folder(tmp_path, order=False, train=make_frame(10).drop(columns="model_id"))
    order = pd.DataFrame({"model_name": LLMS, "model_id": [3, 1, 2, 0, 5, 4]})
    order.to_csv(tmp_path / "model_order.csv", index=False)
    names = load_responses(tmp_path, split="train").llm_names
    assert names == (LLMS[3], LLMS[1], LLMS[2], LLMS[0], LLMS[5], LLMS[4])


def test_the_order_file_takes_names_as_text(tmp_path):
    """LLMs called `007` and `10` are not turned into numbers."""
    (tmp_path / "model_order.csv").write_text("model_id,model_name\n0,10\n1,007\n")
    (tmp_path / "train.csv").write_text("prompt,model_name,label\np,007,1\np,10,0\n")
    assert load_responses(tmp_path, split="train").llm_names == ("10", "007")


def test_a_split_of_another_name_brings_its_llms(tmp_path):
    """Without an order file, the LLMs of the split asked for are in the pool, whatever the split is called."""
    write_folder(tmp_path, order=False, rare=make_frame(10))
    assert load_responses(tmp_path, split="rare").llm_names == LLMS


def test_the_callers_pool_overrules_the_order_file(tmp_path):
    """`llm_names` gives columns and order, a trained model's for instance."""
    write_folder(tmp_path, train=make_frame(10))
    assert load_responses(tmp_path, split="train", llm_names=LLMS[::-1]).llm_names == LLMS[::-1]


def test_the_planted_pool_needs_no_files(tmp_path, monkeypatch):
    """`planted` is made by the package, under every alias of a split."""
    monkeypatch.chdir(tmp_path)
    assert load_responses("planted", split="val").n_questions == 104
    assert dataset_revision("planted") is None


def test_the_callers_pool_orders_the_planted_pool_too():
    """`llm_names` is not ignored for `planted`."""
    names = load_responses("planted", split="test").llm_names
    assert load_responses("planted", split="test", llm_names=names[::-1]).llm_names == names[::-1]


# --- what is refused ---


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path):
    """The message has the split, the file names expected and the splits found."""
    write_folder(tmp_path, train=make_frame(4), val=make_frame(4))
    message = r"no table for the split `test` \(expected `test.parquet` or `test.csv`\); .*`train`, `validation`"
    with pytest.raises(FileNotFoundError, match=message):
        load_responses(tmp_path, split="test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no split was found at all"):
        load_responses(tmp_path / "empty", split="test")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere`: no such folder. Give a folder with train.parquet"),
        ("train.csv", "train.csv` is a file, expected the folder that it is in"),
    ],
)
def test_a_folder_that_is_not_there_is_named(tmp_path, name, message):
    """A path without a folder, also that of a file in one, is no Hub id: nothing is asked of the network."""
    write_folder(tmp_path, train=make_frame(4))
    with pytest.raises(FileNotFoundError, match=message):
        load_responses(tmp_path / name, split="train")


def test_an_llm_that_the_order_file_lacks_is_named_with_its_row(tmp_path):
    """A row of an LLM outside `model_order.csv` is refused with file, row and name."""
    frame = make_frame(4, hidden=0)
    frame.loc[7, "model_name"] = "lab/unlisted"
    write_folder(tmp_path, train=frame)
    with pytest.raises(ValueError, match=r"train\.csv, row 8: `model_name` is 'lab/unlisted', .*not in the pool"):
        load_responses(tmp_path, split="train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,name\n0,a\n", "expected the columns `model_id` and `model_name`"),
        ("", "expected the columns `model_id` and `model_name`"),
        ("model_id,model_name\n0,lab/logic-a\n1", "expected the columns `model_id` and `model_name`"),
        ("model_id,model_name\n0,a\n1,a\n", "`a` stands there more than once"),
    ],
)
def test_a_bad_order_file_is_refused(tmp_path, content, message):
    """Other columns, an empty or a cut file and repeated names are each said of `model_order.csv`."""
    write_folder(tmp_path, order=False, train=make_frame(4))
    (tmp_path / "model_order.csv").write_text(content)
    with pytest.raises(ValueError, match=rf"model_order\.csv: .*{message}"):
        load_responses(tmp_path, split="train")


@pytest.mark.parametrize("order", [True, False], ids=["model_order.csv", "no order file"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_llm_without_a_name_is_refused_in_a_folder_too(tmp_path, suffix, order):
    """An empty name, which is null in Parquet, is a bad row and not a nameless LLM."""
    frame = make_frame(4, hidden=0)
    frame.loc[7, "model_name"] = None
    write_folder(tmp_path, suffix, order=order, train=frame)
    with pytest.raises(ValueError, match=rf"train\.{suffix}, row 8: `model_name` is empty"):
        load_responses(tmp_path, split="train")


def test_a_bad_row_of_a_later_shard_is_named_with_that_shard(tmp_path):
    """File and row are those where the row stands, not the first shard's."""
    frame = make_frame(10, hidden=0).astype({"label": float})
    frame.loc[33, "label"] = 3
    write_table(tmp_path / "train-00000-of-00002.parquet", frame.iloc[:30])
    write_table(tmp_path / "train-00001-of-00002.parquet", frame.iloc[30:])
    with pytest.raises(ValueError, match=r"train-00001-of-00002\.parquet, row 4: `label` is 3"):
        load_responses(tmp_path, split="train")


def test_a_damaged_split_is_named_with_its_file(tmp_path):
    """A truncated table is refused by its name."""
    write_folder(tmp_path, "parquet", train=make_frame(40))
    path = tmp_path / "train.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"train\.parquet: cannot be read as parquet"):
        load_responses(tmp_path, split="train")


# --- the Hub ---


def hub_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_hub_data_set_gives_what_its_folder_gives_and_fetches_no_other_split(hub, tmp_path):
    """Only the split's table and the order of the LLMs are downloaded; the commit is known for the report."""
    folder = write_folder(tmp_path, train=make_frame(20), test=make_frame(10, first_id=20))
    repo = hub.create_repo("user/layout", hub_files(folder), type="dataset")
    loaded = load_responses("user/layout", split="test")
    assert loaded.to_long().equals(load_responses(folder, split="test").to_long())
    assert hub.seen(r"GET .*/resolve/.*test\.csv")
    assert not hub.seen(r"GET .*/resolve/.*train\.csv")
    assert dataset_revision("user/layout") == repo.resolve().oid
    assert available_splits("user/layout") == ["train", "test"]


def test_a_revision_is_the_data_of_that_commit(hub, tmp_path):
    """An older commit gives its own responses after the data set has changed."""
    folder = write_folder(tmp_path, train=make_frame(10))
    repo = hub.create_repo("user/revised", hub_files(folder), type="dataset")
    first = repo.resolve().oid
    repo.commit({"train.csv": make_frame(30).to_csv(index=False).encode()})
    assert load_responses("user/revised", split="train", revision=first).n_questions == 10
    assert load_responses("user/revised", split="train").n_questions == 30


def test_without_an_order_file_the_hub_gives_the_llms_of_all_splits(hub, tmp_path):
    """The absent LLM keeps its column, as in a folder."""
    test = make_frame(10, first_id=20)
    folder = write_folder(tmp_path, order=False, train=make_frame(20), test=test[test["model_name"] != ABSENT])
    hub.create_repo("user/unordered", hub_files(folder), type="dataset")
    assert dataset_revision("user/unordered")
    assert not hub.seen(r"GET .*/resolve/")
    assert load_responses("user/unordered", split="test").llm_names == LLMS
