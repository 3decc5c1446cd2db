"""Pieces of the model card's text: Markdown from the configuration and from parts of `metrics.json`.

Each function takes plain values, of which any may be missing, and leaves out what is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..configuration_embedllm import OFFLINE_ENCODER, EmbedLLMConfig
from ..data.planted import PLANTED

MODEL = "embedllm"
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
# What a split means for the figures.
SPLITS = {
    "test": ", which training has not seen",
    "validation": ", which also chose the weights that were kept, so the figures flatter the model",
    "train": ", from which the model was learned, so the figures flatter the model",
}
PREDICTORS = {
    "embedllm_network": "the network alone, without what the nearest known questions show",
    "embedllm_with_category": "EmbedLLM with the question's category given, not read from its text",
    "embedllm_with_known": "EmbedLLM with the item-response model where the pool has answered the question",
    "llm_mean": "an LLM's mean on the training questions, so its routing always takes the best LLM on average",
    "llm_category_mean": "an LLM's mean on the training questions of the same category",
    "knn": "an LLM's mean on the most similar training questions",
    "oracle": "the choice that is best in hindsight",
}


def code(text: object) -> str:
    """A code span, on one line, whatever the text holds; a `|` is escaped, so that it may stand in a table."""
    line = " ".join(str(text).split()).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    space = " " if len(fence) > 1 else ""
    return f"{fence}{space}{line}{space}{fence}"


def base_model_of(config: EmbedLLMConfig) -> str | None:
    """Hub id of the text encoder; None if it is a folder."""
    name = config.encoder.published
    looks_like_id = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name)
    return name if looks_like_id and not Path(name).is_dir() else None


def describe_encoder(config: EmbedLLMConfig) -> str:
    """Name, link and width of the text encoder."""
    hub_id = base_model_of(config)
    link = f"[{hub_id}](https://huggingface.co/{hub_id})" if hub_id else code(config.encoder_name)
    origin = ", from the extra `offline`" if config.encoder_name == OFFLINE_ENCODER else ""
    trained = ", its weights trained with the vectors and saved in `text_encoder/`" if config.trained_encoder else ""
    return f"{link}{origin}{trained}, {config.text_dim} numbers a text"


def describe_form(config: EmbedLLMConfig) -> str:
    """Which terms the log odds have."""
    biases = {"an LLM's overall strength": config.llm_bias, "a question's difficulty": config.question_bias}
    there = [name for name, present in biases.items() if present]
    noise = f"noise of standard deviation {config.noise_std:g} on text vectors in training" if config.noise_std else ""
    terms = [f"with biases for {' and '.join(there)}" if there else "without biases, as in the paper", noise]
    return "; ".join(term for term in terms if term)


def measured_on(dataset: Mapping) -> str:
    """For instance: the split `test` of `RZ412/EmbedLLM`, which training has not seen."""
    named, split = dataset.get("id"), dataset.get("split")
    parts = [f"the split {code(split)}" if split else "", code(named) if named else ""]
    return " of ".join(part for part in parts if part) + SPLITS.get(split, "")


def _number(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None else format(value, form)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


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
    known = [entry for entry in METRICS if any(score.get(entry[0]) is not None for score in scores.values())]
    columns = []
    for key, _, _, higher in known:
        cells = [_number(score.get(key)) for score in scores.values()]
        best = (max if higher else min)(float(cell) for cell in cells if cell != "-")
        columns.append([f"**{cell}**" if cell != "-" and float(cell) == best else cell for cell in cells])
    rows = [
        [f"**{name}**" if name == MODEL else code(name), *cells] for name, *cells in zip(scores, *columns, strict=True)
    ]
    if oracle:
        rows.append(["`oracle`", *[_number(oracle.get(key)) for key, *_ in known]])
    head = ["", *[f"{heading} {'↑' if higher else '↓'}" for _, heading, _, higher in known]]
    return _table(head, rows)


def predictor_notes(names: Sequence[str]) -> str:
    """What the predictors of a table are, those that are known."""
    return "; ".join(f"{code(name)}: {PREDICTORS[name]}" for name in names if name in PREDICTORS)


def benchmark_table(benchmarks: Mapping[str, Mapping[str, Mapping]]) -> str:
    """A row a benchmark, a column a predictor: accuracy / routing accuracy."""
    if not benchmarks:
        return ""
    predictors = list(next(iter(benchmarks.values())))
    rows = [
        [code(benchmark), *[_pair(scores.get(name) or {}) for name in predictors]]
        for benchmark, scores in benchmarks.items()
    ]
    return _table(["", *[code(name) for name in predictors]], rows)


def _pair(score: Mapping) -> str:
    return f"{_number(score.get('accuracy'), '.3f')} / {_number(score.get('routing_accuracy'), '.3f')}"


def gain_lines(gains: Mapping[str, Mapping]) -> list[str]:
    """What EmbedLLM gains over the best baseline, and whether that is more than the luck of these questions."""
    headings = {key: heading for key, heading, *_ in METRICS}
    return [
        f"**{headings.get(metric, metric)}**: {gain['difference']:+.4f} over {code(gain['over'])}, "
        f"between {gain['low']:+.4f} and {gain['high']:+.4f}: {_verdict(gain['low'], gain['high'])}"
        for metric, gain in gains.items()
    ]


def promise_lines(promise: Mapping) -> list[str]:
    """What `min_success` promised, and what came of it."""
    if not promise:
        return []
    if promise.get("share_right") is None:
        return [f"**`min_success` {promise['min_success']:g}**: no question was answered without the mark"]
    who = "the cheapest LLM that reaches it" if promise.get("cheapest") else "the most probable LLM"
    return [
        f"**`min_success` {promise['min_success']:g}**, {who}: {promise['share_answered']:.1%} of questions answered "
        f"without the mark, {promise['share_right']:.1%} of them right ({promise['low']:.1%} to {promise['high']:.1%})"
    ]


def _verdict(low: float, high: float) -> str:
    if low > 0:
        return "EmbedLLM is better"
    return "the baseline is better" if high < 0 else "no clear difference"


def is_on_hub(dataset: Mapping) -> bool:
    """Whether `dataset` is one of the Hub: only such a one has a revision; a folder has only a name."""
    return bool(dataset.get("id") and dataset.get("revision"))


def dataset_lines(dataset: Mapping) -> list[str]:
    """What it was measured on: id, revision, split, sizes, repeated rows."""
    lines = []
    if dataset.get("id"):
        named = dataset["id"]
        if is_on_hub(dataset):
            lines.append(f"**Data set**: [{named}](https://huggingface.co/datasets/{named})")
        elif named == PLANTED:
            lines.append(f"**Data set**: {code(named)}, made by the library: its LLMs and their answers are invented")
        else:
            lines.append(f"**Data set**: {code(named)}")
    for key, label in (("revision", "Revision"), ("split", "Measured on the split")):
        if dataset.get(key):
            lines.append(f"**{label}**: {code(dataset[key])}")
    n_questions, n_llms, n_observed = (dataset.get(key) for key in ("n_questions", "n_llms", "n_observed"))
    if n_questions and n_llms and n_observed:
        share = n_observed / (n_questions * n_llms)
        lines.append(
            f"**Size of that split**: {n_questions:,} questions x {n_llms:,} LLMs, {n_observed:,} responses "
            f"({share:.0%} of the pairs; what was never asked counts as missing, not as wrong)"
        )
    if dataset.get("duplicates"):
        rule = dataset["duplicates"]
        meaning = f" ({DUPLICATES[rule]})" if rule in DUPLICATES else ""
        lines.append(f"**Repeated rows of a question and LLM**: rule {code(rule)}{meaning}{_repeats(dataset)}")
    return lines


def _repeats(dataset: Mapping) -> str:
    n_repeats, n_contradictions = dataset.get("n_repeats"), dataset.get("n_contradictions")
    if n_repeats is None or n_contradictions is None:
        return ""
    return f"; {n_repeats:,} such rows in that split, {n_contradictions:,} pairs contradict themselves"


def training_lines(metrics: Mapping) -> list[str]:
    """Time, seed and versions."""
    lines = []
    if metrics.get("train_seconds") is not None:
        lines.append(f"**Time of the training loop**: {metrics['train_seconds']:,.1f} s")
    if metrics.get("seed") is not None:
        lines.append(f"**Seed**: {metrics['seed']}")
    if metrics.get("versions"):
        versions = ", ".join(f"{package} {version}" for package, version in metrics["versions"].items())
        lines.append(f"**Versions**: {versions}")
    return lines
