"""How much a second training from another seed moves the LLM vectors and the predictions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist

from embedllm_hf.modeling_embedllm import EmbedLLM

from . import wording
from .permutation import CORRELATIONS, shuffles
from .setting import PaperData, fit_network

N_REFITS = {False: 6, True: 2}  # fewer in quick mode
N_CHANCE = 20  # pairings of LLMs at random, for the residual that chance gives
FORMS = {"default form": False, "paper's form": True}  # whether it is the paper's
PUBLISHED_FLIPS = 0.081  # of EmbedLLM's predictions, by LOCUS (arXiv 2601.21082)


def refits(data: PaperData, models: list[EmbedLLM], progress: Callable[[str], None]) -> dict[str, dict]:
    """Compare all pairs of refits, of the default form (`models` are its first ones) and of the paper's.

    Returns:
        `dict[str, dict]`: By form: `n_refits`, and of the pairs the mean, lowest and highest of each value that
        `compare` gives.
    """
    first = data.settings.seeds[0]
    seeds = range(first, first + max(N_REFITS[data.settings.quick], len(models)))
    found: dict[str, dict] = {}
    for form, paper in FORMS.items():
        kept = [] if paper else models
        fitted = list(kept)
        for seed in list(seeds)[len(kept) :]:
            progress(f"refits: {form}, seed {seed}")
            fitted.append(fit_network(data, seed=seed, paper=paper))
        observed = data.test.responses.observed()
        probs = [model.network_proba(data.test.question_embeds) for model in fitted]
        compared = [
            compare(fitted[one].llm_embeds, fitted[two].llm_embeds, probs[one], probs[two], observed)
            for one, two in combinations(range(len(fitted)), 2)
        ]
        found[form] = {"n_refits": len(fitted), "n_pairs": len(compared)}
        for name in compared[0]:
            values = [pair[name] for pair in compared]
            found[form][name] = {"mean": float(np.mean(values)), "low": min(values), "high": max(values)}
    return found


def compare(
    first: np.ndarray, second: np.ndarray, first_probs: np.ndarray, second_probs: np.ndarray, observed: np.ndarray
) -> dict[str, float]:
    """What changed from one fit to the other.

    Args:
        first, second (`np.ndarray` of shape `(n_llms, dim)`): LLM vectors.
        first_probs, second_probs (`np.ndarray` of shape `(n_questions, n_llms)`): Predictions of the same questions.
        observed (`np.ndarray`, same shape, bool): Pairs that have a response.

    Returns:
        `dict[str, float]`: `residual`, see `procrustes_residual`; `residual_chance`, the same with the LLMs of the
        second shuffled; `distances`, the Pearson correlation of the two fits' distances between LLMs; `flipped` and
        `flipped_observed`, the share of (question, LLM) pairs whose predicted class changed; `probability_change`, the
        mean absolute change of the probability.
    """
    orders = shuffles(len(first), N_CHANCE)
    flipped = (first_probs > 0.5) != (second_probs > 0.5)
    return {
        "residual": procrustes_residual(first, second),
        "residual_chance": float(np.mean([procrustes_residual(first, second[order]) for order in orders])),
        "distances": CORRELATIONS["pearson"](pdist(first), pdist(second)),
        "flipped": float(flipped.mean()),
        "flipped_observed": float(flipped[observed].mean()),
        "probability_change": float(np.abs(first_probs - second_probs).mean()),
    }


def procrustes_residual(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the variance of `second` that no rotation, shift and scaling of `first` explains, in [0, 1]."""
    return float(procrustes(first.astype(np.float64), second.astype(np.float64))[2])


def refit_markdown(forms: dict[str, dict]) -> str:
    """The table, and what it shows."""
    names = {
        "residual": "Vectors: variance not explained",
        "residual_chance": "The same, LLMs shuffled",
        "distances": "Correlation of distances",
        "flipped": "Predicted answers that change",
        "flipped_observed": "... among observed pairs",
        "probability_change": "Mean change of the probability",
    }

    def cell(value: dict[str, float], percent: bool) -> str:
        mean, low, high = (f"{100 * value[key]:.1f}%" if percent else f"{value[key]:.3f}" for key in value)
        return f"{mean} ({low} to {high})"

    shown = ("residual", "residual_chance", "flipped", "flipped_observed")
    rows = [[form, *(cell(found[name], name in shown) for name in names)] for form, found in forms.items()]
    first = next(iter(forms.values()))
    lines = []
    for form, found in forms.items():
        apart = found["residual"]["high"] < found["residual_chance"]["low"]
        lines.append(
            f"- {form.capitalize()}: the vectors of two fits {'are' if apart else 'are not clearly'} nearer to each "
            "other, up to rotation, than to those of shuffled LLMs; another seed changes "
            f"{100 * found['flipped']['mean']:.1f}% of the predicted answers."
        )
    return wording.paragraphs(
        "### What another seed changes",
        f"{first['n_refits']} fits of each form on the same data, all {first['n_pairs']} pairs: mean (lowest to "
        "highest). Vectors are compared after the best rotation, shift and scaling (Procrustes). With as many "
        "dimensions as there are LLMs a rotation fits even shuffled LLMs in part, so that is shown beside it. "
        "Predictions are those of the test questions for all LLMs.",
        wording.table(["Form", *names.values()], rows),
        wording.picture("vectors_refits", "What another seed changes"),
        "\n".join(lines),
    )


def refit_row(forms: dict[str, dict]) -> dict[str, str]:
    """The row of "Published and measured"."""
    ours = "; ".join(
        f"{form} {100 * found['flipped']['mean']:.1f}% ({100 * found['flipped']['low']:.1f} to "
        f"{100 * found['flipped']['high']:.1f})"
        for form, found in forms.items()
    )
    return wording.published_row(
        "Predictions of EmbedLLM that change when it is trained again (LOCUS)",
        f"{100 * PUBLISHED_FLIPS:.1f}%",
        ours,
        "The same measure; other data, and the project's training settings with early stopping",
    )
