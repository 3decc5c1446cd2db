"""Logs of Inspect AI, `.eval` and `.json`, by its own reader, since their form is not public (extra `inspect`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._checks import require_extra
from .records import Metric, Run, Runs, utc
from .texts import texts_of_fields

HARNESS = "inspect"
_CUT_AT = 5_000  # characters, from which on a summary's text may be cut


def read(path: Path, runs: Runs) -> None:
    """Read one log into `runs`: its header and the summaries of its samples, and whole samples where a text was cut.

    Raises:
        ImportError: Without the package `inspect-ai`.
        ValueError: If the file is damaged.
    """
    log_module = require_extra(
        "inspect_ai.log", "inspect", f"{path.name} is a log of Inspect AI, read by its own reader"
    )
    header = log_module.read_eval_log(str(path), header_only=True)
    spec, results = header.eval, header.results
    task = spec.task.rpartition("/")[2]
    run = Run(str(path), HARNESS, spec.model, task, task, utc(spec.created), chosen=_chosen(spec.config))
    for score in results.scores if results else ():
        name = Metric(score.name if score.name == score.scorer else f"{score.scorer}/{score.name}")
        mean = next((score.metrics[one].value for one in ("accuracy", "mean") if one in score.metrics), None)
        if mean is not None:
            run.aggregates[name] = mean
    for summary in log_module.read_eval_log_sample_summaries(str(path)):
        _add(run, summary, path, runs, log_module)
    if header.status != "success":
        run.notes.append(f"the run ended as {header.status}")
    runs.runs.append(run)


def _add(run: Run, summary: Any, path: Path, runs: Runs, log_module: Any) -> None:
    """The scores of one sample, if it has some."""

    def texts() -> dict[str, str]:
        sample = summary
        if len(str(summary.input)) >= _CUT_AT:
            sample = log_module.read_eval_log_sample(str(path), summary.id, summary.epoch)
        return texts_of_fields({"input": _text(sample.input), "choices": sample.choices or []})

    # The id alone is 1 to n where the data set has none, and another data set's under the same task's name.
    key = f"{summary.id}\n{_text(summary.input)}\n{summary.choices}"
    number = runs.questions.number(run.task, key, str(summary.id), texts)
    if summary.error or not summary.scores:
        run.not_scored["an error" if summary.error else "no score"] += 1
        return
    for scorer, score in summary.scores.items():
        if run.primary is None:
            run.primary = Metric(scorer)  # the task's own choice
        values = score.value if isinstance(score.value, dict) else {None: score.value}
        for part, value in values.items():
            run.add(number, Metric(scorer if part is None else f"{scorer}/{part}"), _as_number(value))
    usage = (summary.model_usage or {}).get(run.llm)
    if usage is not None:
        run.use(number, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cost=usage.total_cost)
    run.use(number, seconds=summary.total_time)


def _as_number(value: object) -> object:
    """Inspect's letters as it takes them itself: correct, partially correct, incorrect, no answer."""
    return {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}.get(value, value) if isinstance(value, str) else value


def _text(given: object) -> str:
    """What the user asked: the text, or the last message of the user."""
    if isinstance(given, str):
        return given
    asked = [message.text for message in given if message.role == "user"] if isinstance(given, list) else []
    return asked[-1] if asked else ""


def _chosen(config: Any) -> str:
    """How the questions were chosen."""
    return "adaptive" if config.sample_id else "first" if config.limit and not config.sample_shuffle else "all"
