"""Seeded splits by question that keep each category's share."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from embedllm_hf import ResponseMatrix
from embedllm_hf.data.splits import split_questions
from tests.pool import LLMS, make_split


@pytest.fixture(scope="module")
def responses():
    return make_split(40).responses


def test_the_parts_are_disjoint_and_complete(responses):
    """Every question is in exactly one part, with all its responses and the same LLMs."""
    rest, share = split_questions(responses, 0.25)
    assert sorted([*rest.question_ids, *share.question_ids]) == list(responses.question_ids)
    assert rest.n_observed + share.n_observed == responses.n_observed
    assert rest.llm_names == share.llm_names == LLMS
    row = list(responses.question_ids).index(share.question_ids[0])
    np.testing.assert_array_equal(share.responses()[0], responses.responses()[row])


def test_each_category_gives_its_share(responses):
    """A quarter of 20 logic and 20 poetry questions is five of each."""
    _, share = split_questions(responses, 0.25)
    assert {name: int((share.categories == name).sum()) for name in set(share.categories)} == {"logic": 5, "poetry": 5}


@pytest.mark.parametrize(("n_categories", "size"), [(100, 4), (2, 5), (1, 11), (7, 23)])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_many_small_categories_keep_their_share(n_categories, size, share, seed):
    """The second part and each category in it have their share, within one question."""
    names = np.repeat([f"category {number}" for number in range(n_categories)], size)
    n_questions = len(names)
    frame = pd.DataFrame({"prompt": [f"q{number}" for number in range(n_questions)], "category": names})
    mixed = np.random.default_rng(seed).permutation(n_questions)
    questions = ResponseMatrix.from_pandas(frame.assign(model_name="a", label=1, prompt_id=mixed))
    rest, taken = split_questions(questions, share, seed=seed)
    assert rest.n_questions + taken.n_questions == n_questions
    assert 0 < taken.n_questions < n_questions
    assert abs(taken.n_questions - share * n_questions) < 1
    for name in set(names):
        assert abs((taken.categories == name).sum() - share * size) < 1


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_two_questions_are_enough(responses, share):
    """Each part has one of two questions, whatever the seed, and each question is taken by some seed."""
    pair = responses.select([0, 1])
    taken = [split_questions(pair, share, seed=seed)[1].question_ids.tolist() for seed in range(20)]
    assert {len(ids) for ids in taken} == {1}
    assert {ids[0] for ids in taken} == set(pair.question_ids)


def test_every_question_is_taken_equally_often(responses):
    """Over many seeds each question is in the quarter a quarter of the time, within five standard errors."""
    taken = np.concatenate([split_questions(responses, 0.25, seed=seed)[1].question_ids for seed in range(400)])
    times = np.bincount(taken, minlength=40)
    assert (abs(times - 100) < 5 * np.sqrt(400 * 0.25 * 0.75)).all()


def test_the_seed_decides(responses):
    """The same seed chooses the same questions, another seed others, and the global generator does not matter."""
    first = split_questions(responses, 0.25, seed=1)[1].question_ids
    np.random.seed(5)  # noqa: NPY002 - the global state is what must not matter
    assert list(split_questions(responses, 0.25, seed=1)[1].question_ids) == list(first)
    assert list(split_questions(responses, 0.25, seed=2)[1].question_ids) != list(first)


def test_the_choice_is_the_same_in_every_process():
    """The order in which Python happens to hold the categories does not matter."""
    code = (
        "from tests.pool import make_split; from embedllm_hf.data.splits import split_questions; "
        "print(list(split_questions(make_split(40).responses, 0.25)[1].question_ids))"
    )
    seeds = ("0", "4")  # of Python's hashes: on CPython 3.11 a set holds the two topics in either order
    environments = [{**os.environ, "PYTHONHASHSEED": seed} for seed in seeds]
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for env in environments]
    printed = [process.communicate()[0] for process in running]
    assert printed[0] == printed[1]
    assert printed[0].count(",") == 9


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_outside_the_open_interval_is_refused(responses, share):
    """Only shares strictly between 0 and 1 split."""
    with pytest.raises(ValueError, match=r"`share` is .*expected a share in \(0, 1\)"):
        split_questions(responses, share)


def test_too_few_questions_to_split_are_refused(responses):
    """One question cannot be split in two, and the message says what to give instead."""
    with pytest.raises(ValueError, match=r"1 questions are too few .* Give a validation split"):
        split_questions(responses.select([0]), 0.5)
