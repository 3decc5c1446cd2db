"""How fast the library is beside slow references and beside the matrix products it cannot avoid.

Each row is a ratio measured in one process run, the two sides in turn, as the median of repeats: a shared machine's
speed drifts, a ratio of neighbours drifts less. Rows are functions of `SpeedSettings`; `measure` runs them.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate.state import AcceleratorState

from ..configuration_embedllm import EmbedLLMConfig
from ..data.responses import ResponseMatrix
from ..modeling_embedllm import EmbedLLM
from ..training import batches
from ..training.arguments import EmbedLLMTrainingArguments
from ..training.trainer import EmbedLLMTrainer
from .slow_references import time_pair_scoring, time_pair_training, time_products


@dataclass(frozen=True)
class SpeedSettings:
    """Sizes of the measurements; the defaults are the paper's scale.

    Attributes:
        n_questions, n_llms, text_dim, embed_dim, n_epochs (`int`): The paper's training run.
        n_scored (`int`): Questions of the scoring rows.
        csv_rows (`int`): Rows of the generated CSV file; the original has 3.3 million.
        llm_counts (`tuple[int, ...]`): Pool sizes of the growth row.
        repeats (`int`): Measurements of which the median counts.
    """

    n_questions: int = 28_500
    n_llms: int = 112
    text_dim: int = 768
    embed_dim: int = 232
    n_epochs: int = 50
    n_scored: int = 100_000
    csv_rows: int = 330_000
    llm_counts: tuple[int, ...] = (1_000, 10_000, 100_000)
    repeats: int = 3

    @classmethod
    def quick(cls) -> SpeedSettings:
        """Everything small: for tests of the code, not for figures."""
        return cls(400, 12, 32, 16, 2, 500, 400, (20, 40), 1)


@dataclass(frozen=True)
class SpeedRow:
    """One row of the table.

    Attributes:
        name (`str`): What is compared.
        ratio (`float`): The figure.
        target (`str`): What it should be.
        detail (`str`): The two sides, in seconds or bytes.
    """

    name: str
    ratio: float
    target: str
    detail: str


def make_responses(n_questions: int, n_llms: int, answers: int | None = None, *, seed: int = 0) -> ResponseMatrix:
    """Random responses; each question is answered by all LLMs, or by about `answers` of them."""
    generator = np.random.default_rng(seed)
    if answers is None:
        llms = np.tile(np.arange(n_llms, dtype=np.int32), (n_questions, 1))
    else:
        llms = np.sort(generator.integers(0, n_llms, (n_questions, answers), dtype=np.int32), axis=1)
    first = np.concatenate([np.ones((n_questions, 1), bool), llms[:, 1:] != llms[:, :-1]], axis=1)
    n_observed = int(first.sum())
    return ResponseMatrix(
        question_ids=np.arange(n_questions),
        questions=np.array([f"question {index}" for index in range(n_questions)], object),
        categories=np.full(n_questions, "all", object),
        llm_names=tuple(f"lab/{index}" for index in range(n_llms)),
        indptr=np.concatenate([[0], np.cumsum(first.sum(axis=1))]),
        llm_indices=llms[first],
        values=(generator.random(n_observed) < 0.6).astype(np.float32),
        counts=np.ones(n_observed, np.int32),
        contradictory=np.zeros(n_observed, bool),
        duplicates="mean",
    )


def make_embeds(n_questions: int, text_dim: int, *, seed: int = 0) -> np.ndarray:
    """Random text vectors of length 1, `(n_questions, text_dim)`."""
    vectors = np.random.default_rng(seed).normal(size=(n_questions, text_dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def time_training(responses: ResponseMatrix, embeds: np.ndarray, *, embed_dim: int, n_epochs: int, **args) -> float:
    """Seconds an epoch of `EmbedLLMTrainer` takes, in the paper's form."""
    AcceleratorState._reset_state(reset_partial_state=True)
    config = EmbedLLMConfig.paper(
        llm_names=responses.llm_names, text_dim=embeds.shape[1], embed_dim=embed_dim, noise_std=0.0
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = EmbedLLMTrainingArguments(folder, num_train_epochs=n_epochs, disable_tqdm=True, **args)
        history = EmbedLLMTrainer(EmbedLLM(config), arguments, responses, embeds).train()
    return history.seconds / n_epochs


# --- the rows ---


def training_rows(settings: SpeedSettings) -> Iterable[SpeedRow]:
    """A training step over its products, and a whole training over the per-pair loop."""
    responses = make_responses(settings.n_questions, settings.n_llms)
    embeds = make_embeds(settings.n_questions, settings.text_dim)
    block = EmbedLLMTrainingArguments.block_size
    over_products, over_pairs, ours, floors, pairs = [], [], [], [], []
    for _ in range(settings.repeats):
        floor = statistics.median(
            time_products(block, settings.text_dim, settings.embed_dim, settings.n_llms, n_repeats=100)
        )
        epoch = time_training(responses, embeds, embed_dim=settings.embed_dim, n_epochs=2)
        pair = time_pair_training(responses, embeds, embed_dim=settings.embed_dim, n_batches=12)
        ours.append(epoch)
        floors.append(floor)
        pairs.append(pair)
        over_products.append(epoch / (settings.n_questions / block) / floor)
        over_pairs.append(pair * responses.n_observed / epoch)
    epoch, floor, pair = map(statistics.median, (ours, floors, pairs))
    step = epoch / (settings.n_questions / block)
    yield SpeedRow(
        "training step over its bare matrix products", statistics.median(over_products), "at most 1.5",
        f"{step * 1e3:.2f} ms over {floor * 1e3:.2f} ms, blocks of {block}",
    )  # fmt: skip
    whole, reference = epoch * settings.n_epochs, pair * responses.n_observed * settings.n_epochs
    yield SpeedRow(
        "training at the paper's scale: per-pair loop over ours", statistics.median(over_pairs), "at least 300",
        f"{reference / 60:.0f} min over {whole:.1f} s, {settings.n_epochs} epochs (from 12 batches and 2 epochs)",
    )  # fmt: skip


def scoring_rows(settings: SpeedSettings) -> Iterable[SpeedRow]:
    """Scoring many questions over the bare product and over a loop of pairs; a single question."""
    names = [f"lab/{index}" for index in range(settings.n_llms)]
    model = EmbedLLM(EmbedLLMConfig(llm_names=names, text_dim=settings.text_dim, embed_dim=settings.embed_dim)).eval()
    embeds = make_embeds(settings.n_scored, settings.text_dim)
    weights, texts = model.folded()[0], torch.as_tensor(embeds)
    over_product, over_pairs, single = [], [], []
    for _ in range(max(3, settings.repeats)):
        product = _seconds(lambda: torch.mm(texts, weights.T))
        ours = _seconds(lambda: model.predict_proba(embeds))
        pairs = time_pair_scoring(model, embeds, 5)
        over_product.append(ours / product)
        over_pairs.append(pairs * settings.n_scored / ours)
        single.append(statistics.median(_seconds(lambda: model.predict_proba(embeds[:1])) for _ in range(50)))
    shape = f"{settings.n_scored:,} questions x {settings.n_llms} LLMs"
    yield SpeedRow("scoring over the bare product", statistics.median(over_product), "at most 1.3", shape)
    yield SpeedRow(
        "scoring: loop of pairs over ours",
        statistics.median(over_pairs),
        "at least 1,000",
        f"{shape}, loop of 5 scaled",
    )
    yield SpeedRow("single question, ms beside the encoder", statistics.median(single) * 1e3, "at most 1 ms", "")


def growth_row(settings: SpeedSettings) -> Iterable[SpeedRow]:
    """Time per observed response by the size of the pool, with the fitted growth exponent.

    All sizes train on pairs, as the largest must; the smallest would be trained faster on tables.
    """
    times = []
    dense_cells, batches.DENSE_CELLS = batches.DENSE_CELLS, 0
    for n_llms in settings.llm_counts:
        responses = make_responses(10_000, n_llms, answers=min(100, n_llms))
        embeds = make_embeds(10_000, 64)
        runs = [
            time_training(responses, embeds, embed_dim=64, n_epochs=2, block_size=2048)
            for _ in range(settings.repeats)
        ]
        times.append(statistics.median(runs) / responses.n_observed)
    batches.DENSE_CELLS = dense_cells
    exponent = np.polyfit(np.log(settings.llm_counts), np.log(times), 1)[0]
    each = ", ".join(f"{n:,}: {t * 1e6:.2f} us" for n, t in zip(settings.llm_counts, times, strict=True))
    yield SpeedRow(
        "time per response, most LLMs over fewest",
        times[-1] / times[0],
        "at most 1.5",
        f"{each}; exponent {exponent:.2f}",
    )


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
    bare = statistics.median(_seconds(lambda: _run("-c", "pass")) for _ in range(2 * settings.repeats + 1))
    package = statistics.median(
        _seconds(lambda: _run("-c", "import embedllm_hf")) for _ in range(2 * settings.repeats + 1)
    )
    shown = statistics.median(
        _seconds(lambda: _run("-m", "embedllm_hf", "--help")) for _ in range(2 * settings.repeats + 1)
    )
    yield SpeedRow("import embedllm_hf, ms beyond a bare start", (package - bare) * 1e3, "at most 50 ms", "")
    yield SpeedRow("embedllm --help, s", shown, "at most 0.3 s", f"of it {bare:.3f} s Python's own start")


ROWS: dict[str, Callable[[SpeedSettings], Iterable[SpeedRow]]] = {
    "training": training_rows,
    "scoring": scoring_rows,
    "growth": growth_row,
    "csv": csv_rows,
    "start": start_rows,
}


def measure(names: Iterable[str], settings: SpeedSettings) -> dict[str, object]:
    """Run some rows and describe the machine.

    Returns:
        `dict[str, object]`: `machine`, `settings` and `rows`, fit for JSON.
    """
    rows = [asdict(row) for name in names for row in ROWS[name](settings)]
    machine = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    return {"machine": machine, "settings": asdict(settings), "rows": rows}


def format_table(report: dict) -> str:
    """The report as a Markdown table."""
    lines = ["| row | measured | target | detail |", "| --- | --- | --- | --- |"]
    lines += [f"| {row['name']} | {row['ratio']:.3g} | {row['target']} | {row['detail']} |" for row in report["rows"]]
    machine = ", ".join(f"{key} {value}" for key, value in report["machine"].items())
    return "\n".join([*lines, "", machine])


# --- helpers ---


def write_csv(folder: Path, n_rows: int, *, n_llms: int = 112, seed: int = 0) -> None:
    """Write `train.csv` and `model_order.csv` in the original's layout: prompts of about 800 bytes, once per LLM."""
    generator = np.random.default_rng(seed)
    words = ["alpha", "beta,", "gamma", "delta\n", "epsilon", '"zeta"', "eta", "theta", "what is", "the"]
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt_id", "model_id", "category_id", "label", "model_name", "prompt", "category"])
        for question in range(-(-n_rows // n_llms)):
            prompt = " ".join(generator.choice(words, size=int(generator.integers(100, 190))))
            labels = generator.integers(0, 2, n_llms)
            writer.writerows(
                (question, llm, question % 20, labels[llm], f"lab/{llm}", prompt, f"topic_{question % 20}")
                for llm in range(min(n_llms, n_rows - question * n_llms))
            )
    order = "".join(f"{llm},lab/{llm}\n" for llm in range(n_llms))
    (folder / "model_order.csv").write_text(f"model_id,model_name\n{order}", encoding="utf-8")


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


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
