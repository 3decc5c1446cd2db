"""Correctness forecasting by number of training questions, and what the rule for repeated rows does to it.

Every method sees the training split, or a part of it that keeps each category's share; the validation split chooses
the epoch, k and the blend's weights; the test split is measured once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from embedllm_hf.data.responses import DUPLICATE_RULES, ResponseMatrix
from embedllm_hf.data.splits import split_questions
from embedllm_hf.predictors.baselines import LLMMean, NearestQuestions, Predictor
from embedllm_hf.predictors.stacked import BlendedPredictor

from . import wording
from .figures import learning_curve_figure
from .scoring import accuracy_gap, scores_by_seed
from .setting import PaperData, fit_network, paper_training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME, TITLE = "forecasting", "Correctness forecasting"
SIZES, QUICK_SIZES = (1000, 2000, 4000, 8000), (300,)
PAPER, NETWORK, BLEND = "EmbedLLM, paper's form", "EmbedLLM, network", "EmbedLLM"
PAPER_KNN, KNN, LLM_MEAN = "kNN, k = 131", "kNN", "LLM mean"
METHODS = (BLEND, NETWORK, PAPER, KNN, PAPER_KNN, LLM_MEAN)
_RULE_METHODS = (NETWORK, PAPER, PAPER_KNN)  # of the comparison of rules


def run(data: PaperData, progress: Callable[[str], None]) -> dict:
    """Measure all methods at all sizes, then the rules for repeated rows."""
    n_all = data.splits["train"].n_questions
    sizes = [size for size in (QUICK_SIZES if data.settings.quick else SIZES) if size < n_all]
    rows, gains = [], []
    for size in [*sizes, n_all]:
        measured = {}
        for seed in data.settings.seeds:
            progress(f"{size:,} training questions, seed {seed}")
            for method, probs in _predictions(data, _part(data, size, seed), seed, METHODS):
                measured.setdefault(method, []).append(probs)
        truth = data.splits["test"].responses()
        rows += [
            {"n_questions": size, "method": method, **scores_by_seed(measured[method], truth)} for method in METHODS
        ]
        gains += _gains(measured, truth, size)
    test = data.splits["test"]
    return {
        "n_test_questions": test.n_questions,
        "n_test_responses": test.n_observed,
        "seeds": list(data.settings.seeds),
        "rows": rows,
        "gains": gains,
        "rules": _compare_rules(data, progress),
    }


def _part(data: PaperData, size: int, seed: int) -> ResponseMatrix:
    """Some training questions; the parts of one seed lie inside each other."""
    train = data.splits["train"]
    return train if size == train.n_questions else split_questions(train, size / train.n_questions, seed=seed)[1]


def _predictions(
    data: PaperData, train: ResponseMatrix, seed: int, methods: tuple[str, ...]
) -> Iterator[tuple[str, np.ndarray]]:
    """Probabilities of each method on the test questions, `(n_questions, n_llms)`."""
    embeds = data.embeds_of("train", train)
    validation = data.splits["validation"], data.embeds["validation"]

    def fit(method: str) -> Predictor:
        if method == PAPER:
            return fit_network(data, train, embeds, seed=seed, paper=True, training=paper_training(train))
        if method in (NETWORK, BLEND):
            return BlendedPredictor(fit_network(data, train, embeds, seed=seed, blend=method == BLEND))
        if method == LLM_MEAN:
            return LLMMean.fit(train)
        return NearestQuestions.fit(train, embeds, *(validation if method == KNN else ()))

    for method in methods:
        yield method, fit(method).predict_proba(data.embeds["test"])


def _gains(measured: dict[str, list[np.ndarray]], truth: np.ndarray, size: int) -> list[dict]:
    """Accuracy of each form of EmbedLLM minus that of each kNN, over questions, the seeds' mean."""
    gains = []
    for method, over in ((PAPER, PAPER_KNN), (NETWORK, KNN), (BLEND, KNN)):
        gap = accuracy_gap(measured[method], measured[over], truth)
        gains.append({"n_questions": size, "method": method, "over": over, **gap})
    return gains


def _compare_rules(data: PaperData, progress: Callable[[str], None]) -> dict | None:
    """All training questions under each rule for repeated rows; None if the data cannot be read again."""
    if data.reload is None:
        return None
    splits = {rule: data.reload(rule) for rule in DUPLICATE_RULES}
    first = splits[DUPLICATE_RULES[0]]
    summaries = [split.summary() for split in first.values()]
    counts = {key: sum(getattr(part, key) for part in summaries) for key in ("n_repeats", "n_contradictions")}
    same = not counts["n_repeats"] and all(
        np.array_equal(split.values, first[name].values) for parts in splits.values() for name, split in parts.items()
    )
    if same:
        return {**counts, "same": True, "rows": []}
    rows = []
    for rule, parts in splits.items():
        seeds = {}
        for seed in data.settings.seeds:
            progress(f'repeated rows by "{rule}", seed {seed}')
            for method, probs in _predictions(data.with_splits(parts), parts["train"], seed, _RULE_METHODS):
                seeds.setdefault(method, []).append(probs)
        truth = parts["test"].responses()
        rows += [{"rule": rule, "method": method, **scores_by_seed(seeds[method], truth)} for method in _RULE_METHODS]
    return {**counts, "same": False, "rows": rows}


