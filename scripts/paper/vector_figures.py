"""Figures of what the LLM vectors know: benchmark scores, groups, disagreement, refits, transfer, the map.

Each function takes values as the sections make them and gives a matplotlib `Figure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from embedllm_hf.plots.canvas import (
    COLOURS,
    GREY,
    INK,
    SHAPES,
    label_points,
    new_figure,
    plain_axes,
    short_name,
)

from .figures import legend_below
from .wording import spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAND = "#D9D9D9"


def benchmark_figure(rows: Sequence[Mapping], methods: Sequence[str], wanted: float) -> Figure:
    """Draw how often the order of benchmark scores is forecast, and how well, a line a benchmark.

    Args:
        rows (`Sequence[Mapping]`): `name`, `n_llms`, `forecasts` by method, `shuffled` and `noise`, best first.
        methods (`Sequence[str]`): Of `forecasts`; the first is the one that tau is drawn of.
        wanted (`float`): Share of splits to reach; drawn as a line.
    """
    figure = new_figure(10, 2.2 + 0.3 * len(rows))
    share, tau = figure.subplots(1, 2, sharey=True)
    at = np.arange(len(rows))
    shifts = np.linspace(-0.28, 0.28, len(methods))  # most are at 100, and would hide each other
    for method, shift, colour, shape in zip(methods, shifts, COLOURS, SHAPES, strict=False):
        values = [100 * row["forecasts"][method]["share_significant"] for row in rows]
        share.plot(values, at + shift, shape, color=colour, markersize=4, label=method, clip_on=False)
    chance = [100 * row["shuffled"]["significant"] for row in rows]
    share.plot(chance, at, "x", color=GREY, markersize=5, label="accuracies shuffled", clip_on=False)
    share.axvline(100 * wanted, color=GREY, linestyle="--", linewidth=1)
    share.set(xlim=(0, 100), xlabel="Splits in 100 with a significant tau")
    share.set_title("How often the order is forecast", fontsize=11)
    best = [row["forecasts"][methods[0]] for row in rows]
    means = np.array([one["tau"] for one in best])
    sides = np.abs(np.array([[one["tau_low"], one["tau_high"]] for one in best]).T - means)
    tau.errorbar(means, at, xerr=sides, fmt="o", color=COLOURS[0], markersize=5, linewidth=1.2, label=methods[0])
    perfect = [row["noise"]["perfect_tau"] for row in rows]
    tau.plot(perfect, at, "|", color=INK, markersize=9, markeredgewidth=2, label="true accuracies known")
    needed = [row["noise"]["tau_needed"] if row["noise"]["tau_needed"] is not None else 1.0 for row in rows]
    tau.barh(at, needed, height=1, color=_BAND, alpha=0.5, label="not significant", zorder=0)
    tau.set(xlim=(min(0.0, *(one["tau_low"] for one in best)), 1), xlabel="Kendall's tau, mean and 95% of the splits")
    tau.set_title("How well the order is forecast", fontsize=11)
    share.set_yticks(at, [f"{spoken(row['name'])} ({row['n_llms']} LLMs)" for row in rows])
    share.invert_yaxis()
    top = 1 - 0.75 / figure.get_figheight()
    figure.subplots_adjust(left=0.265, right=0.985, top=top - 0.02, bottom=1.15 / figure.get_figheight(), wspace=0.07)
    figure.suptitle(
        "Accuracy on a benchmark that the vectors have not seen, forecast for half of the LLMs", fontsize=12
    )
    legend_below(figure, (share, tau), 4)
    for axes in (share, tau):
        plain_axes(axes)
    share.tick_params(axis="y", labelsize=8.5, labelcolor=INK)
    return figure


def score_scatter_figure(panels: Mapping[str, Sequence[Mapping]]) -> Figure:
    """Draw predicted against actual accuracy on left-out benchmarks.

    Args:
        panels (`Mapping[str, Sequence[Mapping]]`): Points by panel title: `llm`, `actual`, `predicted`.
    """
    n_columns = min(2, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure = new_figure(4.8 * n_columns, 4.3 * n_rows + 0.4)
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, points), colour in zip(grid, panels.items(), COLOURS * len(panels), strict=False):
        at = np.array([[point["actual"], point["predicted"]] for point in points])
        low, high = at.min() - 0.03, at.max() + 0.03
        axes.plot([low, high], [low, high], "--", color=GREY, linewidth=1)
        axes.scatter(*at.T, s=22, color=colour, edgecolors="white", linewidths=0.5)
        axes.set(xlim=(low, high), ylim=(low, high), xlabel="Actual accuracy", ylabel="Predicted accuracy")
        axes.set_title(title, fontsize=10)
        plain_axes(axes)
        farthest = np.argsort(-np.abs(at[:, 0] - at[:, 1]))[:4]
        names = ["" if row not in farthest else short_name(point["llm"]) for row, point in enumerate(points)]
        label_points(axes, at, names, [colour] * len(at))
    figure.suptitle("Predicted and actual accuracy on benchmarks that the vectors have not seen", fontsize=12)
    figure.tight_layout(rect=(0, 0, 1, 0.99))
    return figure


def group_figure(tests: Sequence[Mapping], control: Sequence[Mapping]) -> Figure:
    """Draw what is measured of each group of LLMs against what shuffled labels give, a panel a measure.

    Args:
        tests, control (`Sequence[Mapping]`): `fact`, `measure`, `value`, `chance_low`, `chance_high`, and for `tests`
            `chance_low_strata`, `chance_high_strata` and `p_strata_holm`.
    """
    rows = [*tests, *control]
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    facts = list(dict.fromkeys(row["fact"] for row in rows))
    figure = new_figure(10, 2.2 + 0.42 * len(facts))
    panels = np.atleast_1d(figure.subplots(1, len(measures), sharey=True))
    bars = (
        ("", -0.16, "#BDBDBD", "labels shuffled among all LLMs"),
        ("_strata", 0.16, COLOURS[5], "... among LLMs that answered the same benchmarks"),
    )
    for axes, measure in zip(panels, measures, strict=True):
        for row in (row for row in rows if row["measure"] == measure):
            at = facts.index(row["fact"])
            for suffix, shift, colour, label in bars:
                if f"chance_low{suffix}" in row:
                    ends = row[f"chance_low{suffix}"], row[f"chance_high{suffix}"]
                    axes.barh(at + shift, ends[1] - ends[0], 0.26, ends[0], color=colour, label=label)
            found = row.get("p_strata_holm", 1.0) < 0.05
            style = {"markerfacecolor": COLOURS[1] if found else "white", "markeredgecolor": COLOURS[1]}
            label = "measured, beyond the second chance (Holm, 5%)" if found else "measured"
            axes.plot(row["value"], at, "D", markersize=6, **style, label=label, zorder=5)
        axes.set_title(measure, fontsize=10)
        plain_axes(axes)
        axes.margins(x=0.12)
    panels[0].set_yticks(range(len(facts)), facts)
    panels[0].tick_params(axis="y", labelsize=9, labelcolor=INK)
    panels[0].invert_yaxis()
    figure.suptitle(
        "Are LLMs of one group closer than chance? To the right of a bar: more than its chance", fontsize=12
    )
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.17, right=0.985, top=1 - 0.75 / height, bottom=0.75 / height, wspace=0.12)
    legend_below(figure, panels, 2)
    return figure


def disagreement_figure(pairs: Mapping[str, Sequence], values: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw how often two LLMs disagree against distances, a panel a distance, a point a pair.

    Args:
        pairs (`Mapping[str, Sequence]`): A list by distance, `actual` and `same_answered`, all of the same pairs.
        values (`Mapping[str, Mapping[str, float]]`): Correlations by distance, `pearson` and `spearman`.
    """
    names = [name for name in pairs if name not in ("actual", "same_answered")]
    figure = new_figure(10, 4.7)
    panels = figure.subplots(1, len(names), sharey=True)
    same, actual = np.array(pairs["same_answered"], bool), np.array(pairs["actual"])
    for axes, name in zip(panels, names, strict=True):
        distances = np.array(pairs[name])
        for chosen, colour, shape, label in (
            (~same, COLOURS[0], "o", "other benchmarks answered, some shared"),
            (same, COLOURS[1], "^", "the same benchmarks answered"),
        ):
            axes.scatter(
                distances[chosen], actual[chosen], s=9, color=colour, marker=shape, alpha=0.5, lw=0, label=label
            )
        found = ", ".join(f"{measure} {value:.2f}" for measure, value in values[name].items())
        axes.set_title(f"{name}\n{found}", fontsize=10)
        axes.set_xlabel(name[0].upper() + name[1:])
        plain_axes(axes)
    panels[0].set_ylabel("Shared questions with different outcomes")
    panels[0].yaxis.set_major_formatter("{x:.0%}")
    figure.suptitle("Do LLMs that are far apart disagree more often? A point is a pair of LLMs", fontsize=12)
    figure.subplots_adjust(left=0.075, right=0.985, top=0.82, bottom=0.19, wspace=0.06)
    legend_below(figure, panels[:1])
    return figure


