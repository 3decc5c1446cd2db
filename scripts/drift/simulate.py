"""A pool whose probabilities are known, and fresh answers of its LLMs as they were, or after a drop.

The probability of each answer is that of a trained model's item-response model, so difficulties, abilities and who was
asked what are real ones. The recorded answers are drawn from it, once for the whole pool.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.special import expit

from embedllm_hf import EmbedLLM, drift_probes
from embedllm_hf.item_response.fit import fit_item_parameters
from embedllm_hf.metrics.betting import log_wealth

REPEATED = 0.98  # share of answers that come out the same, asked again, of an LLM that repeats itself


@dataclass(frozen=True)
class World:
    """A model whose recorded answers were drawn, and the truth behind them.

    Attributes:
        model (`EmbedLLM`): With item parameters fitted to the drawn answers.
        logits (`np.ndarray` of shape `(n_questions, n_llms)`): Of a right answer.
        recorded (`np.ndarray`, same shape): The drawn answers, NaN where none was recorded.
        shifts (`np.ndarray` of shape `(n_questions,)`): What a step of ability adds to the logits, in the direction
            in which LLMs of the pool lie whose mean scores differ.
    """

    model: EmbedLLM
    logits: np.ndarray
    recorded: np.ndarray
    shifts: np.ndarray

    @classmethod
    def of(cls, model: EmbedLLM, seed: int) -> World:
        """Draw the recorded answers of a trained model's pool, and fit its questions to them."""
        bank = model.bank
        item, responses = bank.item_parameters, bank.responses.tocoo()
        logits = item.logits(np.arange(len(bank))).astype(np.float64)
        rows, llms = responses.coords
        drawn = np.random.default_rng(seed).random(len(rows)) < expit(logits[rows, llms])
        matrix = sparse.csr_array((drawn.astype(np.float32), (rows, llms)), shape=responses.shape)
        bank = replace(bank, responses=matrix)
        bank = replace(bank, item_parameters=fit_item_parameters(model, bank, calibrate=False))
        middle = expit(item.intercepts + item.discriminations @ item.prior_mean)
        gradient = (middle * (1 - middle)) @ item.discriminations  # of the pool's mean score
        shifts = item.discriminations @ (item.prior_covariance @ gradient)
        return cls(model.with_bank(bank), logits, bank.dense_responses(), shifts / np.abs(shifts).mean())

    def known_to(self, llm: int) -> np.ndarray:
        """Rows that an LLM has recorded answers to."""
        return np.flatnonzero(~np.isnan(self.recorded[:, llm]))

    def chosen(self, llm: int, n: int) -> np.ndarray:
        """Rows of the questions that `drift_probes` chooses, in its order."""
        plan = drift_probes(self.model, self.model.config.llm_names[llm], n=n)
        return self.model.bank.find(plan.question_ids)

    def misled(self, llm: int, n: int) -> np.ndarray:
        """Rows that the same rule would choose by item parameters that the LLM's own answers were part of."""
        item, rows = self.model.bank.item_parameters, self.known_to(llm)
        intercepts, discriminations = item.questions(rows)
        probabilities = expit(intercepts + discriminations @ item.abilities[llm])
        spread = ((discriminations @ item.prior_covariance) * discriminations).sum(axis=1)
        return rows[np.argsort(-probabilities * (1 - probabilities) * spread, kind="stable")[:n]]


def dropped(logits: np.ndarray, shifts: np.ndarray | None, points: float) -> np.ndarray:
    """Probabilities `(n,)` after their mean has fallen by `points`, in [0, 1].

    With `shifts` the ability falls; without, each right answer is lost with the same chance.
    """
    before = expit(logits)
    if shifts is None:
        return before * (1 - points / before.mean())
    low, high = 0.0, 100.0
    for _ in range(60):
        step = (low + high) / 2
        low, high = (step, high) if before.mean() - expit(logits - step * shifts).mean() < points else (low, step)
    return expit(logits - low * shifts)


def fresh(
    generator: np.random.Generator, recorded: np.ndarray, before: np.ndarray, now: np.ndarray, redrawn: float
) -> np.ndarray:
    """Fresh answers `(..., n)` to questions with `recorded` ones, as many.

    An answer is the recorded one again, or with the chance `redrawn` a new draw with the probability `before`. If the
    LLM has changed, so many right answers are lost, or wrong ones mended, that its probability is the one `now`.
    """
    same = generator.random(recorded.shape) < before
    answers = np.where(generator.random(recorded.shape) < redrawn, same, recorded > 0.5)
    luck = generator.random(recorded.shape)
    kept, mended = now / before, (now - before) / (1 - before)
    return np.where(answers, luck < kept, luck < mended).astype(np.float64)


def redraw_chance(before: np.ndarray, *, repeats: bool) -> float:
    """How often an answer is drawn anew: always, or so rarely that the share `REPEATED` comes out the same."""
    return float((1 - REPEATED) / (2 * before * (1 - before)).mean()) if repeats else 1.0


def first_alarms(differences: np.ndarray, level: float) -> np.ndarray:
    """After how many differences each run `(n_runs, n)` is an alarm, `(n_runs,)`; infinite where it never is."""
    alarms = log_wealth(differences) >= -np.log(level)
    return np.where(alarms.any(axis=1), alarms.argmax(axis=1) + 1.0, np.inf)
