"""Part 3 of the paper: an LLM's accuracy on a benchmark, forecast from a vector that was made without that benchmark.

The embedder is trained without one benchmark. A linear model of the vectors is then fitted to the accuracy of a random
half of the LLMs on that benchmark, and forecasts the other half. Kendall's tau says whether the order comes out right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t as student_t

from embedllm_hf.modeling_embedllm import EmbedLLM

from . import wording
from .halves import (
    judge_order,
    kendall_tail,
    random_halves,
    ridge_forecasts,
    smallest_significant_tau,
)
from .permutation import holm
from .score_table import MIN_ANSWERS, ScoreTable
from .setting import PaperData, fit_network, in_categories, llm_biases
from .vector_figures import benchmark_figure, score_scatter_figure
from .wording import spoken

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "benchmark_scores"
TITLE = "Benchmark accuracy prediction"

MIN_LLMS = 10  # fewer make halves in which not even a good order is significant
MANY_LLMS, WANTED = 20, 0.9  # the target: so many splits significant where so many LLMs take part
MOST_PARTS = {False: 20, True: 3}  # parts of a benchmark that are left out one by one; fewer in quick mode
DEFAULT, PAPER = "vectors and biases", "the paper's form"
STRENGTH, ELSEWHERE = "bias alone", "mean accuracy elsewhere"
METHODS = (DEFAULT, PAPER, STRENGTH, ELSEWHERE)


def run(data: PaperData, progress: Callable[[str], None]) -> dict:
    """Leave each benchmark out, and each category of those with several; see the module."""
    table = ScoreTable.of(data)
    targets = left_out(table, MOST_PARTS[data.settings.quick])
    found = []
    for number, (name, members) in enumerate(targets.items(), start=1):
        progress(f"benchmark {number} of {len(targets)}: {name}")
        found.append(measure_target(data, table, name, members))
    found.sort(key=lambda row: (-row.get("forecasts", {}).get(DEFAULT, {}).get("share_significant", -1), row["name"]))
    settings = {"n_splits": data.settings.n_splits, "n_seeds": len(data.settings.seeds), "min_llms": MIN_LLMS}
    return {**settings, "targets": found}


def left_out(table: ScoreTable, most_parts: int) -> dict[str, tuple[str, ...]]:
    """What is left out in turn: each benchmark, and the largest categories of a benchmark that has several."""
    targets = dict(table.benchmarks)
    for members in table.benchmarks.values():
        if len(members) > 1:
            targets |= {member: (member,) for member in table.largest(members, most_parts)}
    return targets


def measure_target(data: PaperData, table: ScoreTable, name: str, members: tuple[str, ...]) -> dict[str, Any]:
    """Everything about one left-out benchmark."""
    accuracies, elsewhere = table.accuracies(members), table.accuracies(members, elsewhere=True)
    answered = ~np.isnan(accuracies)
    llms = np.flatnonzero(answered & ~np.isnan(elsewhere))
    n_questions = sum(int(in_categories(split.responses, members).sum()) for split in data.splits.values())
    row: dict[str, Any] = {"name": name, "is_part": name not in table.benchmarks, "n_questions": n_questions}
    row.update(n_answered=int(answered.sum()), n_llms=len(llms))
    if len(llms) < MIN_LLMS:
        return row
    scores = accuracies[llms]
    features: dict[str, list[list[np.ndarray]]] = {DEFAULT: [], PAPER: [], STRENGTH: []}
    features[ELSEWHERE] = [[elsewhere[llms, None]]]
    for seed in data.settings.seeds:
        model = train_without(data, members, seed)
        features[DEFAULT].append([model.llm_embeds[llms], llm_biases(model)[llms]])
        features[STRENGTH].append([llm_biases(model)[llms]])
        features[PAPER].append([train_without(data, members, seed, paper=True).llm_embeds[llms]])
    halves = random_halves(len(llms), data.settings.n_splits, data.settings.seeds[0])
    names = [data.train.responses.llm_names[llm] for llm in llms]
    row["forecasts"] = {method: forecast_halves(each_seed, scores, halves) for method, each_seed in features.items()}
    taus = {method: found["tau_by_split"] for method, found in row["forecasts"].items()}
    row["gains"] = {method: split_gain(taus[DEFAULT], taus[method], halves[0]) for method in METHODS[1:]}
    row["shuffled"] = shuffled_scores(
        features[DEFAULT][0], scores, halves, max(data.settings.n_permutations // 4, 100), row["forecasts"][DEFAULT]
    )
    row["noise"] = noise_of(scores, table.totals(members)[0][llms], halves)
    row["scatter"] = scatter_points(features[DEFAULT][0], scores, halves, names)
    return row


def train_without(data: PaperData, members: tuple[str, ...], seed: int, *, paper: bool = False) -> EmbedLLM:
    """A network whose training and validation questions are of other categories only."""
    train, validation = (
        part.select(~in_categories(part.responses, members)) for part in (data.train, data.validation)
    )
    return fit_network(data, train, seed=seed, validation=validation, paper=paper)


def forecast_halves(
    each_seed: list[list[np.ndarray]], scores: np.ndarray, halves: list[tuple[np.ndarray, np.ndarray]]
) -> dict[str, object]:
    """Forecast each test half from its training half with the features of each seed."""
    taus, significant, errors = [], [], []
    for blocks in each_seed:
        for train, test in halves:
            forecasts = ridge_forecasts(blocks, scores[:, None], train, test)
            judged = judge_order(forecasts, scores[test][:, None])
            taus.append(judged["tau"][0])
            significant.append(judged["significant"][0])
            errors.append(np.abs(forecasts[:, 0] - scores[test]))
    by_seed = np.reshape(significant, (len(each_seed), len(halves))).mean(axis=1)
    by_split = np.reshape(taus, (len(each_seed), len(halves))).mean(axis=0)
    low, high = np.quantile(taus, [0.025, 0.975])
    return {
        "tau": float(np.mean(taus)),
        "tau_low": float(low),
        "tau_high": float(high),
        "share_significant": float(np.mean(significant)),
        "share_by_seed": by_seed.tolist(),
        "tau_by_split": np.round(by_split, 5).tolist(),
        "median_error": float(np.median(np.concatenate(errors))),
    }


def split_gain(first: list[float], second: list[float], halves: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Mean difference of two taus over the same splits, with a 95% interval.

    Splits share their LLMs, so their spread alone would make the interval far too narrow; its variance is raised by
    the ratio of the test half to the training half (Nadeau and Bengio, 2003).
    """
    gaps = np.subtract(first, second)
    ratio = len(halves[1]) / len(halves[0])
    side = student_t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) * np.sqrt(1 / len(gaps) + ratio)
    return {"difference": float(gaps.mean()), "low": float(gaps.mean() - side), "high": float(gaps.mean() + side)}


