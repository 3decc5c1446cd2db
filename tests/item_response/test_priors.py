"""What is expected of a new LLM that takes a benchmark: the prior of those of the pool that have taken it."""

from dataclasses import replace

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, Forecaster, onboard
from embedllm_hf.item_response.priors import benchmark_priors, benchmarks_of, place_abilities
from embedllm_hf.new_llms.onboarding import onboard_many
from embedllm_hf.new_llms.probing import probe
from tests.placing import simulated_pool, with_answers, with_items


@pytest.fixture(scope="module")
def model() -> EmbedLLM:
    """Of 30 LLMs the ten strongest have taken benchmark `two`, all of them `one`."""
    simulated = simulated_pool(n_questions=200, n_llms=30)
    strong = np.argsort(simulated.probabilities.mean(axis=0))[-10:]
    kept = (np.arange(200) % 2 == 0)[:, None] | np.isin(np.arange(30), strong)
    responses = np.where(kept, simulated.responses, np.nan)
    return with_items(simulated.model.with_bank(with_answers(simulated.model.bank, responses)))


def test_a_benchmark_has_the_prior_of_those_that_took_it(model):
    """All LLMs took `one`, so its prior is the pool's; those that took `two` are stronger and more alike."""
    item = model.bank.item_parameters
    one, two = item.new_llm_prior([0]), item.new_llm_prior([1])
    np.testing.assert_array_equal(one[0], item.prior_mean)
    np.testing.assert_array_equal(one[1], item.prior_covariance)
    strong = probe(model, n=1, benchmark="two").accuracy
    weak = Forecaster(onboard(model, "new/llm", {})).benchmark("new/llm", "two").accuracy
    assert strong > weak + 0.1
    assert np.trace(two[1]) < np.trace(one[1])


def test_vectors_have_the_prior_of_those_that_took_it_too(model):
    """The prior is that of those that took the benchmark, and one answer leaves a new LLM's vector near its mean."""
    took = ~np.isnan(model.bank.dense_responses()[1])
    weights = np.column_stack([model.llm_embeds, model.llm_bias.detach().numpy()])
    mean, _ = model.bank.item_parameters.new_llm_vector_prior([1])
    np.testing.assert_allclose(mean, weights[took].mean(axis=0), atol=1e-6)
    assert took.sum() == 10
    item = model.bank.item_parameters
    wide = {
        name: getattr(item, name.replace("benchmark_", "")[:-1])
        for name in vars(item)
        if name.startswith("benchmark_")
    }
    n_benchmarks = len(item.benchmark_prior_means)
    plain = replace(item, **{name: np.stack([value] * n_benchmarks) for name, value in wide.items()})
    plain = model.with_bank(replace(model.bank, item_parameters=plain))
    near, far = (onboard(start, "new/llm", {1: 1}).llm_embeds[-1] for start in (model, plain))
    assert np.linalg.norm(near - mean[:-1]) < np.linalg.norm(far - mean[:-1]) / 2


def test_several_benchmarks_give_a_mixture(model):
    """Mean and covariance of two priors are those of draws from both in equal parts."""
    item, generator = model.bank.item_parameters, np.random.default_rng(0)
    draws = np.concatenate([generator.multivariate_normal(*item.new_llm_prior([b]), 200_000) for b in (0, 1)])
    mean, covariance = item.new_llm_prior([0, 1])
    np.testing.assert_allclose(mean, draws.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(covariance, np.cov(draws.T), atol=0.03)


def test_llms_are_placed_with_the_prior_of_their_benchmarks(model):
    """One batch with answers to `one`, `two`, both, none and a text of one's own: each as it is alone."""
    cases = {"a": {0: 1}, "b": {1: 1}, "c": {0: 1, 1: 1}, "d": {}, "e": {3: 0, 1: 1}}
    together = onboard_many(model, cases)
    for name, answers in cases.items():
        alone = onboard(model, name, answers)
        there = together.bank.item_parameters.abilities[together.llm_index(name)]
        np.testing.assert_allclose(there, alone.bank.item_parameters.abilities[-1], atol=1e-6)
        np.testing.assert_allclose(together.llm_embeds[together.llm_index(name)], alone.llm_embeds[-1], atol=1e-6)
    bank = model.bank.with_texts(np.array([7]), np.zeros((1, 8)))
    assert benchmarks_of(bank, np.array([0, 2])) == (0,)
    assert benchmarks_of(bank, np.array([0, 1, 200])) == (0, 1)
    assert benchmarks_of(bank, np.array([200])) == ()
    placed = place_abilities(bank, [np.zeros(0, int)], [np.zeros(0)], without_answers=(1,))
    np.testing.assert_array_equal(placed.mean[0], model.bank.item_parameters.new_llm_prior([1])[0])


def takers_of_two(model: EmbedLLM, responses: np.ndarray) -> np.ndarray | None:
    """The LLMs whose prior benchmark `two` has, `slice(None)` for that of the whole pool."""
    asked = []

    def new_llm_prior(llms: np.ndarray | slice):
        asked.append(llms)
        return np.zeros(1), np.eye(1)

    benchmark_priors(new_llm_prior, model.bank, responses)
    return asked[1]


def test_half_of_a_benchmark_is_taken_and_less_is_not(model):
    """Of the ten that answered all 100 questions of `two` two lose half of them, and a third one question more."""
    responses = model.bank.dense_responses()
    took = np.flatnonzero(~np.isnan(responses[1]))
    responses[1:101:2, took[:2]] = np.nan
    np.testing.assert_array_equal(np.flatnonzero(takers_of_two(model, responses)), took)
    responses[1:103:2, took[2]] = np.nan
    np.testing.assert_array_equal(np.flatnonzero(takers_of_two(model, responses)), np.delete(took, 2))


def test_too_few_takers_tell_nothing(model):
    """A benchmark that seven LLMs took has the pool's prior; eight are enough."""
    responses = model.bank.dense_responses()
    took = np.flatnonzero(~np.isnan(responses[1]))
    responses[1::2, took[8:]] = np.nan
    assert takers_of_two(model, responses).sum() == 8
    responses[1::2, took[7]] = np.nan
    assert takers_of_two(model, responses) == slice(None)
