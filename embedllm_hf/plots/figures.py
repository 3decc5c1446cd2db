"""Pictures: calibration, a map of the LLMs, how soon a new LLM is placed, what routing costs.

Each function takes plain values and gives a matplotlib `Figure`; nothing is shown or saved, and no global style is
touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._errors import InputError
from .canvas import (
    COLOURS,
    GREY,
    INK,
    SHAPES,
    label_points,
    new_figure,
    plain_axes,
    short_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIN_LLMS_ON_MAP = 3


def reliability_figure(bins: Sequence[Mapping[str, float]]) -> Figure:
    """Draw predicted against actual share of right answers, and below it how many pairs each bin holds.

    Args:
        bins (`Sequence[Mapping[str, float]]`): The fields of `metrics.ReliabilityBin`, as `metrics.json` has them.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If there are no bins.
    """
    if not len(bins):
        raise InputError("`bins` is empty, expected the `reliability` of a report.")
    figure = new_figure(5.2, 5.4)
    curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    figure.subplots_adjust(left=0.13, right=0.97, top=0.92, bottom=0.1, hspace=0.08)
    curve.set_title("Predicted and actual share of right answers", fontsize=11)
    curve.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    predicted = [item["mean_probability"] for item in bins]
    actual = [item["share_right"] for item in bins]
    curve.plot(predicted, actual, color=COLOURS[0], marker="o", markersize=5, linewidth=1.5, label="EmbedLLM")
    curve.set(ylabel="Actual share of right answers", xlim=(0, 1), ylim=(0, 1), yticks=np.linspace(0, 1, 6))
    curve.legend(frameon=False, loc="upper left")
    pairs = [item["n_pairs"] for item in bins]
    widths = [item["high"] - item["low"] for item in bins]
    counts.bar([item["low"] for item in bins], pairs, width=widths, align="edge", color=COLOURS[0], edgecolor="white")
    counts.set(xlabel="Predicted probability of a right answer", ylabel="Pairs", xticks=np.linspace(0, 1, 6))
    counts.yaxis.set_major_formatter("{x:,.0f}")
    counts.locator_params(axis="y", nbins=3)
    counts.yaxis.get_major_locator().set_params(integer=True)
    figure.align_ylabels()
    for axes in (curve, counts):
        plain_axes(axes)
    return figure


def llm_map_figure(llm_embeds: np.ndarray, llm_names: Sequence[str]) -> Figure:
    """Draw the LLM vectors in the plane of their first two principal components, coloured by organisation.

    The organisation is what stands before the `/` of a name. Labels that find no room are left out, and counted.

    Args:
        llm_embeds (`np.ndarray` of shape `(n_llms, embed_dim)`): The LLM vectors, finite.
        llm_names (`Sequence[str]`): Their names.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If there are fewer than three LLMs, or names and vectors differ in number.
    """
    if len(llm_embeds) != len(llm_names):
        raise InputError(f"`llm_embeds` has {len(llm_embeds)} rows, but `llm_names` {len(llm_names)} names.")
    if len(llm_names) < MIN_LLMS_ON_MAP:
        raise InputError(f"`llm_names` has {len(llm_names)} names, expected at least {MIN_LLMS_ON_MAP} for a map.")
    points, explained = principal_plane(llm_embeds)
    figure = new_figure(10, 7.2)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.075, right=0.82, top=0.94, bottom=0.09)
    axes.set_title(f"{len(llm_names)} LLMs by what they answer correctly: near each other means alike", fontsize=11)
    for position, (axis, share) in enumerate(zip((axes.xaxis, axes.yaxis), explained, strict=True), start=1):
        axis.set_label_text(f"Principal component {position} ({share:.0%} of the variance)")
    colours = _draw_organisations(axes, points, llm_names)
    axes.margins(0.08)
    plain_axes(axes)
    n_left_out = label_points(axes, points, [short_name(name) for name in llm_names], colours)
    if n_left_out:
        note = f"{n_left_out} of {len(llm_names)} LLMs\nhave no label,\nfor want of room."
        figure.text(0.835, 0.09, note, fontsize=8, color=INK)
    return figure


def placement_figure(rows: Sequence[Mapping[str, object]]) -> Figure:
    """Draw how the error of a new LLM's score falls with its answers, with bands, and how often intervals hold it.

    Args:
        rows (`Sequence[Mapping[str, object]]`): `method`, `n_answers`, `mean_absolute_error`, its interval `low` and
            `high`, and `coverage` for methods with intervals, as `new_llms.unseen_report` gives them.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If there are no rows.
    """
    if not len(rows):
        raise InputError("`rows` is empty, expected the scores of a report.")
    figure = new_figure(9.6, 4.6)
    error, coverage = figure.subplots(1, 2, width_ratios=(3, 2))
    figure.subplots_adjust(left=0.075, right=0.98, top=0.9, bottom=0.12, wspace=0.22)
    answers = sorted({row["n_answers"] for row in rows})
    place = {count: position for position, count in enumerate(answers)}
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for method, colour, shape in zip(methods, COLOURS, SHAPES, strict=False):
        mine = [row for row in rows if row["method"] == method]
        at = [place[row["n_answers"]] for row in mine]
        style = {"color": colour, "marker": shape, "markersize": 4, "linewidth": 1.4, "label": method}
        error.plot(at, [row["mean_absolute_error"] for row in mine], **style)
        error.fill_between(
            at, [row["low"] for row in mine], [row["high"] for row in mine], color=colour, alpha=0.15, linewidth=0
        )
        if "coverage" in mine[0]:
            coverage.plot(at, [row["coverage"] for row in mine], **style)
    error.set(yscale="log", xlabel="Answers of the new LLM", ylabel="Mean absolute error of the score")
    error.set_title("Error, with 95% intervals over LLMs", fontsize=11)
    error.yaxis.set_major_formatter("{x:g}")
    error.yaxis.set_minor_formatter("{x:g}")
    error.legend(frameon=False, fontsize=8)
    coverage.axhspan(0.87, 0.93, color="#E6E6E6", linewidth=0)
    coverage.axhline(0.9, color=GREY, linestyle="--", linewidth=1)
    coverage.set(ylim=(0.7, 1.0), xlabel="Answers of the new LLM", ylabel="Share of intervals that hold the score")
    coverage.set_title("Coverage of the 90% interval", fontsize=11)
    for axes in (error, coverage):
        axes.set_xticks(range(len(answers)), [str(count) for count in answers])
        plain_axes(axes)
    error.tick_params(which="minor", labelsize=7, color=GREY)
    return figure


def principal_plane(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project vectors `(n, dim)` to their first two principal components.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: Coordinates `(n, 2)` and each component's share of the variance `(2,)`. Signs
        are chosen so that the vector farthest out along a component is on its positive side; a component that does
        not exist is zero.
    """
    vectors = np.asarray(vectors, np.float64)
    left, spread, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    points = np.zeros((len(vectors), 2))
    explained = np.zeros(2)
    n_components = min(2, len(spread))
    points[:, :n_components] = (left * spread)[:, :n_components]
    if spread.any():
        explained[:n_components] = (spread**2 / (spread**2).sum())[:n_components]
    farthest = points[np.abs(points).argmax(axis=0), [0, 1]]
    return points * np.where(farthest < 0, -1.0, 1.0), explained


