"""The parts that all pictures share: an empty figure, colours and shapes, labels that do not overlap, the saved file.

This is the only module that imports matplotlib, which the extra `plot` brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._checks import require_extra
from .._errors import visible
from .._files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), safe for the colour-blind, without black and the yellow that is faint on white. The shapes say
# the same to readers of a grey print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D")
SHAPES = ("o", "s", "^", "D", "v", "P", "X")
GREY, INK = "#8C8C8C", "#333333"
_LONGEST_LABEL = 32
_MOST_LABELS = 300  # that are tried
_PALETTE = 256  # colours of a saved picture: enough to keep each organisation its own, and the file is a third
# Where a label may stand, tried in this order: offset in points from its LLM, and which of its sides faces the LLM.
_PLACES = (
    (5, 0, "left", "center"),
    (-5, 0, "right", "center"),
    (0, 5, "center", "bottom"),
    (0, -5, "center", "top"),
    (4, 4, "left", "bottom"),
    (4, -4, "left", "top"),
    (-4, 4, "right", "bottom"),
    (-4, -4, "right", "top"),
)


def save_png(figure: Figure, path: str | Path) -> None:
    """Write a figure as a small PNG, whatever the path ends in, which names the matplotlib that drew it."""
    matplotlib = require_extra("matplotlib", "plot", "drawing")
    image_module = require_extra("PIL.Image", "plot", "drawing")
    png_module = require_extra("PIL.PngImagePlugin", "plot", "drawing")
    canvas: Any = figure.canvas  # of `new_figure`
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]
    about = png_module.PngInfo()
    about.add_text("Software", f"matplotlib {matplotlib.__version__}")
    image = image_module.fromarray(pixels).quantize(_PALETTE, image_module.Quantize.MAXCOVERAGE)
    with whole_file(path) as partial:
        image.save(partial, "PNG", optimize=True, pnginfo=about)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, with a canvas of its own, so that no display is asked for."""
    figure_module = require_extra("matplotlib.figure", "plot", "drawing")
    canvas_module = require_extra("matplotlib.backends.backend_agg", "plot", "drawing")
    figure = figure_module.Figure(figsize=(width, height), dpi=100, facecolor="white")
    canvas_module.FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes) -> None:
    """No box, small ticks, a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, color=GREY)
    axes.grid(color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)


def short_name(name: str) -> str:
    """The part after the organisation; a very long name is cut in the middle, since its end tells more."""
    short = visible(name.split("/")[-1])
    half = _LONGEST_LABEL // 2
    return short if len(short) <= _LONGEST_LABEL else f"{short[:half]}…{short[1 - half :]}"


def label_points(axes: Axes, points: np.ndarray, labels: Sequence[str], colours: Sequence[str]) -> int:
    """Write labels where they cover neither a point nor another label; return how many found no room.

    Greedy: those with the nearest neighbour farthest away come first, and each takes its first free place. Of very
    many points the first 300 are tried: there is hardly room for more, and the work is bounded.
    """
    from matplotlib.colors import to_rgb
    from scipy.spatial import KDTree

    figure: Any = axes.figure  # of `new_figure`
    renderer = figure.canvas.get_renderer()
    figure.draw_without_rendering()
    at = axes.transData.transform(points)  # pixels
    frame = axes.get_window_extent(renderer)
    taken = np.concatenate([at - 5, at + 5], axis=1)  # left, bottom, right, top of each
    gaps = KDTree(at).query(at, k=2)[0][:, 1] if len(at) > 1 else np.zeros(1)  # to the nearest other one
    tried = np.argsort(-gaps, kind="stable")[:_MOST_LABELS]
    n_left_out = len(at) - len(tried)
    for row in tried:
        darker = [0.7 * channel for channel in to_rgb(colours[row])]  # small text needs contrast
        style: dict[str, Any] = {"fontsize": 7, "color": darker, "parse_math": False}  # a `$` in a name is a `$`
        for right, up, horizontal, vertical in _PLACES:
            style |= {"xytext": (right, up), "ha": horizontal, "va": vertical}
            text = axes.annotate(labels[row], points[row], textcoords="offset points", **style)
            box = text.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            apart = (taken[:, :2] > box.max).any(axis=1) | (taken[:, 2:] < box.min).any(axis=1)
            if inside and apart.all():
                taken = np.append(taken, [[*box.min, *box.max]], axis=0)
                break
            text.remove()
        else:
            n_left_out += 1
    return n_left_out
