"""Logs of lm-evaluation-harness, 0.4.0 on: `--log_samples` beside the results.

Up to 0.4.2 a task's answers are one JSON array, after that JSON Lines. Who answered stands in the results' file only.
Before 0.4.7 rows of several filters stand in blocks without a name, in the order in which the task lists its filters.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .records import NO_FILTER, Metric, Run, Runs, json_lines, read_json, utc
from .texts import rendered, texts_of_fields, without_frame

HARNESS = "lm-eval"
_TIME = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)$")
_NAMED_BY = ("peft", "delta", "pretrained", "model", "path", "engine")  # in the order in which the harness looks
_NO_SCORES = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash"),
    *("prompt_hash", "target_hash", "task_name", "sample_metadata"),
}


def is_samples(row: Mapping[str, Any]) -> bool:
    """Whether an object is an answer of such a log."""
    return {"doc_id", "doc"} <= row.keys() and bool({"resps", "filtered_resps"} & row.keys())


def is_results(content: Mapping[str, Any]) -> bool:
    """Whether an object is the results of a run."""
    return {"results", "configs", "versions"} <= content.keys()


@dataclass(frozen=True)
class _Results:
    """What the results' file says of one task."""

    content: Mapping[str, Any]
    task: str

    @property
    def config(self) -> Mapping[str, Any]:
        return self.content.get("configs", {}).get(self.task) or {}

    def llm(self) -> str | None:
        """The LLM's name, if there is one."""
        if self.content.get("model_name"):
            return str(self.content["model_name"])
        args = self.content.get("config", {}).get("model_args")
        if isinstance(args, str):
            args = dict(part.split("=", 1) for part in args.split(",") if "=" in part)
        named = [args[name] for name in _NAMED_BY if args.get(name)] if isinstance(args, Mapping) else []
        return str(named[0]) if named else None

    def aggregates(self) -> dict[Metric, float]:
        """The harness's own means: `"exact_match,strict-match": 0.7`."""
        found = {}
        for name, value in (self.content.get("results", {}).get(self.task) or {}).items():
            metric, comma, filter_ = name.partition(",")
            if comma and not metric.endswith("_stderr") and isinstance(value, (int, float)):
                found[Metric(metric, filter_)] = float(value)
        return found

    def filters(self) -> list[str]:
        """Names of the task's filters, in the order of their blocks."""
        listed = [one.get("name") for one in self.config.get("filter_list") or () if isinstance(one, Mapping)]
        return [str(name) for name in listed if name] or [NO_FILTER]

    def benchmark(self) -> str:
        """The outermost group around the task that has a score of its own; a suite has none. Else the task."""
        groups, found, around = self.content.get("group_subtasks") or {}, self.task, {self.task}
        while True:
            outer = [name for name, tasks in groups.items() if around & set(tasks) and name not in around]
            if not outer:
                return found
            scored = [name for name in outer if any("," in key for key in self.content["results"].get(name) or ())]
            found, around = (scored[0] if scored else found), {*around, *outer}

    def chosen(self) -> str:
        """How the questions were chosen."""
        if self.content.get("config", {}).get("limit") is not None:
            return "first"
        counts = (self.content.get("n-samples") or {}).get(self.task) or {}
        return "adaptive" if counts.get("effective", 0) < counts.get("original", 0) else "all"

    def has_bare_prompts(self) -> bool:
        """Whether what the LLM was given is the question: without few-shots, chat template and system prompt."""
        shots = (self.content.get("n-shot") or {}).get(self.task, self.config.get("num_fewshot"))
        added = (self.content.get(name) for name in ("chat_template", "system_instruction"))
        return not shots and not any(added) and not self.config.get("description")


