"""The map of LLMs in two dimensions: a picture, and a page to look around in that opens without a network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from embedllm_hf.data.llm_table import params_of
from embedllm_hf.plots.figures import MIN_LLMS_ON_MAP, principal_plane

from . import wording
from .map_page import llm_map_page
from .permutation import correct, p_value, shuffles
from .score_table import MIN_ANSWERS, ScoreTable
from .setting import PaperData, fit_network
from .vector_figures import facts_map_figure
from .vectors import llm_groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "llm_map"
TITLE = "Map of the LLMs"
PAGE = "llm_map.html"


def run(data: PaperData, progress: Callable[[str], None]) -> dict:
    """Train once, and put each LLM in the plane of the first two principal components, with what is known of it."""
    names = data.train.responses.llm_names
    if len(names) < MIN_LLMS_ON_MAP:
        return {"llms": [], "explained": [], "axes": []}
    progress("training")
    model = fit_network(data, seed=data.settings.seeds[0])
    points, explained = principal_plane(model.llm_embeds)
    scores = ScoreTable.of(data)
    totals = {benchmark: scores.totals(members) for benchmark, members in scores.benchmarks.items()}
    patterns = scores.answered()
    table = data.llms or {}
    llms = []
    for row, name in enumerate(names):
        facts = table.get(name, {})
        billions = params_of(facts)
        llms.append(
            {
                "name": name,
                "x": round(float(points[row, 0]), 5),
                "y": round(float(points[row, 1]), 5),
                "family": facts.get("family", ""),
                "kind": facts.get("kind", ""),
                "billions": None if math.isnan(billions) else billions,
                "answered": patterns[row],
                "scores": {
                    benchmark: {"accuracy": round(float(n_right[row] / n_answers[row]), 4), "n": int(n_answers[row])}
                    for benchmark, (n_answers, n_right) in totals.items()
                    if n_answers[row] >= MIN_ANSWERS
                },
            }
        )
    progress("what the axes show")
    labels = {"answered benchmarks": patterns, **llm_groups(data)}
    return {
        "data": data.name,
        "llms": llms,
        "explained": explained.tolist(),
        "n_permutations": data.settings.n_permutations,
        "axes": axis_tests(points, labels, data.settings.n_permutations),
    }


def axis_tests(points: np.ndarray, labels: dict[str, list[str]], n_permutations: int) -> list[dict]:
    """Share of each axis's variance that lies between the groups of a fact, and its p-value among shuffled labels.

    Args:
        points (`np.ndarray` of shape `(n_llms, 2)`): Coordinates.
        labels (`dict[str, list[str]]`): Group of each LLM by fact, empty if not known.
        n_permutations (`int`): Shuffles of the labels.
    """
    found = []
    for fact, groups in labels.items():
        known = np.flatnonzero([bool(group) for group in groups])
        codes = np.unique(np.array(groups)[known], return_inverse=True)[1]
        if codes.max(initial=0) < 1:
            continue
        orders = shuffles(len(known), n_permutations)
        for axis in range(points.shape[1]):
            values = points[known, axis]
            measured = _between(values, codes)
            chance = np.array([_between(values, codes[order]) for order in orders])
            row = {"fact": fact, "axis": axis + 1, "n_llms": len(known), "share": measured}
            found.append({**row, "chance": float(chance.mean()), "p_value": p_value(measured, chance)})
    correct(found)
    return found


def _between(values: np.ndarray, codes: np.ndarray) -> float:
    """Share of the variance between groups, eta squared."""
    means = np.bincount(codes, values) / np.bincount(codes)
    return float(means[codes].var() / max(values.var(), 1e-300))


# --- the report ---


def figures(result: dict) -> dict[str, Figure]:
    """The map; nothing if there are too few LLMs."""
    if not result["llms"]:
        return {}
    note = _axis_sentences(result["axes"]) if result["axes"] else ""
    return {"llm_map": facts_map_figure(result["llms"], result["explained"], note)}


def pages(result: dict) -> dict[str, str]:
    """The map as a page."""
    return {PAGE: llm_map_page(result["data"], result["llms"], result["explained"])} if result["llms"] else {}


def markdown(result: dict) -> str:
    """The picture, a link to the page, and what the axes show."""
    if not result["llms"]:
        return f"A map needs at least {MIN_LLMS_ON_MAP} LLMs."
    shares = " and ".join(f"{share:.0%}" for share in result["explained"])
    parts = [
        "LLM vectors of the default form in the plane of their first two principal components, which hold "
        f"{shares} of the variance. [The same to look around in]({PAGE}): one file, no network needed.",
        wording.picture("llm_map", "Map of the LLMs by family, size and kind"),
    ]
    if result["axes"]:
        head = ["Fact", "Component", "LLMs", "Share of its variance between groups", "Shuffled", "p (Holm)"]
        rows = [
            [
                row["fact"],
                str(row["axis"]),
                str(row["n_llms"]),
                f"{row['share']:.0%}",
                f"{row['chance']:.0%}",
                f"{row['p_holm']:.4f}",
            ]
            for row in result["axes"]
        ]
        parts += [wording.table(head, rows), _axis_sentences(result["axes"])]
    return wording.paragraphs(*parts)


def _axis_sentences(rows: list[dict]) -> str:
    """What each axis goes with most, if it does beyond chance."""
    said = []
    for axis in sorted({row["axis"] for row in rows}):
        found = [row for row in rows if row["axis"] == axis and row["p_holm"] < 0.05]
        if found:
            most = max(found, key=lambda row: row["share"] - row["chance"])
            said.append(f"component {axis} goes most with {most['fact']} ({most['share']:.0%} of its variance)")
        else:
            said.append(f"component {axis} goes with none of these facts beyond chance")
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."
