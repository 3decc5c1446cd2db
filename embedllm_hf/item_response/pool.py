"""Fits questions and abilities of a pool in turn, from its network and its responses.

The network gives the start: its LLM vectors, reduced to their two main directions, and each question's forecast from
its text. Then questions and abilities are fitted in turn by Newton's method, with normal priors whose widths come from
the data (empirical Bayes by EM: Bock and Aitkin, Psychometrika 1981). Constants were chosen on held-out LLMs of 24
folds, see `model_cards/unseen_llms`. 13,000 questions and 70 LLMs take about 1.5 s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ..network import EmbedLLMNetwork

MIN_LLMS = 3  # that a pool can be fitted to
N_FREE_TRAITS = 2  # more did not help: 3 and 4 were within the noise
_ROUNDS, _PILOT_ROUNDS = 5, 2  # in all, and before the difficulties are fixed; 8 give the same error
_RIDGE = 30.0  # of the regression on text vectors of unit length; 10 does as well, 100 is 5% worse
_SHRINKAGE, _INFLATION = 0.1, 1.1  # of a new LLM's prior covariance: towards its diagonal, and for its own error
_CELLS_AT_ONCE = 4_000_000  # (question, LLM) pairs of one block; bounds the memory


@dataclass(frozen=True)
class NetworkView:
    """A network's numbers in float64: its maps of `(1, x)`, x a text vector, and its LLMs.

    Attributes:
        vector_map (`np.ndarray` of shape `(1 + text_dim, embed_dim)`): Gives v_q of the network's formula.
        base_map (`np.ndarray` of shape `(1 + text_dim,)`): Gives what all LLMs' logits share.
        llm_vectors (`np.ndarray` of shape `(n_llms, embed_dim + 1)`): Vectors and biases.
    """

    vector_map: np.ndarray
    base_map: np.ndarray
    llm_vectors: np.ndarray

    @classmethod
    def of(cls, network: EmbedLLMNetwork) -> NetworkView:
        """Read a network's weights."""
        vector_map, base_map = (side.double().cpu().numpy() for side in network.question_maps())
        base_map[0] += network.shared_offset.item()
        vectors, bias = network.llm_embeds.astype(np.float64), network.llm_bias
        biases = np.zeros(len(vectors)) if bias is None else bias.detach().double().cpu().numpy()
        return cls(vector_map, base_map, np.column_stack([vectors, biases]))

    def of_llms(self, llm_indices: np.ndarray) -> NetworkView:
        """The same with some of the LLMs."""
        return NetworkView(self.vector_map, self.base_map, self.llm_vectors[llm_indices])

    def new_llm_prior(self, llms: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of a new LLM's vector and bias: the pool's, or that of some `llms` of it."""
        vectors = self.llm_vectors[llms]
        return vectors.mean(axis=0), _towards_diagonal(np.cov(vectors.T)) + 1e-5 * np.eye(vectors.shape[1])


@dataclass(frozen=True)
class PoolFit:
    """Questions and abilities as fitted; see `ItemParameters` for the fields."""

    intercepts: np.ndarray
    discriminations: np.ndarray
    abilities: np.ndarray
    ability_covariances: np.ndarray
    text_coefficients: np.ndarray
    text_variances: np.ndarray

    def new_llm_prior(self, llms: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of a new LLM's ability: the pool's, or that of some `llms` of it, a little widened."""
        abilities, covariances = self.abilities[llms], self.ability_covariances[llms]
        spread = np.atleast_2d(np.cov(abilities.T)) + covariances.mean(axis=0)
        return abilities.mean(axis=0), _INFLATION * _towards_diagonal(spread)


def fit_pool(network: NetworkView, responses: np.ndarray, features: np.ndarray) -> PoolFit:
    """Fit questions and abilities in turn.

    A question's intercept and free discriminations have a normal prior around what its text says: the network's word,
    plus a ridge regression of what the answers add. The last trait is each LLM's own slope on the questions'
    difficulty for the mean LLM, which is fixed after two rounds without it.

    Args:
        network (`NetworkView`): Of the same LLMs.
        responses (`np.ndarray` of shape `(n_questions, n_llms)`): NaN where not observed.
        features (`np.ndarray` of shape `(n_questions, 1 + text_dim)`): `(1, x)` of the questions.
    """
    abilities, text_map = _start(network, features)
    n_free = abilities.shape[1]
    seen = ~np.isnan(responses).all(axis=1)
    normal = _ridge_matrix(features, seen)
    from_network = features @ text_map
    expected, parameters = from_network, from_network
    variances = np.concatenate([[1.0], np.full(n_free, 0.1)])
    difficulty, ability_variances = np.zeros((len(features), 0)), np.ones(n_free)
    for round_ in range(_ROUNDS):
        if round_ == _PILOT_ROUNDS:
            mean_llm = np.concatenate([[1.0], abilities.mean(axis=0)])
            difficulty, centre, width = _standardised(parameters @ mean_llm, seen)
            abilities = np.column_stack([abilities, np.zeros(len(abilities))])
            ability_variances = np.append(ability_variances, 0.25)
        parameters, covariances = fit_questions(
            responses, abilities[:, :n_free], difficulty, abilities[:, n_free:], expected, 1 / variances, parameters
        )
        added = np.linalg.solve(normal, features[seen].T @ (parameters - from_network)[seen])
        expected = from_network + features @ added
        gaps = ((parameters - expected)[seen] ** 2).mean(axis=0)
        variances = gaps + np.diagonal(covariances[seen], axis1=1, axis2=2).mean(axis=0)
        discriminations = np.column_stack([parameters[:, 1:], difficulty])
        if round_ == _ROUNDS - 1:
            break
        questions = parameters[:, 0], discriminations
        abilities, ability_covariances = fit_abilities(responses, questions, 1 / ability_variances, abilities)
        if difficulty.shape[1]:
            uncertain = np.diagonal(ability_covariances, axis1=1, axis2=2).mean(axis=0)[n_free:]
            ability_variances[n_free:] = (abilities[:, n_free:] ** 2).mean(axis=0) + uncertain
    return PoolFit(
        intercepts=parameters[:, 0],
        discriminations=discriminations,
        abilities=abilities,
        ability_covariances=ability_covariances,
        text_coefficients=_with_difficulty(text_map + added, mean_llm, centre, width),
        text_variances=variances,
    )


def _start(network: NetworkView, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Abilities `(n_llms, n_free)` and the questions' text map `(1 + text_dim, 1 + n_free)`, from the network.

    The pool's vectors are reduced to their main directions in the metric of the logits over the known questions.
    """
    n_llms, width = network.llm_vectors.shape
    n_free = min(N_FREE_TRAITS, n_llms - 1, width - 1)
    discriminations = np.column_stack([features @ network.vector_map, np.ones(len(features))])
    moments = discriminations.T @ discriminations / len(discriminations)
    values, directions = np.linalg.eigh(moments + 1e-9 * np.eye(width))
    metric = directions * np.sqrt(np.maximum(values, 1e-12))
    centre = network.llm_vectors.mean(axis=0)
    left, sizes, right = np.linalg.svd((network.llm_vectors - centre) @ metric, full_matrices=False)
    basis = np.linalg.solve(metric.T, right[:n_free].T) * sizes[:n_free] / np.sqrt(n_llms)
    text_map = network.vector_map @ np.column_stack([centre, basis])[:-1]
    text_map[0] += np.concatenate([[centre[-1]], basis[-1]])
    text_map[:, 0] += network.base_map
    return left[:, :n_free] * np.sqrt(n_llms), text_map


def _ridge_matrix(features: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Left side of the normal equations of the regression on text vectors, whose constant is all but free."""
    penalty = _RIDGE * max(float((features[seen, 1:] ** 2).sum(axis=1).mean()), 1e-12)
    ridge = np.diag(np.concatenate([[1e-6 * penalty], np.full(features.shape[1] - 1, penalty)]))
    return features[seen].T @ features[seen] + ridge


def _standardised(logits: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Logits `(n,)` shifted and scaled to mean 0 and deviation 1 of the `seen` ones, as a column; and by what."""
    centre, width = logits[seen].mean(), max(float(logits[seen].std()), 1e-6)
    return ((logits - centre) / width)[:, None], centre, width


def _with_difficulty(text_map: np.ndarray, mean_llm: np.ndarray, centre: float, width: float) -> np.ndarray:
    """A text map with one column more: the standardised difficulty of a text for the mean LLM."""
    difficulty = text_map @ mean_llm
    difficulty[0] -= centre
    return np.column_stack([text_map, difficulty / width])


def _towards_diagonal(covariance: np.ndarray) -> np.ndarray:
    return (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.diag(np.diag(covariance))


def _blocks(responses: np.ndarray) -> list[slice]:
    """Rows in blocks of bounded size."""
    step = max(1, _CELLS_AT_ONCE // max(1, responses.shape[1]))
    return [slice(start, start + step) for start in range(0, len(responses), step)]


def _capped(step: np.ndarray) -> np.ndarray:
    """Newton steps `(n, dim)`, no entry longer than 2."""
    return step * np.minimum(1, 2 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-9))


def fit_questions(
    responses: np.ndarray,
    abilities: np.ndarray,
    difficulty: np.ndarray,
    slopes: np.ndarray,
    expected: np.ndarray,
    precisions: np.ndarray,
    start: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Each question's intercept and free discriminations `(n, 1 + n_free)` given the abilities, and their covariances.

    The prior is normal around `expected`; `difficulty @ slopes.T` is added to the logits, and stays.
    """
    design = np.column_stack([np.ones(len(abilities)), abilities])
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    parameters, covariances = start.copy(), np.empty((len(start), *2 * (design.shape[1],)))
    for block in _blocks(responses):
        answers = responses[block]
        observed, offset = ~np.isnan(answers), difficulty[block] @ slopes.T
        for _ in range(5):
            probabilities = expit(parameters[block] @ design.T + offset)
            information = np.where(observed, probabilities * (1 - probabilities), 0.0)
            gradient = np.where(observed, answers - probabilities, 0.0) @ design
            gradient -= (parameters[block] - expected[block]) * precisions
            curvature = (information @ products).reshape(-1, *covariances.shape[1:]) + np.diag(precisions)
            step = _capped(np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0])
            parameters[block] += step
            if np.abs(step).max() < 1e-3:
                break
        covariances[block] = np.linalg.inv(curvature)
    return parameters, covariances


def fit_abilities(
    responses: np.ndarray, questions: tuple[np.ndarray, np.ndarray], precisions: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each LLM's ability `(n_llms, n_traits)` given the questions, and its covariance; prior N(0, 1 / precisions)."""
    (intercepts, discriminations), abilities = questions, start
    for _ in range(10):
        gradient = -abilities * precisions
        curvature = np.tile(np.diag(precisions), (len(abilities), 1, 1))
        for block in _blocks(responses):
            observed, answers, discrimination = ~np.isnan(responses[block]), responses[block], discriminations[block]
            products = (discrimination[:, :, None] * discrimination[:, None, :]).reshape(len(discrimination), -1)
            probabilities = expit(intercepts[block, None] + discrimination @ abilities.T)
            gradient += np.where(observed, answers - probabilities, 0.0).T @ discrimination
            information = np.where(observed, probabilities * (1 - probabilities), 0.0)
            curvature += (information.T @ products).reshape(curvature.shape)
        step = _capped(np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0])
        abilities = abilities + step
        if np.abs(step).max() < 1e-4:
            break
    return abilities, np.linalg.inv(curvature)


def fit_residuals(network: NetworkView, responses: np.ndarray, features: np.ndarray) -> np.ndarray:
    """How much easier each known question is than the network says, `(n_questions,)` logits, shrunk towards 0."""
    parts = [features @ network.vector_map, np.ones(len(features)), features @ network.base_map]
    discriminations = np.column_stack(parts)
    llms = np.column_stack([network.llm_vectors, np.ones(len(network.llm_vectors))])
    nobody = np.zeros((len(llms), 0))
    residuals, variance, none = np.zeros((len(features), 1)), 1.0, np.zeros((len(features), 1))
    seen = ~np.isnan(responses).all(axis=1)
    for _ in range(4):
        residuals, covariances = fit_questions(
            responses, nobody, discriminations, llms, none, np.array([1 / variance]), residuals
        )
        variance = float((residuals[seen, 0] ** 2 + covariances[seen, 0, 0]).mean())
    return residuals[:, 0]
