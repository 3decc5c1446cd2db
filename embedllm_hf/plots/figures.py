"""Pictures: calibration, a map of the LLMs, the cost of routing.

Each function takes plain values and gives a matplotlib `Figure`; nothing is shown or saved, and no global style is
touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._errors import InputError
from .canvas import COLOURS, GREY, INK, SHAPES, label_points, new_figure, plain_axes, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIN_LLMS_ON_MAP = 3


def reliability_figure(bins: Sequence[Mapping[str, float]]) -> Figure:
    """Draw predicted against actual share of right answers, and below it how many pairs each bin holds.

    A bin has the fields of `metrics.ReliabilityBin`, as in `metrics.json`.

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

    The vectors `(n_llms, embed_dim)` are finite. The organisation is what stands before the `/` of a name. Labels that
    find no room are left out, and counted.

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
    axes.set_title(f"{len(llm_names):,} LLMs by what they answer correctly: near each other means alike", fontsize=11)
    for position, (axis, share) in enumerate(zip((axes.xaxis, axes.yaxis), explained, strict=True), start=1):
        axis.set_label_text(f"Principal component {position} ({share:.0%} of the variance)")
    colours = _draw_organisations(axes, points, llm_names)
    axes.margins(0.08)
    plain_axes(axes)
    n_left_out = label_points(axes, points, [short_name(name) for name in llm_names], colours)
    if n_left_out:
        note = f"{n_left_out:,} of {len(llm_names):,} LLMs\nhave no label,\nfor want of room."
        figure.text(0.835, 0.09, note, fontsize=8, color=INK)
    return figure