def refit_figure(forms: Mapping[str, Mapping], published: float) -> Figure:
    """Draw what another seed changes: the vectors, and the predicted classes.

    Args:
        forms (`Mapping[str, Mapping]`): By form of the network: `residual`, `residual_chance` and `flipped`, each
            with `mean`, `low` and `high`.
        published (`float`): Share of changed predictions that was published, drawn as a line.
    """
    figure = new_figure(9, 2.9)
    moved, flipped = figure.subplots(1, 2, sharey=True)
    at = np.arange(len(forms))
    for axes, name, colour, label in (
        (moved, "residual", COLOURS[0], "refit with another seed"),
        (moved, "residual_chance", GREY, "LLMs shuffled"),
        (flipped, "flipped", COLOURS[0], "refit with another seed"),
    ):
        values = np.array([[form[name][key] for key in ("mean", "low", "high")] for form in forms.values()])
        means = 100 * values[:, 0]
        sides = np.abs(100 * values[:, 1:].T - means)
        shape = "o" if colour == COLOURS[0] else "s"
        axes.errorbar(means, at, xerr=sides, fmt=shape, color=colour, capsize=3, markersize=6, label=label)
    flipped.axvline(100 * published, color=COLOURS[1], linestyle="--", linewidth=1.2, label="LOCUS, of EmbedLLM")
    moved.set(xlim=(0, 100), xlabel="Variance of the vectors not explained, %")
    moved.set_title("How far the vectors move, up to rotation", fontsize=10)
    flipped.set_xlim(left=0)
    flipped.set_xlabel("Predicted answers that change, %")
    flipped.set_title("How many predictions change", fontsize=10)
    moved.set_yticks(at, list(forms))
    moved.set_ylim(len(forms) - 0.5, -0.5)
    figure.suptitle("What another seed changes: mean, lowest and highest over pairs of fits", fontsize=12)
    figure.subplots_adjust(left=0.12, right=0.985, top=0.78, bottom=0.3, wspace=0.08)
    legend_below(figure, (moved, flipped))
    for axes in (moved, flipped):
        plain_axes(axes)
    moved.tick_params(axis="y", labelsize=9, labelcolor=INK)
    return figure


