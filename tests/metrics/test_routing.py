"""Routing accuracy and the oracle on cases computed by hand."""

import numpy as np
import pytest

from embedllm_hf import metrics

NAN = np.nan
# Two questions x three LLMs; one response missing.
PROBS = np.array([[0.9, 0.4, 0.6], [0.2, 0.7, 0.5]])
RESPONSES = np.array([[1.0, 1.0, 0.0], [0.0, NAN, 1.0]])


def test_routing_by_hand():
    """The first LLM wins question 0 (right), the third wins question 1 since the second is not observed (right)."""
    np.testing.assert_array_equal(metrics.routed_responses(PROBS, RESPONSES), [1, 1])
    worse = PROBS.copy()
    worse[0] = [0.1, 0.2, 0.3]
    np.testing.assert_array_equal(metrics.routed_responses(worse, RESPONSES), [0, 1])
    assert metrics.routing_accuracy(worse, RESPONSES) == 0.5


def test_questions_with_fewer_than_two_observed_llms_do_not_count():
    """One observed LLM is no choice, none is no outcome; ties go to the first observed column."""
    responses = np.array([[1.0, NAN, NAN], [NAN, NAN, NAN], [NAN, 1.0, 0.0]])
    probs = np.full((3, 3), 0.5)
    np.testing.assert_array_equal(metrics.routed_responses(probs, responses), [NAN, NAN, 1])
    assert metrics.routing_accuracy(probs, responses) == 1
    assert np.isnan(metrics.routing_accuracy(probs[:2], responses[:2]))


def test_the_oracle_takes_the_best_observed_response():
    """Best in hindsight over two questions with a choice: 1 and 0.25; the third has none."""
    responses = np.array([[0.0, 1.0, NAN], [0.25, 0.0, NAN], [1.0, NAN, NAN]])
    assert metrics.oracle_accuracy(responses) == pytest.approx(0.625)


def test_no_routing_exceeds_the_oracle():
    """On random data the oracle bounds every choice, and the share of solvable questions is what it reaches."""
    generator = np.random.default_rng(0)
    probs, responses = generator.random((200, 7)), generator.integers(0, 2, (200, 7)).astype(float)
    responses[generator.random(probs.shape) < 0.25] = NAN
    choice = (~np.isnan(responses)).sum(axis=1) >= 2
    assert metrics.oracle_accuracy(responses) == np.nanmax(responses[choice], axis=1).mean()
    assert metrics.routing_accuracy(probs, responses) <= metrics.oracle_accuracy(responses)


def test_routing_refuses_other_shapes():
    """Shapes that differ are named."""
    with pytest.raises(ValueError, match=r"`probs` has shape \(2, 3\) and `responses` \(2, 2\)"):
        metrics.routing_accuracy(PROBS, RESPONSES[:, :2])


def test_a_probability_that_is_none_chooses_nobody():
    """NaN would be taken for the highest; where nothing was observed it does not matter."""
    probs = PROBS.copy()
    probs[1, 1] = NAN  # not observed
    assert metrics.routing_accuracy(probs, RESPONSES) == 1
    for wrong in (NAN, np.inf):
        probs[0, 0] = wrong
        with pytest.raises(ValueError, match="`probs` holds NaN or infinity for an observed response"):
            metrics.routing_accuracy(probs, RESPONSES)
