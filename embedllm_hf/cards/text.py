"""Pieces of the model card's text: Markdown from the configuration and from parts of `metrics.json`.

Each function takes plain values. Any of them may be missing, and what is not known is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from .._checks import brief
from .._tables import format_table
from ..configuration_embedllm import OFFLINE_ENCODER, EmbedLLMConfig
from ..data.planted import PLANTED

MODEL = "embedllm"
LONGEST_SHOWN = 200  # signs of a name or any other text of a stranger
_MOST_BENCHMARKS = 50  # rows of the table
_HUB_ID = r"[\w-][\w.-]*(/[\w-][\w.-]*)?"
# Metrics of the report: key in metrics.json, heading, the Hub's metric id, and whether higher is better.
METRICS = (
    ("accuracy", "Accuracy", "accuracy", True),
    ("auc", "AUC", "roc_auc", True),
    ("log_loss", "Log loss", "log_loss", False),
    ("brier", "Brier score", "brier_score", False),
    ("ece", "ECE", "expected_calibration_error", False),
    ("ece_llm_median", "ECE, median LLM", "expected_calibration_error_llm_median", False),
    ("routing_accuracy", "Routing accuracy", "routing_accuracy", True),
)
DUPLICATES = {
    "mean": "k right answers of n count as k/n, with weight n in training",
    "last": "the last row counts",
    "majority": "right if more than half of the rows are",
    "max": "right if any row is",
}
# How far the figures of a split can be trusted.
SPLITS = {
    "test": ", which training has not seen",
    "validation": ". It also chose the weights that were kept, so the figures flatter the model",
    "train": ". The model was learned from it, so the figures flatter the model",
}
PREDICTORS = {
    "embedllm_network": "the network alone, without the nearest known questions",
    "embedllm_with_category": "EmbedLLM when the question's category is given instead of read from its text",
    "embedllm_with_known": "EmbedLLM with the item-response model for questions that the pool has answered",
    "llm_mean": "an LLM's mean on the training questions, so its routing always takes the best LLM on average",
    "llm_category_mean": "an LLM's mean on the training questions of the same category",
    "knn": "an LLM's mean on the most similar training questions",
    "oracle": "the best choice in hindsight",
}


def code(text: object) -> str:
    """A code span, on one line and not endless, whatever the text holds."""
    line = brief(" ".join(str(text).split()), LONGEST_SHOWN)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    space = " " if len(fence) > 1 else ""
    return f"{fence}{space}{line}{space}{fence}"


def _labelled(values: Mapping[str, str | None]) -> list[str]:
    """A line for each value that is known, after its label in bold."""
    return [f"**{label}**: {value}" for label, value in values.items() if value]


# --- the model ---


def base_model_of(config: EmbedLLMConfig) -> str | None:
    """Hub id of the text encoder; None if it is a folder."""
    name = config.encoder.published
    return name if "/" in name and re.fullmatch(_HUB_ID, name) and not Path(name).is_dir() else None


def describe_encoder(config: EmbedLLMConfig) -> str:
    """Name, link and width of the text encoder, and whether its weights were trained."""
    hub_id = base_model_of(config)
    link = f"[{hub_id}](https://huggingface.co/{hub_id})" if hub_id else code(config.encoder_name)
    extra = " (from the extra `offline`)" if config.encoder_name == OFFLINE_ENCODER else ""
    trained = "its weights were not trained"
    if config.encoder_digest:
        own = "its weights were trained with the LLM vectors and are" if hub_id else "it is"
        trained = f"{own} saved in `text_encoder/`"
    return f"{link}{extra}, {config.text_dim} numbers a text; {trained}"


def describe_form(config: EmbedLLMConfig) -> str:
    """Which terms the logits have, and the noise in training."""
    biases = {"an LLM's overall strength": config.llm_bias, "a question's difficulty": config.question_bias}
    there = [name for name, present in biases.items() if present]
    terms = f"with biases for {' and '.join(there)}" if there else "without biases, as in the paper"
    if not config.noise_std:
        return terms
    return f"{terms}; noise of standard deviation {config.noise_std:g} on text vectors in training"


# --- results ---


def measured_on(dataset: Mapping) -> str:
    """For instance: the split `test` of `RZ412/EmbedLLM`, which training has not seen."""
    named, split = dataset.get("id"), dataset.get("split")
    parts = [f"the split {code(split)}" if split else "", code(named) if named else ""]
    return " of ".join(part for part in parts if part) + SPLITS.get(str(split), "")


def _number(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None else format(value, form)


def predictor_scores(metrics: Mapping) -> dict[str, Mapping]:
    """The metrics of each predictor, out of everything that `metrics.json` holds."""
    return {
        name: score
        for name, score in metrics.items()
        if isinstance(score, Mapping) and isinstance(score.get("accuracy"), float | int)
    }


def results_table(scores: Mapping[str, Mapping], oracle: Mapping) -> str:
    """A row a predictor, a column a metric, the best of each column in bold; the oracle last, out of competition."""
    if not scores:
        return ""
    head, columns = [""], [[f"**{name}**" if name == MODEL else code(name) for name in scores]]
    if oracle:
        columns[0].append(code("oracle"))
    for key, heading, _, higher in METRICS:
        cells = [_number(score.get(key)) for score in scores.values()]
        known = [float(cell) for cell in cells if cell != "-"]
        if known:
            best = max(known) if higher else min(known)
            cells = [f"**{cell}**" if cell != "-" and float(cell) == best else cell for cell in cells]
            head.append(f"{heading} {'↑' if higher else '↓'}")
            columns.append([*cells, _number(oracle.get(key))] if oracle else cells)
    return format_table(head, list(zip(*columns, strict=True)), markdown=True)


def predictor_notes(names: Sequence[str]) -> list[str]:
    """What each row of a table is, where that is known."""
    return [f"{code(name)}: {PREDICTORS[name]}" for name in names if name in PREDICTORS]


def benchmark_table(benchmarks: Mapping[str, Mapping[str, Mapping]]) -> str:
    """A row a benchmark, a column a predictor: accuracy / routing accuracy."""
    if not benchmarks:
        return ""
    predictors = list(next(iter(benchmarks.values())))
    rows = []
    for name, scores in list(benchmarks.items())[:_MOST_BENCHMARKS]:
        found = [scores.get(predictor) or {} for predictor in predictors]
        pairs = [(_number(one.get("accuracy"), ".3f"), _number(one.get("routing_accuracy"), ".3f")) for one in found]
        rows.append([code(name), *map(" / ".join, pairs)])
    table, n_more = format_table(["", *map(code, predictors)], rows, markdown=True), len(benchmarks) - len(rows)
    return f"{table}\n\nAnd {n_more:,} more, in `metrics.json`." if n_more else table


def gain_lines(gains: Mapping[str, Mapping]) -> list[str]:
    """What EmbedLLM gains over the best baseline, and whether that is more than the luck of these questions."""
    headings = {key: heading for key, heading, *_ in METRICS}
    return [
        f"**{headings.get(metric) or code(metric)}**: {gain['difference']:+.4f} over {code(gain['over'])}, "
        f"between {gain['low']:+.4f} and {gain['high']:+.4f}: {_verdict(gain['low'], gain['high'])}"
        for metric, gain in gains.items()
    ]


def _verdict(low: float, high: float) -> str:
    if low > 0:
        return "EmbedLLM is better"
    return "the baseline is better" if high < 0 else "no clear difference"


def guarantee_text(guarantee: Mapping) -> str:
    """What `min_success` guaranteed on the measured questions, and what came of it."""
    if not guarantee:
        return ""
    who = "The cheapest LLM that reaches it" if guarantee.get("cheapest") else "The most probable LLM"
    stated = (
        f"**Guarantee**, `min_success` {guarantee['min_success']:g}: at least this share of the answers that are not "
        f"flagged should be right. {who} was chosen"
    )
    if any(guarantee.get(key) is None for key in ("share_right", "low", "high")):
        return f"{stated}, and every question was flagged."
    cost = "" if guarantee.get("mean_cost") is None else f", at a mean cost of {guarantee['mean_cost']:.4g}"
    return (
        f"{stated}{cost}. {guarantee['share_answered']:.1%} of the questions were not flagged, and "
        f"{guarantee['share_right']:.1%} of their answers were right (95% interval {guarantee['low']:.1%} to "
        f"{guarantee['high']:.1%})."
    )


# --- data and training ---


def is_on_hub(dataset: Mapping) -> bool:
    """Whether `dataset` is one of the Hub: only such a one has a revision; a folder has only a name."""
    return bool(dataset.get("revision") and re.fullmatch(_HUB_ID, dataset.get("id") or ""))


def dataset_lines(dataset: Mapping) -> list[str]:
    """The measured data: id, revision, split, sizes, repeated rows."""
    named, revision, split = (dataset.get(key) for key in ("id", "revision", "split"))
    shown = code(named) if named else None
    if is_on_hub(dataset):
        shown = f"[{named}](https://huggingface.co/datasets/{named})"
    elif named == PLANTED:
        shown = f"{code(named)}, made by the library: its LLMs and their answers are invented"
    return _labelled(
        {
            "Data set": shown,
            "Revision": code(revision) if revision else None,
            "Measured on the split": code(split) if split else None,
            "Size of that split": _size(*(dataset.get(key) for key in ("n_questions", "n_llms", "n_observed"))),
            "Repeated rows of a question and LLM": _repeats(dataset),
        }
    )


def _size(n_questions: int | None, n_llms: int | None, n_observed: int | None) -> str | None:
    if not (n_questions and n_llms and n_observed):
        return None
    return (
        f"{n_questions:,} questions x {n_llms:,} LLMs, {n_observed:,} responses "
        f"({n_observed / (n_questions * n_llms):.0%} of the pairs; a missing response does not count as wrong)"
    )


def _repeats(dataset: Mapping) -> str | None:
    rule, n_repeats, n_contradictions = (dataset.get(key) for key in ("duplicates", "n_repeats", "n_contradictions"))
    if not rule:
        return None
    text = f"rule {code(rule)}" + (f" ({DUPLICATES[rule]})" if rule in DUPLICATES else "")
    if n_repeats is None or n_contradictions is None:
        return text
    return f"{text}; {n_repeats:,} such rows in that split, {n_contradictions:,} pairs contradict themselves"


def training_lines(metrics: Mapping) -> list[str]:
    """Time, seed and versions."""
    seconds, seed, versions = (metrics.get(key) for key in ("train_seconds", "seed", "versions"))
    return _labelled(
        {
            "Time of the training loop": None if seconds is None else f"{seconds:,.1f} s",
            "Seed": None if seed is None else str(seed),
            "Versions": ", ".join(code(f"{package} {version}") for package, version in (versions or {}).items()),
        }
    )
