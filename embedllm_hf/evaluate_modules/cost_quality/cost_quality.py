"""Quality of a router against its cost.

Loaded by `evaluate.load`, which copies this file; the figures are computed by `embedllm_hf.metrics`.
"""

import datasets
import evaluate
import numpy as np

from embedllm_hf import metrics
from embedllm_hf.cards.citation import CITATION

_INPUTS = """
Args:
    predictions (list of lists of float): For each question, the probability that each LLM answers it correctly.
    references (list of lists of float): For each question, each LLM's response in [0, 1]; NaN where not observed.
    costs (list of float, an argument of `compute`): Cost of each LLM, 0 or more, in the order of the lists.

Returns:
    dict: aiq, deferral_area, quality_neutral_cost; for two LLMs also apgr, cpt_50 and cpt_80.
"""


class CostQuality(evaluate.Metric):
    """Quality of a router against its cost."""

    def _info(self) -> evaluate.MetricInfo:
        scores = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=__doc__.splitlines()[0],
            citation=CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(predictions=scores, references=scores),
        )

    def _compute(self, predictions: list, references: list, costs: list) -> dict[str, float]:
        probs, responses = np.array(predictions, float), np.array(references, float)
        return metrics.cost_quality(probs, responses, np.array(costs, float))
