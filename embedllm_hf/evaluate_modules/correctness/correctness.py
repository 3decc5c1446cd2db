"""How well probabilities of a right answer fit observed responses.

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
    dict: accuracy, auc, log_loss, brier, ece.
"""


class Correctness(evaluate.Metric):
    """How well probabilities of a right answer fit observed responses."""

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
            "accuracy": metrics.accuracy(probs, responses),
            "auc": metrics.auc(probs, responses),
            "log_loss": metrics.log_loss(probs, responses),
            "brier": metrics.brier_score(probs, responses),
            "ece": metrics.expected_calibration_error(probs, responses),
        }