def transfer_figure(
    names: Sequence[str], cells: np.ndarray, *, title: str, rows: str, columns: str, digits: int
) -> Figure:
    """Draw a square table of benchmarks against benchmarks as colours with numbers; the diagonal has no colour.

    Args:
        names (`Sequence[str]`): Of rows and columns.
        cells (`np.ndarray` of shape `(n, n)`): The values, NaN where there is none. Colours go from the lowest to the
            highest value off the diagonal; around 0 if there are values on both sides.
        title, rows, columns (`str`): Of the figure and its axes.
        digits (`int`): Decimals of the numbers.
    """
    figure = new_figure(10, 8.6)
    axes = figure.subplots()
    off = np.where(np.eye(len(names), dtype=bool), np.nan, cells)
    low, high = np.nanmin(off), np.nanmax(off)
    if low < 0 < high:
        low, high = -max(-low, high), max(-low, high)
    image = axes.imshow(off, cmap="PuOr_r" if low < 0 else "YlGnBu", vmin=low, vmax=high)
    axes.set_facecolor("#F2F2F2")
    for row, column in np.ndindex(cells.shape):
        value = cells[row, column]
        if np.isfinite(value):
            dark = row != column and np.dot(image.cmap(image.norm(value))[:3], (0.3, 0.6, 0.1)) < 0.55
            text = f"{round(float(value), digits) + 0.0:.{digits}f}"  # no minus before a rounded 0
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else INK)
    labels = [spoken(name) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=50, ha="right", rotation_mode="anchor", fontsize=8.5)
    axes.set_yticks(range(len(names)), labels, fontsize=8.5)
    axes.set(xlabel=columns, ylabel=rows)
    axes.set_title(title, fontsize=12)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.tight_layout()
    return figure


