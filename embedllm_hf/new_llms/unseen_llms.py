"""How well an LLM that the pool has never seen is placed from a few answers.

The LLMs are split into folds. For each fold the network is trained, the item-response model fitted and the intervals
calibrated without the fold's LLMs. Then each of them is placed from ever more of its answers, chosen adaptively, at
random or spread over difficulty, and its score on each benchmark is forecast. Nothing of a held-out LLM enters but the
answers that it was asked for. Scores are over all questions of a benchmark, of any split; the network is trained on
the training split, and new questions are those of the test split.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from .. import metrics
from ..bank.item_parameters import STRATEGIES
from ..bank.question_bank import QuestionBank
from ..configuration_embedllm import OFFLINE_ENCODER, EncoderId
from ..data.responses import ResponseMatrix
from ..encoding.encoded_responses import EncodedResponses
from ..encoding.question_encoder import QuestionEncoder
from ..inference.base import bank_of
from ..item_response.calibration import is_scored, simulate_placements
from ..item_response.fit import fit_item_parameters
from ..item_response.pool import fit_abilities, fit_questions
from ..item_response.posterior import interval
from ..item_response.priors import benchmarks_of, item_parameters_of
from ..modeling_embedllm import EmbedLLM
from ..predictors.neighbours import normalise
from ..training.arguments import EmbedLLMTrainingArguments
from ..training.network_trainer import NetworkTrainer
from .onboarding import Answers, onboard_many

logger = logging.getLogger(__name__)

ONE_TRAIT = ("2PL, adaptive", "2PL, random")
MEAN, NEIGHBOURS = "mean of the answers", "kNN with the answers"
RETRAINED, ONBOARDED = "retrained with the answers", "onboarded"
_N_NEIGHBOURS = 8


@dataclass(frozen=True)
class UnseenSettings:
    """What is measured.

    Attributes:
        n_folds (`int`): Folds of LLMs.
        seeds (`tuple[int, ...]`): Each gives other folds, other weights and other draws.
        n_answers (`tuple[int, ...]`): Answers to place from, ascending.
        n_draws (`int`): Draws of a choice at random, for each LLM and benchmark.
        n_answers_new (`tuple[int, ...]`): Answers, over all benchmarks, before new questions are forecast.
        n_answers_retrained (`int`): Of them, the number for which the network is also trained again.
    """

    n_folds: int = 24
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    n_answers: tuple[int, ...] = (0, 8, 16, 32, 64, 100, 128, 256)
    n_draws: int = 2
    n_answers_new: tuple[int, ...] = (64, 512)
    n_answers_retrained: int = 64

    @classmethod
    def quick(cls) -> UnseenSettings:
        """Everything small: to try it, not for figures."""
        return cls(n_folds=2, seeds=(0,), n_answers=(0, 8, 16), n_draws=1, n_answers_new=(16,), n_answers_retrained=16)


@dataclass(frozen=True)
class ScoreRecord:
    """One forecast of one LLM's score on one benchmark, after `n_answers`.

    Attributes:
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
class NewQuestionRecord:
    """Forecasts of one LLM on questions of the test split: `probabilities`, `responses` `(n,)`, and routing.

    `n_only_right` counts the questions that only this LLM of all answered correctly, `n_won` those of them that the
    network would have sent to it.
    """

    seed: int
    llm: str
    method: str
    n_answers: int
    probabilities: np.ndarray
    responses: np.ndarray
    n_only_right: int
    n_won: int


