"""How well an LLM that the pool has never seen is placed from a few answers: what `evaluate --unseen_llms` measures.

The LLMs are split into folds. For each fold the network is trained, the item parameters fitted and the intervals
calibrated without the fold's LLMs. Then each of them is placed from ever more of its answers, chosen adaptively, at
random or spread over difficulty, and its score on each benchmark is forecast. Nothing of a held-out LLM enters but the
answers that it was asked for. Scores are over all questions of a benchmark, whatever split they are of; the network is
trained on the training split.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit
from tqdm.auto import tqdm

from .._tables import format_table
from ..bank.item_parameters import STRATEGIES
from ..bank.question_bank import QuestionBank
from ..configuration_embedllm import OFFLINE_ENCODER, EncoderId
from ..encoding.encoded_responses import EncodedResponses
from ..inference.base import bank_of
from ..item_response.calibration import Placement, is_scored, simulate_placements
from ..item_response.fit import fit_item_parameters
from ..item_response.posterior import interval
from ..item_response.priors import benchmarks_of, item_parameters_of
from ..modeling_embedllm import EmbedLLM
from ..training.arguments import EmbedLLMTrainingArguments
from ..training.network_trainer import NetworkTrainer

_N_RESAMPLES = 1000


@dataclass(frozen=True)
class UnseenSettings:
    """What is measured.

    Attributes:
        n_folds (`int`): Folds of LLMs.
        seeds (`tuple[int, ...]`): Each gives other folds, other weights and other draws.
        n_answers (`tuple[int, ...]`): Answers to place from, ascending.
        n_draws (`int`): Draws of a choice at random, for each LLM and benchmark.
    """

    n_folds: int = 24
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    n_answers: tuple[int, ...] = (0, 8, 16, 32, 64, 100, 128, 256)
    n_draws: int = 2

    @classmethod
    def quick(cls) -> UnseenSettings:
        """Everything small: to try it, not for figures."""
        return cls(n_folds=2, seeds=(0,), n_answers=(0, 8, 16), n_draws=1)


@dataclass(frozen=True)
class ScoreRecord:
    """One forecast of one LLM's score on one benchmark.

    Attributes:
        seed, llm, benchmark, n_answers: What of.
        method (`str`): How the questions were chosen, or a baseline's name.
        error (`float`): Forecast minus the score over all questions that the LLM has answered.
        low, high (`float`): 90% interval, NaN for a baseline.
        covered (`bool`): Whether it holds the score.
        accuracy (`float`): Share of the questions that were not asked whose answer was forecast correctly.
    """

    seed: int
    llm: str
    benchmark: str
    method: str
    n_answers: int
    error: float
    low: float = float("nan")
    high: float = float("nan")
    covered: bool = False
    accuracy: float = float("nan")


@dataclass(frozen=True)
class Fold:
    """LLMs that were held out, and the model that was trained without them; its bank has the questions of all splits.

    Attributes:
        seed (`int`): Of folds, weights and draws.
        model (`EmbedLLM`): Of the other LLMs.
        held_out (`tuple[str, ...]`): The fold's LLMs.
        everything (`EncodedResponses`): All questions, with the responses of all LLMs.
    """

    seed: int
    model: EmbedLLM
    held_out: tuple[str, ...]
    everything: EncodedResponses


@dataclass(frozen=True)
class Target:
    """A held-out LLM and a benchmark that it has answered.

    Attributes:
        llm, benchmark (`str`): Which.
        rows (`np.ndarray` of shape `(n,)`): The questions that it has answered, in the bank.
        truth (`np.ndarray` of shape `(n,)`): Its responses to them.
        seed (`tuple[int, ...]`): Of draws from them.
    """

    llm: str
    benchmark: str
    rows: np.ndarray
    truth: np.ndarray
    seed: tuple[int, ...]


def measure(splits: Mapping[str, EncodedResponses], settings: UnseenSettings, seed: int) -> list[ScoreRecord]:
    """All folds of one seed, with a bar on standard error.

    Args:
        splits (`Mapping[str, EncodedResponses]`): `train`, `validation` and `test`, of the same LLMs.
        settings (`UnseenSettings`): What to measure.
        seed (`int`): One of its seeds.
    """
    records: list[ScoreRecord] = []
    for fold in folds_of(splits, settings, seed):
        for target in targets_of(fold):
            records += [record for record, _ in place(fold, target, settings)]
    return records


def folds_of(splits: Mapping[str, EncodedResponses], settings: UnseenSettings, seed: int) -> Iterator[Fold]:
    """Train without one fold of LLMs after the other; arguments as for `measure`."""
    names = np.array(splits["train"].responses.llm_names)
    n_folds = min(settings.n_folds, len(names) // 2)
    folds = np.random.default_rng(seed).permutation(np.arange(len(names)) % n_folds)
    everything = EncodedResponses.concat(list(splits.values()))
    for fold in tqdm(range(n_folds), desc=f"seed {seed}", unit="fold"):
        rest = names[folds != fold].tolist()
        model = train_on(splits["train"].select(llms=rest), splits["validation"].select(llms=rest), seed)
        model = with_items(model, everything.select(llms=rest))
        yield Fold(seed, model, tuple(names[folds == fold].tolist()), everything)


def train_on(train: EncodedResponses, validation: EncodedResponses, seed: int) -> EmbedLLM:
    """A network with default settings, without a bank."""
    identity = train.encoder or EncoderId(OFFLINE_ENCODER)
    model = EmbedLLM.from_encoder(
        identity.name,
        revision=identity.revision,
        llm_names=train.responses.llm_names,
        text_dim=train.text_dim,
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        args = EmbedLLMTrainingArguments(output_dir=folder, seed=seed, disable_tqdm=True)
        NetworkTrainer(model, args, train, validation).train()
    return model


def with_items(model: EmbedLLM, known: EncodedResponses, *, calibrate: bool = True) -> EmbedLLM:
    """The model with item parameters of some questions and without a blend: the placing of LLMs needs no more."""
    bank = QuestionBank.from_responses(known)
    return model.with_bank(replace(bank, item_parameters=fit_item_parameters(model, bank, calibrate=calibrate)))


def targets_of(fold: Fold) -> Iterator[Target]:
    """Each held-out LLM with each benchmark that it has answered nearly whole."""
    bank = bank_of(fold.model)
    for llm in fold.held_out:
        llm_index = fold.everything.responses.llm_names.index(llm)
        responses = fold.everything.responses.column(llm_index).astype(np.float64)
        for number, benchmark in enumerate(bank.benchmarks):
            rows = bank.benchmark_rows(benchmark)
            if is_scored(responses[rows, None]):
                rows = rows[~np.isnan(responses[rows])]
                yield Target(llm, benchmark, rows, responses[rows], (fold.seed, llm_index, number))


def place(fold: Fold, target: Target, settings: UnseenSettings) -> Iterator[tuple[ScoreRecord, Placement]]:
    """Forecast a target's score from ever more answers, by each way of choosing the questions."""
    bank, rows, truth = bank_of(fold.model), target.rows, target.truth
    item = item_parameters_of(bank)
    prior = item.new_llm_prior(benchmarks_of(bank, rows))
    intercepts, discriminations = item.questions(rows)
    counts, score = [count for count in settings.n_answers if count < len(rows)], truth.mean()
    for strategy in STRATEGIES:
        for draw in range(1 if strategy == "adaptive" else settings.n_draws):
            generator = [np.random.default_rng([*target.seed, draw])]
            arguments = (intercepts, discriminations, truth[:, None], prior, counts, strategy, generator)
            for (placed,) in simulate_placements(*arguments):
                low, high = interval(placed.mean, placed.variance, item.interval_factor(strategy, placed.n_answers))
                forecast = expit(intercepts + discriminations @ placed.ability)
                rest = np.setdiff1d(np.arange(len(rows)), placed.answered)
                right = ((forecast > 0.5) == (truth > 0.5))[rest]
                yield (
                    ScoreRecord(
                        fold.seed,
                        target.llm,
                        target.benchmark,
                        strategy,
                        placed.n_answers,
                        error=placed.mean - score,
                        low=low,
                        high=high,
                        covered=bool(low <= score <= high),
                        accuracy=right.mean(),
                    ),
                    placed,
                )


