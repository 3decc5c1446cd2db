"""Figures of the paper's experiments: forecasting by number of questions, routing, ablations; and saving them.

Each function takes rows as the sections make them and gives a matplotlib `Figure`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedllm_hf._checks import require_extra
from embedllm_hf.plots.canvas import COLOURS, INK, SHAPES, new_figure, plain_axes, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Colours of what an interval says about a difference from a reference.
_VERDICTS = {"better than the": COLOURS[0], "worse than the": COLOURS[1], "not clearly different from the": "#B8B8B8"}


def save_figure(figure: Figure, folder: Path, stem: str) -> None:
    """Save a figure as PNG and as SVG; the same figure gives the same files."""
    matplotlib = require_extra("matplotlib", "plot", "drawing")
    save_png(figure, folder / f"{stem}.png")
    with matplotlib.rc_context({"svg.hashsalt": stem}):
        figure.savefig(folder / f"{stem}.svg", format="svg", metadata={"Date": None})


def learning_curve_figure(rows: Sequence[Mapping], methods: Sequence[str]) -> Figure:
    """Draw accuracy and AUC by number of training questions, a line a method, bands of one standard deviation.

    Args:
        rows (`Sequence[Mapping]`): `method`, `n_questions`, and `accuracy` and `auc` by seed.
        methods (`Sequence[str]`): In the order of the colours.
    """
    figure = new_figure(10, 4.6)
    panels = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.065, right=0.985, top=0.9, bottom=0.2, wspace=0.2)
    figure.suptitle("How well right and wrong answers are forecast, by number of training questions", fontsize=12)
    sizes = sorted({row["n_questions"] for row in rows})
    for axes, metric, name in zip(panels, ("accuracy", "auc"), ("Accuracy", "AUC"), strict=True):
        for method, colour, shape in zip(methods, COLOURS, SHAPES, strict=False):
            mine = sorted((row for row in rows if row["method"] == method), key=lambda row: row["n_questions"])
            _draw_line(axes, sizes, [row[metric] for row in mine], method, colour, shape)
        axes.set(xscale="log", xlabel="Training questions", ylabel=name)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        plain_axes(axes)
    legend_below(figure, panels[:1])
    return figure


def _means_and_spreads(seeds: Sequence[Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the seeds of each point; no deviation where there is one seed."""
    spreads = [np.std(values, ddof=1) if len(values) > 1 else 0.0 for values in seeds]
    return np.array([np.mean(values) for values in seeds]), np.array(spreads)


def _draw_line(
    axes: Axes, at: Sequence[float], seeds: Sequence[Sequence[float]], label: str, colour: str, shape: str
) -> None:
    """Means over seeds as a line, one standard deviation to either side as a band."""
    means, spreads = _means_and_spreads(seeds)
    axes.plot(at, means, color=colour, marker=shape, markersize=5, linewidth=1.5, label=label)
    axes.fill_between(at, means - spreads, means + spreads, color=colour, alpha=0.15, linewidth=0)


