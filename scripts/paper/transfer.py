"""The ablation matrix: which training benchmark helps or hurts the forecast of another, and does likeness tell?

The network is trained without each benchmark in turn (one of several categories is taken apart into them). A cell is
the change of the log loss on another benchmark's validation and test questions: above 0, the missing benchmark had
helped. As the rest of the training data makes up for much, the network is also trained on each benchmark alone; there
a cell is the AUC on the other benchmark, over the LLMs that have answered both. Early stopping sees the validation
questions of what is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import xlog1py, xlogy
from scipy.stats import norm

from embedllm_hf.metrics import auc

from . import wording
from .benchmark_scores import train_without
from .disagreement import centred_cosine_distances
from .permutation import correct, holm, mantel, shuffles
from .score_table import MIN_ANSWERS, ScoreTable
from .setting import PaperData, fit_network
from .vector_figures import transfer_figure
from .wording import spoken

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "transfer"
TITLE = "Which benchmark helps which"

MOST_BENCHMARKS = {False: 24, True: 5}  # those with most responses; fewer in quick mode
MIN_SHARED_LLMS = 5  # with accuracies on both benchmarks, to correlate these
MIN_BENCHMARKS = 4  # fewer cannot be shuffled to any purpose
WITHOUT, ALONE = "trained without it", "trained on it alone"
ACCURACY, TEXT = "accuracies of the LLMs", "texts of the questions"


def run(data: PaperData, progress: Callable[[str], None]) -> dict:
    """Train without each benchmark, with every seed; see the module."""
    table = ScoreTable.of(data)
    names = table.largest(table.categories, MOST_BENCHMARKS[data.settings.quick])
    if len(names) < MIN_BENCHMARKS:
        return {"names": names}
    benchmark_of = {member: name for name, members in table.benchmarks.items() for member in members}
    benchmarks = [benchmark_of[name] for name in names]
    held_out = data.held_out
    responses = held_out.responses.responses()
    rows = {name: np.flatnonzero(held_out.responses.categories == name) for name in names}
    losses = []  # by seed: the full training, then without each; each a list of per-question losses by benchmark
    alone = []
    for seed in data.settings.seeds:
        each = []
        for missing in (None, *names):
            progress(f"seed {seed}: training without {missing or 'nothing'}")
            model = fit_network(data, seed=seed) if missing is None else train_without(data, (missing,), seed)
            probs = model.network_proba(held_out.question_embeds)
            each.append([_losses(probs[rows[name]], responses[rows[name]]) for name in names])
        losses.append(each)
        progress(f"seed {seed}: training on each alone")
        alone.append([_aucs_of_one(data, name, rows, seed) for name in names])
    change, error = changes(losses)
    return {
        "names": names,
        "benchmark": benchmarks,
        "n_seeds": len(data.settings.seeds),
        "n_answers": [float(table.totals([name])[0].sum()) for name in names],
        "change": change.tolist(),
        "standard_error": error.tolist(),
        "p_value": _cell_p_values(change, error).tolist(),
        "alone": [[None if np.isnan(cell) else cell for cell in row] for row in np.mean(alone, axis=0).tolist()],
        "likeness": likeness_tests(data, table, names, benchmarks, (change, np.mean(alone, axis=0))),
    }


def _losses(probs: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Sum of the log loss and number of responses of each question, `(2, n_questions)`."""
    truth, likely = responses.astype(np.float64), probs.astype(np.float64).clip(1e-7, 1 - 1e-7)
    loss = -(xlogy(truth, likely) + xlog1py(1 - truth, -likely))
    return np.stack([np.nansum(loss, axis=1), (~np.isnan(truth)).sum(axis=1)])


def _aucs_of_one(data: PaperData, name: str, rows: Mapping[str, np.ndarray], seed: int) -> list[float]:
    """AUC on each benchmark of a network that was trained on one, over the LLMs that have answered that one.

    NaN on the benchmark itself, and where fewer than five LLMs have answered both.
    """
    train = data.train.responses
    model = train_without(data, tuple(set(train.categories) - {name}), seed)
    known = train.observed()[train.categories == name].sum(axis=0) >= MIN_ANSWERS
    held_out = data.held_out
    responses, found = held_out.responses.responses(), []
    for other, mine in rows.items():
        truth = np.where(known, responses[mine], np.nan)
        enough = (~np.isnan(truth).all(axis=0)).sum() >= MIN_SHARED_LLMS and other != name
        found.append(auc(model.network_proba(held_out.question_embeds[mine]), truth) if enough else float("nan"))
    return found


