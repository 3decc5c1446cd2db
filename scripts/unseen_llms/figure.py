"""The figure of the report: error and coverage by the number of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from embedllm_hf.plots.canvas import COLOURS, GREY, SHAPES, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def placement_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the error of a new LLM's score against the number of its answers, and the coverage of the intervals.

    Args:
        rows (`Sequence[Mapping[str, Any]]`): `method`, `n_answers`, `mean_absolute_error`, its interval `low` and
            `high`, and `coverage` for methods with intervals: as `summarise` gives them.

    Raises:
        ImportError: If matplotlib is missing.
    """
    figure = new_figure(9.6, 4.6)
    error, coverage = figure.subplots(1, 2, width_ratios=(3, 2))
    figure.subplots_adjust(left=0.075, right=0.98, top=0.9, bottom=0.12, wspace=0.22)
    answers = sorted({row["n_answers"] for row in rows})
    place = {count: position for position, count in enumerate(answers)}
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for method, colour, shape in zip(methods, COLOURS, SHAPES, strict=False):
        mine = [row for row in rows if row["method"] == method]
        at = [place[row["n_answers"]] for row in mine]
        style: dict[str, Any] = {"color": colour, "marker": shape, "markersize": 4, "linewidth": 1.4, "label": method}
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
