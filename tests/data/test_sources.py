"""Folders in the EmbedLLM layout, and the planted pool: their splits, and the order of the LLMs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedllm_hf import ResponseMatrix, load_responses
from embedllm_hf.data.origin import DataOrigin
from embedllm_hf.data.planted import planted_llms
from embedllm_hf.data.sources import load_questions, load_splits
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


def test_all_splits_come_with_one_call(tmp_path):
    """Each split is that of `load_responses`, the pool is one, and each part knows folder and split."""
    frames = {"train": make_frame(20), "val": make_frame(10, first_id=20), "test": make_frame(10, first_id=30)}
    folder = write_folder(tmp_path / "mine", **frames)
    data = load_splits(folder, duplicates="last")
    assert (data.id, data.revision, data.llm_names) == ("mine", None, LLMS)
    for name, split in data.items():
        assert split.to_long().equals(load_responses(folder, split=name, duplicates="last").to_long())
        assert split.origin == DataOrigin("mine", None, name)
        assert split.duplicates == "last"
    assert list(data) == ["train", "validation", "test"]
    assert data["val"] is data["dev"] is data.validation


def test_a_split_that_the_data_set_lacks_is_none(tmp_path):
    """A missing split is None as a field, and as an item the error that says which there are; one must be there."""
    data = load_splits(write_folder(tmp_path, test=make_frame(4), val=make_frame(4, first_id=10)))
    assert data.train is None
    assert list(data) == ["validation", "test"]
    assert "train" not in data
    with pytest.raises(FileNotFoundError, match=r"no table for the split `train` .* splits `test`, `validation`"):
        data["train"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty: no table for the split `train` .* no split was found at all"):
        load_splits(tmp_path / "empty")


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
    data = load_splits("planted")
    assert [split.n_questions for _, split in data.items()] == [640, 104, 200]
    assert (data.id, data.revision, data.llm_names) == ("planted", None, planted_llms())
    assert load_responses("planted", split="val").to_long().equals(data.validation.to_long())


def test_the_callers_pool_orders_the_planted_pool_too():
    """`llm_names` is not ignored for `planted`."""
    names = load_responses("planted", split="test").llm_names
    assert load_responses("planted", split="test", llm_names=names[::-1]).llm_names == names[::-1]
    assert load_splits("planted", llm_names=names[:3]).train.llm_names == names[:3]


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
        ("model_id,model_name\n0,lab/logic-a\n1", "ends within a line"),
        ("model_id,model_name\n0,lab/logic-a\n1\n", "line 3: 1 cells, but the header has 2"),
        ("model_id,model_name\n0,a\n0,b\n", "line 3: `model_id` is '0', expected a whole number of its own"),
        ("model_id,model_name\n0,a\n-1,b\n", "line 3: `model_id` is '-1', expected a whole number of its own"),
        ("model_id,model_name\n0,a\n1,a\x1b[2J\n", r"line 3: `model_name`: .*'a\\x1b\[2J' holds a sign"),
        ("model_id,model_name\n0,a b\n1,a  b\n", "'a b' and 'a  b' look the same"),
        ("model_id,model_id,model_name\n0,0,a\n", "`model_id` stands there more than once"),
        ("model_id,model_name\n0,a\n1,a\n", "`a` stands there more than once"),
    ],
)
def test_a_bad_order_file_is_refused(tmp_path, content, message):
    """Other columns, an empty or a cut file and repeated names are each said of `model_order.csv`."""
    write_folder(tmp_path, order=False, train=make_frame(4))
    (tmp_path / "model_order.csv").write_text(content)
    with pytest.raises(ValueError, match=rf"model_order\.csv.*{message}"):
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


# --- ids and texts over the splits ---


def without_ids(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns=["prompt_id", "model_id"])


def frames(*, overlap: int = 0) -> dict[str, pd.DataFrame]:
    """Three splits of 20, 10 and 10 questions; the last begin with texts of the first, under their own ids."""
    parts = {"train": make_frame(20), "val": make_frame(10, first_id=20), "test": make_frame(10, first_id=30)}
    for name, first_id in (("val", 20), ("test", 30)):
        known = parts[name]["prompt_id"] < first_id + overlap
        texts = parts[name].loc[known, "prompt_id"].map(lambda id_, first=first_id: f" {text_of(id_ - first)}\r\n")
        parts[name].loc[known, "prompt"] = texts
    return parts


def text_of(question: int) -> str:
    return make_frame(question + 1, hidden=0)["prompt"].iloc[-1]


def test_questions_without_ids_have_the_same_ids_wherever_they_are_read(tmp_path, caplog):
    """No id of one split is that of another's text: the splits together, each alone, and all questions agree."""
    tables = {name: without_ids(frame) for name, frame in frames().items()}
    folder = write_folder(tmp_path, order=False, **tables)
    data = load_splits(folder)
    ids, texts = load_questions(folder)
    assert len(ids) == len(set(texts)) == 40
    text_of_id = dict(zip(ids.tolist(), texts, strict=True))
    for name, split in data.items():
        assert load_responses(folder, split=name).to_long().equals(split.to_long())
        assert [text_of_id[id_] for id_ in split.question_ids.tolist()] == list(split.questions)
        assert list(split.questions) == list(dict.fromkeys(tables["val" if name == "validation" else name]["prompt"]))
    assert not caplog.records