# --- sums ---


def summarise(records: Sequence[ScoreRecord]) -> list[dict[str, object]]:
    """One row a method and number of answers, in the order in which the methods come.

    Returns:
        `list[dict]`: Mean absolute error with a 95% interval (a bootstrap over LLMs: the forecasts of one LLM are
            alike), by benchmark and by seed; coverage and width of the 90% intervals; accuracy on the questions that
            were not asked.
    """
    groups = sorted(
        {(record.method, record.n_answers) for record in records},
        key=lambda group: ([r.method for r in records].index(group[0]), group[1]),
    )
    chosen = {group: [r for r in records if (r.method, r.n_answers) == group] for group in groups}
    return [{"method": group[0], "n_answers": group[1], **_summary(mine)} for group, mine in chosen.items()]


def _summary(records: Sequence[ScoreRecord]) -> dict[str, object]:
    errors = np.array([abs(record.error) for record in records])
    llms = np.unique([record.llm for record in records], return_inverse=True)[1]
    sums, counts = np.bincount(llms, errors), np.bincount(llms)
    drawn = np.random.default_rng(0).integers(len(sums), size=(_N_RESAMPLES, len(sums)))
    resampled = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    row: dict[str, object] = {
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


def score_table(rows: Sequence[Mapping], *, markdown: bool = False) -> str:
    """Rows of `summarise` as a table."""
    benchmarks = list(dict.fromkeys(name for row in rows for name in row["by_benchmark"]))
    head = ["answers", "error", "95%", *benchmarks, "coverage", "width", "known"]
    cells = [
        [
            f"{row['n_answers']} {row['method']}",
            f"{row['mean_absolute_error']:.4f}",
            f"{row['low']:.4f} to {row['high']:.4f}",
            *(f"{row['by_benchmark'].get(name, float('nan')):.4f}" for name in benchmarks),
            *(f"{row[name]:.3f}" if name in row else "-" for name in ("coverage", "width", "known_accuracy")),
        ]
        for row in rows
    ]
    return format_table(head, cells, markdown=markdown)
