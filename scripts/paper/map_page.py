"""The map of LLMs as one HTML file that opens without a network: script, style and data are inside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

_TEMPLATE = "llm_map.html"
_LONGEST = 500  # signs of a name
_PLACE = "__LLM_MAP_DATA__"


def llm_map_page(title: str, llms: Sequence[Mapping], explained: Sequence[float]) -> str:
    """Write the page.

    Args:
        title (`str`): The data's name.
        llms (`Sequence[Mapping]`): `name`, `x`, `y`, `family`, `kind` and `answered` (texts, may be empty), `billions`
            (number or None), and `scores`: `accuracy` and `n` by benchmark.
        explained (`Sequence[float]`): Share of the variance of either axis.

    Returns:
        `str`: HTML. Names are only ever set as text, so nothing in them is read as HTML.

    Raises:
        ValueError: If there are no LLMs.
    """
    if not llms:
        raise ValueError("`llms` is empty, expected the LLMs of the map.")
    cut = [{key: value[:_LONGEST] if isinstance(value, str) else value for key, value in llm.items()} for llm in llms]
    data = json.dumps({"title": title[:_LONGEST], "llms": cut, "explained": list(explained)}, allow_nan=False)
    # Inside a script element only `<` can end it or start a comment; JSON may write it as an escape.
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    template = Path(__file__).with_name(_TEMPLATE).read_text(encoding="utf-8")
    return template.replace(_PLACE, data)
