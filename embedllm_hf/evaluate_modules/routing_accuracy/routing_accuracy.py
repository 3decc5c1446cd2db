"""Routing accuracy: the mean response of the LLM with the highest probability for each question.

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

Returns:
    dict: routing_accuracy, and oracle: the best choice in hindsight.
"""


class RoutingAccuracy(evaluate.Metric):
    """Routing accuracy: the mean response of the LLM with the highest probability for each question."""

    def _info(self) -> evaluate.MetricInfo:
        scores = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=__doc__.splitlines()[0],
            citation=CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(predictions=scores, references=scores),
        )

    def _compute(self, predictions: list, references: list) -> dict[str, float]:
        probs, responses = np.array(predictions, float), np.array(references, float)
        return {
            "routing_accuracy": metrics.routing_accuracy(probs, responses),
            "oracle": metrics.oracle_accuracy(responses),
        }
