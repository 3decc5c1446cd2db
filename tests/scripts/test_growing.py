"""The script that measures what adding costs beside training again."""

from dataclasses import replace

import numpy as np
import pytest

from embedllm_hf.configuration_embedllm import EncoderId
from scripts.growing import HEAD, Splits, known_questions, trained_on, without_categories, without_llms
from tests.pool import LLMS, make_split


@pytest.fixture(scope="module")
def splits() -> Splits:
    """The planted pool; its vectors are of the offline encoder."""
    made = (make_split(80), make_split(30, first_id=80, seed=1), make_split(40, first_id=110, seed=2))
    return Splits(*(replace(split, encoder=EncoderId("offline", None)) for split in made))


def test_parts_are_left_out_and_the_rest_stays(splits):
    """LLMs, categories and a share of the training questions."""
    assert splits.of_llms(LLMS[:2]).test.responses.llm_names == LLMS[:2]
    inside, outside = (splits.of_categories(["logic"], without=without) for without in (False, True))
    assert [len(part.validation.question_embeds) for part in (inside, outside)] == [15, 15]
    assert set(outside.train.responses.categories) == {"poetry"}
    fewer = splits.without_questions(0.25)
    assert fewer.train.responses.n_questions == 60
    assert np.isin(fewer.train.responses.question_ids, splits.train.responses.question_ids).all()
    assert fewer.test is splits.test


def test_its_lines_have_what_the_head_says(splits):
    """A category that training did not see makes it pay; the known questions are told in three ways."""
    retrained = trained_on(splits)
    rows = [
        *without_llms(splits, retrained, 0.4),
        without_categories(splits, retrained, "logic", ["logic"]),
    ]
    assert {len(row) for row in rows} == {len(HEAD)}
    assert (rows[0][2], rows[2][-1]) == ("nan", "pays")
    told = known_questions(splits)
    assert [line.split(":")[0].split(", ")[1] for line in told] == ["before", "added", "retrained"]
