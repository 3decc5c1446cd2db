"""The report on unseen LLMs: tables, numbers and figure."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from embedllm_hf import EncodedResponses
from embedllm_hf._tables import format_table
from embedllm_hf.bank.item_parameters import STRATEGIES
from embedllm_hf.cards.text import code
from embedllm_hf.new_llms.unseen_llms import (
    ScoreRecord,
    UnseenSettings,
    folds_of,
    place,
    score_table,
    summarise,
    targets_of,
    with_items,
)
from embedllm_hf.plots import save_png

from .baselines import (
    BaselineSettings,
    NewQuestionRecord,
    forecast_new_questions,
    from_answers_alone,
    one_trait_records,
    summarise_new_questions,
)
from .figure import placement_figure

PICTURE = "placement.png"


def measure_and_report(
    splits: Mapping[str, EncodedResponses],
    settings: UnseenSettings,
    beside: BaselineSettings,
    folder: Path,
    about: Mapping[str, object],
) -> Iterator[int]:
    """Measure seed by seed and write the report anew after each; yields how many are done.

    Args:
        splits (`Mapping[str, EncodedResponses]`): `train`, `validation` and `test`, of the same LLMs.
        settings, beside: What to measure.
        folder (`Path`): Of the report, which is made if need be.
        about (`Mapping[str, object]`): `command`, `dataset`, `n_llms` and what else to keep.
    """
    began, scores, new_questions = time.perf_counter(), [], []
    for n_done, seed in enumerate(settings.seeds, start=1):
        for fold in folds_of(splits, settings, seed):
            for target in targets_of(fold):
                embeds = fold.everything.question_embeds[target.rows]
                for record, placed in place(fold, target, settings):
                    scores.append(record)
                    if record.method == "random":
                        of = (seed, target.llm, target.benchmark)
                        for method, mean in from_answers_alone(placed.answered, target.truth, embeds):
                            error = mean - target.truth.mean()
                            scores.append(ScoreRecord(*of, method, placed.n_answers, error))
                scores += one_trait_records(fold, target, settings)
            known = splits["train"].select(llms=list(fold.model.config.llm_names))
            model = with_items(fold.model, known, calibrate=False)
            new_questions += forecast_new_questions(model, splits, list(fold.held_out), beside, seed)
        progress = {"seeds": list(settings.seeds[:n_done]), "seconds": round(time.perf_counter() - began)}
        write_report(folder, scores, new_questions, settings, {**about, **progress})
        yield n_done


def write_report(
    folder: Path,
    scores: Sequence[ScoreRecord],
    new_questions: Sequence[NewQuestionRecord],
    settings: UnseenSettings,
    about: Mapping[str, object],
) -> None:
    """Write `README.md`, `unseen_llms.json` and the figure into a folder, which is made if need be."""
    report = {
        "about": {**about, "settings": asdict(settings)},
        "scores": summarise(scores),
        "new_questions": summarise_new_questions(list(new_questions)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "unseen_llms.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(markdown(report), encoding="utf-8")
    save_png(placement_figure(report["scores"]), folder / PICTURE)


CHOSEN_ON = "open-llm-responses"  # what the constants of the method were chosen on
_OPTIMISTIC = (
    "The constants of the method were chosen on these LLMs, in the folds of seeds 0 to 2, after some 90 variants had "
    "been looked at. Other seeds give other folds of the same LLMs, so all errors here are optimistic. Differences of "
    "0.005 at 16 answers are noise."
)
_NOT_SEEN = f"The constants of the method were chosen on other data, `{CHOSEN_ON}`; none was changed for this one."


def markdown(report: dict[str, object]) -> str:
    """The tables as Markdown."""
    about, settings = report["about"], report["about"]["settings"]
    new = [
        [
            row["method"],
            row["n_answers"],
            f"{row['accuracy']:.4f}",
            f"{row['auc']:.4f}",
            row["n_only_right"],
            "-" if row["share_won"] is None else f"{row['share_won']:.3f}",
        ]
        for row in report["new_questions"]
    ]
    lines = [
        "# LLMs that the pool has never seen, placed from a few answers",
        "",
        f"Data: {code(about['dataset'])}, {about['n_llms']} LLMs in {settings['n_folds']} folds, "
        f"seeds {about['seeds']}, {about['seconds']:,.0f} s. Made by {code(about['command'])}.",
        "",
        "Network, item-response model and the intervals' factors are fitted without the fold's LLMs, each of which is "
        "then placed from answers to questions of one benchmark; its prior is that of the LLMs of the pool that have "
        "taken the benchmark. *Error*: mean absolute error of its score over all "
        "of the benchmark's questions that it has answered (the LLM has to have answered 80% of it), with a 95% "
        "bootstrap interval over LLMs. *Coverage* and *width*: of the 90% intervals. *Known*: share of the questions "
        "not asked whose answer was forecast correctly, mean over forecasts.",
        "",
        _OPTIMISTIC if about["dataset"] == CHOSEN_ON else _NOT_SEEN,
        "",
        f"![Error and coverage by number of answers]({PICTURE})",
        "",
    ]
    methods = dict.fromkeys(row["method"] for row in report["scores"])
    for method in sorted(methods, key=lambda name: name not in STRATEGIES):  # stable: choices before baselines
        title = "Choice" if method in STRATEGIES else "Baseline"
        table = score_table([row for row in report["scores"] if row["method"] == method], markdown=True)
        lines += [f"## {title}: {method}", "", table, ""]
    lines += [
        "## New questions",
        "",
        "Questions of the test split, forecast by text alone after answers to training questions of any benchmark, "
        "drawn at random. *Won*: of the questions that only the newcomer answered correctly, the share for which the "
        "network ranks it above all other LLMs that were asked.",
        "",
        format_table(["method", "answers", "accuracy", "AUC", "only right", "won"], new, markdown=True),
    ]
    return "\n".join(lines) + "\n"
