"""How good forecasts of benchmark scores are.

Loaded by `evaluate.load`, which copies this file; the figures are computed by `embedllm_hf.metrics`.
"""

import datasets
import evaluate
import numpy as np

from embedllm_hf import metrics
from embedllm_hf.cards.citation import CITATION

_INPUTS = """
Args:
    predictions (list of float): Forecast score of each (LLM, benchmark), in [0, 1].
    references (list of float): Actual score; NaN where not known.
    lows, highs (list of float): Bounds of the forecast's interval; NaN throughout where there are none.

Returns:
    dict: mean_absolute_error, kendall_tau and, with bounds, coverage and mean_width.
"""


class BenchmarkForecast(evaluate.Metric):
    """How good forecasts of benchmark scores are."""

    def _info(self) -> evaluate.MetricInfo:
        names = ("predictions", "references", "lows", "highs")
        return evaluate.MetricInfo(
            description=__doc__.splitlines()[0],
            citation=CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(dict.fromkeys(names, datasets.Value("float64"))),
        )

    def _compute(self, predictions: list, references: list, lows: list, highs: list) -> dict[str, float]:
        bounds = (np.array(lows), np.array(highs)) if not np.isnan(lows + highs).all() else ()
        return metrics.benchmark_forecast(np.array(predictions), np.array(references), *bounds)