def shuffled_scores(
    blocks: list[np.ndarray],
    scores: np.ndarray,
    halves: list[tuple[np.ndarray, np.ndarray]],
    n_shuffles: int,
    measured: Mapping[str, object],
) -> dict[str, float]:
    """The same on accuracies that are shuffled among the LLMs.

    Returns:
        `dict[str, float]`: Mean share of significant splits (`significant` and `either_sign`), and the `p_value` of
        the measured mean tau among those of the shuffled accuracies.
    """
    generator = np.random.default_rng(0)
    columns = np.stack([generator.permutation(scores) for _ in range(n_shuffles)], axis=1)
    judged = [judge_order(ridge_forecasts(blocks, columns, train, test), columns[test]) for train, test in halves]
    mean_taus = np.mean([one["tau"] for one in judged], axis=0)
    return {
        "n_shuffles": n_shuffles,
        "significant": float(np.mean([one["significant"] for one in judged])),
        "either_sign": float(np.mean([one["either_sign"] for one in judged])),
        "p_value": float((1 + (mean_taus >= measured["tau"]).sum()) / (1 + n_shuffles)),
    }


def noise_of(
    scores: np.ndarray, n_answers: np.ndarray, halves: list[tuple[np.ndarray, np.ndarray]], n_draws: int = 20
) -> dict[str, float | int | None]:
    """What a forecaster would reach who knew each LLM's true accuracy, when only so many questions are asked.

    True accuracies are not known: the measured ones, drawn together until their variance is the measured one less
    the binomial variance, stand for them. From these, answers are drawn anew.
    """
    generator = np.random.default_rng(0)
    variances = scores * (1 - scores) / n_answers
    spread = scores.var(ddof=1)
    reliability = max(0.0, 1 - variances.mean() / spread) if spread > 0 else 0.0
    true = (scores.mean() + np.sqrt(reliability) * (scores - scores.mean())).clip(0, 1)
    drawn = generator.binomial(n_answers.astype(int)[:, None], true[:, None], (len(true), n_draws))
    drawn = drawn / n_answers[:, None]
    judged = [judge_order(np.repeat(true[test][:, None], n_draws, axis=1), drawn[test]) for _, test in halves]
    half = len(halves[0][1])
    return {
        "standard_error": float(np.sqrt(variances.mean())),
        "spread": float(np.sqrt(spread)),
        "perfect_tau": float(np.mean([one["tau"] for one in judged])),
        "perfect_significant": float(np.mean([one["significant"] for one in judged])),
        "half": half,
        "tau_needed": smallest_significant_tau(half),
        "smallest_p": float(kendall_tail(half)[-1]),
    }