def measure_seed(
    splits: Mapping[str, EncodedResponses], settings: UnseenSettings, seed: int
) -> tuple[list[ScoreRecord], list[NewQuestionRecord]]:
    """All folds of one seed.

    Args:
        splits (`Mapping[str, EncodedResponses]`): `train`, `validation` and `test`, of the same LLMs.
        settings (`UnseenSettings`): What to measure.
        seed (`int`): One of its seeds.
    """
    names = np.array(splits["train"].responses.llm_names)
    n_folds = min(settings.n_folds, len(names) // 2)
    folds = np.random.default_rng(seed).permutation(np.arange(len(names)) % n_folds)
    everything = EncodedResponses.concat(list(splits.values()))
    scores: list[ScoreRecord] = []
    new_questions: list[NewQuestionRecord] = []
    for fold in range(n_folds):
        rest, held_out = names[folds != fold].tolist(), names[folds == fold].tolist()
        model = _train(splits, rest, seed)
        trained_on = splits["train"].select(llms=rest)
        model._set_bank(_with_items(model, trained_on, calibrate=False))
        new_questions += _forecast_new_questions(model, splits, held_out, settings, seed)
        model._set_bank(_with_items(model, everything.select(llms=rest)))
        for llm in held_out:
            scores += _forecast_scores(model, everything, llm, settings, seed)
        logger.info("seed %d: fold %d of %d done", seed, fold + 1, n_folds)
    return scores, new_questions


def _with_items(model: EmbedLLM, known: EncodedResponses, *, calibrate: bool = True) -> QuestionBank:
    """A bank with item parameters and without a blend: what is measured here is the placing of LLMs."""
    bank = QuestionBank.from_responses(known)
    return replace(bank, item_parameters=fit_item_parameters(model, bank, calibrate=calibrate))


def _train(
    splits: Mapping[str, EncodedResponses], llms: list[str], seed: int, train: EncodedResponses | None = None
) -> EmbedLLM:
    """A network of some LLMs, with default settings."""
    train = splits["train"].select(llms=llms) if train is None else train
    validation = splits["validation"].select(llms=llms)
    identity = train.encoder or EncoderId(OFFLINE_ENCODER)
    encoder = QuestionEncoder(identity.name, revision=identity.revision)
    model = EmbedLLM.from_encoder(encoder, llm_names=llms, text_dim=train.text_dim, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        args = EmbedLLMTrainingArguments(output_dir=folder, seed=seed, disable_tqdm=True)
        NetworkTrainer(model, args, train, validation).train()
    return model


# --- scores of benchmarks ---


def _forecast_scores(
    model: EmbedLLM, everything: EncodedResponses, llm: str, settings: UnseenSettings, seed: int
) -> Iterator[ScoreRecord]:
    """One held-out LLM's score on each benchmark that it has answered, by each way of choosing, and the baselines."""
    llm_index = everything.responses.llm_names.index(llm)
    responses = everything.responses.column(llm_index).astype(np.float64)
    bank = bank_of(model)
    for number, benchmark in enumerate(bank.benchmarks):
        rows = bank.benchmark_rows(benchmark)
        if not is_scored(responses[rows, None]):
            continue
        record = partial(ScoreRecord, seed, llm, benchmark)
        rows = rows[~np.isnan(responses[rows])]
        exam = _Exam(rows, responses[rows], [count for count in settings.n_answers if count < len(rows)])
        for strategy in STRATEGIES:
            for draw in range(1 if strategy == "adaptive" else settings.n_draws):
                generator = np.random.default_rng([seed, llm_index, number, draw])
                embeds = everything.question_embeds[rows]
                yield from _placement_records(record, bank, exam, strategy, generator, embeds)
        generator = np.random.default_rng([seed, llm_index, number])
        yield from _one_trait_records(record, bank, benchmark, exam, generator)


@dataclass(frozen=True)
class _Exam:
    """The questions of a benchmark that an LLM has answered: `rows`, responses, after how many answers to look."""

    rows: np.ndarray
    truth: np.ndarray
    counts: list[int]


def _placement_records(
    record: Callable[..., ScoreRecord],
    bank: QuestionBank,
    exam: _Exam,
    strategy: str,
    generator: np.random.Generator,
    question_embeds: np.ndarray,
) -> Iterator[ScoreRecord]:
    """Forecasts of the item-response model; beside the random choice those that know the same answers alone."""
    item, truth, score = item_parameters_of(bank), exam.truth, float(exam.truth.mean())
    intercepts, discriminations = item.questions(exam.rows)
    prior = item.new_llm_prior(benchmarks_of(bank, exam.rows))
    arrays = intercepts, discriminations, truth[:, None], prior
    for (placed,) in simulate_placements(*arrays, exam.counts, strategy, [generator]):
        factor = item.interval_factor(strategy, placed.n_answers)
        low, high = interval(placed.mean, placed.variance, factor)
        forecast = expit(intercepts + discriminations @ placed.ability)
        rest = np.setdiff1d(np.arange(len(truth)), placed.answered)
        right = float(((forecast > 0.5) == (truth > 0.5))[rest].mean())
        yield record(strategy, placed.n_answers, placed.mean - score, low, high, low <= score <= high, right)
        if strategy == "random":
            for method, mean in _from_answers_alone(placed.answered, truth, question_embeds):
                yield record(method, placed.n_answers, mean - score)


def _from_answers_alone(
    answered: np.ndarray, truth: np.ndarray, question_embeds: np.ndarray
) -> Iterator[tuple[str, float]]:
    """Baselines that know nothing of the pool: the mean of the answers, and that of each question's neighbours."""
    if not len(answered):
        return
    yield MEAN, truth[answered].mean()
    normalised = normalise(question_embeds)
    near = np.argsort(-(normalised @ normalised[answered].T), axis=1)[:, :_N_NEIGHBOURS]
    forecast = truth[answered][near].mean(axis=1)
    forecast[answered] = truth[answered]
    yield NEIGHBOURS, forecast.mean()


def _one_trait_records(
    record: Callable[..., ScoreRecord], bank: QuestionBank, benchmark: str, exam: _Exam, generator: np.random.Generator
) -> Iterator[ScoreRecord]:
    """Baseline: a one-dimensional 2PL model of the benchmark alone, without texts, as adaptive tests use it.

    Priors: ability standard normal, discrimination N(1, 1/4), intercept N(pool's mean, 4).
    """
    responses = bank.dense_responses()
    took = (~np.isnan(responses[bank.benchmark_rows(benchmark)])).mean(axis=0) > 0.8
    if took.sum() < 2:
        return
    responses = responses[np.ix_(exam.rows, took)]
    accuracy = np.nanmean(responses, axis=0).clip(0.01, 0.99)
    logits = np.log(accuracy / (1 - accuracy))
    abilities = ((logits - logits.mean()) / max(logits.std(), 1e-6))[:, None]
    expected = np.tile([logits.mean(), 1.0], (len(responses), 1))
    parameters, nothing, nobody = expected, np.zeros((len(responses), 0)), np.zeros((len(abilities), 0))
    for _ in range(6):
        precisions = np.array([0.25, 4.0])
        parameters, _cov = fit_questions(responses, abilities, nothing, nobody, expected, precisions, parameters)
        questions = parameters[:, 0], parameters[:, 1:]
        abilities, _cov = fit_abilities(responses, questions, np.ones(1), abilities)
    prior = abilities.mean(axis=0), np.atleast_2d(np.cov(abilities.T)) * 1.1
    for method, strategy in zip(ONE_TRAIT, ("adaptive", "random"), strict=True):
        arrays = *questions, exam.truth[:, None], prior
        for (placed,) in simulate_placements(*arrays, exam.counts, strategy, [generator]):
            yield record(method, placed.n_answers, placed.mean - float(exam.truth.mean()))


# --- new questions ---


def _forecast_new_questions(
    model: EmbedLLM,
    splits: Mapping[str, EncodedResponses],
    held_out: list[str],
    settings: UnseenSettings,
    seed: int,
) -> Iterator[NewQuestionRecord]:
    """Forecasts on the test split by text alone, after answers to training questions of any benchmark."""
    for n_answers in settings.n_answers_new:
        answers = {llm: _draw_answers(splits["train"].responses, llm, n_answers, seed) for llm in held_out}
        grown = onboard_many(model, answers)
        yield from _new_question_records(grown, ONBOARDED, n_answers, splits, held_out, seed)
        if n_answers == settings.n_answers_retrained:
            llms = [*model.config.llm_names, *held_out]
            train = _with_only(splits["train"].select(llms=llms), answers)
            retrained = _train(splits, llms, seed, train)
            yield from _new_question_records(retrained, RETRAINED, n_answers, splits, held_out, seed)


def _draw_answers(train: ResponseMatrix, llm: str, n_answers: int, seed: int) -> Answers:
    """Some of an LLM's responses, by question id."""
    llm_index = train.llm_names.index(llm)
    responses = train.column(llm_index)
    answered = np.flatnonzero(~np.isnan(responses))
    chosen = np.random.default_rng([seed, llm_index]).permutation(answered)[:n_answers]
    return {int(train.question_ids[row]): float(responses[row]) for row in chosen}


def _with_only(train: EncodedResponses, answers: Mapping[str, Answers]) -> EncodedResponses:
    """The training split in which some LLMs have these answers alone."""
    responses = train.responses
    ids, kept = responses.question_ids[responses.question_indices], np.ones(responses.n_observed, bool)
    for llm, given in answers.items():
        mine = responses.llm_indices == responses.llm_names.index(llm)
        kept[mine] = np.isin(ids[mine], list(given))
    kept_only = responses.keep(kept)
    return train.with_responses(kept_only.select(np.diff(kept_only.indptr) > 0))


def _new_question_records(
    model: EmbedLLM,
    method: str,
    n_answers: int,
    splits: Mapping[str, EncodedResponses],
    held_out: list[str],
    seed: int,
) -> Iterator[NewQuestionRecord]:
    responses = splits["test"].responses.select(llms=model.config.llm_names).responses()
    probs = model.network_proba(splits["test"].question_embeds)
    others = [index for index, name in enumerate(model.config.llm_names) if name not in held_out]
    rival = np.where(np.isnan(responses[:, others]), -1.0, probs[:, others]).max(axis=1)
    nobody_else = ~(np.nan_to_num(responses[:, others]) > 0.5).any(axis=1)
    for llm in held_out:
        own, mine = responses[:, model.llm_index(llm)], probs[:, model.llm_index(llm)]
        alone = (np.nan_to_num(own) > 0.5) & nobody_else & (rival >= 0)
        observed, n_won = ~np.isnan(own), int((alone & (mine > rival)).sum())
        answers = mine[observed], own[observed]
        yield NewQuestionRecord(seed, llm, method, n_answers, *answers, int(alone.sum()), n_won)


def summarise_new_questions(records: Sequence[NewQuestionRecord]) -> list[dict[str, Any]]:
    """Accuracy, AUC and routing of each method and number of answers, over all LLMs of a seed, mean over the seeds."""
    found = []
    for method, n_answers in sorted({(record.method, record.n_answers) for record in records}):
        chosen = [record for record in records if (record.method, record.n_answers) == (method, n_answers)]
        by_seed = []
        for seed in sorted({record.seed for record in chosen}):
            pairs = [(record.probabilities, record.responses) for record in chosen if record.seed == seed]
            probs, responses = (np.concatenate(part)[:, None] for part in zip(*pairs, strict=True))
            by_seed.append([metrics.accuracy(probs, responses), metrics.auc(probs, responses)])
        accuracy, auc = np.mean(by_seed, axis=0).tolist()
        n_alone, n_won = sum(record.n_only_right for record in chosen), sum(record.n_won for record in chosen)
        row = {"method": method, "n_answers": n_answers, "accuracy": accuracy, "auc": auc}
        found.append({**row, "n_only_right": n_alone, "share_won": n_won / n_alone if n_alone else None})
    return found
