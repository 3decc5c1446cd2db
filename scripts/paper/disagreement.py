"""Do LLMs that are far apart, by their vectors or by what is predicted of them, disagree more often?"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import pdist, squareform
from scipy.special import logit
from sklearn.metrics.pairwise import cosine_distances

from embedllm_hf.modeling_embedllm import EmbedLLM

from . import wording
from .permutation import CORRELATIONS, mantel, shuffles
from .setting import PaperData

MIN_SHARED = 50  # questions that both LLMs of a pair have answered
MIN_PAIRS = 10  # of LLMs, to correlate anything over them
COSINE, EUCLIDEAN, LOGITS = "cosine distance", "Euclidean distance", "distance in logits, bias included"
GAP_SHARED, EXPECTED = "predicted gap, shared questions", "expected disagreement, shared questions"


def centred_cosine_distances(vectors: np.ndarray) -> np.ndarray:
    """Cosine distance of all pairs of LLMs, `(n_llms, n_llms)`, of vectors less their mean."""
    return cosine_distances(vectors - vectors.mean(axis=0))


def disagreement(responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of shared questions that one LLM got right and the other wrong, and their number.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: Both `(n_llms, n_llms)`; NaN where no question is shared.
    """
    observed = (~np.isnan(responses)).astype(np.float64)
    shared = observed.T @ observed
    return _expected((np.nan_to_num(responses) > 0.5).astype(np.float64), observed, shared), shared


def _expected(probs: np.ndarray, observed: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Share of shared questions on which two LLMs are expected to disagree, if their answers are independent."""
    right, wrong = probs * observed, (1 - probs) * observed
    return (right.T @ wrong + wrong.T @ right) / np.where(shared > 0, shared, np.nan)


def distances_between(model: EmbedLLM, probs: np.ndarray, observed: np.ndarray) -> dict[str, np.ndarray]:
    """Distances of all pairs of LLMs, `(n_llms, n_llms)`, of their vectors and of their predictions.

    Args:
        model (`EmbedLLM`): Whose vectors.
        probs (`np.ndarray` of shape `(n_questions, n_llms)`): Its predictions.
        observed (`np.ndarray`, same shape, bool): Which were asked; it says which questions two LLMs share.
    """
    vectors, seen = model.llm_embeds.astype(np.float64), observed.astype(np.float64)
    shared = seen.T @ seen
    gaps = [
        (np.abs(probs.T - one).T * seen * asked[:, None]).sum(axis=0)
        for one, asked in zip(probs.T, seen.T, strict=True)
    ]
    return {
        COSINE: centred_cosine_distances(vectors),
        EUCLIDEAN: squareform(pdist(vectors)),
        LOGITS: squareform(pdist(logit(probs).T)) / np.sqrt(len(probs)),
        GAP_SHARED: np.stack(gaps) / np.where(shared > 0, shared, np.nan),
        EXPECTED: _expected(probs, seen, shared),
    }


def distance_and_disagreement(data: PaperData, model: EmbedLLM, patterns: list[str]) -> dict:
    """Correlate distances with how often two LLMs disagree, over all pairs that share enough held-out questions.

    `raw` is over all pairs, with LLMs reordered freely for the p-value; `within` takes the mean of each combination of
    answered benchmarks out of both tables, and reorders LLMs that answered the same; `alone` has the Pearson
    correlation inside each set of LLMs that answered the same.
    """
    held_out = data.held_out
    responses = held_out.responses.responses()
    actual, shared = disagreement(responses)
    probs = model.network_proba(held_out.question_embeds).astype(np.float64).clip(1e-7, 1 - 1e-7)
    tables = distances_between(model, probs, ~np.isnan(responses))
    pairs = np.triu(shared >= MIN_SHARED, k=1)
    found: dict[str, Any] = {"n_pairs": int(pairs.sum()), "min_shared": MIN_SHARED}
    found |= {"rows": [], "alone": [], "pairs": {}}
    if pairs.sum() < MIN_PAIRS:
        return found
    codes = np.unique(patterns, return_inverse=True)[1]
    groups = np.minimum(codes[:, None], codes) * (codes.max() + 1) + np.maximum(codes[:, None], codes)
    found["n_shuffles"] = max(data.settings.n_permutations // 4, 100)
    free, strata = (shuffles(len(codes), found["n_shuffles"], given) for given in (None, patterns))
    for name, table in tables.items():
        raw, within = mantel(table, actual, pairs, free), mantel(table, actual, pairs, strata, groups)
        found["rows"].append({"distance": name, "raw": raw, "within": within})
    for pattern in sorted(set(patterns)):
        members = np.array(patterns) == pattern
        inside = pairs & members[:, None] & members
        if inside.sum() >= MIN_PAIRS:
            values = {name: CORRELATIONS["pearson"](table[inside], actual[inside]) for name, table in tables.items()}
            about = {"answered": pattern, "n_llms": int(members.sum()), "n_pairs": int(inside.sum())}
            found["alone"].append({**about, "pearson": values})
    shown = {**{name: tables[name] for name in (COSINE, EXPECTED)}, "actual": actual}
    found["pairs"] = {name: np.round(table[pairs], 4).tolist() for name, table in shown.items()}
    found["pairs"]["same_answered"] = (codes[:, None] == codes)[pairs].tolist()
    return found


def disagreement_markdown(agreement: dict) -> str:
    """Correlations of distance and disagreement."""
    heading = "### Do LLMs that are far apart disagree more often?"
    pairs = f"{wording.counted(agreement['n_pairs'], 'pair')} of LLMs that share at least {agreement['min_shared']}"
    if not agreement["rows"]:
        return f"{heading}\n\nThere are only {pairs} held-out questions: too few."

    def cell(found: dict) -> str:
        return f"{found['value']:.3f} (p {found['p_value']:.3f})"

    measures = list(CORRELATIONS)
    head = ["Distance", *(name.capitalize() for name in measures)]
    head += [f"{name.capitalize()}, within" for name in ("pearson", "spearman")]
    rows = [
        [row["distance"], *(cell(row["raw"][name]) for name in measures)]
        + [cell(row["within"][name]) for name in ("pearson", "spearman")]
        for row in agreement["rows"]
    ]
    alone = [
        [group["answered"], str(group["n_llms"]), str(group["n_pairs"])]
        + [f"{value:.2f}" for value in group["pearson"].values()]
        for group in agreement["alone"]
    ]
    parts = [
        heading,
        f"Over the {pairs} validation and test questions: the share of these on which one was right and the other "
        "wrong, against distances. *Within* takes out the mean of each combination of answered benchmarks. p-values "
        f"are of {agreement['n_shuffles']:,} Mantel shuffles of the LLMs (within: of those that answered the same). "
        "*Predicted gap*: mean gap of the two predicted probabilities; *expected disagreement*: mean probability that "
        "one is right and the other wrong.",
        wording.table(head, rows),
    ]
    if alone:
        head = ["Answered exactly", "LLMs", "Pairs", *(f"Pearson: {row['distance']}" for row in agreement["rows"])]
        parts += [
            "Pearson correlation among LLMs that answered exactly the same benchmarks:",
            wording.table(head, alone),
        ]
    return wording.paragraphs(*parts, wording.picture("vectors_disagreement", "Disagreement against distance"))
