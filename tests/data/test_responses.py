"""`ResponseMatrix`: building, duplicate rules, selection, long form, and what it refuses."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from embedllm_hf import ResponseMatrix
from embedllm_hf.data.origin import DataOrigin
from embedllm_hf.data.responses import check_pool
from embedllm_hf.data.texts import text_id
from tests.pool import LLMS, make_frame, make_split

# Repeats: (1, a) is 1 0 0, (1, b) is 1 1, (2, a) is 0 1, (2, b) is 0.25 0.75 1; one row of question 3.
REPEATED = [
    (1, "a", 1), (2, "b", 0.25), (1, "b", 1), (2, "a", 0), (1, "a", 0),
    (2, "b", 0.75), (1, "b", 1), (1, "a", 0), (2, "a", 1), (2, "b", 1), (3, "a", 0.5),
]  # fmt: skip


def long_frame(rows, **columns) -> pd.DataFrame:
    """Rows `(prompt_id, model_name, label)` with texts, and columns to add or replace."""
    frame = pd.DataFrame(rows, columns=["prompt_id", "model_name", "label"])
    frame["prompt"] = [f"question {question}" for question in frame["prompt_id"]]
    return frame.assign(**columns)


@pytest.fixture
def small() -> ResponseMatrix:
    """3 questions x 2 LLMs, one pair missing."""
    return ResponseMatrix.from_pandas(long_frame(REPEATED))


# --- building ---


def test_pairs_land_in_their_cells_and_the_rest_is_missing():
    """Rows in any order fill the matrix by question id and LLM name; a pair without a row stays NaN."""
    rows = [(7, "b", 1), (3, "a", 1), (7, "a", 0), (5, "b", 0)]
    responses = ResponseMatrix.from_pandas(long_frame(rows))
    assert list(responses.question_ids) == [3, 5, 7]
    assert list(responses.questions) == ["question 3", "question 5", "question 7"]
    assert responses.llm_names == ("a", "b")
    np.testing.assert_array_equal(responses.responses(), [[1, np.nan], [np.nan, 0], [0, 1]])
    np.testing.assert_array_equal(responses.observed(), [[True, False], [False, True], [True, True]])
    np.testing.assert_array_equal(responses.responses(fill=-1), [[1, -1], [-1, 0], [0, 1]])
    assert (responses.n_questions, responses.n_llms, responses.n_observed) == (3, 2, 4)


def test_the_matrix_equals_a_pivot_of_the_table():
    """On the planted pool the dense view equals pandas' own pivot, in rows, columns and gaps."""
    frame = make_frame(40)
    responses = ResponseMatrix.from_pandas(frame)
    pivot = frame.pivot_table(index="prompt_id", columns="model_id", values="label")
    np.testing.assert_array_equal(responses.responses(), pivot.to_numpy().astype(np.float32))
    assert responses.llm_names == LLMS


def test_the_order_of_rows_does_not_matter():
    """A shuffled table makes the same matrix."""
    frame = make_frame(20)
    shuffled = ResponseMatrix.from_pandas(frame.sample(frac=1, random_state=0))
    assert shuffled.to_long().equals(ResponseMatrix.from_pandas(frame).to_long())


def test_llms_are_ordered_by_id_or_by_name_or_as_told():
    """`model_id` gives the columns' order; without it the name does; `llm_names` overrules both and may name more."""
    rows = [(1, "b", 1), (1, "a", 0)]
    assert ResponseMatrix.from_pandas(long_frame(rows, model_id=[4, 9])).llm_names == ("b", "a")
    assert ResponseMatrix.from_pandas(long_frame(rows)).llm_names == ("a", "b")
    told = ResponseMatrix.from_pandas(long_frame(rows), llm_names=["c", "b", "a"])
    assert told.llm_names == ("c", "b", "a")
    np.testing.assert_array_equal(told.responses(), [[np.nan, 1, 0]])


def test_questions_without_ids_are_told_apart_by_their_texts():
    """Without `prompt_id`, equal texts are one question, in the table's order; the id is that of the text anywhere."""
    frame = pd.DataFrame({"prompt": ["z", "b", "z"], "model_name": ["a", "a", "b"], "label": [1, 0, 1]})
    for prompts in (frame["prompt"], pd.Categorical(frame["prompt"], categories=["b", "unused", "z"])):
        responses = ResponseMatrix.from_pandas(frame.assign(prompt=prompts))
        assert list(responses.question_ids) == [text_id("z"), text_id(" b\r\n")]
        assert list(responses.questions) == ["z", "b"]


