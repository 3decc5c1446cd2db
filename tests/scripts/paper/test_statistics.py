"""Statistics behind the sections on LLM vectors: against other routes, by hand, and on shuffled input."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kendalltau

from scripts.paper import benchmark_scores, transfer
from scripts.paper.disagreement import centred_cosine_distances, disagreement
from scripts.paper.halves import (
    PENALTIES,
    judge_order,
    kendall_sums,
    kendall_tail,
    random_halves,
    ridge_forecasts,
    smallest_significant_tau,
)
from scripts.paper.permutation import (
    distance_gap,
    holm,
    mantel,
    neighbour_agreement,
    p_value,
    probe_accuracy,
    shuffles,
    silhouette,
)
from scripts.paper.refits import procrustes_residual


def test_ridge_is_that_of_the_normal_equations_and_its_strength_that_of_leaving_one_out():
    """The closed form equals ridge with a free intercept, fitted anew without each LLM for each strength."""
    generator = np.random.default_rng(5)
    blocks = [generator.normal(size=(14, 20)), generator.normal(size=(14, 1))]
    scores = generator.normal(size=(14, 2)) + [[0, 3]] * blocks[0][:, :2]  # nothing to learn, and much
    train, test = np.arange(8), np.arange(8, 14)
    scaled = [(block - block[train].mean(axis=0)) / np.sqrt(block[train].var(axis=0).sum()) for block in blocks]
    features = np.concatenate(scaled, axis=1)

    def fit(rows: np.ndarray, column: int, penalty: float, at: np.ndarray) -> np.ndarray:
        design = np.c_[features, np.ones(14)]
        shrink = penalty * np.diag([1.0] * 21 + [0.0])
        weights = np.linalg.solve(design[rows].T @ design[rows] + shrink, design[rows].T @ scores[rows, column])
        return design[at] @ weights

    mean_variance = np.linalg.eigvalsh(features[train] @ features[train].T).mean()
    found = ridge_forecasts(blocks, scores, train, test)
    for column in (0, 1):
        errors = [
            sum(
                (fit(np.delete(train, row), column, p * mean_variance, [row])[0] - scores[row, column]) ** 2
                for row in train
            )
            for p in PENALTIES
        ]
        best = PENALTIES[int(np.argmin(errors))] * mean_variance
        assert column == 1 or best > PENALTIES[0] * mean_variance
        np.testing.assert_allclose(found[:, column], fit(train, column, best, test), rtol=1e-6)


def test_kendall_is_that_of_scipy():
    """Tau-b with ties, and the exact p-value without them."""
    generator = np.random.default_rng(1)
    first, second = generator.integers(0, 5, (2, 9, 6)).astype(float)
    _, tau = kendall_sums(first, second)
    np.testing.assert_allclose(tau, [kendalltau(a, b).statistic for a, b in zip(first.T, second.T, strict=True)])
    for order in list(permutations(range(6)))[::37]:
        sums, _ = kendall_sums(np.arange(6.0)[:, None], np.array(order, float)[:, None])
        expected = kendalltau(range(6), order, method="exact").pvalue
        assert kendall_tail(6)[abs(int(sums[0]))] == pytest.approx(expected)


def test_the_smallest_significant_tau():
    """Four LLMs cannot be significant (2 of 24 orders), five only in perfect order (2 of 120; one swap: 10 of 120)."""
    assert smallest_significant_tau(4) is None
    assert smallest_significant_tau(5) == 1.0
    n = 16
    tau = smallest_significant_tau(n)
    step = round(tau * n * (n - 1) / 2)
    assert kendall_tail(n)[step] < 0.05 <= kendall_tail(n)[step - 2]


def test_only_an_order_in_the_right_direction_counts():
    """The opposite order is significant of either sign, but no success."""
    order = np.arange(10.0)
    judged = judge_order(np.stack([order, -order], axis=1), order[:, None])
    assert judged["significant"].tolist() == [True, False]
    assert judged["either_sign"].tolist() == [True, True]


def test_halves_are_halves():
    """Each split parts all LLMs in two, and the splits differ."""
    halves = random_halves(11, 5, seed=0)
    assert all(sorted([*train, *test]) == list(range(11)) and len(train) == 5 for train, test in halves)
    assert len({tuple(sorted(train)) for train, _ in halves}) > 1


def test_scores_are_forecast_and_shuffled_ones_are_not():
    """Scores linear in the vectors are found in nearly all splits; shuffled ones in about 2.5 of 100."""
    generator = np.random.default_rng(2)
    vectors_, halves = generator.normal(size=(30, 12)), random_halves(30, 30, seed=0)
    scores = 0.5 + vectors_[:, :3].sum(axis=1) * 0.05
    found = benchmark_scores.forecast_halves([[vectors_]], scores, halves)
    assert found["share_significant"] > 0.9
    shuffled = benchmark_scores.shuffled_scores([vectors_], scores, halves, 200, found)
    assert shuffled["p_value"] == pytest.approx(1 / 201)
    assert 0.01 < shuffled["significant"] < 0.045
    assert 0.03 < shuffled["either_sign"] < 0.07


def test_scores_that_have_nothing_to_do_with_the_vectors_are_no_finding():
    """Over thirty made-up benchmarks the p-value is below 5% about as often as it should be."""
    generator = np.random.default_rng(3)
    vectors_, halves = generator.normal(size=(24, 12)), random_halves(24, 10, seed=0)
    values = []
    for _ in range(30):
        scores = generator.random(24)
        found = benchmark_scores.forecast_halves([[vectors_]], scores, halves)
        values.append(benchmark_scores.shuffled_scores([vectors_], scores, halves, 100, found)["p_value"])
    assert np.mean(np.array(values) < 0.05) <= 0.15
    assert 0.3 < np.mean(values) < 0.7


def test_noise_limits_what_can_be_forecast():
    """With few questions not even the true accuracies order the LLMs; with many they do."""
    scores, halves = np.linspace(0.5, 0.6, 20), random_halves(20, 20, seed=0)
    few = benchmark_scores.noise_of(scores, np.full(20, 30.0), halves)
    many = benchmark_scores.noise_of(scores, np.full(20, 100_000.0), halves)
    assert few["perfect_significant"] < 0.5 < many["perfect_significant"]
    assert many["perfect_tau"] > 0.9
    assert few["standard_error"] == pytest.approx(np.sqrt((scores * (1 - scores) / 30).mean()))
    assert few["tau_needed"] == pytest.approx(smallest_significant_tau(10))


def test_gains_are_honest_about_splits_that_share_llms():
    """The interval is wider than that of independent splits by sqrt(1 + splits x test / train)."""
    generator = np.random.default_rng(4)
    first, second = generator.random((2, 40))
    gain = benchmark_scores.split_gain(first.tolist(), second.tolist(), (np.arange(5), np.arange(5, 10)))
    alone = 2.0227 * (first - second).std(ddof=1) / np.sqrt(40)
    assert (gain["high"] - gain["low"]) / 2 == pytest.approx(alone * np.sqrt(41), rel=1e-3)
    assert gain["difference"] == pytest.approx((first - second).mean())


def test_shuffles_keep_the_strata():
    """Within strata every LLM's place goes to one of its stratum; freely, to any."""
    strata = ["a", "a", "b", "b", "b", "c"]
    orders = shuffles(6, 50, strata)
    assert all([strata[place] for place in order] == strata for order in orders)
    assert all(sorted(order) == list(range(6)) for order in shuffles(6, 50))
    assert len({tuple(order) for order in orders}) > 5