def scatter_points(
    blocks: list[np.ndarray], scores: np.ndarray, halves: list[tuple[np.ndarray, np.ndarray]], names: list[str]
) -> list[dict[str, object]]:
    """Each LLM's accuracy, and the mean of its forecasts over the splits that did not fit on it."""
    sums, times = np.zeros(len(scores)), np.zeros(len(scores))
    for train, test in halves:
        sums[test] += ridge_forecasts(blocks, scores[:, None], train, test)[:, 0]
        times[test] += 1
    return [
        {"llm": name, "actual": float(score), "predicted": float(total / count)}
        for name, score, total, count in zip(names, scores, sums, times, strict=True)
        if count
    ]


# --- the report ---


def figures(result: dict) -> dict[str, Figure]:
    """Significance and tau by benchmark, and the scatter; nothing if no benchmark could be measured."""
    rows = [row for row in result["targets"] if "forecasts" in row]
    if not rows:
        return {}
    panels = {f"{spoken(row['name'])}: {row['n_llms']} LLMs": row["scatter"] for row in rows if not row["is_part"]}
    parts = [row for row in rows if row["is_part"]]
    if parts:
        points = [point for row in parts for point in row["scatter"]]
        panels[f"{len(parts)} parts of larger benchmarks, each left out in turn"] = points
    return {
        "benchmark_scores": benchmark_figure(rows, METHODS, WANTED),
        "benchmark_scores_scatter": score_scatter_figure(panels),
    }


def markdown(result: dict) -> str:
    """How it was done, the table, what it shows, and why where the target is missed."""
    rows = [row for row in result["targets"] if "forecasts" in row]
    seeds = wording.counted(result["n_seeds"], "training seed")
    text = wording.paragraphs(
        "The network is trained (and stopped early) without a benchmark. Ridge regression from the LLM vectors is "
        "fitted to the accuracies on that benchmark of a random half of the LLMs, its strength chosen by leaving "
        f"one LLM of that half out, and forecasts the other half: {result['n_splits']} random splits, with "
        f"{seeds}. LLMs take part that have at least {MIN_ANSWERS} answers on the benchmark and {MIN_ANSWERS} "
        "elsewhere. *Significant*: Kendall's tau is above 0 with a two-sided p-value below 5% (exact; SciPy's "
        "default is two-sided too, but a tau below 0 is no success), in mean over the seeds. By chance that happens "
        "in about 2.5 splits of 100.",
        _too_few(result),
    )
    if not rows:
        return text
    head = ["Benchmark", "LLMs", "Questions", *(f"Significant of 100: {method}" for method in METHODS), "Shuffled"]
    head += ["Tau, mean (95% of the splits)", "p-value of the mean tau", f"Gain in tau over {ELSEWHERE} (95%)"]
    head += ["Median absolute error"]
    return wording.paragraphs(
        text,
        wording.table(head, [_cells(row) for row in rows]),
        "*Shuffled*: the same with the accuracies shuffled among the LLMs (significant with tau above 0 / of either "
        "sign, in 100 splits). The splits share their LLMs, so the interval of tau is their spread; the p-value is "
        "from the mean tau of shuffled accuracies. The error is that of the first column's forecasts.",
        wording.picture("benchmark_scores", "Significant splits and Kendall's tau by benchmark"),
        _sentences(rows),
        *(_reason(row) for row in rows if row["forecasts"][DEFAULT]["share_significant"] < WANTED),
        wording.picture("benchmark_scores_scatter", "Predicted against actual accuracy"),
    )


def _too_few(result: dict) -> str:
    """Which benchmarks could not be measured, and why."""
    return "\n".join(
        f"`{row['name']}` cannot be measured: of {row['n_answered']} LLMs that answered it, {row['n_llms']} answered "
        f"anything else, and at least {result['min_llms']} are needed."
        for row in result["targets"]
        if "forecasts" not in row
    )


