"""What one pool of both sources, and a byte a number, cost or bring: each part's held-out questions, by fold.

python -m scripts.embedded.measure --open_llm_responses D --kor_bench K

Each source's questions are divided into five folds within their categories. A model is trained on the rest of one
source, or of both in one pool; what it says of the fold is measured for each source apart, on the pairs that the
source has. The margin is twice the standard error of the mean difference to "alone" over the folds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from embedllm_hf import EmbedLLM, EmbedLLMTrainingArguments
from embedllm_hf._tables import format_table
from embedllm_hf.data.splits import split_questions
from embedllm_hf.encoding.embeddings_file import save_embeddings
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from embedllm_hf.metrics.correctness import accuracy, auc, log_loss
from embedllm_hf.metrics.routing import routing_accuracy
from embedllm_hf.training.fit_bank import fit_bank
from embedllm_hf.training.network_trainer import NetworkTrainer

from .__main__ import add_sources
from .build import canonical_names, load_sources, merge

N_FOLDS = 5
METRICS = {"accuracy": accuracy, "auc": auc, "log_loss": log_loss, "routing_accuracy": routing_accuracy}


def folds_of(encoded: EncodedResponses, seed: int = 0) -> np.ndarray:
    """A fold for each question, `(n_questions,)`, equal in number within each category."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(encoded.responses.n_questions)
    order = order[np.argsort(encoded.responses.categories[order], kind="stable")]
    folds = np.empty(len(order), int)
    folds[order] = np.arange(len(order)) % N_FOLDS
    return folds


def trained_on(rest: EncodedResponses) -> EmbedLLM:
    """A model of all questions of `rest`, a tenth of them for validation."""
    train, validation = (rest.with_responses(part) for part in split_questions(rest.responses, 0.1))
    model = EmbedLLM.from_encoder("offline", llm_names=rest.responses.llm_names, text_dim=rest.text_dim)
    with tempfile.TemporaryDirectory() as folder:
        args = EmbedLLMTrainingArguments(folder, disable_tqdm=True)
        NetworkTrainer(model, args, train, validation).train()
    return model.with_bank(fit_bank(model, train, validation, calibrate=False))


def scores(model: EmbedLLM, fold: EncodedResponses) -> list[float]:
    """What a model says of some questions, of the LLMs that these have been put to, in the order of `METRICS`."""
    names = model.config.llm_names
    columns = [names.index(name) for name in fold.responses.llm_names]
    probs, truth = model.predict_proba(fold.question_embeds)[:, columns], fold.responses.responses()
    return [metric(probs, truth) for metric in METRICS.values()]


def rounded(encoded: EncodedResponses, folder: Path) -> EncodedResponses:
    """The same with text vectors of a byte a number, as they are shipped."""
    path, responses = folder / "vectors.safetensors", encoded.responses
    assert encoded.encoder is not None
    save_embeddings(path, encoded.question_embeds, responses.question_ids, encoded.encoder, responses.keys, int8=True)
    return EncodedResponses.from_file(responses, path)


def measured(
    parts: Mapping[str, EncodedResponses], both: EncodedResponses, n_folds: int
) -> dict[str, dict[str, np.ndarray]]:
    """For each part and way the scores, `(n_folds, n_metrics)`; `both` has the questions of all parts in one pool."""
    with tempfile.TemporaryDirectory() as folder:
        ways = {"one pool": both, "one pool, a byte a number": rounded(both, Path(folder))}
    folds = {name: folds_of(part) for name, part in parts.items()}
    found: dict[str, dict[str, list]] = {name: {"alone": [], **{way: [] for way in ways}} for name in parts}
    for fold in range(n_folds):
        held_out = {name: part.select(folds[name] == fold) for name, part in parts.items()}
        taken = np.concatenate([part.responses.question_ids for part in held_out.values()])
        for name, part in parts.items():
            found[name]["alone"].append(scores(trained_on(part.select(folds[name] != fold)), held_out[name]))
        for way, encoded in ways.items():
            model = trained_on(encoded.select(~np.isin(encoded.responses.question_ids, taken)))
            for name, part in held_out.items():
                found[name][way].append(scores(model, part))
    return {name: {way: np.array(rows) for way, rows in by_way.items()} for name, by_way in found.items()}


def table(found: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Mean scores over the folds, and differences to "alone" with their margin."""
    rows = []
    for name, by_way in found.items():
        for way, values in by_way.items():
            gaps = values - by_way["alone"]
            margin = 2 * gaps.std(axis=0, ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else gaps[0] * np.nan
            cells = [f"{mean:.4f}" for mean in values.mean(axis=0)]
            if way != "alone":
                told = zip(cells, gaps.mean(axis=0), margin, strict=True)
                cells = [f"{mean} ({gap:+.4f} ± {wide:.4f})" for mean, gap, wide in told]
            rows.append([name, way, *cells])
    return format_table(["part", "trained on", *METRICS], rows, markdown=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m scripts.embedded.measure", description=__doc__.splitlines()[0])
    add_sources(parser)
    parser.add_argument("--n_folds", type=int, default=N_FOLDS, help=f"folds to look at, of {N_FOLDS} (default: all)")
    options = parser.parse_args(argv)
    folders = {"open-llm-responses": options.open_llm_responses, "kor-bench": options.kor_bench}
    sources = load_sources(list(folders.values()), canonical_names())
    both = EncodedResponses.concat(list(merge(sources).values()))
    parts = {}
    for name, source in zip(folders, sources, strict=True):
        part = EncodedResponses.concat(list(source.values()))
        parts[name] = part.select(np.isin(part.responses.question_ids, both.responses.question_ids))
    print(table(measured(parts, both, options.n_folds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
