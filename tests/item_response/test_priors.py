"""What is expected of a newcomer that takes a benchmark: the prior of those of the pool that have taken it."""

from dataclasses import replace

import numpy as np
import pytest

from embedllm_hf import Forecaster, onboard
from embedllm_hf.item_response import fit_item_response
from embedllm_hf.item_response.fit import PoolFit
from embedllm_hf.item_response.priors import benchmark_priors, benchmarks_of, place_abilities
from embedllm_hf.new_llms.onboarding import onboard_many
from embedllm_hf.new_llms.probing import probe

from .placing import simulated_pool


@pytest.fixture(scope="module")
def model():
    """Of 30 LLMs the ten strongest have taken benchmark `two`, all of them `one`."""
    simulated = simulated_pool(n_questions=200, n_llms=30)
    model, known = simulated.model, simulated.model.known_questions
    strong = np.argsort(simulated.probabilities.mean(axis=0))[-10:]
    rows = np.repeat(np.arange(len(known)), np.diff(known.indptr))
    kept = (rows % 2 == 0) | np.isin(known.llm_indices, strong)
    counts = np.bincount(rows[kept], minlength=len(known))
    fields = {**vars(known), "indptr": np.concatenate([[0], np.cumsum(counts)])}
    fields |= {"llm_indices": known.llm_indices[kept], "values": known.values[kept]}
    model.known_questions = type(known)(**fields)
    model.item_response = fit_item_response(model)
    return model


def test_a_benchmark_has_the_prior_of_those_that_took_it(model):
    """All LLMs took `one`, so its prior is the pool's; those that took `two` are stronger and more alike."""
    item_response = model.item_response
    one, two = item_response.newcomer_prior([0]), item_response.newcomer_prior([1])
    np.testing.assert_array_equal(one[0], item_response.prior_mean)
    np.testing.assert_array_equal(one[1], item_response.prior_covariance)
    strong = probe(model, n=1, benchmark="two").accuracy
    weak = Forecaster(onboard(model, "new/llm", {})).benchmark("new/llm", "two").accuracy
    assert strong > weak + 0.1
    assert np.trace(two[1]) < np.trace(one[1])


def test_vectors_have_the_prior_of_those_that_took_it_too(model):
    """The prior is that of those that took the benchmark, and one answer leaves a newcomer's vector near its mean."""
    took = ~np.isnan(model.known_questions.dense_responses(30)[1])
    weights = np.column_stack([model.llm_embeds, model.llm_bias.detach().numpy()])
    mean, _ = model.item_response.newcomer_vector_prior([1])
    np.testing.assert_allclose(mean, weights[took].mean(axis=0), atol=1e-6)
    assert took.sum() == 10
    plain = model.with_llm_renamed("lab/00", "lab/zero")
    names = [name for name in vars(model.item_response) if name.startswith("benchmark_")]
    plain.item_response = replace(model.item_response, **dict.fromkeys(names))
    near, far = (onboard(start, "new/llm", {1: 1}).llm_embeds[-1] for start in (model, plain))
    assert np.linalg.norm(near - mean[:-1]) < np.linalg.norm(far - mean[:-1]) / 2


def test_several_benchmarks_give_a_mixture(model):
    """Mean and covariance of two priors are those of draws from both in equal parts."""
    item_response, generator = model.item_response, np.random.default_rng(0)
    draws = np.concatenate(
        [generator.multivariate_normal(*item_response.newcomer_prior([b]), 200_000) for b in (0, 1)]
    )
    mean, covariance = item_response.newcomer_prior([0, 1])
    np.testing.assert_allclose(mean, draws.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(covariance, np.cov(draws.T), atol=0.03)


def test_llms_are_placed_with_the_prior_of_their_benchmarks(model):
    """One batch with answers to `one`, `two`, both, none and a text of one's own: each as it is alone."""
    cases = {"a": {0: 1}, "b": {1: 1}, "c": {0: 1, 1: 1}, "d": {}, "e": {3: 0, 1: 1}}
    together = onboard_many(model, cases)
    for name, answers in cases.items():
        alone = onboard(model, name, answers)
        there = together.item_response.abilities[together.llm_index(name)]
        np.testing.assert_allclose(there, alone.item_response.abilities[-1], atol=1e-6)
        np.testing.assert_allclose(together.llm_embeds[together.llm_index(name)], alone.llm_embeds[-1], atol=1e-6)
    known = model.known_questions.with_questions(np.array([7]), np.zeros((1, 8)))
    assert benchmarks_of(known, np.array([0, 2])) == (0,)
    assert benchmarks_of(known, np.array([0, 1, 200])) == (0, 1)
    assert benchmarks_of(known, np.array([200])) == ()
    placed = place_abilities(model.item_response, known, [np.zeros(0, int)], [np.zeros(0)], without_answers=(1,))
    np.testing.assert_array_equal(placed.mean[0], model.item_response.newcomer_prior([1])[0])


def test_too_few_takers_tell_nothing(model):
    """A benchmark that seven LLMs took has the pool's prior."""
    known, n_llms = model.known_questions, model.config.n_llms
    responses = known.dense_responses(n_llms)
    took = np.flatnonzero(~np.isnan(responses[1]))
    responses[1::2, took[7:]] = np.nan
    fields = ("intercepts", "discriminations", "covariances", "abilities", "ability_covariances")
    arrays = {name: getattr(model.item_response, name) for name in (*fields, "text_coefficients", "text_variances")}
    means, _ = benchmark_priors(PoolFit(**arrays).newcomer_prior, known, responses)
    np.testing.assert_array_equal(means[0], means[1])


def test_a_model_without_them_has_one_prior(model, tmp_path):
    """A file that was saved before there were priors by benchmark loads, and all newcomers have the pool's."""
    names = [name for name in vars(model.item_response) if name.startswith("benchmark_")]
    old = replace(model.item_response, **dict.fromkeys(names))
    old.save(tmp_path)
    loaded = type(old).load(tmp_path / old.FILE)
    assert loaded.benchmark_prior_means is None
    np.testing.assert_array_equal(loaded.newcomer_prior([1])[0], old.prior_mean)
    np.testing.assert_array_equal(loaded.newcomer_vector_prior([1])[0], old.vector_prior_mean)