def read(path: Path, runs: Runs) -> None:
    """Read the answers of one file into `runs`; a file whose LLM is nowhere named is left out."""
    rows: Iterator[dict[str, Any]] = json_lines(path, runs)
    with path.open("rb") as file:
        if file.read(1) == b"[":
            content = read_json(path)
            rows = (row for row in content if isinstance(row, dict))
    results, task, time = _results_of(path)
    found = _Results(results, task)
    llm = found.llm() or (path.parent.name.replace("__", "/") if "__" in path.parent.name else None)
    if llm is None:
        runs.left_out.append((str(path), "no results file beside it names the LLM: copy `results_*.json` there, too"))
        return
    directions = (results.get("higher_is_better") or {}).get(task) or {}
    run = Run(
        str(path), HARNESS, llm, task, found.benchmark(), utc(time or results.get("date")), found.aggregates(),
        lower_is_better={name for name, more in directions.items() if more is False},
        chosen=found.chosen(),
    )  # fmt: skip
    if not results:
        run.notes.append(f"named by its folder, {path.parent.name}")
    _add_rows(run, rows, found, runs)
    runs.runs.append(run)


def _add_rows(run: Run, rows: Iterator[dict[str, Any]], found: _Results, runs: Runs) -> None:
    """The scores of each row, and the question of it."""
    seen: Counter[int] = Counter()
    filters, bare = found.filters(), found.has_bare_prompts()
    template = found.config.get("doc_to_text")
    for row in rows:
        doc = row["doc"] if isinstance(row.get("doc"), dict) else {"doc": row.get("doc")}

        def texts(doc: dict[str, Any] = doc, row: dict[str, Any] = row) -> dict[str, str]:
            return _texts(doc, template, row if bare else {})

        number = runs.questions.number(run.task, _key(row, doc), str(row.get("doc_id")), texts)
        filter_ = row.get("filter")
        if filter_ is None:  # before 0.4.7
            filter_ = filters[min(seen[number], len(filters) - 1)]
            seen[number] += 1
        named = row.get("metrics") or [name for name in row if name not in _NO_SCORES]
        for name in named:
            run.add(number, Metric(str(name), str(filter_)), row.get(name))


def _key(row: Mapping[str, Any], doc: Mapping[str, Any]) -> str:
    """What tells a question from the others of its task, in every run: the hash of its row in the data set."""
    known = row.get("doc_hash")
    if isinstance(known, str):
        return known
    return hashlib.sha256(json.dumps(doc, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def _texts(doc: Mapping[str, Any], template: object, row: Mapping[str, Any]) -> dict[str, str]:
    """Candidates: the task's template, what the LLM was given if that is no more, and fields of the data set's row."""
    texts = {}
    by_template = rendered(template, doc)
    if by_template is not None:
        texts["doc_to_text"] = without_frame(by_template, str(template))
    given = _given(row.get("arguments"))
    if by_template is None and given is not None:
        texts["arg_0"] = given
    return texts | texts_of_fields(doc)


def _given(arguments: object) -> str | None:
    """The first argument of the first request, if it is a text."""
    while isinstance(arguments, (dict, list)) and arguments:
        arguments = next(iter(arguments.values())) if isinstance(arguments, dict) else arguments[0]
    return arguments if isinstance(arguments, str) else None


# --- which results belong to a file ---


def _results_of(path: Path) -> tuple[Mapping[str, Any], str, str]:
    """The results beside a file of answers, the task, and the time in its name; no results if there are none."""
    found = _TIME.search(path.stem)
    if found is None:  # 0.4.0 to 0.4.2: `<model_args>_<task>.jsonl` and `results.json`
        beside = path.with_name("results.json")
        results = _read_results(beside) if beside.is_file() else {}
        tasks = [task for task in results.get("configs") or () if path.stem.endswith(f"_{task}")]
        return results, max(tasks, key=len, default=path.stem.removeprefix("samples_")), ""
    time = found[1]
    task = path.stem[: found.start()].removeprefix("samples_")
    for beside in sorted(path.parent.glob(f"*_{time}.json")):
        results = _read_results(beside)
        if results:
            return results, task, time
    return {}, task, time


def _read_results(path: Path) -> Mapping[str, Any]:
    content = read_json(path)
    return content if isinstance(content, dict) and is_results(content) else {}