def changes(losses: list[list[list[np.ndarray]]]) -> tuple[np.ndarray, np.ndarray]:
    """Change of the log loss and its standard error, `(n_left_out, n_measured)`, mean over the seeds.

    Args:
        losses: By seed, by training (the full one first) and by measured benchmark: sums and counts by question.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: The error has two parts: of the questions, from their paired changes, and of
        the seeds, from the spread of a benchmark's changes over them, pooled over what was left out.
    """
    n_seeds, n_left_out, n_measured = len(losses), len(losses[0]) - 1, len(losses[0][0])
    by_seed = np.zeros((n_seeds, n_left_out, n_measured))
    variance = np.zeros((n_left_out, n_measured))
    for row in range(n_left_out):
        for column in range(n_measured):
            full = np.mean([each[0][column][0] for each in losses], axis=0)
            without = np.mean([each[row + 1][column][0] for each in losses], axis=0)
            counts = losses[0][0][column][1]
            n_responses = max(counts.sum(), 1)
            gaps = without - full
            gaps = gaps - gaps.sum() / n_responses * counts
            variance[row, column] = (gaps**2).sum() / n_responses**2
            for seed, each in enumerate(losses):
                by_seed[seed, row, column] = (each[row + 1][column][0] - each[0][column][0]).sum() / n_responses
    if n_seeds > 1:
        others = ~np.eye(n_left_out, n_measured, dtype=bool)
        spread = np.where(others, by_seed.var(axis=0, ddof=1), 0).sum(axis=0) / others.sum(axis=0)
        variance = variance + spread / n_seeds
    return by_seed.mean(axis=0), np.sqrt(variance)


