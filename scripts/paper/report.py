"""Runs the sections and puts their tables and figures together in one report.

A finished section's numbers are in `results/<NAME>.json`, with what they were made with; a run that was interrupted
goes on with the sections that are not there yet. Figures and text are made anew from the numbers each time.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import torch

from embedllm_hf._checks import check_choice
from embedllm_hf._files import disk_error, whole_file
from embedllm_hf.evaluation.measure import package_versions
from embedllm_hf.evaluation.report import without_nan

from . import (
    ablations,
    benchmark_scores,
    forecasting,
    llm_map,
    routing,
    transfer,
    vectors,
    wording,
)
from .figures import save_figure
from .setting import PaperData

SECTIONS: tuple[ModuleType, ...] = (forecasting, routing, benchmark_scores, vectors, transfer, llm_map, ablations)
SECTION_NAMES = tuple(section.NAME for section in SECTIONS)
REPORT, FIGURES, RESULTS = "README.md", "figures", "results"


def write_report(
    folder: str | Path,
    data: PaperData,
    *,
    sections: Sequence[str] | None = None,
    command: str | None = None,
    n_processes: int = 1,
) -> Path:
    """Run the sections that have no results yet, then write the report.

    Args:
        folder (`str` or `Path`): Where; made if need be.
        data (`PaperData`): What is measured.
        sections (`Sequence[str]`, *optional*): Names of the sections to run. Default: all. The report shows whatever
            has results.
        command (`str`, *optional*): For the report.
        n_processes (`int`): Sections that run side by side, each on one thread.

    Returns:
        `Path`: The report.

    Raises:
        InputError: If there is no section of a name.
        FileError: If the folder cannot be written.
    """
    folder = Path(folder)
    for name in sections or ():
        check_choice("sections", name, SECTION_NAMES)
    try:
        for part in (RESULTS, FIGURES):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(folder, error) from error
    made_with = describe_run(data)
    kept = {name: _read(folder, name, made_with) for name in SECTION_NAMES}
    missing = [name for name in SECTION_NAMES if kept[name] is None and name in (sections or SECTION_NAMES)]
    _run_sections(missing, data, folder, made_with, n_processes)
    kept |= {name: _read(folder, name, made_with) for name in missing}
    found = {name: content for name, content in kept.items() if content is not None}
    for section in SECTIONS:
        if section.NAME in found:
            _write_pictures(folder, section, found[section.NAME]["result"])
    _write_whole(folder / REPORT, _report_text(data, found, command))
    return folder / REPORT


def describe_run(data: PaperData) -> dict[str, object]:
    """What results depend on; a result that was made with something else is not used.

    The data's hash is over ids, responses, text vectors and what is known of the LLMs.
    """
    digest = hashlib.sha256()
    for name, split in data.splits.items():
        asked = split.responses
        embeds = [splits[name].question_embeds for splits in (data.splits, *data.other_encoders.values())]
        for array in (asked.question_ids, asked.responses(), asked.weights(), *embeds):
            digest.update(array.tobytes())
    digest.update(json.dumps([list(data.train.responses.llm_names), data.llms]).encode())
    settings = json.loads(json.dumps(asdict(data.settings)))  # as it comes back from a file
    return {
        "dataset": data.name,
        "revision": data.revision,
        "encoders": [data.encoder_name, *data.other_encoders],
        "data_sha256": digest.hexdigest(),
        "settings": settings,
        "versions": package_versions(),
    }


# --- running ---


def _run_sections(names: Sequence[str], data: PaperData, folder: Path, made_with: Mapping, n_processes: int) -> None:
    """Run sections and write each one's results as soon as it is done."""
    if min(n_processes, len(names)) < 2:
        with _one_thread():
            for name in names:
                _keep(folder, name, made_with, *_run_one(name, data))
        return
    # Fresh processes: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with _one_thread(), ProcessPoolExecutor(n_processes, context, _start_worker, (data,)) as pool:
        running = {pool.submit(_run_in_worker, name): name for name in names}
        try:
            for done in as_completed(running):
                _keep(folder, running[done], made_with, *done.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch here and for what is started from here: several wait for each other more than they help."""
    threads, given = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if given is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = given


_worker_data: PaperData | None = None  # of a process of the pool: sent once, not with each section


def _start_worker(data: PaperData) -> None:
    global _worker_data
    _worker_data = data


def _run_in_worker(name: str) -> tuple[dict, float]:
    if _worker_data is None:
        raise RuntimeError("a worker was started without data")
    return _run_one(name, _worker_data)


def _run_one(name: str, data: PaperData) -> tuple[dict, float]:
    """A section's result, and its seconds."""
    section = SECTIONS[SECTION_NAMES.index(name)]

    def progress(text: str) -> None:
        _say(f"{name}: {text}")

    began = time.perf_counter()
    result = section.run(data, progress)
    seconds = time.perf_counter() - began
    progress(f"done in {seconds:.0f} s")
    return result, seconds


def _say(text: str) -> None:
    """A line of progress on standard error."""
    sys.stderr.write(f"[{time.strftime('%H:%M:%S')}] {text}\n")
    sys.stderr.flush()


# --- results on disk ---


def _keep(folder: Path, name: str, made_with: Mapping, result: dict, seconds: float) -> None:
    content = {"made_with": made_with, "seconds": round(seconds, 1), "result": without_nan(result)}
    _write_whole(folder / RESULTS / f"{name}.json", json.dumps(content, indent=1, allow_nan=False) + "\n")


def _read(folder: Path, name: str, made_with: Mapping) -> dict | None:
    """A section's kept results; None if there are none, or they are not of this run."""
    path = folder / RESULTS / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["made_with"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        found = None
    if found != made_with:
        _say(f"{path.name} was made with other data, settings or versions: not used")
        return None
    return content


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _write_pictures(folder: Path, section: ModuleType, result: dict) -> None:
    for stem, figure in section.figures(result).items():
        save_figure(figure, folder / FIGURES, stem)
    for name, text in getattr(section, "pages", lambda result: {})(result).items():
        _write_whole(folder / name, text)


# --- the text ---


def _report_text(data: PaperData, found: Mapping[str, dict], command: str | None) -> str:
    """The whole report, in Markdown."""
    parts = [
        "# The paper's experiments",
        f"The experiments of EmbedLLM (Zhuang et al., ICLR 2025, arXiv 2410.02223) on `{data.name}`, and some more.",
    ]
    if data.settings.quick:
        parts.append("**A quick run, on little data: to see that it works, not for its numbers.**")
    if command:
        parts.append(f"```console\n{command}\n```")
    parts += ["## What was run", _what_was_run(data, found)]
    chosen = [section for section in SECTIONS if section.NAME in found]
    rows = [
        row
        for section in chosen
        for row in getattr(section, "published", lambda result: [])(found[section.NAME]["result"])
    ]
    if rows:
        head = ["finding", "published", "here", "comparable?"]
        cells = [[row["finding"], row["published"], row["measured"], row["comparable"]] for row in rows]
        parts += ["## Published and measured", wording.table(head, cells, left=4)]
    for section in chosen:
        parts += [f"## {section.TITLE}", section.markdown(found[section.NAME]["result"])]
    return wording.paragraphs(*parts) + "\n"


def _what_was_run(data: PaperData, found: Mapping[str, dict]) -> str:
    """Data, seeds, versions, machine and times, as a list."""
    splits = "; ".join(
        f"{name} {split.responses.n_questions:,} questions, {split.responses.n_observed:,} responses"
        for name, split in data.splits.items()
    )
    train = data.train.responses
    summary = [split.responses.summary() for split in data.splits.values()]
    observed = sum(part.n_observed for part in summary) / sum(part.n_observed + part.n_missing for part in summary)
    benchmarks = train.benchmarks
    seconds = ", ".join(f"{name} {content['seconds']:.0f}" for name, content in found.items())
    left_out = [name for name in SECTION_NAMES if name not in found]
    lines = [
        f"Data: `{data.name}`, {f'commit `{data.revision}`' if data.revision else 'a local folder or a made pool'}; "
        f"{splits}; {train.n_llms} LLMs; {observed:.0%} of the pairs were asked; repeated rows by the rule "
        f'"{train.duplicates}" ({sum(part.n_repeats for part in summary):,} of them)',
        f"Benchmarks: {wording.listed([f'`{name}`' for name in benchmarks])}",
        f"Text encoders: {wording.listed([f'`{name}`' for name in (data.encoder_name, *data.other_encoders)])}",
        f"Seeds: {wording.listed([str(seed) for seed in data.settings.seeds])}; random halves of the LLMs: "
        f"{data.settings.n_splits}; permutations of a test: {data.settings.n_permutations:,}",
        f"Versions: {', '.join(f'{name} {version}' for name, version in package_versions().items())}",
        f"Machine: {os.cpu_count()} cores, {platform.machine()}, {platform.system()}; each section on one thread",
        f"Seconds: {seconds or 'nothing was run'}",
    ]
    if left_out:
        lines.append(f"Not run: {wording.listed(left_out)}")
    return "\n".join(f"- {line}" for line in lines)
