"""Pictures of what the package measures; each function gives a matplotlib `Figure`.

Here: figures of plain values (`figures.py`) and the one place that imports matplotlib (`canvas.py`). Not here: any
measuring, and the figures of the paper's experiments, which live under `scripts/`. The flow enters with numbers of a
report or with LLM vectors and leaves as a figure, which `save_png` writes.
"""

from .canvas import save_png
from .figures import MIN_LLMS_ON_MAP, cost_quality_figure, llm_map_figure, principal_plane, reliability_figure

__all__ = [
    "MIN_LLMS_ON_MAP",
    "cost_quality_figure",
    "llm_map_figure",
    "principal_plane",
    "reliability_figure",
    "save_png",
]
