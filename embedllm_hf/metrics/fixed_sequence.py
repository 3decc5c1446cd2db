"""Which of several ways of answering keep a promised share right: tested one after the other, until one fails.

Each way leaves some questions unanswered, and they are in order, from the one that answers least. The hypothesis is
that in the long run at most the promised share of a way's answers is right; it is rejected at the level. Since the
tests go down the order and end at the first that fails, each may use the whole level: the chance that any way that
passes does not keep the share is at most the level (fixed-sequence testing; Angelopoulos, Bates, Candes, Jordan and
Lei, Learn then Test, 2021, section 2.3). The tests start where the forecasts, not the answers, say that the share is
exceeded by most standard errors: at the top of the order few questions are answered, and chance alone would end it.

Questions are the independent units. Of answers that are right or wrong the p-value is the exact binomial one (Clopper
and Pearson, 1934); of graded ones in [0, 1] that of Hoeffding and Bentkus (Bates, Angelopoulos, Lei, Malik and Jordan,
Distribution-free, risk-controlling prediction sets, 2021, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import rel_entr
from scipy.stats import binom

LEVEL = 0.05


def share_p_value(answers: np.ndarray, share: float) -> float:
    """P-value of the hypothesis that answers are right with a mean of at most `share`.

    Args:
        answers (`np.ndarray` of shape `(n,)`): In [0, 1], of independent questions; 1 is right.
        share (`float`): In (0, 1).
    """
    answers = np.asarray(answers, np.float64)
    n_answers, lost = len(answers), 1 - answers
    if not n_answers:
        return 1.0
    if np.isin(answers, (0, 1)).all():
        return float(binom.cdf(lost.sum(), n_answers, 1 - share))
    mean = min(lost.mean(), 1 - share)
    hoeffding = np.exp(-n_answers * (rel_entr(mean, 1 - share) + rel_entr(1 - mean, share)))
    bentkus = np.e * binom.cdf(np.ceil(lost.sum() - 1e-6), n_answers, 1 - share)
    return float(min(hoeffding, bentkus, 1))


def last_that_keeps(
    answers: Sequence[np.ndarray], forecasts: Sequence[np.ndarray], share: float, level: float = LEVEL
) -> int | None:
    """The last way of answering that keeps a share, with the confidence `1 - level`; None if the first test fails.

    Args:
        answers, forecasts (`Sequence[np.ndarray]`): Of each way, in order, the questions that it answers: how right
            each was, and how probably it would be, both in [0, 1].
        share (`float`): The promised share, in (0, 1).
    """
    sure = [(part - share).sum() / np.sqrt(max(len(part), 1)) for part in forecasts]
    start = int(np.argmax(sure))
    for way in range(start, len(answers)):
        if share_p_value(answers[way], share) > level:
            return way - 1 if way > start else None
    return len(answers) - 1
