"""What a trained model keeps of the questions that its pool has answered."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from embedllm_hf import ResponseMatrix
from embedllm_hf.bank.question_bank import KnownQuestions, question_keys
from embedllm_hf.data.responses import benchmark_categories
from tests.pool import LLMS, make_frame, make_split


@pytest.fixture(scope="module")
def split():
    return make_split(12)


@pytest.fixture(scope="module")
def known(split):
    return KnownQuestions.from_responses(split.responses, split.question_embeds)


def test_keys_depend_on_the_text_alone():
    """Equal texts have equal keys, different texts different ones; the value is the first 8 bytes of SHA-256."""
    first, second, again = question_keys(["a", "ä\n", "a"])
    assert first == again != second
    assert first == np.frombuffer(bytes.fromhex("ca978112ca1bbdca"), "<i8")[0]
    assert len(question_keys([])) == 0


def test_the_responses_of_each_llm_come_back(split, known):
    """`responses_of` is a column of the matrix, NaN where nothing was observed."""
    for column in range(len(LLMS)):
        np.testing.assert_array_equal(known.responses_of(column), split.responses.responses()[:, column])


def test_benchmark_rows_find_a_category_and_a_group_of_them():
    """A benchmark's rows are those of its categories; a category's rows are its own."""
    frame = make_frame(6, hidden=0)
    frame["category"] = frame["prompt_id"].map(lambda i: ("exam_law", "exam_math", "gsm8k")[i % 3])
    responses = ResponseMatrix.from_pandas(frame)
    known = KnownQuestions.from_responses(responses, np.zeros((6, 2)))
    assert known.benchmarks == {"exam": ("exam_law", "exam_math"), "gsm8k": ("gsm8k",)}
    assert list(known.benchmark_rows("exam")) == [0, 1, 3, 4]
    assert list(known.benchmark_rows("exam_math")) == [1, 4]
    assert list(known.benchmark_rows("gsm8k")) == [2, 5]


def test_an_unknown_benchmark_is_answered_with_a_close_one(known):
    """The error of a misspelt benchmark offers the right one."""
    with pytest.raises(KeyError, match=r"unknown benchmark `poetri`.*did you mean `poetry`"):
        known.benchmark_rows("poetri")


def test_saved_and_loaded_it_is_the_same(known, tmp_path):
    """All arrays come back to the bit, with their types, and so do the categories."""
    known.save(tmp_path)
    assert known.question_embeds.dtype == np.float16
    loaded = KnownQuestions.load(tmp_path / KnownQuestions.FILE)
    assert loaded.categories == known.categories == ("logic", "poetry")
    for name, value in vars(known).items():
        if name != "categories":
            np.testing.assert_array_equal(getattr(loaded, name), value)
            assert getattr(loaded, name).dtype == value.dtype


def test_no_text_is_stored(split, known, tmp_path):
    """The file does not contain any question."""
    known.save(tmp_path)
    content = (tmp_path / KnownQuestions.FILE).read_bytes()
    assert not [text for text in split.responses.questions if text.encode() in content]


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_a_truncated_file_is_refused(known, tmp_path, kept):
    """A file cut anywhere is reported with its name and the remedy."""
    known.save(tmp_path)
    path = tmp_path / KnownQuestions.FILE
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"known_questions\.safetensors: not a whole file .*Train or fetch it again"):
        KnownQuestions.load(path)


@pytest.mark.parametrize("change", ["missing", "extra", "metadata"])
def test_a_file_with_other_tensors_is_refused(known, tmp_path, change):
    """A missing tensor, one too many and missing categories are each an error, not a guess."""
    known.save(tmp_path)
    path = tmp_path / KnownQuestions.FILE
    arrays, metadata = load_file(path), {"categories": '["logic", "poetry"]'}
    if change == "missing":
        del arrays["values"]
    elif change == "extra":
        arrays["more"] = np.zeros(1)
    else:
        metadata = None
    save_file(arrays, path, metadata=metadata)
    with pytest.raises(ValueError, match="not a whole file of known questions"):
        KnownQuestions.load(path)


@pytest.mark.parametrize(
    ("categories", "expected"),
    [
        (["gsm8k"], {"gsm8k": ("gsm8k",)}),
        (["ab_c_x", "gsm8k", "ab_c_d"], {"gsm8k": ("gsm8k",), "ab_c": ("ab_c_d", "ab_c_x")}),
        (["mmlu_law", "mmlu_pro_math", "mmlu_law"], {"mmlu": ("mmlu_law", "mmlu_pro_math")}),
        (["asdiv_x"], {"asdiv_x": ("asdiv_x",)}),
        (["med", "med_qa"], {"med": ("med", "med_qa")}),
        ([], {}),
    ],
)
def test_benchmarks_are_the_common_leading_words(categories, expected):
    """Categories that share their first word make a benchmark of all words that they share."""
    assert benchmark_categories(categories) == expected