def test_holm_and_p_values():
    """Holm's own steps; the measured value counts as one of chance."""
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    assert holm([]) == []
    assert p_value(1.0, np.array([0.0, 1.0, 2.0])) == 0.75


def make_groups(shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of three groups of ten, their cosine distances and labels."""
    generator = np.random.default_rng(6)
    labels = np.repeat([0, 1, 2], 10)
    vectors_ = generator.normal(size=(30, 5)) + shift * np.eye(5)[labels]
    return vectors_, centred_cosine_distances(vectors_), labels


def test_the_silhouette_by_hand():
    """Two groups far apart: one less the distance within over the distance between; mixed up, it is below 0."""
    places = np.array([0.0, 1.0, 10.0, 11.0])
    distances = np.abs(places[:, None] - places)
    found = silhouette(distances, np.array([[0, 0, 1, 1], [0, 1, 0, 1]]))
    assert found[0] == pytest.approx(np.mean([1 - 1 / 10.5, 1 - 1 / 9.5]))
    assert found[1] < 0


def test_the_probe_is_that_of_scikit_learn():
    """The same folds and the same penalty in scikit-learn recognise the same LLMs."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score

    vectors_, _, labels = make_groups(1.2)
    centred = vectors_ - vectors_.mean(axis=0)
    features = centred / np.sqrt((centred**2).mean())
    folds = np.random.default_rng(0).permutation(np.arange(30) % 5)
    guesses = np.empty(30, int)
    for fold in range(5):
        probe = LogisticRegression(C=1.0, max_iter=1000).fit(features[folds != fold], labels[folds != fold])
        guesses[folds == fold] = probe.predict(features[folds == fold])
    assert probe_accuracy(vectors_, labels[None])[0] == pytest.approx(balanced_accuracy_score(labels, guesses))


@pytest.mark.parametrize(("shift", "found"), [(2.0, True), (0.0, False)])
def test_groups_are_found_only_where_there_are_some(shift, found):
    """Each measure has a small p-value for planted groups, and none for labels without meaning."""
    vectors_, distances, labels = make_groups(shift)
    orders = shuffles(30, 200)
    for measure, given in (
        (distance_gap, distances),
        (neighbour_agreement, distances),
        (silhouette, distances),
        (probe_accuracy, vectors_),
    ):
        value = p_value(measure(given, labels[None])[0], measure(given, labels[orders]))
        assert (value < 0.01) if found else (value > 0.05), measure.__name__


def test_mantel_finds_what_goes_together_and_nothing_else():
    """A noisy copy is found, an unrelated table is not, nor one that goes along only between groups."""
    generator = np.random.default_rng(7)
    points = generator.normal(size=(20, 3))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    other = generator.normal(size=(20, 3))
    unrelated = np.linalg.norm(other[:, None] - other[None], axis=2)
    pairs, orders = np.triu(np.ones((20, 20), bool), k=1), shuffles(20, 200)
    noisy = distances + 0.3 * generator.normal(size=(20, 20))
    assert mantel(distances, noisy, pairs, orders)["kendall"]["p_value"] < 0.01
    assert mantel(distances, unrelated, pairs, orders)["pearson"]["p_value"] > 0.05
    halves = np.repeat([0, 1], 10)
    apart = (halves[:, None] != halves) * 5.0
    groups = halves[:, None] + halves
    raw = mantel(distances + apart, unrelated + apart, pairs, orders, measures=("pearson",))["pearson"]
    assert raw["value"] > 0.5
    strata = shuffles(20, 200, halves)
    within = mantel(distances + apart, unrelated + apart, pairs, strata, groups, measures=("pearson",))["pearson"]
    assert abs(within["value"]) < 0.3
    assert within["p_value"] > 0.05


def test_disagreement_by_hand():
    """Only shared questions count; one side right and the other wrong."""
    nan = float("nan")
    share, shared = disagreement(np.array([[1, 0, nan], [1, 1, nan], [0, nan, 1], [nan, 1, 1]]))
    assert shared.tolist() == [[3, 2, 1], [2, 3, 1], [1, 1, 2]]
    assert share[0, 1] == 0.5
    assert share[0, 2] == 1.0
    assert share[1, 2] == 0.0


def test_procrustes_takes_out_rotation_shift_and_scale():
    """What another basis changes is nothing; unrelated vectors leave most of the variance."""
    generator = np.random.default_rng(8)
    vectors_ = generator.normal(size=(40, 4))
    rotation = np.linalg.qr(generator.normal(size=(4, 4)))[0]
    assert procrustes_residual(vectors_, 3 * vectors_ @ rotation + 7) == pytest.approx(0, abs=1e-9)
    assert procrustes_residual(vectors_, generator.normal(size=(40, 4))) > 0.6


def test_changes_by_hand():
    """Means over responses; the error is that of the paired changes of the questions."""
    full = [[np.array([[1.0, 2.0], [2, 2]])], [np.array([[3.0, 2.0], [2, 2]])]]
    losses = [[[part[0], part[0]] for part in (full[0], full[1], full[0])]]
    change, error = transfer.changes(losses)
    np.testing.assert_allclose(change, [[0.5, 0.5], [0, 0]])
    np.testing.assert_allclose(error, [[np.sqrt(2) / 4] * 2, [0, 0]])


def test_centring_takes_out_rows_and_columns():
    """A table of row and column effects leaves nothing; what goes beyond them stays, and NaN too."""
    table = np.arange(5.0)[:, None] + 10 * np.arange(5.0)
    left = transfer.centred(table)
    assert np.isnan(np.diag(left)).all()
    np.testing.assert_allclose(left[~np.eye(5, dtype=bool)], 0, atol=1e-6)
    table[0, 1] = np.nan
    table[2, 3] += 1
    left = transfer.centred(table)
    assert np.isnan(left[0, 1])
    assert left[2, 3] == np.nanmax(left) > 0.3
