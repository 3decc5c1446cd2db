"""How sections write: numbers with their spread or interval, and what an interval lets one say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from embedllm_hf._tables import format_table


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table; its first columns, `left` of them, are text."""
    return format_table(head, rows, markdown=True, left=left)


def paragraphs(*parts: str) -> str:
    """Parts of a text with empty lines between them; an empty part is left out."""
    return "\n\n".join(part for part in parts if part)


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean over seeds, with the standard deviation where there are several."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def counted(number: int, thing: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def with_interval(gap: Mapping[str, float], digits: int = 4) -> str:
    """A difference with its 95% interval (`difference`, `low`, `high`, as of `metrics.PairedDifference`)."""
    difference, low, high = (f"{gap[key]:+.{digits}f}" for key in ("difference", "low", "high"))
    return f"{difference} ({low} to {high})"


def verdict(gap: Mapping[str, float]) -> str:
    """What the interval lets one say: `better`, `worse` or `not clearly different`."""
    if gap["low"] > 0:
        return "better"
    return "worse" if gap["high"] < 0 else "not clearly different"


def judged(gap: Mapping[str, float]) -> str:
    """A difference with its interval and the verdict."""
    return f"{with_interval(gap)}: {verdict(gap)}"


def verdicts(gaps: Mapping[str, Mapping[str, float]], where: str) -> str:
    """The verdicts on several differences in one sentence: `better on a and b; worse on c`.

    Args:
        gaps (`Mapping[str, Mapping]`): Differences by name.
        where (`str`): How the names are said, such as `on {}`.
    """
    by_verdict: dict[str, list[str]] = {}
    for name, gap in gaps.items():
        by_verdict.setdefault(verdict(gap), []).append(name)
    return "; ".join(f"{said} {where.format(listed(names))}" for said, names in by_verdict.items())


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def spoken(name: str) -> str:
    """A benchmark's name with spaces for underscores."""
    return name.replace("_", " ")


def picture(stem: str, text: str) -> str:
    """A figure in the report; `text` is read where it cannot be seen."""
    return f"![{text}](figures/{stem}.png)"


def published_row(finding: str, published: str, measured: str, comparable: str) -> dict[str, str]:
    """A row of "Published and measured".

    Args:
        finding (`str`): What was claimed, and by whom if not by the paper.
        published (`str`): The published figure.
        measured (`str`): Ours, with its uncertainty.
        comparable (`str`): Whether the two can be compared, and if not, why.
    """
    return {"finding": finding, "published": published, "measured": measured, "comparable": comparable}
