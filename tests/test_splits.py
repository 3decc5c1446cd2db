"""Seeded splits by question."""

import os
import subprocess
import sys

import numpy as np
import pytest

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
    printed = [subprocess.check_output([sys.executable, "-c", code], env=env, text=True) for env in environments]
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
