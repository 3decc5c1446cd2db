"""Pictures of what the package measures; each function gives a matplotlib `Figure`."""

from .canvas import save_png
from .figures import (
    MIN_LLMS_ON_MAP,
    cost_quality_figure,
    llm_map_figure,
    placement_figure,
    principal_plane,
    reliability_figure,
)

__all__ = [
    "MIN_LLMS_ON_MAP",
    "cost_quality_figure",
    "llm_map_figure",
    "placement_figure",
    "principal_plane",
    "reliability_figure",
    "save_png",
]