def _cells(row: dict) -> list[str]:
    best, shuffled = row["forecasts"][DEFAULT], row["shuffled"]
    return [
        spoken(row["name"]),
        f"{row['n_llms']} of {row['n_answered']}",
        f"{row['n_questions']:,}",
        *(f"{100 * row['forecasts'][method]['share_significant']:.0f}" for method in METHODS),
        f"{100 * shuffled['significant']:.1f} / {100 * shuffled['either_sign']:.1f}",
        f"{best['tau']:.2f} ({best['tau_low']:.2f} to {best['tau_high']:.2f})",
        f"{shuffled['p_value']:.3f}",
        wording.with_interval(row["gains"][ELSEWHERE], digits=2),
        f"{best['median_error']:.3f}",
    ]


def _sentences(rows: list[dict]) -> str:
    """What the table shows, in words that follow from its numbers."""
    many = [row for row in rows if row["n_llms"] >= MANY_LLMS]
    reached = [row for row in many if row["forecasts"][DEFAULT]["share_significant"] >= WANTED]
    verdicts = {row["name"]: wording.verdict(row["gains"][ELSEWHERE]) for row in rows}
    ahead, behind = ([spoken(name) for name in verdicts if verdicts[name] == word] for word in ("better", "worse"))
    corrected = holm([row["shuffled"]["p_value"] for row in rows])
    found = sum(value < 0.05 for value in corrected)
    lines = [
        f"Tau is significant in at least {100 * WANTED:.0f} of 100 splits for {len(reached)} of the {len(many)} "
        f"benchmarks with {MANY_LLMS} LLMs or more. The mean tau is above that of shuffled accuracies for {found} of "
        f"{len(rows)} (p < 0.05 after Holm's correction).",
    ]
    said = [f"{word} on {wording.listed(names)}" for word, names in (("better", ahead), ("worse", behind)) if names]
    rest = len(rows) - len(ahead) - len(behind)
    said += [f"not clearly different on {'the other ' if said else ''}{rest}"] if rest else []
    lines.append(
        "Against one number for each LLM, its mean accuracy elsewhere, the order from the vectors is "
        f"{wording.listed(said)} (by the 95% interval of the difference in tau)."
    )
    return " ".join(lines)


def _reason(row: dict) -> str:
    """Why fewer splits than wanted are significant: noise of the accuracies, too few LLMs, or the vectors."""
    noise, best = row["noise"], row["forecasts"][DEFAULT]
    perfect = noise["perfect_significant"]
    needed = "not even a perfect order" if noise["tau_needed"] is None else f"a tau of {noise['tau_needed']:.2f}"
    if perfect < WANTED:
        why = "so the benchmark's noise and the number of LLMs do not allow more"
    elif best["tau"] < noise["perfect_tau"]:
        why = "so it is the vectors that miss it, not the benchmark's noise"
    else:
        why = "so the splits are few"
    return (
        f"`{row['name']}` has {100 * best['share_significant']:.0f} significant splits. An accuracy on its "
        f"{row['n_questions']:,} questions has a standard error of {noise['standard_error']:.3f}, the LLMs spread by "
        f"{noise['spread']:.3f}; who knew the true accuracies would reach a tau of {noise['perfect_tau']:.2f} and "
        f"{100 * perfect:.0f} significant splits. With {noise['half']} LLMs in the test half {needed} is significant "
        f"(smallest possible p-value: {noise['smallest_p']:.2g}), {why}."
    )


def published(result: dict) -> list[dict]:
    """The paper's count of benchmarks beside ours."""
    rows = [row for row in result["targets"] if "forecasts" in row]
    if not rows:
        return []
    reached = sum(row["forecasts"][PAPER]["share_significant"] >= WANTED for row in rows)
    default = sum(row["forecasts"][DEFAULT]["share_significant"] >= WANTED for row in rows)
    return [
        wording.published_row(
            "Benchmark accuracy can be forecast from vectors made without it (Kendall's tau at 5%)",
            "7 of 10 benchmarks",
            f"in at least {100 * WANTED:.0f} of 100 splits: {default} of {len(rows)} (default form), {reached} of "
            f"{len(rows)} (paper's form)",
            "Other benchmarks and LLMs; most here are parts of one benchmark, which are alike",
        )
    ]