def test_ids_that_begin_anew_in_each_split_are_not_used(tmp_path, caplog):
    """One id for two texts joins nothing: ids are made of the texts, and one line says so."""
    tables = frames()
    for frame in tables.values():
        frame["prompt_id"] -= frame["prompt_id"].min()
    folder = write_folder(tmp_path, **tables)
    data = load_splits(folder)
    assert {split.n_questions for _, split in data.items()} == {20, 10}
    assert len({id_ for _, split in data.items() for id_ in split.question_ids.tolist()}) == 40
    assert len(load_questions(folder)[0]) == 40
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "`prompt_id` 0 stands for different texts in different splits, so the column is not used" in caplog.text
    assert data.train.n_observed == load_responses(folder, split="train").n_observed


def test_texts_that_stand_in_a_split_before_are_left_out_and_counted(tmp_path, caplog):
    """Whatever their ids and line ends; training keeps all, each later split counts them, and one line does."""
    folder = write_folder(tmp_path, **frames(overlap=3))
    data = load_splits(folder)
    assert [split.n_questions for _, split in data.items()] == [20, 7, 7]
    assert [split.summary().n_left_out for _, split in data.items()] == [0, 3, 3]
    assert "3 questions left out, seen elsewhere" in str(data.test.summary())
    assert not set(data.test.keys) & set(data.train.keys)
    (record,) = caplog.records
    assert "left out 3 of 10 questions of the split `validation` and 3 of 10 questions of the split `test`" in (
        record.getMessage()
    )
    assert len(load_questions(folder)[0]) == 40  # each has a vector, also those


def test_a_split_of_known_texts_only_is_none(tmp_path, caplog):
    """A copy of the training split can choose nothing and measure nothing; of two others the first counts."""
    part = make_frame(10, first_id=20)
    data = load_splits(write_folder(tmp_path, train=make_frame(20), val=make_frame(12), test=part))
    assert list(data) == ["train", "test"]
    assert "left out 12 of 12 questions of the split `validation`" in caplog.text
    assert list(load_splits(write_folder(tmp_path, val=part, test=part))) == ["train", "validation"]


# --- which tables ---


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train.csv", "data/train.csv"], "split `train` stands in several tables, `data/train.csv`, `train.csv`"),
        (["train.csv", "train-00000-of-00001.csv"], "stands in several tables"),
        (["train-00000-of-00001.csv", "train-00000-of-00002.csv", "train-00001-of-00002.csv"], "several tables"),
        (["train.csv", "training.csv"], "stands in several tables, `train.csv`, `training.csv`"),
        (["train-00000-of-00003.csv", "train-00002-of-00003.csv"], "split `train` has 2 of 3 shards"),
    ],
)
def test_rows_count_once_and_no_shard_is_missing(tmp_path, files, message):
    """A table in two places would count twice, and one in pieces of which some are gone is not whole."""
    for name in files:
        write_table(tmp_path / name, make_frame(4))
    with pytest.raises(ValueError, match=message):
        load_splits(tmp_path)


@pytest.mark.parametrize("split", ["*", "tr*", "[a-z]*", "../pool/train", ""])
def test_the_name_of_a_split_is_no_pattern(tmp_path, split):
    """It names one split, not all that fit."""
    folder = write_folder(tmp_path / "pool", train=make_frame(4), test=make_frame(4, first_id=4))
    with pytest.raises(FileNotFoundError, match="no table for the split"):
        load_responses(folder, split=split)


def test_splits_agree_on_benchmarks(tmp_path):
    """What one split tells of a category is so in all; two that tell different things are refused."""
    frames = [make_frame(10), make_frame(6, first_id=10)]
    told = frames[0].assign(benchmark=frames[0]["category"].map({"logic": "suite", "poetry": "suite"}))
    folder = write_folder(tmp_path / "mine", train=told, test=frames[1])
    data = load_splits(folder)
    assert data.train.benchmarks == data.test.benchmarks == {"suite": ("logic", "poetry")}
    write_folder(folder, test=frames[1].assign(benchmark="another"))
    expected = (
        r"category `poetry` is of the benchmark `suite` in the split `train` of mine and of `another` in the split"
    )
    with pytest.raises(ValueError, match=expected.replace("poetry", "(poetry|logic)")):
        load_splits(folder)
