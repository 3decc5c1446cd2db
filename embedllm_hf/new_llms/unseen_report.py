"""The report of `unseen_llms`: tables in Markdown, numbers in JSON, a figure."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .._tables import format_table
from ..bank.item_parameters import STRATEGIES
from ..encoding.encoded_responses import EncodedResponses
from ..plots import placement_figure, save_png
from .unseen_llms import (
    MEAN,
    NEIGHBOURS,
    ONE_TRAIT,
    NewQuestionRecord,
    ScoreRecord,
    UnseenSettings,
    measure_seed,
    summarise_new_questions,
)

METHODS = (*STRATEGIES, *ONE_TRAIT, MEAN, NEIGHBOURS)
PICTURE = "placement.png"
_N_RESAMPLES = 1000


def measure_and_report(
    splits: Mapping[str, EncodedResponses],
    settings: UnseenSettings,
    folder: Path,
    about: Mapping[str, Any],
) -> Iterator[int]:
    """Measure seed by seed and write the report anew after each; yields the number of seeds that are done.

    Args:
        splits: As for `measure_seed`.
        settings (`UnseenSettings`): What to measure.
        folder (`Path`): Of the report, which is made if need be.
        about (`Mapping[str, object]`): `command`, `dataset`, `n_llms` and what else to keep.
    """
    began = time.perf_counter()
    scores: list[ScoreRecord] = []
    new_questions: list[NewQuestionRecord] = []
    for n_done, seed in enumerate(settings.seeds, start=1):
        more_scores, more_new = measure_seed(splits, settings, seed)
        scores, new_questions = scores + more_scores, new_questions + more_new
        progress = {"seeds": list(settings.seeds[:n_done]), "seconds": round(time.perf_counter() - began)}
        write_report(folder, scores, new_questions, settings, {**about, **progress})
        yield n_done


def write_report(
    folder: Path,
    scores: Sequence[ScoreRecord],
    new_questions: Sequence[NewQuestionRecord],
    settings: UnseenSettings,
    about: Mapping[str, Any],
) -> None:
    """Write `README.md`, `unseen_llms.json` and the figure into a folder, which is made if need be.

    Args:
        folder (`Path`): Where.
        scores, new_questions: Records of `measure_seed`, of the seeds that are done.
        settings (`UnseenSettings`): What was measured.
        about (`Mapping[str, Any]`): `command`, `dataset`, `n_llms`, `seeds`, `seconds` and what else to keep.
    """
    report: dict[str, Any] = {
        "about": {**about, "settings": asdict(settings)},
        "scores": summarise_scores(scores),
        "new_questions": summarise_new_questions(new_questions),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "unseen_llms.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(markdown(report), encoding="utf-8")
    save_png(placement_figure(report["scores"]), folder / PICTURE)


def summarise_scores(records: Sequence[ScoreRecord]) -> list[dict[str, Any]]:
    """One row a method and number of answers, of our own choices with intervals and accuracy.

    The mean absolute error has a 95% interval, a bootstrap over LLMs, since the forecasts of one LLM are alike.
    """
    rows = []
    for method in METHODS:
        for n_answers in sorted({record.n_answers for record in records if record.method == method}):
            chosen = [record for record in records if record.method == method and record.n_answers == n_answers]
            rows.append({"method": method, "n_answers": n_answers, **_summarise(chosen)})
    return rows


def _summarise(records: Sequence[ScoreRecord]) -> dict[str, Any]:
    errors = np.array([abs(record.error) for record in records])
    llms = np.unique([record.llm for record in records], return_inverse=True)[1]
    sums, counts = np.bincount(llms, errors), np.bincount(llms)
    drawn = np.random.default_rng(0).integers(len(sums), size=(_N_RESAMPLES, len(sums)))
    resampled = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    row: dict[str, Any] = {
        "mean_absolute_error": float(errors.mean()),
        "low": float(np.quantile(resampled, 0.025)),
        "high": float(np.quantile(resampled, 0.975)),
        "by_benchmark": _by(records, "benchmark"),
        "by_seed": _by(records, "seed"),
        "n_forecasts": len(records),
    }
    if records[0].method in STRATEGIES:
        row["coverage"] = float(np.mean([record.covered for record in records]))
        row["coverage_by_seed"] = _by(records, "seed", "covered")
        row["width"] = float(np.mean([record.high - record.low for record in records]))
        row["known_accuracy"] = float(np.mean([record.accuracy for record in records]))
    return row


def _by(records: Sequence[ScoreRecord], group: str, value: str = "error") -> dict[str, float]:
    """Mean of the absolute value of a field in each group."""
    values: dict[str, list[float]] = {}
    for record in sorted(records, key=lambda record: getattr(record, group)):
        values.setdefault(str(getattr(record, group)), []).append(abs(getattr(record, value)))
    return {name: float(np.mean(mine)) for name, mine in values.items()}


def markdown(report: dict[str, Any]) -> str:
    """The tables as Markdown."""
    about, settings = report["about"], report["about"]["settings"]
    lines = [
        "# LLMs that the pool has never seen, placed from a few answers",
        "",
        f"Data: `{about['dataset']}`, {about['n_llms']} LLMs in {settings['n_folds']} folds, seeds {about['seeds']}, "
        f"{about['seconds']:,.0f} s. Made by `{about['command']}`.",
        "",
        "Network, item-response model and the intervals' factors are fitted without the fold's LLMs. Each of these is "
        "then placed from answers to questions of one benchmark; its prior is that of the pool's LLMs that have taken "
        "the benchmark. *Error*: mean absolute error of its score over all of the benchmark's questions that it has "
        "answered (80% of the benchmark or more), with a 95% bootstrap interval over LLMs. *Coverage* and *width*: of "
        "the 90% intervals. *Known*: share of the questions that were not asked whose answer was forecast correctly, "
        "mean over forecasts.",
        "",
        "The constants of the method were chosen on these LLMs, in the folds of seeds 0 to 2, after some 90 variants "
        "had been looked at. Other seeds give other folds of the same LLMs, so all errors here are optimistic. "
        "Differences of 0.005 at 16 answers are noise.",
        "",
        f"![Error and coverage by number of answers]({PICTURE})",
        "",
    ]
    for method in METHODS:
        lines += _method_table(method, [row for row in report["scores"] if row["method"] == method])
    lines += [
        "## New questions",
        "",
        "Questions of the test split, forecast by text alone after answers to training questions of any benchmark, "
        "drawn at random. *Won*: of the questions that only the new LLM answered correctly, the share for which the "
        "network ranks it above all other LLMs that were asked.",
        "",
        format_table(
            ["method", "answers", "accuracy", "AUC", "only right", "won"],
            [
                [
                    row["method"],
                    str(row["n_answers"]),
                    f"{row['accuracy']:.4f}",
                    f"{row['auc']:.4f}",
                    str(row["n_only_right"]),
                    "" if row["share_won"] is None else f"{row['share_won']:.3f}",
                ]
                for row in report["new_questions"]
            ],
            markdown=True,
        ),
    ]
    return "\n".join(lines) + "\n"


def _method_table(method: str, rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    benchmarks, ours = list(rows[0]["by_benchmark"]), "coverage" in rows[0]
    table = []
    for row in rows:
        cells = [str(row["n_answers"]), f"{row['mean_absolute_error']:.4f}", f"{row['low']:.4f} to {row['high']:.4f}"]
        cells += [f"{row['by_benchmark'].get(name, float('nan')):.4f}" for name in benchmarks]
        if ours:
            cells += [f"{row[name]:.3f}" for name in ("coverage", "width", "known_accuracy")]
        table.append(cells)
    head = ["answers", "error", "95%", *benchmarks, *(["coverage", "width", "known"] if ours else [])]
    title = f"## {'Choice' if ours else 'Baseline'}: {method}"
    return [title, "", format_table(head, table, markdown=True), ""]
