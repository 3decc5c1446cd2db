"""The planted pool of the quick start."""

import numpy as np
import pytest

from embedllm_hf.data.origin import DataOrigin
from embedllm_hf.data.planted import (
    HIDDEN_SHARE,
    SPLIT_SIZES,
    planted_llms,
    planted_pool,
    planted_probabilities,
)


@pytest.fixture(scope="module")
def pools():
    return {split: planted_pool(split) for split in SPLIT_SIZES}


def test_splits_have_their_sizes_and_share_no_question(pools):
    """Each split has as many questions as promised, and no id or text is in two of them or twice in one."""
    assert {split: pool.n_questions for split, pool in pools.items()} == SPLIT_SIZES
    for field in ("question_ids", "questions"):
        values = np.concatenate([getattr(pool, field) for pool in pools.values()])
        assert len(set(values)) == sum(SPLIT_SIZES.values())


def test_all_splits_have_the_same_llms_and_topics(pools):
    """Columns mean the same LLM in every split; every topic is in every split."""
    assert {pool.llm_names for pool in pools.values()} == {planted_llms()}
    assert {len(set(pool.categories)) for pool in pools.values()} == {6}


def test_the_seed_makes_the_pool(pools):
    """The same seed gives the same responses and another seed others."""
    assert planted_pool("test").to_long().equals(pools["test"].to_long())
    assert not planted_pool("test", seed=1).to_long().equals(pools["test"].to_long())


def test_answers_follow_the_planted_probabilities(pools):
    """Each LLM is right as often as planted, within five standard errors, in its strong and weak topics alike."""
    pool = pools["train"]
    responses, probabilities = pool.responses(), planted_probabilities(pool.question_ids)
    for strong in (True, False):
        for column in range(pool.n_llms):
            group = (probabilities[:, column] > 0.5) == strong
            answers = responses[group, column]
            answers = answers[~np.isnan(answers)]
            expected = probabilities[group, column].mean()
            assert len(set(probabilities[group, column])) == 1
            assert abs(answers.mean() - expected) < 5 * np.sqrt(expected * (1 - expected) / len(answers))


def test_a_tenth_is_hidden(pools):
    """The share of missing pairs is the planted one, within five standard errors."""
    pool = pools["train"]
    hidden = 1 - pool.observed().mean()
    assert abs(hidden - HIDDEN_SHARE) < 5 * np.sqrt(HIDDEN_SHARE * (1 - HIDDEN_SHARE) / pool.observed().size)


def test_the_best_llm_of_a_question_is_a_large_sibling(pools):
    """Arithmetic has one best LLM, the large abacus; and no question is best answered by a small sibling."""
    pool = pools["test"]
    probabilities = planted_probabilities(pool.question_ids)
    best = probabilities == probabilities.max(axis=1, keepdims=True)
    winners = {planted_llms()[column] for column in np.flatnonzero(best[pool.categories == "arithmetic"].any(axis=0))}
    assert winners == {"planted/abacus-large"}
    assert not best[:, [name.endswith("-small") for name in planted_llms()]].any()


def test_no_llm_is_best_in_everything(pools):
    """Knowing the question is worth a lot: the planted choice beats the best single LLM by a wide margin."""
    probabilities = planted_probabilities(pools["test"].question_ids)
    assert probabilities.max(axis=1).mean() > probabilities.mean(axis=0).max() + 0.2


def test_each_split_says_where_it_is_from(pools):
    """The origin of a planted split is `planted`, without a commit."""
    assert [pool.origin for pool in pools.values()] == [DataOrigin("planted", None, split) for split in SPLIT_SIZES]


def test_an_unknown_split_is_refused():
    """The message names the splits that there are."""
    with pytest.raises(ValueError, match="has the splits train, validation, test, not `dev2`"):
        planted_pool("dev2")
