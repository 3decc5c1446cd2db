"""Cost-quality metrics on cases computed by hand."""

import json

import numpy as np
import pytest

from embedllm_hf.metrics import cost_curves as cq

NAN = np.nan
# Two questions, three LLMs of costs 0, 1, 4; the dear one is always right, the cheap one never.
PROBS = np.array([[0.1, 0.5, 0.9], [0.2, 0.8, 0.9]])
TRUTH = np.array([[0.0, 0, 1], [0, 1, 1]])
COSTS = np.array([0.0, 1, 4])


def test_sweep_by_hand():
    """At each weight the utilities' best: (.1, .5-w, .9-4w) and (.2, .8-w, .9-4w)."""
    curve = cq.cost_quality_curve(PROBS, TRUTH, COSTS, cost_weights=[0.05, 0.0, 0.5, 0.14])
    assert curve.cost_weight.tolist() == [0, 0.05, 0.14, 0.5, np.inf]
    assert curve.cost.tolist() == [4, 2.5, 1, 0.5, 0]
    assert curve.quality.tolist() == [1, 1, 0.5, 0.5, 0]
    assert json.loads(json.dumps(curve.to_dict(), allow_nan=False))["cost_weight"][-1] is None


def test_sweep_ends_with_the_best_and_the_cheapest():
    """The default weights go from probability alone to cost alone, and mean cost never rises with the weight."""
    generator = np.random.default_rng(0)
    probs, truth = generator.random((200, 5)), (generator.random((200, 5)) < 0.5).astype(float)
    truth[generator.random((200, 5)) < 0.3] = NAN
    costs = np.array([1, 2, 3, 5, 8.0])
    curve = cq.cost_quality_curve(probs, truth, costs)
    seen = ~np.isnan(truth)
    counted = seen.sum(axis=1) >= 2
    dear = np.where(seen, probs, -1).argmax(axis=1)[counted]
    cheap = np.where(seen, costs, np.inf).argmin(axis=1)[counted]
    rows = np.flatnonzero(counted)
    assert curve.quality[0] == pytest.approx(truth[rows, dear].mean())
    assert (curve.cost[-1], curve.quality[-1]) == pytest.approx((costs[cheap].mean(), truth[rows, cheap].mean()))
    assert (np.diff(curve.cost) <= 1e-12).all()
    assert curve.cost[-2] == pytest.approx(curve.cost[-1])


def test_ties_go_to_the_cheaper():
    """Equally probable LLMs: the cheaper; equally cheap ones at infinite weight: the more probable."""
    curve = cq.cost_quality_curve([[0.5, 0.5]], [[1.0, 0.0]], np.array([2.0, 1.0]))
    assert (curve.cost[0], curve.quality[0]) == (1, 0)
    curve = cq.cost_quality_curve([[0.4, 0.5]], [[1.0, 0.0]], np.array([1.0, 1.0]))
    assert curve.quality[-1] == 0


def test_sweep_refuses_what_does_not_fit():
    """Shapes, costs, and a split in which there is nothing to choose."""
    with pytest.raises(ValueError, match=r"shapes \(2, 3\), \(2, 3\) and \(2,\)"):
        cq.cost_quality_curve(PROBS, TRUTH, COSTS[:2])
    for bad in (-1, NAN):
        with pytest.raises(ValueError, match="negative or missing"):
            cq.cost_quality_curve(PROBS, TRUTH, np.array([0, 1, bad]))
    with pytest.raises(ValueError, match="no question has two observed"):
        cq.cost_quality_curve(PROBS, [[NAN, NAN, 1], [NAN, 1, NAN]], COSTS)


def test_frontier_is_the_non_decreasing_convex_hull():
    """Points below the line between others, dearer and worse ones, and doubles fall away."""
    xs, ys = cq.frontier([1, 2, 3, 4, 4, 0, 2], [0.5, 0.6, 0.9, 0.8, 0.7, 0.1, 0.2])
    assert xs.tolist() == [0, 1, 3]
    assert ys.tolist() == [0.1, 0.5, 0.9]
    xs, ys = cq.frontier([2], [0.4])
    assert (xs.tolist(), ys.tolist()) == ([2], [0.4])


def test_aiq_by_hand():
    """A rise from (0, 0) to (1, .4), to (3, .8), then level to 5: areas .2 + 1.2 + 1.6; and over [1, 5]."""
    cost, quality = [3, 1, 2], [0.8, 0.4, 0.5]
    assert cq.aiq(cost, quality, (0, 5)) == pytest.approx((0.2 + 1.2 + 1.6) / 5)
    assert cq.aiq(cost, quality, (1, 5)) == pytest.approx((1.2 + 1.6) / 4)
    assert cq.aiq([2], [0.6], (1, 3)) == pytest.approx((0.45 + 0.6) / 2)  # one LLM, mixed with no answer below 2
    assert cq.aiq([0.5], [0.6], (1, 3)) == pytest.approx(0.6)
    with pytest.raises(ValueError, match="`cost_range` is"):
        cq.aiq([1], [1], (2, 2))


