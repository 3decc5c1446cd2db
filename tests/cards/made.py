"""A configuration and the content of a `metrics.json`, both made up, for cards that no model stands behind."""

import numpy as np

from embedllm_hf import EmbedLLMConfig
from embedllm_hf.cards.text import METRICS
from tests.pool import LLMS, TEXT_DIM

ROWS = ("embedllm", "embedllm_network", "embedllm_with_category", "llm_mean", "llm_category_mean", "knn")
EMBEDS = np.random.default_rng(0).normal(size=(len(LLMS), 4)).astype(np.float32)


def make_config(**config) -> EmbedLLMConfig:
    """A pool of six LLMs with vectors of four numbers."""
    names = {"llm_names": LLMS, "text_dim": TEXT_DIM, "embed_dim": 4, "encoder_name": "offline"}
    return EmbedLLMConfig(**{**names, **config})


def make_metrics() -> dict:
    """What a measured model has: every part that a card reads, with numbers that are all different."""
    generator = np.random.default_rng(1)

    def scores() -> dict[str, float]:
        return {key: float(generator.random()) for key, *_ in METRICS}

    gain = {"over": "knn", "difference": 0.02, "low": 0.01, "high": 0.03}
    guarantee = {"min_success": 0.8, "cheapest": False, "share_answered": 0.4, "share_right": 0.9}
    bins = [
        {"low": 0.0, "high": 0.5, "mean_probability": 0.3, "share_right": 0.35, "n_pairs": 90},
        {"low": 0.5, "high": 1.0, "mean_probability": 0.8, "share_right": 0.75, "n_pairs": 110},
    ]
    data = {"id": "user/responses", "revision": "c" * 40, "split": "test", "duplicates": "mean"}
    return {
        "dataset": {**data, "n_questions": 40, "n_llms": 6, "n_observed": 200, "n_repeats": 0, "n_contradictions": 0},
        **{name: scores() for name in ROWS},
        "oracle": {"routing_accuracy": 0.95},
        "benchmarks": {topic: {name: scores() for name in ROWS} for topic in ("logic", "poetry")},
        "gains": {"accuracy": gain, "routing_accuracy": gain},
        "routing_over_best_llm": {**gain, "over": "llm_mean"},
        "guarantee": {**guarantee, "low": 0.85, "high": 0.95, "mean_cost": None},
        "reliability": bins,
        "train_seconds": 1.25,
        "seed": 7,
        "versions": {"embedllm_hf": "0.1.0", "torch": "2.9.0"},
    }