def _cell_p_values(change: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the cells off the diagonal, corrected for their number (Holm); 1 on the diagonal."""
    found = np.ones_like(change)
    others = ~np.eye(len(change), dtype=bool)
    z = np.abs(change) / np.maximum(error, 1e-12)
    found[others] = holm(2 * norm.sf(z[others]))
    return found


# --- likeness ---


def likeness(data: PaperData, table: ScoreTable, names: list[str]) -> dict[str, np.ndarray]:
    """How alike benchmarks are, `(n, n)`: correlation of the LLMs' accuracies, and cosine of the mean text vectors.

    NaN where fewer than five LLMs have answered both.
    """
    scores = [table.accuracies([name]) for name in names]
    together = np.full((len(names), len(names)), np.nan)
    for one, two in np.ndindex(together.shape):
        both = ~np.isnan(scores[one]) & ~np.isnan(scores[two])
        if both.sum() >= MIN_SHARED_LLMS and scores[one][both].std() > 0 and scores[two][both].std() > 0:
            together[one, two] = np.corrcoef(scores[one][both], scores[two][both])[0, 1]
    categories = data.train.responses.categories
    means = np.stack([data.train.question_embeds[categories == name].mean(axis=0) for name in names])
    # What all questions share says nothing of likeness.
    return {ACCURACY: together, TEXT: 1 - centred_cosine_distances(means)}


def likeness_tests(
    data: PaperData,
    table: ScoreTable,
    names: list[str],
    benchmarks: list[str],
    matrices: tuple[np.ndarray, np.ndarray],
) -> list[dict]:
    """Does what is alike help? Each likeness against both matrices, over all cells, and inside the largest benchmark.

    Row and column effects are taken out of the matrices first: a large benchmark helps all others, and some are easy
    to forecast, whatever the likeness.
    """
    largest = max(sorted(set(benchmarks)), key=benchmarks.count)
    scopes = {"all benchmarks": np.arange(len(names))}
    if MIN_BENCHMARKS <= benchmarks.count(largest) < len(names):
        scopes[f"parts of {largest}"] = np.flatnonzero(np.array(benchmarks) == largest)
    found = []
    for (matrix, values), (kind, alike), (scope, chosen) in product(
        zip((WITHOUT, ALONE), matrices, strict=True), likeness(data, table, names).items(), scopes.items()
    ):
        cells = np.ix_(chosen, chosen)
        pairs = ~np.isnan(alike[cells]) & ~np.isnan(values[cells]) & ~np.eye(len(chosen), dtype=bool)
        about = {"matrix": matrix, "likeness": kind, "scope": scope}
        row = {**about, "n_benchmarks": len(chosen), "n_cells": int(pairs.sum())}
        if len(chosen) >= MIN_BENCHMARKS and pairs.sum() >= MIN_BENCHMARKS * (MIN_BENCHMARKS - 1):
            orders = shuffles(len(chosen), data.settings.n_permutations)
            row.update(mantel(centred(values[cells]), alike[cells], pairs, orders, measures=("spearman",))["spearman"])
        found.append(row)
    correct([row for row in found if "p_value" in row])
    return found


def centred(values: np.ndarray) -> np.ndarray:
    """A square table less its row and column effects, which are fitted off the diagonal; NaN stays NaN.

    Alternating means converge to the least-squares effects.
    """
    known = ~np.isnan(values) & ~np.eye(len(values), dtype=bool)
    left = np.where(known, values, 0.0)
    for _ in range(100):
        for axis in (0, 1):
            means = left.sum(axis=axis, keepdims=True) / np.maximum(known.sum(axis=axis, keepdims=True), 1)
            left = np.where(known, left - means, 0.0)
    return np.where(known, left, np.nan)


# --- the report ---


def figures(result: dict) -> dict[str, Figure]:
    """Both matrices; nothing if there were too few benchmarks."""
    if "change" not in result:
        return {}
    alone = np.array([[np.nan if cell is None else cell for cell in row] for row in result["alone"]])
    found = {
        "transfer": transfer_figure(
            result["names"],
            1000 * np.array(result["change"]),
            title="Change of the log loss, in thousandths, when a benchmark is left out (orange: it had helped)",
            rows="Left out of training",
            columns="Forecast",
            digits=0,
        )
    }
    if np.isfinite(alone).any():
        found["transfer_alone"] = transfer_figure(
            result["names"],
            alone,
            title="AUC of the forecast when one benchmark alone is trained on",
            rows="Trained on",
            columns="Forecast",
            digits=2,
        )
    return found


def markdown(result: dict) -> str:
    """Both matrices as figures, their significant cells, and whether they agree with likeness."""
    names = result["names"]
    if "change" not in result:
        return f"The data has {wording.counted(len(names), 'benchmark')}; at least {MIN_BENCHMARKS} are needed."
    change, p_values = np.array(result["change"]), np.array(result["p_value"])
    others = ~np.eye(len(names), dtype=bool)
    error = np.median(np.array(result["standard_error"])[others])
    seeds = wording.counted(result["n_seeds"], "seed")
    parts = [
        f"The network is trained without each of {len(names)} benchmarks (parts count as benchmarks) and compared "
        f"with the full training, mean over {seeds}. Above 0: the missing benchmark had helped. A cell's error has "
        "a part from the questions and one from the seeds; the median over the cells is "
        f"{1000 * error:.1f} thousandths.",
        wording.picture("transfer", "Change of the log loss when a benchmark is left out of training"),
        _cell_sentences(names, change, p_values, others),
    ]
    if "transfer_alone" in figures(result):
        parts.append(wording.picture("transfer_alone", "AUC when one benchmark alone is trained on"))
    head = ["Matrix", "Likeness by", "Scope", "Benchmarks", "Cells", "Spearman", "Chance (95%)", "p", "p (Holm)"]
    parts += [
        "Does what is alike help? Spearman correlation of each matrix, its row and column effects taken out, with the "
        "benchmarks' likeness: the correlation of the LLMs' accuracies on both, or the cosine of the mean text "
        "vectors (less the mean of all). p-values are from shuffling the benchmarks, for a value above 0: alike "
        "benchmarks help each other.",
        wording.table(head, [_likeness_cells(row) for row in result["likeness"]], left=3),
        _likeness_sentence(result["likeness"]),
    ]
    return wording.paragraphs(*parts)


def _cell_sentences(names: list[str], change: np.ndarray, p_values: np.ndarray, others: np.ndarray) -> str:
    """Which benchmarks help or hurt another beyond chance, and what leaving out does to a benchmark's own forecast."""
    found = []
    for word, sign in (("helps", 1), ("hurts", -1)):
        cells = np.argwhere((p_values < 0.05) & (sign * change > 0))
        found += [f"{spoken(names[row])} {word} {spoken(names[column])}" for row, column in cells.tolist()]
    scope = f"beyond chance (5%, Holm over all {others.sum()} cells)"
    said = f"{'; '.join(found)}: {scope}." if found else f"No benchmark helps or hurts another's forecast {scope}."
    own, rest = np.diag(change), np.abs(change[others])
    return (
        f"{said} A benchmark's own forecast, on the diagonal, changes by {1000 * np.median(own):.0f} thousandths in "
        f"the median ({1000 * own.min():.0f} to {1000 * own.max():.0f}); off it the median size is "
        f"{1000 * np.median(rest):.1f}."
    )


def _likeness_cells(row: dict) -> list[str]:
    cells = [row["matrix"], row["likeness"], spoken(row["scope"]), str(row["n_benchmarks"]), str(row["n_cells"])]
    if "value" not in row:
        return [*cells, "too few", "-", "-", "-"]
    chance = f"{row['chance_low']:.2f} to {row['chance_high']:.2f}"
    return [*cells, f"{row['value']:.2f}", chance, f"{row['p_value']:.4f}", f"{row['p_holm']:.4f}"]


def _likeness_sentence(rows: list[dict]) -> str:
    """Which correlations are beyond chance."""
    said = []
    for matrix in (WITHOUT, ALONE):
        tested = [row for row in rows if row["matrix"] == matrix and "value" in row]
        good = [f"{row['likeness']} ({spoken(row['scope'])})" for row in tested if row["p_holm"] < 0.05]
        if tested:
            verb = (
                f"agrees with likeness by {wording.listed(good)}" if good else "agrees with no likeness beyond chance"
            )
            said.append(f"*{matrix.capitalize()}* {verb}.")
    return " ".join(said)