def figures(result: dict) -> dict[str, Figure]:
    """The learning curve."""
    return {"forecasting": learning_curve_figure(result["rows"], METHODS)}


def markdown(result: dict) -> str:
    """Accuracy and AUC by size, what the comparison with kNN shows, and the rules."""
    rows = result["rows"]
    sizes = sorted({row["n_questions"] for row in rows})
    parts = [
        f"{result['n_test_responses']:,} responses to {result['n_test_questions']:,} test questions; mean and "
        f"standard deviation over {wording.counted(len(result['seeds']), 'seed')}, each of which draws other training "
        "questions (stratified by category) and other weights. `EmbedLLM` is the project's default, the network "
        "blended with the nearest training questions; `network` is that without the blend; `paper's form` has 232 "
        "dimensions, no biases, input noise 0.05, and the paper's optimiser settings, with the best epoch chosen on "
        "the validation split. `kNN` has k and its shrinkage chosen on the validation split; both kNN leave missing "
        "responses out and draw thin evidence to the LLM's mean.",
        wording.picture("forecasting", "Accuracy and AUC by number of training questions"),
    ]
    for metric, title in (("accuracy", "Accuracy"), ("auc", "AUC")):
        head = [f"{title}, by training questions", *(f"{size:,}" for size in sizes)]
        cells = {(row["method"], row["n_questions"]): wording.spread(row[metric]) for row in rows}
        parts.append(wording.table(head, [[method, *(cells[method, size] for size in sizes)] for method in METHODS]))
    head = ["Accuracy gained (95% interval)", *(f"{size:,}" for size in sizes)]
    pairs = list(dict.fromkeys((gain["method"], gain["over"]) for gain in result["gains"]))
    cells = {
        (gain["method"], gain["over"], gain["n_questions"]): wording.with_interval(gain) for gain in result["gains"]
    }
    parts.append(
        wording.table(
            head, [[f"{one} minus {over}", *(cells[one, over, size] for size in sizes)] for one, over in pairs]
        )
    )
    parts.append("Intervals are paired bootstraps over the test questions.")
    parts.append("\n".join(_sentence(result["gains"], one, over) for one, over in pairs))
    return "\n\n".join([*parts, _rules_markdown(result["rules"])])


def _sentence(gains: list[dict], method: str, over: str) -> str:
    """At which sizes one beats the other."""
    mine = [gain for gain in gains if (gain["method"], gain["over"]) == (method, over)]
    by_verdict: dict[str, list[str]] = {}
    for gain in mine:
        by_verdict.setdefault(wording.verdict(gain), []).append(f"{gain['n_questions']:,}")
    said = "; ".join(f"{what} at {wording.listed(sizes)} training questions" for what, sizes in by_verdict.items())
    return f"- **{method}** against {over}: {said}."


def _rules_markdown(rules: dict | None) -> str:
    if rules is None:
        return "The rules for repeated rows were not compared, since the data set could not be read again."
    if rules["same"]:
        return (
            f"Rules for repeated rows: the data set has {rules['n_repeats']:,} repeated rows, so all of "
            f"{wording.listed([f'`{rule}`' for rule in DUPLICATE_RULES])} give the same responses, and so the same "
            "results."
        )
    cells = [
        [row["rule"], row["method"], wording.spread(row["accuracy"]), wording.spread(row["auc"])]
        for row in rules["rows"]
    ]
    return "\n\n".join(
        [
            f"Rules for repeated rows: {rules['n_repeats']:,} rows repeat an earlier (question, LLM) pair, and "
            f"{rules['n_contradictions']:,} pairs have rows that disagree. Each rule is applied to training and test "
            "alike, all training questions:",
            wording.table(["rule", "method", "accuracy", "AUC"], cells),
        ]
    )


def published(result: dict) -> list[dict]:
    """The paper's accuracy beside ours, at all training questions."""
    n_all = max(row["n_questions"] for row in result["rows"])
    last = {row["method"]: wording.spread(row["accuracy"]) for row in result["rows"] if row["n_questions"] == n_all}
    gain = next(row for row in result["gains"] if row["n_questions"] == n_all and row["method"] == PAPER)
    return [
        wording.published_row(
            "Correctness accuracy of EmbedLLM and of kNN (k = 131), all training questions",
            "74.09% and 71.52%",
            f"{PAPER}: {last[PAPER]}; {PAPER_KNN}: {last[PAPER_KNN]}; difference {wording.with_interval(gain)}: "
            f"{wording.verdict(gain)}. "
            f"The project's default: {last[BLEND]}",
            "The order can be compared; the levels only on the same data set, encoder and rule for repeated rows",
        )
    ]
