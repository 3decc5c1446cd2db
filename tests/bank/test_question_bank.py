"""The question bank in memory: it finds questions again, and each change gives a new bank."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from embedllm_hf import EncodedResponses, ResponseMatrix
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.data.texts import question_keys
from tests.pool import LLMS, TEXT_DIM, make_frame, make_split, trained_model


@pytest.fixture(scope="module")
def split() -> EncodedResponses:
    return make_split(12)


@pytest.fixture(scope="module")
def bank(split) -> QuestionBank:
    return QuestionBank.from_responses(split)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> QuestionBank:
    """With item parameters, blend and all."""
    return trained_model(tmp_path_factory.mktemp("model")).bank


# --- what it knows ---


def test_keys_depend_on_the_text_alone():
    """Equal texts have equal keys, different texts different ones; the value is the first 8 bytes of SHA-256."""
    first, second, again = question_keys(["a", "ä\n", "a"])
    assert first == again != second
    assert first == np.frombuffer(bytes.fromhex("ca978112ca1bbdca"), "<i8")[0]
    assert len(question_keys([])) == 0


def test_the_responses_come_back(split, bank):
    """Of one LLM and of all, NaN where nothing was observed, and their weights."""
    truth = split.responses.responses()
    np.testing.assert_array_equal(bank.dense_responses(), truth)
    for llm_index in range(len(LLMS)):
        np.testing.assert_array_equal(bank.responses_of(llm_index), truth[:, llm_index])
    np.testing.assert_array_equal(bank.weights.toarray(), split.responses.weights())
    assert bank.question_embeds.dtype == np.float16


def test_questions_are_found_by_text_key_and_id(split, bank):
    """The first of equal ones; -1 for one that is not there."""
    texts, ids = split.responses.questions, split.responses.question_ids
    assert bank.rows_of_texts([texts[7], "another", texts[0]]).tolist() == [7, -1, 0]
    assert bank.rows_of_ids([ids[3], 99]).tolist() == [3, -1]
    twice = replace(bank, keys=np.repeat(bank.keys[::2], 2))
    assert twice.rows_of_texts([texts[4]]).tolist() == [4]
    assert QuestionBank.from_responses(split.select([])).rows_of_texts(["a"]).tolist() == [-1]


def test_a_category_is_found_beside_the_benchmark_that_begins_like_it(split):
    """`math` is the questions of that category, `math_*` those of all that begin with it."""
    names = np.array(["math", "math_l5", "law"] * 4, object)
    bank = QuestionBank.from_responses(replace(split, responses=replace(split.responses, categories=names)))
    assert list(bank.benchmarks) == ["law", "math_*"]
    assert bank.benchmark_rows("math").tolist() == [0, 3, 6, 9]
    assert bank.benchmark_rows("math_*").tolist() == [0, 1, 3, 4, 6, 7, 9, 10]


def test_texts_are_found_however_they_are_written_down(split, bank):
    """Outer white space and line ends do not hide a known question."""
    text = split.responses.questions[3]
    assert bank.rows_of_texts([f" {text}\r\n", f"{text}\u00a0", text.replace(" ", "  ")]).tolist() == [3, 3, -1]


def test_a_question_is_found_by_its_id_as_number_and_as_text(bank, split):
    """JSON has no keys but texts; pandas makes floats of ids."""
    text = split.responses.questions[7]
    questions = [7, "7", " 7 ", "7.0", 7.0, np.int64(7), np.float32(7), text, f"{text} ", "a new one", "7 b"]
    assert bank.find(questions).tolist() == [7] * 9 + [-1, -1]
    assert bank.find([]).tolist() == []


@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        ("99", KeyError, "unknown question id `99`: the model knows 12 questions"),
        ("-1", KeyError, "unknown question id `-1`"),
        (2**63, KeyError, "unknown question id `9223372036854775808`"),
        (10**25, KeyError, "unknown question id"),
        (True, ValueError, "the question True is neither a text nor a `prompt_id`"),
        (0.5, ValueError, "the question 0.5 is neither"),
        (float("nan"), ValueError, "the question nan is neither"),
        (float("inf"), ValueError, "the question inf is neither"),
        (b"a", ValueError, "the question b'a' is neither"),
        (None, ValueError, "the question None is neither"),
        (" ", ValueError, "expected a text that is not empty"),
        ("bad \ud83d", ValueError, "no Unicode text"),
    ],
)
def test_what_is_no_question_is_refused(bank, question, error, message):
    """No key is taken for a text by chance."""
    with pytest.raises(error, match=message):
        bank.find([3, question])


def test_a_number_that_is_a_text_and_an_id_is_refused(split):
    """Which of the two is meant, nobody knows; the id as a number is plain."""
    texts = split.responses.questions.copy()
    texts[2] = "5"
    bank = QuestionBank.from_responses(replace(split, responses=replace(split.responses, questions=texts)))
    with pytest.raises(ValueError, match="'5' is the text of one known question and the `prompt_id` of another"):
        bank.find(["5"])
    assert bank.find([5, 2]).tolist() == [5, 2]


def test_benchmark_rows_find_a_category_and_a_group_of_them():
    """A benchmark's rows are those of its categories; a category's rows are its own."""
    frame = make_frame(6, hidden=0)
    frame["category"] = frame["prompt_id"].map(lambda i: ("exam_law", "exam_math", "gsm8k")[i % 3])
    bank = QuestionBank.from_responses(EncodedResponses(ResponseMatrix.from_pandas(frame), np.zeros((6, 2))))
    assert bank.benchmarks == {"exam": ("exam_law", "exam_math"), "gsm8k": ("gsm8k",)}
    assert list(bank.benchmark_rows("exam")) == [0, 1, 3, 4]
    assert list(bank.benchmark_rows("exam_math")) == [1, 4]
    assert list(bank.benchmark_rows("gsm8k")) == [2, 5]
    one, other = (list(bank.benchmarks).index(name) for name in ("exam", "gsm8k"))
    grown = bank.with_texts(np.array([1]), np.zeros((1, 2)))
    assert grown.benchmark_of_question.tolist() == [one, one, other, one, one, other, -1]
    assert grown.category_members.toarray().tolist() == [[1, 0, 0] * 2 + [0], [0, 1, 0] * 2 + [0], [0, 0, 1] * 2 + [0]]


def test_an_unknown_benchmark_is_answered_with_a_close_one(bank):
    """The error of a misspelt benchmark offers the right one."""
    with pytest.raises(KeyError, match=r"unknown benchmark `poetri`.*did you mean `poetry`"):
        bank.benchmark_rows("poetri")


def test_known_logits_are_those_of_the_item_parameters(fitted, bank):
    """Row by row, NaN where a question is not known; None if there is nothing to tell."""
    logits = fitted.known_logits(np.array([3, -1]))
    np.testing.assert_allclose(logits[0], fitted.item_parameters.logits(np.array([3]))[0], rtol=1e-5)
    assert np.isnan(logits[1]).all()
    assert fitted.known_logits(np.array([-1])) is None
    assert bank.known_logits(np.array([3])) is None


# --- frozen ---


def test_nothing_of_a_bank_can_be_written(fitted):
    """No field can be assigned, and no array of it or of its parts be changed."""
    with pytest.raises(FrozenInstanceError):
        fitted.blend = None
    parts = (fitted, fitted.responses, fitted.weights, fitted.item_parameters, fitted.blend)
    arrays = [value for part in parts for value in vars(part).values() if isinstance(value, np.ndarray)]
    assert len(arrays) > 30
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_parts_of_different_sizes_are_refused(fitted, bank):
    """The message names the part, or the numbers of questions and LLMs."""
    with pytest.raises(ValueError, match=r"`question_ids` has shape \(11,\), expected \(12,\)"):
        replace(bank, question_ids=bank.question_ids[1:])
    for other in ({"question_embeds": bank.question_embeds[1:]}, {"item_parameters": fitted.item_parameters}):
        with pytest.raises(ValueError, match="the parts are not all of 12 questions and 6 LLMs"):
            replace(bank, **other)


# --- more of it ---


def test_a_new_llms_own_texts_stand_at_the_end(fitted):
    """Without id, category and answers; `listed` is without them and without what was fitted."""
    embeds = np.ones((2, TEXT_DIM))
    grown = fitted.with_texts(question_keys(["one", "two"]), embeds)
    assert len(grown) == len(fitted) + 2
    assert grown.rows_of_texts(["two", "one"]).tolist() == [len(fitted) + 1, len(fitted)]
    assert grown.question_ids[-2:].tolist() == grown.category_indices[-2:].tolist() == [-1, -1]
    assert np.isnan(grown.dense_responses()[-2:]).all()
    np.testing.assert_array_equal(grown.dense_responses()[:-2], fitted.dense_responses())
    np.testing.assert_allclose(
        grown.item_parameters.intercepts[-2:], fitted.item_parameters.parameters_of_texts(embeds)[0]
    )
    for listed in (grown.listed, fitted.listed):
        assert (listed.blend, listed.item_parameters) == (None, None)
        for name in ("keys", "question_ids", "question_embeds", "category_indices"):
            np.testing.assert_array_equal(getattr(listed, name), getattr(fitted, name))
        np.testing.assert_array_equal(listed.dense_responses(), fitted.dense_responses())


def test_responses_are_added_where_there_were_none(bank):
    """Each at its pair with weight 1, in any order; all others stay."""
    pairs = np.argwhere(np.isnan(bank.dense_responses()))[[5, 0, 3]]
    values = np.array([1.0, 0.0, 0.25])
    grown = bank.with_responses(*pairs.T, values)
    expected, weights = bank.dense_responses(), bank.weights.toarray()
    expected[tuple(pairs.T)], weights[tuple(pairs.T)] = values, 1
    np.testing.assert_array_equal(grown.dense_responses(), expected)
    np.testing.assert_array_equal(grown.weights.toarray(), weights)
    assert grown.responses.has_canonical_format
    assert grown.responses.nnz == bank.responses.nnz + 3  # the zero is an entry


def test_another_pool_keeps_the_questions(fitted):
    """LLMs change places, others are new and have no answers and no ability; who was new stays so."""
    names = [LLMS[4], LLMS[1], "lab/new"]
    other = fitted.of_pool(names, [4, 1])
    assert other.llm_names == tuple(names)
    np.testing.assert_array_equal(other.dense_responses()[:, :2], fitted.dense_responses()[:, [4, 1]])
    assert np.isnan(other.dense_responses()[:, 2]).all()
    assert other.is_new.tolist() == [False, False, True]
    np.testing.assert_array_equal(other.item_parameters.abilities[:2], fitted.item_parameters.abilities[[4, 1]])
    assert not other.item_parameters.has_ability(2)
    assert other.blend is fitted.blend
    assert other.of_pool(names[::-1], [2, 1, 0]).is_new.tolist() == [True, False, False]