def facts_map_figure(llms: Sequence[Mapping], explained: Sequence[float], note: str = "") -> Figure:
    """Draw the map of LLMs: family by colour, kind by shape, size by area.

    Args:
        llms (`Sequence[Mapping]`): `name`, `x`, `y`, `family`, `kind`, `billions`, as `llm_map` has.
        explained (`Sequence[float]`): Share of the variance of either axis.
        note (`str`): What the axes show, below the title.
    """
    figure = new_figure(11, 8)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.06, right=0.83, top=0.925, bottom=0.075)
    colours = _most_frequent([llm["family"] for llm in llms], COLOURS)
    shapes = _most_frequent([llm["kind"] for llm in llms], SHAPES)
    used = []
    for llm in sorted(llms, key=lambda llm: -(llm["billions"] or 0)):  # small ones on top
        colour, shape = colours.get(llm["family"], GREY), shapes.get(llm["kind"], SHAPES[0])
        known = llm["billions"] is not None
        style: dict[str, Any] = {
            "facecolors": colour if known else "white",
            "edgecolors": "white" if known else colour,
        }
        style |= {"s": _area(llm["billions"]), "marker": shape, "linewidths": 1 if known else 1.6}
        axes.scatter(llm["x"], llm["y"], **style)
        used.append(llm)
    title = f"Map of {len(llms)} LLM vectors by family, kind and size"
    axes.set_title(f"{title}\n" if note else title, fontsize=12)
    axes.text(0.5, 1.015, note, transform=axes.transAxes, ha="center", fontsize=9, color=INK)
    axes.set_xlabel(f"Principal component 1 ({explained[0]:.0%} of the variance)")
    axes.set_ylabel(f"Principal component 2 ({explained[1]:.0%} of the variance)")
    axes.margins(0.08)
    plain_axes(axes)
    points = np.array([[llm["x"], llm["y"]] for llm in used])
    labels = [short_name(llm["name"]) for llm in used]
    n_left_out = label_points(axes, points, labels, [colours.get(llm["family"], GREY) for llm in used])
    _map_legends(axes, llms, colours, shapes)
    if n_left_out:
        figure.text(0.845, 0.05, f"{n_left_out} LLMs have no label,\nfor want of room.", fontsize=8, color=INK)
    return figure


def _most_frequent(labels: Sequence[str], styles: Sequence[str]) -> dict[str, str]:
    """A style for each of the most frequent labels, in the order of the alphabet where they are equally frequent."""
    known = [label for label in labels if label]
    ranked = sorted(set(known), key=lambda label: (-known.count(label), label))
    return dict(zip(ranked, styles, strict=False))


def _area(billions: float | None) -> float:
    """Area of a point: it grows with the square root of the size, so that small LLMs stay visible."""
    return 40.0 if billions is None else 14 + 6 * billions**0.5


def _map_legends(axes: Axes, llms: Sequence[Mapping], colours: Mapping[str, str], shapes: Mapping[str, str]) -> None:
    """Three legends beside the map."""
    from matplotlib.lines import Line2D

    def entry(label: str, shape: str, colour: str, area: float = 40.0, face: str | None = None) -> Line2D:
        style = {"marker": shape, "color": "none", "markersize": area**0.5, "markeredgecolor": colour}
        return Line2D([], [], label=label, markerfacecolor=face or colour, **style)

    families = [llm["family"] for llm in llms]
    others = sum(family not in colours for family in families)
    groups = {
        "Family": [entry(f"{name} ({families.count(name)})", "o", colour) for name, colour in colours.items()]
        + ([entry(f"others ({others})", "o", GREY)] if others else []),
        "Kind": [entry(kind, shape, INK) for kind, shape in shapes.items()],
        "Billions of parameters": [entry(f"{size}", "o", INK, _area(size)) for size in (7, 70, 400)]
        + [entry("not known", "o", INK, face="white")],
    }
    top = 1.0
    for title, handles in groups.items():
        if len(handles) < 2:
            continue
        style: dict[str, Any] = {"frameon": False, "fontsize": 8, "labelspacing": 0.7, "borderaxespad": 0.0}
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, top)}
        legend = axes.legend(handles=handles, title=title, **style, **place)
        legend.get_title().set_fontsize(9)
        axes.add_artist(legend)
        top -= 0.065 + 0.029 * len(handles)
