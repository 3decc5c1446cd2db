"""Known questions as a sample of their benchmark: intervals and comparisons, in simulations with the truth."""

import numpy as np
import pytest
from scipy.special import expit, ndtr
from scipy.stats import binomtest

from embedllm_hf.item_response.posterior import interval
from embedllm_hf.item_response.sampling import KnownScore, QuestionSample


def answered(responses: np.ndarray) -> KnownScore:
    """Of an LLM whose answers, `(n,)`, are all known."""
    return KnownScore.of(np.full(len(responses), 0.5), responses)


def sample_of(n: int, unseen: float = 1.0, n_strata: int = 1) -> QuestionSample:
    return QuestionSample.of(np.arange(n) % n_strata, unseen)


@pytest.mark.parametrize("right", [0, 1, 13, 40])
def test_of_right_and_wrong_answers_it_is_wilsons_interval(right):
    """As SciPy has it, to the one answer that is counted in."""
    score = answered((np.arange(40) < right).astype(float))
    expected = binomtest(right, 40).proportion_ci(0.9, "wilson")
    assert sample_of(40).interval(score) == pytest.approx((expected.low, expected.high), abs=3e-3)


@pytest.mark.parametrize("n", [1, 2, 20, 500])
@pytest.mark.parametrize("grade", [0.0, 0.5, 1.0])
def test_an_interval_of_a_sample_has_a_width(n, grade):
    """Also where all answers are the same, or each question is a category of its own; and it is within [0, 1]."""
    for strata in (np.zeros(n, int), np.arange(n)):
        low, high = QuestionSample.of(strata, 1.0).interval(answered(np.full(n, grade)))
        assert 0 <= low <= grade <= high <= 1
        assert high - low > 0.3 / n
        assert np.diff(QuestionSample.of(strata, 0.0).interval(answered(np.full(n, grade)))) == 0


def test_about_the_known_questions_alone_it_is_the_normal_interval():
    """Of ability and chance, as `interval` has it."""
    score = KnownScore(np.full(10, 0.4), np.full(10, 0.24), 0.001, 0.0024, 0)
    assert sample_of(10, 0.0).interval(score) == pytest.approx(interval(0.4, 0.0034))
    assert sample_of(10, 0.0).covariance([score, score]) == pytest.approx(np.diag([0.0034] * 2))


def test_what_is_alike_within_categories_and_graded_answers_vary_less():
    """Two categories of which one is always right leave the one answer only; grades near 0.5 less than 0 and 1."""
    by_category, mixed = np.tile([0.0, 1.0], 50), np.repeat([0.0, 1.0], 50)
    sample = sample_of(100, n_strata=2)
    narrow, wide = (float(np.diff(sample.interval(answered(values)))[0]) for values in (by_category, mixed))
    assert wide > 5 * narrow > 0
    graded = sample.interval(answered(0.4 + 0.2 * mixed))
    assert np.diff(graded)[0] == pytest.approx(0.2 * wide, rel=0.2)


def populations(n_llms: int, n_questions: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities and answers `(n_questions, n_llms)` of a benchmark, and each question's category of three."""
    draw = np.random.default_rng(seed)
    strata = np.sort(draw.choice(3, n_questions, p=(0.6, 0.3, 0.1)))
    easy = np.array([-1.0, 0.5, 2.5])[strata] + draw.normal(size=n_questions)
    probabilities = expit(easy[:, None] + draw.normal(size=n_llms))
    return probabilities, (draw.random(probabilities.shape) < probabilities).astype(float), strata


@pytest.mark.parametrize("known_share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("observed_share", [1.0, 0.5])
def test_the_whole_benchmarks_score_lies_inside(known_share, observed_share):
    """Of 400 LLMs, each with its own draw of known questions, 85 to 95%; a few more where answers are missing."""
    draw = np.random.default_rng(3)
    probabilities, answers, strata = populations(400, 600, 4)
    inside = []
    for llm in range(400):
        order = draw.permutation(600)
        order = order[np.argsort(strata[order], kind="stable")]
        known = order[np.diff(np.floor(np.arange(601) * known_share + draw.random())) > 0]  # alike of each category
        responses = np.where(draw.random(len(known)) < observed_share, answers[known, llm], np.nan)
        score = KnownScore.of(probabilities[known, llm], responses)
        low, high = QuestionSample.of(strata[known], 1 - len(known) / 600).interval(score)
        inside.append(low <= answers[:, llm].mean() <= high)
    assert 0.85 <= np.mean(inside) <= (0.95 if observed_share == 1 else 0.99)


def test_the_probability_of_being_better_is_right():
    """Of LLMs that meet the same 100 questions, those told to be better with 80% are in about 80% of cases.

    The questions differ much, so that by unpaired variances the order would be told too unsurely.
    """
    draw, told, true = np.random.default_rng(5), [], []
    for _ in range(6000):
        abilities = 2 * draw.normal(size=2)
        probabilities = expit(3 * draw.normal(size=(100, 1)) + abilities)
        answers = (draw.random(probabilities.shape) < probabilities).astype(float)
        scores, sign = [answered(column) for column in answers.T], np.array([1.0, -1.0])
        sample = sample_of(100)
        gap = sign @ sample.means(scores)
        told.append(float(ndtr(gap / np.sqrt(sign @ sample.covariance(scores) @ sign))))
        true.append(abilities[0] > abilities[1])
    sure = np.maximum(told, 1 - np.array(told))
    right = (np.array(told) > 0.5) == np.array(true)
    for least, most in ((0.5, 0.8), (0.8, 0.95), (0.95, 1.0)):
        chosen = (least <= sure) & (sure < most)
        assert chosen.sum() > 50
        assert right[chosen].mean() == pytest.approx(sure[chosen].mean(), abs=0.05)


def test_a_second_sample_lies_as_far_away_as_the_covariance_says():
    """Means of two LLMs over two samples of one source: covariances of their gaps are twice those told."""
    draw, gaps, told = np.random.default_rng(6), [], []
    for _ in range(3000):
        easy = draw.normal(size=(2, 80, 1)) * 2
        answers = (draw.random((2, 80, 2)) < expit(easy + np.array([0.5, -0.5]))).astype(float)
        means = answers.mean(axis=1)
        gaps.append(means[0] - means[1])
        told.append(sample_of(80).covariance([answered(column) for column in answers[0].T]))
    np.testing.assert_allclose(np.cov(np.array(gaps).T), 2 * np.mean(told, axis=0), rtol=0.15)