def test_two_ids_may_share_a_text():
    """Ids tell questions apart, not texts."""
    responses = ResponseMatrix.from_pandas(long_frame([(1, "a", 1), (2, "a", 0)], prompt="same"))
    np.testing.assert_array_equal(responses.responses(), [[1], [0]])


def test_a_dictionary_that_repeats_a_text_is_read_by_its_texts():
    """Texts decide in a dictionary column too: two codes for one text are one question, with an id and without."""
    prompts = pa.DictionaryArray.from_arrays([0, 1, 2], ["same", "same", "other"])
    table = pa.table({"prompt": prompts, "model_name": ["a", "b", "a"], "label": [1, 0, 1]})
    for long in (table, table.append_column("prompt_id", pa.array([0, 0, 1]))):
        np.testing.assert_array_equal(ResponseMatrix.from_long(long).responses(), [[1, 0], [1, np.nan]])


def test_ids_beyond_the_whole_numbers_of_a_float_stay_apart():
    """Neighbouring 64-bit ids, hashes for instance, are two questions."""
    ids = np.array([2**62 + 1, 2**62 + 2])
    responses = ResponseMatrix.from_pandas(long_frame([(1, "a", 1), (2, "a", 0)]).assign(prompt_id=ids))
    assert list(responses.question_ids) == list(ids)


def test_missing_categories_become_one():
    """Without a category a question is in `all`; an empty one too."""
    frame = long_frame([(1, "a", 1), (2, "a", 1), (3, "a", 1)])
    assert list(ResponseMatrix.from_pandas(frame).categories) == ["all"] * 3
    assert list(ResponseMatrix.from_pandas(frame.assign(category=["x", "", None])).categories) == ["x", "all", "all"]


def test_labels_may_be_booleans_or_graded_or_digits_in_text():
    """True, 0.25 and "1" are numbers in [0, 1]; graded values are kept to float32."""
    rows = [(1, "a", None), (2, "a", None)]
    for labels, expected in (([True, False], [1, 0]), ([0.25, 1.0], [0.25, 1]), (["1", " 0.5"], [1, 0.5])):
        responses = ResponseMatrix.from_pandas(long_frame(rows, label=labels))
        np.testing.assert_array_equal(responses.values, np.array(expected, np.float32))


# --- repeats ---


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("mean", [[1 / 3, 1], [1 / 2, 2 / 3], [0.5, np.nan]]),
        ("last", [[0, 1], [1, 1], [0.5, np.nan]]),
        ("majority", [[0, 1], [0, 1], [0, np.nan]]),
        ("max", [[1, 1], [1, 1], [0.5, np.nan]]),
    ],
)
def test_repeats_follow_the_rule(rule, expected):
    """Each rule gives the hand-computed responses; half right is no majority."""
    responses = ResponseMatrix.from_pandas(long_frame(REPEATED), duplicates=rule)
    np.testing.assert_array_equal(responses.responses(), np.array(expected, np.float32))
    weights = [[3, 2], [2, 3], [1, 0]] if rule == "mean" else [[1, 1], [1, 1], [1, 0]]
    np.testing.assert_array_equal(responses.weights(), weights)


def test_the_last_row_is_the_last_of_the_table_however_long_it_is():
    """Among thousands of repeats in random order, `last` is what pandas finds last."""
    generator = np.random.default_rng(0)
    rows = [(int(q), "ab"[m], int(y)) for q, m, y in zip(*generator.integers(0, 2, (3, 5000)), strict=True)]
    frame = long_frame(rows)
    responses = ResponseMatrix.from_pandas(frame, duplicates="last")
    expected = frame.groupby(["prompt_id", "model_name"])["label"].last().unstack()
    np.testing.assert_array_equal(responses.responses(), expected.to_numpy())