def legend_below(figure: Figure, panels: Iterable[Axes], n_columns: int = 9) -> None:
    """One legend for all panels, under them, without repeats."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    n_columns = min(n_columns, len(entries))
    figure.legend(
        list(entries.values()), list(entries), frameon=False, fontsize=8, loc="lower center", ncols=n_columns
    )


def routing_figure(rows: Sequence[Mapping], ways: Sequence[str], reference: str) -> Figure:
    """Draw routing accuracy as bars, a panel a benchmark, coloured by whether they differ from a reference.

    The dashed line is the reference; the mark at a bar's end is the 95% interval of the difference, set at that line.

    Args:
        rows (`Sequence[Mapping]`): `group`, `way`, `n_questions`, `accuracy`, and `over_best` with `low` and `high`.
        ways (`Sequence[str]`): In the order of the bars.
        reference (`str`): The way that is drawn as a line through the others.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows))
    n_columns = min(3, len(groups))
    n_rows = -(-len(groups) // n_columns)
    figure = new_figure(10, 0.9 + 2.3 * n_rows)
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    cells = {(row["group"], row["way"]): row for row in rows}
    for position, axes in enumerate(panels.ravel()):
        if position >= len(groups):
            axes.set_visible(False)
            continue
        group = groups[position]
        mine = [cells[group, way] for way in ways]
        _draw_bars(axes, mine, cells[group, reference]["accuracy"], names=position % n_columns == 0)
        axes.set_title(f"{group} ({mine[0]['n_questions']:,} questions)", fontsize=10)
    height = figure.get_figheight()
    figure.suptitle("Share of right answers when each way of choosing picks the LLM", fontsize=12, y=1 - 0.1 / height)
    patch = require_extra("matplotlib.patches", "plot", "drawing").Patch
    handles = [patch(color=colour, label=f"{what} {reference}") for what, colour in _VERDICTS.items()]
    figure.legend(handles=handles, frameon=False, fontsize=9, loc="lower center", ncols=len(handles))
    figure.tight_layout(rect=(0, 0.3 / height, 1, 1), h_pad=1.2)
    return figure


def _draw_bars(axes: Axes, rows: Sequence[Mapping], reference: float, *, names: bool) -> None:
    """One panel of `routing_figure`: a bar a way, from the top, coloured by what its interval says."""
    at = np.arange(len(rows))[::-1]
    better, worse, same = _VERDICTS.values()
    for y, row in zip(at, rows, strict=True):
        gap, value = row["over_best"], row["accuracy"]
        axes.barh(y, value, color=better if gap["low"] > 0 else worse if gap["high"] < 0 else same, height=0.72)
        ends = np.clip([reference + gap["low"], reference + gap["high"]], 0.0, 1.0)
        axes.plot(ends, [y, y], color=INK, linewidth=1, marker="|", markersize=5)
        axes.text(max(value, ends[1]) + 0.015, y, f"{value:.3f}", va="center", fontsize=8, color=INK)
    axes.axvline(reference, color=INK, linestyle="--", linewidth=1)
    axes.set_xlim(0.0, 1.19)
    axes.set_yticks(at, [row["way"] for row in rows] if names else [""] * len(rows))
    axes.set_xticks(np.linspace(0.0, 1.0, 6))
    plain_axes(axes)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


def ablation_figure(choices: Sequence[Mapping]) -> Figure:
    """Draw the validation AUC of each variant of each choice as a point with one standard deviation, a panel a choice.

    Args:
        choices (`Sequence[Mapping]`): `name`, `default`, whether it is `ordered` (then a line joins the points), and
            `rows` with `label` and `auc` by seed.
    """
    figure = new_figure(10, 3.6)
    widths = [len(choice["rows"]) + 1 for choice in choices]
    panels = figure.subplots(1, len(choices), sharey=True, squeeze=False, width_ratios=widths)[0]
    figure.suptitle("Validation AUC of the network when one choice changes (filled: the default)", fontsize=12)
    for axes, choice, colour, shape in zip(panels, choices, COLOURS, SHAPES, strict=False):
        rows = choice["rows"]
        means, spreads = _means_and_spreads([row["auc"] for row in rows])
        at = np.arange(len(rows))
        line = "-" if choice["ordered"] else "none"
        axes.errorbar(at, means, yerr=spreads, color=colour, linewidth=1, linestyle=line, capsize=3, zorder=2)
        for x, mean, row in zip(at, means, rows, strict=True):
            face = colour if row["label"] == choice["default"] else "white"
            axes.plot(x, mean, marker=shape, markersize=7, color=colour, markerfacecolor=face, zorder=3)
        names = [row["label"].split("/")[-1] for row in rows]
        long = max(map(len, names)) > 4
        axes.set_xticks(at, names, rotation=25 if long else 0, ha="right" if long else "center")
        axes.set_title(choice["name"], fontsize=10)
        axes.margins(x=0.15)
        plain_axes(axes)
    panels[0].set_ylabel("AUC, validation split")
    figure.tight_layout()
    return figure


def masking_figure(hidden: Sequence[Mapping], pool: Sequence[Mapping]) -> Figure:
    """Draw test AUC by share of hidden training responses, and what it gains by the number of LLMs in the pool.

    Args:
        hidden (`Sequence[Mapping]`): `method`, `share`, and `auc` by seed.
        pool (`Sequence[Mapping]`): `n_llms`, `n_judged`, and `auc` by seed.
    """
    figure = new_figure(10, 4.2)
    left, right = figure.subplots(1, 2)
    shares = sorted({row["share"] for row in hidden})
    methods = list(dict.fromkeys(row["method"] for row in hidden))
    for method, colour, shape in zip(methods, COLOURS, SHAPES, strict=False):
        mine = sorted((row for row in hidden if row["method"] == method), key=lambda row: row["share"])
        _draw_line(left, shares, [row["auc"] for row in mine], method, colour, shape)
    left.set_title("Fewer responses: what is left when a share is hidden", fontsize=11)
    left.set(xlabel="Share of the training responses that is hidden", ylabel="AUC, test split")
    left.xaxis.set_major_formatter("{x:.0%}")
    left.legend(frameon=False, fontsize=9, loc="best")
    sizes = [row["n_llms"] for row in pool]
    judged = pool[0]["n_judged"]
    gained = [np.subtract(row["auc"], pool[0]["auc"]) for row in pool]
    right.axhline(0.0, color=INK, linestyle="--", linewidth=1)
    _draw_line(right, sizes, gained, "", COLOURS[0], SHAPES[0])
    right.set_title(f"More LLMs: what {judged} LLMs gain from others in the pool", fontsize=11)
    right.set(xscale="log", xlabel="LLMs in the pool", ylabel=f"AUC gained over the pool of {sizes[0]}, test split")
    right.set_xticks(sizes, [str(size) for size in sizes])
    right.minorticks_off()
    for axes in (left, right):
        plain_axes(axes)
    figure.tight_layout()
    return figure