_ROUTERS = {"embedllm": "EmbedLLM", "knn": "kNN", "llm_category_mean": "LLM x category", "llm_mean": "LLM mean"}


def cost_quality_figure(benchmarks: Mapping[str, Mapping]) -> Figure:
    """Draw mean response against mean cost, a panel a benchmark: routers, the oracle, and single LLMs as points.

    Args:
        benchmarks (`Mapping[str, Mapping]`): `benchmarks` of `CostReport.to_dict`.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If there are no benchmarks.
    """
    if not benchmarks:
        raise InputError("`benchmarks` is empty, expected those of a cost report.")
    n_columns = min(3, len(benchmarks))
    n_rows = -(-len(benchmarks) // n_columns)
    figure = new_figure(4.4 * n_columns, 3.6 * n_rows + 0.5)
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in panels.ravel()[len(benchmarks) :]:
        axes.set_visible(False)
    for axes, (benchmark, part) in zip(panels.ravel(), benchmarks.items(), strict=False):
        _draw_cost_quality(axes, part)
        axes.set_title(f"{benchmark}: {part['n_questions']:,} questions, {len(part['llms'])} LLMs", fontsize=10)
    entries: dict[str, object] = {}
    for axes in panels.ravel()[: len(benchmarks)]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    for position, axes in enumerate(panels.ravel()[: len(benchmarks)]):
        if position % n_columns == 0:
            axes.set_ylabel("Share of right answers", fontsize=9)
        if position + n_columns >= len(benchmarks):  # nothing below
            axes.set_xlabel("Mean cost of the chosen LLMs", fontsize=9)
    figure.legend(entries.values(), entries, frameon=False, loc="upper center", ncols=len(entries), fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.4 / (3.6 * n_rows + 0.5)))
    return figure