@pytest.mark.parametrize("rule", ["mean", "last", "majority", "max"])
def test_the_summary_counts_rows_repeats_and_contradictions(rule):
    """11 rows make 5 pairs: 6 repeats, 3 pairs whose rows disagree, one pair missing, whatever the rule."""
    summary = ResponseMatrix.from_pandas(long_frame(REPEATED), duplicates=rule).summary()
    assert (summary.n_questions, summary.n_llms, summary.n_observed, summary.n_missing) == (3, 2, 5, 1)
    assert (summary.n_rows, summary.n_repeats, summary.n_contradictions) == (11, 6, 3)
    assert f"from 11 rows, 6 repeats, 3 contradictory pairs (duplicates: {rule})" in str(summary)
    assert "83.3% observed, 1 missing" in str(summary)


# --- immutability ---


def test_nothing_can_be_written():
    """Fields cannot be assigned, arrays are read-only, and a dense view is a copy."""
    responses = make_split(10).responses
    with pytest.raises(FrozenInstanceError, match="llm_names"):
        responses.llm_names = ()
    arrays = [value for value in vars(responses).values() if isinstance(value, np.ndarray)]
    assert len(arrays) == 5
    for array in (*arrays, responses.values, responses.llm_indices, responses.indptr, responses.matrix.data):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    before = responses.responses()
    responses.responses()[:] = 7
    np.testing.assert_array_equal(responses.responses(), before)


def test_the_callers_table_stays_as_it_was():
    """Building and selecting leave the frame and the first matrix alone."""
    frame = make_frame(10)
    copy = frame.copy(deep=True)
    responses = ResponseMatrix.from_pandas(frame)
    before = responses.to_long()
    responses.select([1, 0], llms=LLMS[:2])
    pd.testing.assert_frame_equal(frame, copy)
    assert responses.to_long().equals(before)


# --- selection ---


def test_selecting_questions_by_position_and_by_mask():
    """Rows come in the order asked for, with their texts, categories and responses."""
    responses = make_split(10).responses
    dense = responses.responses()
    for rows in ([7, 2], np.arange(10) > 6, np.arange(10)[::-1], [-1]):
        picked = responses.select(rows)
        np.testing.assert_array_equal(picked.responses(), dense[rows])
        assert list(picked.question_ids) == list(responses.question_ids[rows])
        assert list(picked.questions) == list(responses.questions[rows])
        assert list(picked.categories) == list(responses.categories[rows])


def test_selecting_llms_takes_their_columns_in_the_order_asked_for():
    """Columns follow the names; counts and contradictions go with them; questions stay even without answers."""
    responses = make_split(10).responses
    names = (LLMS[4], LLMS[0])
    picked = responses.select(llms=names)
    assert picked.llm_names == names
    np.testing.assert_array_equal(picked.responses(), responses.responses()[:, [4, 0]])
    np.testing.assert_array_equal(picked.weights(), responses.weights()[:, [4, 0]])
    assert picked.n_questions == 10


def test_selection_keeps_counts_and_contradictions(small):
    """LLM b alone has 5 rows in two pairs, one of them contradictory."""
    summary = small.select(llms=["b"]).summary()
    assert ResponseMatrix.from_pandas(long_frame(REPEATED), duplicates="max").select([0]).duplicates == "max"
    assert (summary.n_rows, summary.n_observed, summary.n_missing, summary.n_contradictions) == (5, 2, 1, 1)


def test_selecting_categories_and_rows_takes_what_is_in_both():
    """A category restricts the rows, it does not add any."""
    responses = make_split(10).responses  # even rows are logic
    assert list(responses.select(categories=["poetry"]).question_ids) == [1, 3, 5, 7, 9]
    assert list(responses.select([4, 3, 0], categories=["logic"]).question_ids) == [4, 0]
    assert responses.select(categories=["poetry", "logic"]).to_long().equals(responses.to_long())


def test_selecting_nothing_gives_an_empty_matrix():
    """An empty list, an empty array and a mask of nothing are all no questions."""
    responses = make_split(10).responses
    for rows in (np.zeros(10, bool), np.array([], int), []):
        picked = responses.select(rows)
        assert picked.responses().shape == (0, 6)
        assert picked.n_observed == 0


def test_an_unknown_llm_or_category_is_answered_with_close_names():
    """A misspelt name is refused with the right one beside it."""
    responses = make_split(4).responses
    with pytest.raises(KeyError, match=r"unknown LLM `lab/logik-a`.*did you mean .*`lab/logic-a`"):
        responses.select(llms=["lab/logik-a"])
    with pytest.raises(KeyError, match=r"unknown category `poetri`.*did you mean `poetry`"):
        responses.select(categories=["poetri"])


