"""Correctness forecasting by number of training questions, and what the rule for repeated rows does to it.

Every method sees the training split, or a part of it that keeps each category's share; the validation split chooses
the epoch, k and the blend's weights; the test split is measured once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from embedllm_hf.data.long_table import DUPLICATE_RULES
from embedllm_hf.data.splits import split_questions
from embedllm_hf.encoding.encoded_responses import EncodedResponses

from . import wording
from .figures import learning_curve_figure
from .scoring import accuracy_gap, by_method, scores_by_seed
from .setting import PaperData, fit_knn, fit_llm_mean, fit_network, paper_training

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
    test, n_all = data.test.responses, data.train.responses.n_questions
    truth = test.responses()
    rows, gains = [], []
    for size in [*(size for size in (QUICK_SIZES if data.settings.quick else SIZES) if size < n_all), n_all]:

        def predict(seed: int, size: int = size) -> dict[str, np.ndarray]:
            progress(f"{size:,} training questions, seed {seed}")
            return _predict(data, _part(data.train, size, seed), seed, METHODS)

        measured = by_method(data.settings.seeds, predict)
        rows += [{"n_questions": size, "method": name, **scores_by_seed(measured[name], truth)} for name in METHODS]
        gains += _gains(measured, truth, size)
    return {
        "n_test_questions": test.n_questions,
        "n_test_responses": test.n_observed,
        "seeds": list(data.settings.seeds),
        "rows": rows,
        "gains": gains,
        "rules": _compare_rules(data, progress),
    }


def _part(train: EncodedResponses, size: int, seed: int) -> EncodedResponses:
    """Some training questions, others for each seed; each category keeps its share."""
    n_all = train.responses.n_questions
    if size == n_all:
        return train
    return train.with_responses(split_questions(train.responses, size / n_all, seed=seed)[1])


def _predict(data: PaperData, train: EncodedResponses, seed: int, methods: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Probabilities of each method on the test questions, `(n_questions, n_llms)`."""
    embeds = data.test.question_embeds
    model = fit_network(data, train, seed=seed, blend=BLEND in methods)

    def predict(method: str) -> np.ndarray:
        if method == NETWORK:
            return model.network_proba(embeds)
        if method == BLEND:
            return model.predict_proba(embeds)
        if method == PAPER:
            training = paper_training(train.responses)
            return fit_network(data, train, seed=seed, paper=True, training=training).network_proba(embeds)
        if method == LLM_MEAN:
            return fit_llm_mean(train).predict_proba(embeds)
        return fit_knn(train, data.validation if method == KNN else None).predict_proba(embeds)

    return {method: predict(method) for method in methods}


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
        np.array_equal(split.responses(), first[name].responses(), equal_nan=True)
        for parts in splits.values()
        for name, split in parts.items()
    )
    if same:
        return {**counts, "same": True, "rows": []}
    rows = []
    for rule, parts in splits.items():
        ruled = data.with_responses(parts)

        def predict(seed: int, rule: str = rule, ruled: PaperData = ruled) -> dict[str, np.ndarray]:
            progress(f'repeated rows by "{rule}", seed {seed}')
            return _predict(ruled, ruled.train, seed, _RULE_METHODS)

        truth = parts["test"].responses()
        measured = by_method(data.settings.seeds, predict)
        rows += [{"rule": rule, "method": name, **scores_by_seed(measured[name], truth)} for name in _RULE_METHODS]
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
    gains = {
        (gain["method"], gain["over"], gain["n_questions"]): wording.with_interval(gain) for gain in result["gains"]
    }
    lines = [[f"{one} minus {over}", *(gains[one, over, size] for size in sizes)] for one, over in pairs]
    return wording.paragraphs(
        *parts,
        wording.table(head, lines),
        "Intervals are paired bootstraps over the test questions.",
        "\n".join(_sentence(result["gains"], one, over) for one, over in pairs),
        _rules_markdown(result["rules"]),
    )


def _sentence(gains: list[dict], method: str, over: str) -> str:
    """At which sizes one beats the other."""
    mine = {f"{gain['n_questions']:,}": gain for gain in gains if (gain["method"], gain["over"]) == (method, over)}
    return f"- **{method}** against {over}: {wording.verdicts(mine, 'at {} training questions')}."


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
    return wording.paragraphs(
        f"Rules for repeated rows: {rules['n_repeats']:,} rows repeat an earlier (question, LLM) pair, and "
        f"{rules['n_contradictions']:,} pairs have rows that disagree. Each rule is applied to training and test "
        "alike, all training questions:",
        wording.table(["rule", "method", "accuracy", "AUC"], cells, left=2),
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
            f"{PAPER}: {last[PAPER]}; {PAPER_KNN}: {last[PAPER_KNN]}; difference {wording.judged(gain)}. "
            f"The project's default: {last[BLEND]}",
            "The order can be compared; the levels only on the same data set, encoder and rule for repeated rows",
        )
    ]