def test_deferral_area_by_hand():
    """Points joined as they are, a dip too: trapezoids (.4+.2)/2 and (.2+.8)/2 over [1, 3]; level outside."""
    cost, quality = [3, 1, 2, 2], [0.8, 0.4, 0.2, 0.1]
    assert cq.deferral_area(cost, quality, (1, 3)) == pytest.approx((0.3 + 0.5) / 2)
    assert cq.deferral_area(cost, quality, (0, 4)) == pytest.approx((0.4 + 0.3 + 0.5 + 0.8) / 4)
    with pytest.raises(ValueError, match="`cost_range` is"):
        cq.deferral_area([1], [1], (-1, 2))


def test_quality_neutral_cost_by_hand():
    """Quality .7 lies half way between costs 1 and 3, so at 2, a fifth of the best LLM's 10."""
    cost, quality = [3, 1, 8], [0.9, 0.5, 0.95]
    assert cq.quality_neutral_cost(cost, quality, 0.7, 10) == pytest.approx(0.2)
    assert cq.quality_neutral_cost(cost, quality, 0.4, 10) == pytest.approx(0.1)
    assert np.isnan(cq.quality_neutral_cost(cost, quality, 0.96, 10))


def test_quality_neutral_cost_of_the_best_llm_is_one_in_any_precision():
    """49 of 50 in float32 is more than in float64; the LLM is as good as itself all the same."""
    truth = np.zeros((50, 2), np.float32)
    truth[:49, 0] = truth[:20, 1] = 1
    target = truth.mean(axis=0)[0]
    assert float(target) > 0.98
    assert cq.quality_neutral_cost([1.0], [49 / 50], target, 1.0) == 1.0
    assert cq.quality_neutral_cost([0.0, 1.0], [0.4, 49 / 50], target, 1.0) == 1.0


# Four questions; the strong LLM gains 1, 1, 0 and -1, in a sum of 1.
WEAK, STRONG = np.array([0.0, 0, 1, 1]), np.array([1.0, 1, 1, 0])


def test_recovered_gap_by_hand():
    """Sent in the order of the scores, the gap is recovered once, then twice, and lost again."""
    shares, recovered = cq.recovered_gap([0.9, 0.7, 0.5, 0.1], WEAK, STRONG)
    assert shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert recovered.tolist() == [0, 1, 2, 2, 1]
    assert cq.apgr([0.9, 0.7, 0.5, 0.1], WEAK, STRONG) == pytest.approx((0.5 + 1.5 + 2 + 1.5) / 4)
    assert cq.cpt([0.9, 0.7, 0.5, 0.1], WEAK, STRONG, recovery=0.5) == 0.25
    assert cq.cpt([0.1, 0.7, 0.5, 0.9], WEAK, STRONG, recovery=0.5) == 1.0  # -1, 0, 0, 1


def test_a_random_router_recovers_half():
    """Without any order PGR is the share, so APGR is one half and CPT(50%) is 50%."""
    assert cq.apgr(np.zeros(4), WEAK, STRONG) == pytest.approx(0.5)
    assert cq.cpt(np.zeros(4), WEAK, STRONG, recovery=0.5) == 0.5


def test_two_llms_without_a_gap_are_refused():
    """The strong one must be better; shapes must agree; the recovery is a share."""
    with pytest.raises(ValueError, match="`strong` is not better"):
        cq.apgr(np.zeros(4), STRONG, WEAK)
    with pytest.raises(ValueError, match="have shapes"):
        cq.apgr(np.zeros(3), WEAK, STRONG)
    with pytest.raises(ValueError, match="`recovery` is 0"):
        cq.cpt(np.zeros(4), WEAK, STRONG, recovery=0)


def test_summaries_of_a_router_are_its_parts():
    """Each is that of its own function; those of two LLMs only where there are two."""
    curve = cq.cost_quality_curve(PROBS, TRUTH, COSTS)
    assert cq.cost_quality(PROBS, TRUTH, COSTS) == {
        "aiq": cq.aiq(curve.cost, curve.quality, (0, 4)),
        "deferral_area": cq.deferral_area(curve.cost, curve.quality, (0, 4)),
        "quality_neutral_cost": pytest.approx(2.5 / 4),
    }
    probs = np.stack([np.full(5, 0.5), 0.5 + np.array([0.4, 0.3, 0.2, 0.1, 0.5])], axis=1)
    truth = np.stack([[*WEAK, 0.0], [*STRONG, NAN]], axis=1)
    two = cq.cost_quality(probs, truth, np.array([1.0, 2.0]))
    assert (two["apgr"], two["cpt_50"]) == (pytest.approx(5.5 / 4), 0.25)
    assert np.isnan(cq.cost_quality(probs, truth[:, [0, 0]], np.array([1.0, 2.0]))["apgr"])