def test_an_llm_named_twice_is_refused():
    """One LLM cannot be two columns, neither in a selection nor in a pool's list."""
    responses = make_split(4).responses
    with pytest.raises(ValueError, match=r"`llms`.*`lab/logic-a`.*more than once"):
        responses.select(llms=[LLMS[0], LLMS[0]])
    with pytest.raises(ValueError, match=r"`llm_names`.*`lab/logic-a`.*more than once"):
        ResponseMatrix.from_pandas(make_frame(4), llm_names=[LLMS[0], *LLMS])


def test_a_column_is_that_of_the_dense_matrix(small):
    """One LLM's responses, wrong answers as 0 and missing ones as NaN; a column that is not there is refused."""
    responses = make_split(20).responses
    for llm_index in range(6):
        np.testing.assert_array_equal(responses.column(llm_index), responses.responses()[:, llm_index])
    assert responses.column(0).dtype == np.float32
    np.testing.assert_array_equal(small.column(1), np.float32([1, 2 / 3, np.nan]))
    for wrong in (-1, 2):
        with pytest.raises(ValueError, match=f"`llm_index` is {wrong}, expected a column of 2"):
            small.column(wrong)


def test_what_is_not_kept_is_missing(small):
    """Kept entries stay with values, counts and contradictions, wrong answers too; questions and LLMs all stay."""
    kept = small.keep(np.array([False, True, False, True, True]))
    np.testing.assert_array_equal(kept.responses(), np.float32([[np.nan, 1], [np.nan, 2 / 3], [0.5, np.nan]]))
    np.testing.assert_array_equal(kept.weights(), [[0, 2], [0, 3], [1, 0]])
    assert (kept.summary().n_rows, kept.summary().n_contradictions) == (6, 1)
    responses = make_split(20).responses
    wrong = responses.keep(responses.values == 0)
    assert wrong.n_observed == (responses.responses() == 0).sum() > 0
    assert wrong.llm_names == LLMS
    assert responses.keep(np.zeros(responses.n_observed, bool)).n_observed == 0


@pytest.mark.parametrize("entries", [[0, 1], [True, False], np.ones((5, 1), bool)])
def test_only_a_mask_over_the_entries_is_kept(small, entries):
    """Positions, or a mask of another length, are not taken for a choice of entries."""
    with pytest.raises(ValueError, match=r"`entries` is .* of shape .*, expected a mask: bool of shape \(5,\)"):
        small.keep(entries)


# --- joining ---


def test_parts_that_are_joined_give_back_the_whole():
    """Odd and even questions, joined, are the matrix that they were taken from, in the order of the ids."""
    whole = ResponseMatrix.from_pandas(pd.concat([make_frame(21), make_frame(21, seed=1)]), llm_names=LLMS)
    even = np.arange(21) % 2 == 0
    joined = ResponseMatrix.concat([whole.select(~even), whole.select(even)])
    assert joined.to_long().equals(whole.to_long())
    assert joined.summary() == whole.summary()


def test_a_joined_matrix_knows_the_data_set_of_its_parts():
    """Splits of one commit keep id and revision; of two commits, the origin is not known."""
    first, second = (make_split(4, first_id=start).responses for start in (0, 4))
    train = replace(first, origin=DataOrigin("user/data", "abc", "train"))
    test = replace(second, origin=DataOrigin("user/data", "abc", "test"))
    assert ResponseMatrix.concat([train, test]).origin == DataOrigin("user/data", "abc")
    assert ResponseMatrix.concat([train, replace(test, origin=DataOrigin("user/data", "b"))]).origin == DataOrigin()


