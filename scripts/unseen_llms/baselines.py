"""Baselines for the placing of unseen LLMs from the same answers, and forecasts of new questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from embedllm_hf import EmbedLLM, EncodedResponses, ResponseMatrix, metrics
from embedllm_hf.inference.base import bank_of
from embedllm_hf.item_response.calibration import simulate_placements
from embedllm_hf.item_response.pool import fit_abilities, fit_questions
from embedllm_hf.new_llms.onboarding import onboard_many
from embedllm_hf.new_llms.unseen_llms import Fold, ScoreRecord, Target, UnseenSettings, train_on

ONE_TRAIT = ("2PL, adaptive", "2PL, random")
MEAN, NEIGHBOURS = "mean of the answers", "kNN with the answers"
RETRAINED, ONBOARDED = "retrained with the answers", "onboarded"
_N_NEIGHBOURS = 8


@dataclass(frozen=True)
class BaselineSettings:
    """What is measured beside the placing.

    Attributes:
        n_answers_new (`tuple[int, ...]`): Answers, over all benchmarks, before new questions are forecast.
        n_answers_retrained (`int`): Of them, the number for which the network is also trained again.
    """

    n_answers_new: tuple[int, ...] = (64, 512)
    n_answers_retrained: int = 64


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


def from_answers_alone(
    answered: np.ndarray, truth: np.ndarray, question_embeds: np.ndarray
) -> Iterator[tuple[str, float]]:
    """Baselines that know nothing of the pool: the mean of the answers, and that of each question's neighbours."""
    if not len(answered):
        return
    yield MEAN, truth[answered].mean()
    unit = question_embeds / np.linalg.norm(question_embeds, axis=1, keepdims=True)
    near = np.argsort(-(unit @ unit[answered].T), axis=1)[:, :_N_NEIGHBOURS]
    forecast = truth[answered][near].mean(axis=1)
    forecast[answered] = truth[answered]
    yield NEIGHBOURS, forecast.mean()


def one_trait_records(fold: Fold, target: Target, settings: UnseenSettings) -> Iterator[ScoreRecord]:
    """Baseline: a one-dimensional 2PL model of the benchmark alone, without texts, as adaptive tests use it.

    Priors: ability standard normal, discrimination N(1, 1/4), intercept N(pool's mean, 4).
    """
    bank, truth = bank_of(fold.model), target.truth
    counts = [count for count in settings.n_answers if count < len(truth)]
    generator = np.random.default_rng(target.seed)
    responses = bank.dense_responses()
    took = (~np.isnan(responses[bank.benchmark_rows(target.benchmark)])).mean(axis=0) > 0.8
    if took.sum() < 2:
        return
    responses = responses[np.ix_(target.rows, took)]
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
        for (placed,) in simulate_placements(*questions, truth[:, None], prior, counts, strategy, [generator]):
            about = (fold.seed, target.llm, target.benchmark, method, placed.n_answers)
            yield ScoreRecord(*about, error=placed.mean - truth.mean())


def forecast_new_questions(
    model: EmbedLLM,
    splits: Mapping[str, EncodedResponses],
    held_out: list[str],
    settings: BaselineSettings,
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
            retrained = train_on(train, splits["validation"].select(llms=llms), seed)
            yield from _new_question_records(retrained, RETRAINED, n_answers, splits, held_out, seed)


def _draw_answers(train: ResponseMatrix, llm: str, n_answers: int, seed: int) -> dict[int, float]:
    """Some of an LLM's responses, by question id."""
    llm_index = train.llm_names.index(llm)
    responses = train.column(llm_index)
    answered = np.flatnonzero(~np.isnan(responses))
    chosen = np.random.default_rng([seed, llm_index]).permutation(answered)[:n_answers]
    return {int(train.question_ids[row]): float(responses[row]) for row in chosen}


def _with_only(train: EncodedResponses, answers: Mapping[str, Mapping[int, float]]) -> EncodedResponses:
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
    probabilities = model.network_proba(splits["test"].question_embeds)
    others = [column for column, name in enumerate(model.config.llm_names) if name not in held_out]
    for llm in held_out:
        column = model.llm_index(llm)
        observed = ~np.isnan(responses[:, column])
        rival = np.where(np.isnan(responses[:, others]), -1.0, probabilities[:, others]).max(axis=1)
        nobody_else = ~(np.nan_to_num(responses[:, others]) > 0.5).any(axis=1)
        alone = observed & (responses[:, column] > 0.5) & nobody_else & (rival >= 0)
        won = alone & (probabilities[:, column] > rival)
        yield NewQuestionRecord(
            seed,
            llm,
            method,
            n_answers,
            probabilities[observed, column],
            responses[observed, column],
            int(alone.sum()),
            int(won.sum()),
        )


def summarise_new_questions(records: list[NewQuestionRecord]) -> list[dict[str, object]]:
    """Accuracy, AUC and routing of each method and number of answers, over all LLMs of a seed, mean over the seeds."""
    found = []
    for method, n_answers in sorted({(record.method, record.n_answers) for record in records}):
        chosen = [record for record in records if (record.method, record.n_answers) == (method, n_answers)]
        by_seed = []
        for seed in sorted({record.seed for record in chosen}):
            mine = [record for record in chosen if record.seed == seed]
            responses = np.concatenate([record.responses for record in mine])[:, None]
            probabilities = np.concatenate([record.probabilities for record in mine])[:, None]
            by_seed.append([metrics.accuracy(probabilities, responses), metrics.auc(probabilities, responses)])
        accuracy, auc = np.mean(by_seed, axis=0)
        n_alone, n_won = sum(r.n_only_right for r in chosen), sum(r.n_won for r in chosen)
        row = {"method": method, "n_answers": n_answers, "accuracy": float(accuracy), "auc": float(auc)}
        found.append({**row, "n_only_right": n_alone, "share_won": n_won / n_alone if n_alone else None})
    return found
