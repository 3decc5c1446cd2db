"""Rows about use: scoring, a single question, new LLMs, reading files, starting."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from embedllm_hf.new_llms.onboarding import onboard_many

from .made import make_embeds, make_network, make_pool, write_csv
from .settings import SpeedRow, SpeedSettings, seconds_of
from .slow_references import time_pair_scoring


def scoring_rows(settings: SpeedSettings) -> Iterable[SpeedRow]:
    """Scoring many questions over the bare product and over a loop of pairs."""
    names = tuple(f"lab/{index}" for index in range(settings.n_llms))
    model = make_network(names, settings.text_dim, embed_dim=settings.embed_dim)
    embeds = make_embeds(settings.n_scored, settings.text_dim)
    weights, texts = model.folded()[0], torch.as_tensor(embeds)
    over_product, over_pairs = [], []
    for _ in range(max(3, settings.repeats)):
        product = seconds_of(lambda: torch.mm(texts, weights.T))
        ours = seconds_of(lambda: model.network_proba(embeds))
        pairs = time_pair_scoring(model, embeds, 5)
        over_product.append(ours / product)
        over_pairs.append(pairs * settings.n_scored / ours)
    shape = f"{settings.n_scored:,} questions x {settings.n_llms} LLMs"
    yield SpeedRow("scoring over the bare product", statistics.median(over_product), "at most 1.3", shape)
    yield SpeedRow(
        "scoring: loop of pairs over ours",
        statistics.median(over_pairs),
        "at least 1,000",
        f"{shape}, loop of 5 scaled",
    )


def pool_rows(settings: SpeedSettings) -> Iterable[SpeedRow]:
    """What a trained model is asked: a single question, by the network alone and by the blend; many new LLMs."""
    model, (n_questions, n_llms, _, text_dim) = make_pool(settings), settings.pool
    questions = make_embeds(100, text_dim, seed=1)
    model.predict_proba(questions[:1])  # what the known questions show is computed at the first question
    generator = np.random.default_rng(0)
    asked = [generator.choice(n_questions, settings.n_answers, replace=False) for _ in range(settings.n_new_llms)]
    answers = {
        f"new/{number}": dict(zip(ids.tolist(), generator.integers(0, 2, len(ids)).tolist(), strict=True))
        for number, ids in enumerate(asked)
    }
    network, blended, placing = [], [], []
    for _ in range(settings.repeats):
        network.append(_median_seconds(model.network_proba, questions))
        blended.append(_median_seconds(model.predict_proba, questions))
        placing.append(seconds_of(lambda: onboard_many(model, answers)))
    shape = f"{n_questions:,} known questions x {n_llms} LLMs, text width {text_dim}"
    yield SpeedRow(
        "single question, ms beside the encoder", statistics.median(blended) * 1e3, "at most 1 ms",
        f"the blend; the network alone {statistics.median(network) * 1e3:.2f} ms; {shape}",
    )  # fmt: skip
    yield SpeedRow(
        f"onboarding {settings.n_new_llms:,} LLMs with {settings.n_answers} answers each, s",
        statistics.median(placing), "at most 1 s", shape,
    )  # fmt: skip


def _median_seconds(predict: Callable[[np.ndarray], np.ndarray], questions: np.ndarray) -> float:
    """Seconds that one question takes, the median of several."""
    return statistics.median(seconds_of(partial(predict, row[None])) for row in questions)


def csv_rows(settings: SpeedSettings) -> Iterable[SpeedRow]:
    """Reading the original's CSV layout, each prompt repeated per LLM: pandas over ours, time and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        write_csv(Path(folder), settings.csv_rows)
        size = (Path(folder) / "train.csv").stat().st_size
        ours = [_child(_READ_OURS, folder) for _ in range(settings.repeats)]
        theirs = [_child(_READ_PANDAS, folder) for _ in range(settings.repeats)]
    detail = f"{settings.csv_rows:,} rows, {size / 1e6:.0f} MB"
    pairs = list(zip(theirs, ours, strict=True))
    yield SpeedRow(
        "CSV: pandas time over ours",
        statistics.median(a["seconds"] / b["seconds"] for a, b in pairs),
        "at least 3",
        detail,
    )
    yield SpeedRow(
        "CSV: pandas peak memory over ours (beyond imports)",
        statistics.median(a["bytes"] / max(1, b["bytes"]) for a, b in pairs), "at least 5", detail,
    )  # fmt: skip


def start_rows(settings: SpeedSettings) -> Iterable[SpeedRow]:
    """What an import and `--help` cost beyond a bare start of Python."""

    def start(*arguments: str) -> float:
        return statistics.median(seconds_of(lambda: _run(*arguments)) for _ in range(2 * settings.repeats + 1))

    bare, package = start("-c", "pass"), start("-c", "import embedllm_hf")
    shown = start("-m", "embedllm_hf", "--help")
    yield SpeedRow("import embedllm_hf, ms beyond a bare start", (package - bare) * 1e3, "at most 50 ms", "")
    yield SpeedRow("embedllm --help, s", shown, "at most 0.3 s", f"of it {bare:.3f} s Python's own start")


_MEASURED = """
import json, re, sys, time
{imports}
def peak():  # of this program alone, which `getrusage` does not tell: it counts what started it, too
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
before = peak()
started = time.perf_counter()
kept = {read}
seconds = time.perf_counter() - started
print(json.dumps({{"seconds": seconds, "bytes": peak() - before}}))
"""
_READ_OURS = _MEASURED.format(
    imports="from embedllm_hf import load_responses", read="load_responses(sys.argv[1], split='train')"
)
_READ_PANDAS = _MEASURED.format(imports="import pandas", read="pandas.read_csv(sys.argv[1] + '/train.csv')")


def _run(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def _child(code: str, *arguments: str) -> dict[str, float]:
    """Run code in a process of its own and read the figures that it prints."""
    return json.loads(_run("-c", code, *arguments))