def test_parts_that_do_not_fit_are_refused():
    """Other LLMs, another rule, a question in both, an id with two texts, or nothing at all."""
    first, second = (make_split(4, first_id=start).responses for start in (0, 4))
    with pytest.raises(ValueError, match="`parts` differ in `llm_names`"):
        ResponseMatrix.concat([first, second.select(llms=LLMS[::-1])])
    with pytest.raises(ValueError, match="`parts` differ in `duplicates`"):
        ResponseMatrix.concat([first, replace(second, duplicates="last")])
    overlap = make_split(6, first_id=2).responses
    with pytest.raises(ValueError, match=r"2 questions stand in more than one part, `prompt_id` 2 .*splits overlap"):
        ResponseMatrix.concat([first, overlap])
    other = replace(overlap, questions=np.array([*overlap.questions[:1], "Another?", *overlap.questions[2:]], object))
    with pytest.raises(ValueError, match="`prompt_id` 3 for instance, with different texts"):
        ResponseMatrix.concat([first, other])
    with pytest.raises(ValueError, match="`parts` is empty"):
        ResponseMatrix.concat([])


# --- origin and sizes ---


def test_the_origin_is_kept_by_every_selection():
    """Responses know their data set, and parts of them still do; a table in memory has no origin."""
    origin = DataOrigin("user/data", "abc", "train")
    responses = ResponseMatrix.from_pandas(make_frame(4), origin=origin)
    assert responses.select([1], llms=LLMS[:1]).origin == origin
    assert responses.keep(responses.values > 0).origin == origin
    assert ResponseMatrix.from_pandas(make_frame(4)).origin == DataOrigin(None, None, None)


@pytest.mark.parametrize("name", ["question_ids", "questions", "categories", "llm_names", "counts", "contradictory"])
def test_fields_of_other_sizes_are_refused(small, name):
    """Each field must fit the matrix, and the message says which does not."""
    with pytest.raises(ValueError, match=f"`{name}` has 1 entries, expected [235], as `matrix` has"):
        replace(small, **{name: getattr(small, name)[:1]})


def test_a_matrix_that_is_not_in_order_is_refused(small):
    """Columns that are not ascending within a row would give answers to the wrong LLM."""
    matrix = small.matrix.copy()
    matrix.indices = matrix.indices[[1, 0, 2, 3, 4]]
    with pytest.raises(ValueError, match="a row repeats a column or is not sorted"):
        replace(small, matrix=matrix)


# --- long form ---


@pytest.mark.parametrize("rule", ["mean", "last", "majority", "max"])
def test_the_long_form_round_trip_is_exact(rule):
    """Written as a table and read again, every field is the same to the bit, repeats and contradictions included."""
    frame = long_frame(REPEATED, category=["x", "y", "x", "y", "x", "y", "x", "x", "y", "y", "z"])
    responses = ResponseMatrix.from_pandas(frame, duplicates=rule)
    again = ResponseMatrix.from_long(responses.to_long(), llm_names=responses.llm_names, duplicates=rule)
    for name in ("values", "llm_indices", "indptr", *(set(vars(responses)) - {"matrix"})):
        np.testing.assert_array_equal(getattr(again, name), getattr(responses, name))
    assert again.summary() == responses.summary()


def test_the_round_trip_goes_through_pandas_too():
    """The long form as a pandas frame reads back to the same matrix, in the same order of LLMs."""
    responses = make_split(20).responses.select(llms=LLMS[::-1])
    again = ResponseMatrix.from_pandas(responses.to_long().to_pandas())
    assert again.llm_names == LLMS[::-1]
    assert again.to_long().equals(responses.to_long())


def test_the_long_form_holds_each_text_once():
    """Prompts, names and categories are dictionary-encoded: 1 MB of text for 50 LLMs stays about 1 MB."""
    names = [f"llm-{i:02}" for i in range(50)]
    frame = long_frame([(1, name, 1) for name in names], prompt="x" * 1_000_000)
    long = ResponseMatrix.from_pandas(frame).to_long()
    assert long.num_rows == 50
    assert long.nbytes < 1_100_000
    assert {pa.types.is_dictionary(long.schema.field(name).type) for name in ("prompt", "model_name")} == {True}


def test_a_pool_to_learn_from_has_responses_and_two_llms():
    """`check_pool` refuses an empty split and a single LLM, naming where, and lets a pool pass."""
    responses = make_split(4).responses
    check_pool(responses, "train.csv")
    with pytest.raises(ValueError, match=r"train\.csv: the split holds no responses"):
        check_pool(responses.select(np.zeros(4, bool)), "train.csv")
    with pytest.raises(ValueError, match=r"train\.csv: only one LLM \(`lab/logic-a`\), expected at least two"):
        check_pool(responses.select(llms=LLMS[:1]), "train.csv")
