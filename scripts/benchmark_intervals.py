"""Whether 90% intervals of a pool's scores hold those of the whole benchmarks: `model_cards/benchmark_intervals.md`.

python -m scripts.benchmark_intervals --data kor-bench bfcl-2024-08 open-llm-responses metabench --n_folds 2 5

Each of `--data` is a folder with the tables of a data set and its MiniLM vectors. Its questions are divided into folds
within their categories, and a model is trained on all but one; of a fifth of its LLMs nine tenths of the answers are
left out. It forecasts every LLM that has answered most of a benchmark's categories each, or of one of them. Each
interval is compared with what the LLM scored on the whole, known and held-out questions together, and with its mean on
the held-out ones, whose own sampling error is added.

Of an LLM that has answered all known questions no model is needed: `--all_answered` measures these alone, of as many
divisions as there are `--seeds`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from embedllm_hf import EmbedLLM, Forecaster, load_splits
from embedllm_hf._tables import format_table
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.data.splits import split_questions
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from embedllm_hf.inference.base import bank_of
from embedllm_hf.item_response.calibration import is_scored
from embedllm_hf.item_response.posterior import Z90
from embedllm_hf.item_response.sampling import KnownScore, QuestionSample, known_sample
from embedllm_hf.new_llms.unseen_llms import train_on, with_items

VECTORS = "question_embeddings.all-MiniLM-L6-v2.safetensors"
SPARSE_LLMS, SPARSE_ANSWERS = 0.2, 0.1  # share of the LLMs, and of the answers that they keep
MIN_HELD_OUT = {"benchmark": 50, "category": 10}  # responses
KINDS = ("known questions", "whole", "held-out mean")


@dataclass(frozen=True)
class Record:
    """One forecast: what of, whether each of `KINDS` is held, and the widths; a `group` shares its questions."""

    sparse: bool
    kind: str
    group: tuple[int, int, str]
    n_known: int
    held: tuple[bool, ...]
    widths: tuple[float, ...]


def load(folder: Path, max_llms: int, seed: int = 0) -> EncodedResponses:
    """All questions of a data set with their vectors, of at most so many LLMs, drawn at random."""
    splits = load_splits(folder)
    encoded = EncodedResponses.concat(
        [EncodedResponses.from_file(part, folder / VECTORS) for _, part in splits.items()]
    )
    names = np.array(splits.llm_names)
    if len(names) <= max_llms:
        return encoded
    return encoded.select(llms=np.random.default_rng(seed).choice(names, max_llms, replace=False).tolist())


def folds_of(encoded: EncodedResponses, n_folds: int, seed: int) -> np.ndarray:
    """A fold for each question, `(n_questions,)`, equal in number within each category."""
    order = np.random.default_rng(seed).permutation(encoded.responses.n_questions)
    order = order[np.argsort(encoded.responses.categories[order], kind="stable")]
    folds = np.empty(len(order), int)
    folds[order] = np.arange(len(order)) % n_folds
    return folds


def thinned(known: EncodedResponses, seed: Sequence[int]) -> tuple[EncodedResponses, np.ndarray]:
    """The same with a share of the answers of some LLMs only, and which these are, `(n_llms,)`."""
    draw, responses = np.random.default_rng(seed), known.responses
    sparse = draw.permutation(responses.n_llms) < SPARSE_LLMS * responses.n_llms
    kept = responses.keep(~sparse[responses.llm_indices] | (draw.random(responses.n_observed) < SPARSE_ANSWERS))
    return known.with_responses(kept.select(np.diff(kept.indptr) > 0)), sparse


def trained_on(known: EncodedResponses) -> EmbedLLM:
    """A model with item parameters of these questions, and calibrated intervals."""
    train, validation = (known.with_responses(part) for part in split_questions(known.responses, 0.1))
    return with_items(train_on(train, validation, 0), known)


def measured(encoded: EncodedResponses, n_folds: int, seed: int, *, all_answered: bool = False) -> Iterator[Record]:
    """All forecasts of all folds; `all_answered`: of LLMs that have answered all of a benchmark, without a model."""
    folds = folds_of(encoded, n_folds, seed)
    for fold in range(n_folds):
        held_out, known = encoded.select(folds == fold), encoded.select(folds != fold)
        sparse, forecaster = np.zeros(known.responses.n_llms, bool), None
        if not all_answered:
            known, sparse = thinned(known, (seed, n_folds, fold))
            forecaster = Forecaster(trained_on(known))
        bank = QuestionBank.from_responses(known) if forecaster is None else bank_of(forecaster.model)
        several = [parts for parts in bank.benchmarks.values() if len(parts) > 1]
        targets = [(name, "benchmark", parts) for name, parts in bank.benchmarks.items()]
        targets += [(name, "category", (name,)) for parts in several for name in parts]
        for name, kind, categories in targets:
            parts = [
                part.select(np.isin(part.responses.categories.astype(str), categories)) for part in (encoded, held_out)
            ]
            for record in compared(bank, forecaster, name, kind, *parts):
                yield Record(bool(sparse[record[0]]), kind, (seed, fold, name), *record[1:])


def compared(
    bank: QuestionBank,
    forecaster: Forecaster | None,
    name: str,
    kind: str,
    whole: EncodedResponses,
    rest: EncodedResponses,
) -> Iterator[tuple[int, int, tuple[bool, ...], tuple[float, ...]]]:
    """The forecasts of a benchmark or category, whose `whole` is known but for the `rest`.

    Yields an LLM's index, and from the number of known questions on what `Record` has.
    """
    truth, unseen, rows = whole.responses.responses(), rest.responses.responses(), bank.benchmark_rows(name)
    strata = np.unique(whole.responses.categories.astype(str), return_inverse=True)[1]
    samples = [known_sample(bank, name, known_only=True)]
    samples += [known_sample(bank, name, benchmark_size=len(truth)), known_sample(bank, name)]
    scored = np.all([is_scored(truth[strata == stratum]) for stratum in range(strata.max() + 1)], axis=0)
    scored &= True if forecaster else ~np.isnan(truth).any(axis=0)
    for llm_index in np.flatnonzero(scored).tolist():
        n_held_out = int((~np.isnan(unseen[:, llm_index])).sum())
        if n_held_out < MIN_HELD_OUT[kind]:
            continue
        seen = bank.responses_of(llm_index)[rows]
        known = forecaster.known_score(bank.llm_names[llm_index], name) if forecaster else KnownScore.of(seen, seen)
        answered = ~np.isnan(truth[:, llm_index])
        answers, intervals = truth[answered, llm_index].astype(float), [sample.interval(known) for sample in samples]
        held = [low - 1e-6 <= answers.mean() <= high + 1e-6 for low, high in intervals[:2]]
        # Of the mean of as many questions as are held out, by what answers to all of them vary.
        own = QuestionSample.of(strata[answered], 1.0).covariance([KnownScore.of(answers, answers)])[0, 0]
        reach = np.abs(np.array(intervals[2]) - samples[2].means([known])[0])
        gap = np.nanmean(unseen[:, llm_index]) - samples[2].means([known])[0]
        held.append(abs(gap) <= np.hypot(reach[int(gap > 0)], Z90 * np.sqrt(own * len(answers) / n_held_out)))
        yield llm_index, len(rows), tuple(map(bool, held)), tuple(high - low for low, high in intervals)


def rows_of(data: str, n_folds: int, records: Sequence[Record]) -> list[list[str]]:
    """Coverage with its standard error, and mean width, of each kind of target and member."""
    rows = []
    for sparse in (False, True):
        for kind in MIN_HELD_OUT:
            mine = [record for record in records if (record.sparse, record.kind) == (sparse, kind)]
            if mine:
                member = f"{SPARSE_ANSWERS:.0%} of its answers" if sparse else "all its answers"
                known = f"{1 - 1 / n_folds:.0%}, {np.mean([record.n_known for record in mine]):,.0f}"
                rows.append([data, known, member, kind, f"{len(mine):,}", *_cells(mine)])
    return rows


def _cells(records: Sequence[Record]) -> list[str]:
    """Of each of `KINDS`: coverage, its standard error by groups that share their questions, and the mean width."""
    held, widths = np.array([record.held for record in records]), np.array([record.widths for record in records])
    groups = np.unique([str(record.group) for record in records], return_inverse=True)[1]
    means, cells = held.mean(axis=0), []
    for number, mean in enumerate(means):
        error = np.sqrt((np.bincount(groups, held[:, number] - mean) ** 2).sum()) / len(held)
        cells.append(f"{mean:.3f} ± {error:.3f} ({widths[:, number].mean():.3f})")
    return cells


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m scripts.benchmark_intervals", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of data sets")
    parser.add_argument("--n_folds", type=int, nargs="+", default=[5], help="folds of questions (default: 5)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="each gives other folds (default: 0)")
    parser.add_argument("--max_llms", type=int, default=300, help="of a data set, drawn at random (default: 300)")
    parser.add_argument(
        "--all_answered", action="store_true", help="only LLMs that have answered all, without a model"
    )
    options = parser.parse_args(argv)
    rows = []
    for folder in options.data:
        encoded = load(folder, options.max_llms)
        for n_folds in options.n_folds:
            told = (measured(encoded, n_folds, seed, all_answered=options.all_answered) for seed in options.seeds)
            records = list(chain.from_iterable(told))
            rows += rows_of(folder.name, n_folds, records)
            print(format_table(["", "", "", "", "", *KINDS], rows[-4:]), file=sys.stderr)
    print(format_table(["data", "known", "member with", "of a", "forecasts", *KINDS], rows, markdown=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