def _draw_cost_quality(axes: Axes, part: Mapping) -> None:
    """One panel; the cost axis is logarithmic where every cost is above 0."""
    singles = [llm for llm in part["llms"].values() if llm["quality"] is not None]
    if singles:
        points = [[llm[key] for llm in singles] for key in ("cost", "quality")]
        axes.scatter(*points, s=14, c="#B5B5B5", label="single LLMs", zorder=1)
        corner = _ring_best(axes, part["llms"])
    else:
        corner = "routers only; single LLMs: see the benchmarks"
    place = {"transform": axes.transAxes, "ha": "right", "va": "bottom", "parse_math": False}
    axes.text(0.98, 0.02, corner, fontsize=7, color=INK, **place)
    lines = {name: style for name, style in zip(_ROUTERS, zip(COLOURS, SHAPES, strict=False), strict=False)}
    for name, curve in part["curves"].items():
        colour, _ = lines.get(name, (INK, "o"))
        width = 2.0 if name == "embedllm" else 1.2
        style = "--" if name == "oracle" else "-"
        label = _ROUTERS.get(name, name)
        order = 5 if name == "embedllm" else 3
        cost, quality = _mixed(np.array(curve["cost"]), np.array(curve["quality"]))
        axes.plot(cost, quality, style, color=colour, linewidth=width, label=label, zorder=order)
    if min(llm["cost"] for llm in part["llms"].values()) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    plain_axes(axes)


def _ring_best(axes: Axes, llms: Mapping[str, Mapping]) -> str:
    """Ring the single LLM with the highest quality, the cheapest of equals, and return a line that names it."""
    name, best = max(llms.items(), key=lambda item: (item[1]["quality"], -item[1]["cost"]))
    style = {"s": 48, "facecolors": "none", "edgecolors": INK, "linewidths": 1.0, "zorder": 6}
    axes.scatter(best["cost"], best["quality"], label="best single LLM", **style)
    return f"best single LLM: {short_name(name)}"


def _mixed(cost: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points along a curve, with what mixing two neighbours gives: a line in cost, which a logarithmic axis bends."""
    order = np.argsort(cost, kind="stable")
    cost, quality = cost[order], quality[order]
    at = np.unique(np.concatenate([cost, np.linspace(cost[0], cost[-1], 500)]))
    if cost[0] > 0:
        at = np.unique(np.concatenate([at, np.geomspace(cost[0], cost[-1], 500).clip(cost[0], cost[-1])]))
    return at, np.interp(at, cost, quality)


def _draw_organisations(axes: Axes, points: np.ndarray, llm_names: Sequence[str]) -> list[str]:
    """Draw a point an LLM, and return their colours: the largest organisations have their own, the rest is grey."""
    organisations = [name.split("/")[0] if "/" in name else "" for name in llm_names]
    sizes = Counter(organisation for organisation in organisations if organisation)
    largest = sorted(sizes, key=lambda organisation: (-sizes[organisation], organisation))[: len(COLOURS)]
    styles = dict(zip(largest, zip(COLOURS, SHAPES, strict=False), strict=False))
    drawn = [organisation if organisation in styles else "others" for organisation in organisations]
    for group in [*largest, "others"]:
        rows = np.flatnonzero([organisation == group for organisation in drawn])
        if len(rows):
            colour, shape = styles.get(group, (GREY, "o"))
            style = {"c": colour, "marker": shape, "s": 44, "edgecolors": "white", "linewidths": 0.5}
            axes.scatter(*points[rows].T, **style, label=f"{group} ({len(rows)})")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, title="Organisation")
    return [styles.get(group, (GREY,))[0] for group in drawn]