def principal_plane(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project vectors `(n, dim)` to their first two principal components.

    The result is coordinates `(n, 2)` and each component's share of the variance `(2,)`. The vector farthest out along
    a component is on its positive side, so that a picture does not flip. A component that does not exist is zero.
    """
    from sklearn.decomposition import PCA  # here, since the import takes a while

    pca = PCA(min(2, *np.shape(vectors)), svd_solver="full")
    with np.errstate(invalid="ignore"):  # equal vectors have no variance to share
        found = pca.fit_transform(np.asarray(vectors, np.float64))
    missing = 2 - found.shape[1]
    points = np.pad(found, ((0, 0), (0, missing)))
    farthest = points[np.abs(points).argmax(axis=0), [0, 1]]
    shares = np.nan_to_num(np.pad(pca.explained_variance_ratio_, (0, missing)))
    return points * np.where(farthest < 0, -1.0, 1.0), shares


_MOST_PANELS = 30
_ROUTERS = {"embedllm": "EmbedLLM", "knn": "kNN", "llm_category_mean": "LLM x category", "llm_mean": "LLM mean"}


def cost_quality_figure(benchmarks: Mapping[str, Mapping]) -> Figure:
    """Draw mean response against mean cost, a panel a benchmark: routers, the oracle, and single LLMs as points.

    The `benchmarks` are those of `CostReport.to_dict`.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If there are no benchmarks.
    """
    if not benchmarks:
        raise InputError("`benchmarks` is empty, expected those of a cost report.")
    n_left_out = max(0, len(benchmarks) - _MOST_PANELS)
    benchmarks = dict(list(benchmarks.items())[n_left_out:])  # the last one is all of them together
    n_columns = min(3, len(benchmarks))
    n_rows = -(-len(benchmarks) // n_columns)
    figure = new_figure(4.4 * n_columns, 3.6 * n_rows + 0.5)
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in panels.ravel()[len(benchmarks) :]:
        axes.set_visible(False)
    entries: dict[str, Any] = {}
    for position, (benchmark, part) in enumerate(benchmarks.items()):
        axes = panels.ravel()[position]
        _draw_cost_quality(axes, part)
        title = f"{short_name(benchmark)}: {part['n_questions']:,} questions, {len(part['llms'])} LLMs"
        axes.set_title(title, fontsize=10, parse_math=False)
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
        if position % n_columns == 0:
            axes.set_ylabel("Share of right answers", fontsize=9)
        if position + n_columns >= len(benchmarks):  # nothing below
            axes.set_xlabel("Mean cost of the chosen LLMs", fontsize=9)
    figure.legend(
        list(entries.values()), list(entries), frameon=False, loc="upper center", ncols=len(entries), fontsize=8
    )
    if n_left_out:
        figure.text(0.99, 0.005, f"{n_left_out:,} more benchmarks are not drawn.", fontsize=8, color=INK, ha="right")
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.4 / (3.6 * n_rows + 0.5)))
    return figure


def _draw_cost_quality(axes: Axes, part: Mapping) -> None:
    """One panel; the cost axis is logarithmic where every cost is above 0."""
    singles = [llm for llm in part["llms"].values() if llm["quality"] is not None]
    if singles:
        costs, qualities = ([llm[key] for llm in singles] for key in ("cost", "quality"))
        axes.scatter(costs, qualities, s=14, c="#B5B5B5", label="single LLMs", zorder=1)
        corner = _ring_best(axes, part["llms"])
    else:
        corner = "routers only; single LLMs: see the benchmarks"
    place: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "va": "bottom", "parse_math": False}
    axes.text(0.98, 0.02, corner, fontsize=7, color=INK, **place)
    colours = dict(zip(_ROUTERS, COLOURS, strict=False))
    for name, curve in part["curves"].items():
        width, order = (2.0, 5) if name == "embedllm" else (1.2, 3)
        style: dict[str, Any] = {"linewidth": width, "zorder": order, "linestyle": "--" if name == "oracle" else "-"}
        cost, quality = _mixed(np.array(curve["cost"]), np.array(curve["quality"]))
        axes.plot(cost, quality, color=colours.get(name, INK), label=_ROUTERS.get(name, name), **style)
    if min(llm["cost"] for llm in part["llms"].values()) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    plain_axes(axes)


def _ring_best(axes: Axes, llms: Mapping[str, Mapping]) -> str:
    """Ring the single LLM with the highest quality, the cheapest of equals, and return a line that names it."""
    name, best = max(llms.items(), key=lambda item: (item[1]["quality"], -item[1]["cost"]))
    style: dict[str, Any] = {"s": 48, "facecolors": "none", "edgecolors": INK, "linewidths": 1.0, "zorder": 6}
    axes.scatter(best["cost"], best["quality"], label="best single LLM", **style)
    return f"best single LLM: {short_name(name)}"


def _mixed(cost: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points along a curve and between its neighbours, which can be mixed: a line that a logarithmic axis bends."""
    order = np.argsort(cost, kind="stable")
    cost, quality = cost[order], quality[order]
    at = np.unique(np.concatenate([cost, np.linspace(cost[0], cost[-1], 500)]))
    if cost[0] > 0:
        at = np.unique(np.concatenate([at, np.geomspace(cost[0], cost[-1], 500).clip(cost[0], cost[-1])]))
    return at, np.interp(at, cost, quality)


def _draw_organisations(axes: Axes, points: np.ndarray, llm_names: Sequence[str]) -> list[str]:
    """Draw a point an LLM, and return their colours: the largest organisations have their own, the rest is grey."""
    organisations = [short_name(name.split("/")[0]) if "/" in name else "" for name in llm_names]
    sizes = Counter(organisation for organisation in organisations if organisation)
    largest = sorted(sizes, key=lambda organisation: (-sizes[organisation], organisation))[: len(COLOURS)]
    styles = dict(zip(largest, zip(COLOURS, SHAPES, strict=False), strict=False))
    drawn = [organisation if organisation in styles else "others" for organisation in organisations]
    handles, labels = [], []
    groups = np.array(drawn, object)
    for group in [*largest, "others"]:
        rows = np.flatnonzero(groups == group)
        if len(rows):
            colour, shape = styles.get(group, (GREY, "o"))
            style: dict[str, Any] = {"c": colour, "marker": shape, "s": 44, "edgecolors": "white", "linewidths": 0.5}
            handles.append(axes.scatter(*points[rows].T, **style))
            labels.append(f"{group} ({len(rows)})")  # given apart: a label of the points may not begin with `_`
    place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
    legend = axes.legend(handles, labels, frameon=False, fontsize=8, title="Organisation", **place)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a `$` in a name is a `$`
    return [styles.get(group, (GREY,))[0] for group in drawn]
