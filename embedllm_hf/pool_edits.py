"""The network with its question bank, and one LLM more or less: each edit gives a new model.

Files, cards and the Hub are in `modeling_embedllm`, finding an LLM's vector is in `new_llms/`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from typing_extensions import Self

from ._checks import check_llm_names, check_number, shorten
from ._errors import InputError, InputTypeError
from .bank.item_parameters import STRATEGIES
from .bank.question_bank import QuestionBank
from .configuration_embedllm import EmbedLLMConfig
from .network import EmbedLLMNetwork
from .predictors import Categories
from .predictors.stacked import StackedPredictor

_PER_LLM_WEIGHTS = {"llm_embedding.weight", "llm_bias"}


class PooledNetwork(EmbedLLMNetwork):
    """A network and the bank that its forecasts are made with; `EmbedLLM` is built on it."""

    def __init__(self, config: EmbedLLMConfig) -> None:
        super().__init__(config)
        self._bank: QuestionBank | None = None

    @property
    def bank(self) -> QuestionBank | None:
        """The questions that the pool has answered, and what was fitted to them; None for a bare network."""
        return self._bank

    @property
    def llms_without_answers(self) -> tuple[str, ...]:
        """LLMs of which the bank has no answer, so that nothing is known of them; none for a bare network.

        They are never chosen unasked, and a forecast of one is that of the pool's LLMs, marked.
        """
        if self._bank is None:
            return ()
        return tuple(self.config.llm_names[index] for index in np.flatnonzero(self._bank.n_answers == 0))

    def _set_bank(self, bank: QuestionBank | None) -> None:
        """Take over a bank, for models that are being made; forecasts start anew from it."""
        if bank is not None and list(bank.llm_names) != list(self.config.llm_names):
            other = shorten(set(bank.llm_names) ^ set(self.config.llm_names), 3) or "the same in another order"
            raise InputError(f"`bank` is of another pool of LLMs than the model ({other}). Fit one to this model.")
        if bank is not None and bank.question_embeds.shape[1] != self.config.text_dim:
            raise InputError(
                f"`bank` has text vectors of width {bank.question_embeds.shape[1]}, expected {self.config.text_dim}, "
                f"those of `{self.config.encoder_name}`."
            )
        self._bank = bank
        self.__dict__.pop("predictor", None)

    def _forget_fitted(self) -> None:
        """Drop what was fitted to the weights, before these are trained."""
        self._set_bank(None)

    @cached_property
    def predictor(self) -> StackedPredictor:
        """The stacked predictor of network and bank."""
        return StackedPredictor(self, self._bank)

    def predict_logits(self, question_embeds: np.ndarray, categories: Categories = None) -> np.ndarray:
        """Log odds of right answers by network and bank together, as `StackedPredictor.predict_logits` has them."""
        return self.predictor.predict_logits(question_embeds, categories)

    def predict_proba(self, question_embeds: np.ndarray, categories: Categories = None) -> np.ndarray:
        """The model's best forecast: `predict_logits` as probabilities in [0, 1], float32, with the same arguments."""
        return self.predictor.predict_proba(question_embeds, categories)

    def with_bank(self, bank: QuestionBank | None) -> Self:
        """A new model with another bank, for instance from `training.fit_bank`; this one stays as it is.

        Raises:
            ValueError: If the bank is of another pool or of another width.
        """
        other = self._of_pool(list(self.config.llm_names), range(self.config.n_llms))
        other._set_bank(bank)
        return other

    # --- one LLM more or less ---

    def with_llm(self, name: str, llm_embed: np.ndarray, llm_bias: float = 0.0) -> Self:
        """A new model with one LLM more; this one stays as it is, and no other LLM's vector changes by a bit.

        Args:
            llm_embed (`np.ndarray` of shape `(embed_dim,)`): Its vector.
            llm_bias (`float`): Its bias, in logits.

        Raises:
            ValueError: If the pool has an LLM of that name or of one that looks like it, the vector has another width
                or holds NaN or infinity, or the model has no biases and one is given.
        """
        check_llm_names("`name`", [name])
        if name in self.config.llm_names:
            raise InputError(f"the pool has an LLM `{name}` already. Choose another name, or remove that one first.")
        vector, llm_bias = _numbers("llm_embed", llm_embed), check_number("llm_bias", llm_bias)
        if vector.shape != (self.config.embed_dim,):
            raise InputError(
                f"`llm_embed` has shape {vector.shape}, expected ({self.config.embed_dim},), as the pool's vectors."
            )
        if self.llm_bias is None and llm_bias:
            raise InputError("`llm_bias` is given, but this model has no biases. Leave it out.")
        return self.with_llm_vectors([name], vector[None], np.array([llm_bias]))

    def with_llm_vectors(self, names: Sequence[str], llm_embeds: np.ndarray, llm_biases: np.ndarray) -> Self:
        """A new model with the vectors `(n, embed_dim)` and biases `(n,)` of some LLMs: of new ones, or other ones.

        Raises:
            ValueError: If the names are none or too few, the vectors have another shape, or hold NaN or infinity.
        """
        check_llm_names("`names`", names)
        llm_embeds, llm_biases = _numbers("llm_embeds", llm_embeds), _numbers("llm_biases", llm_biases)
        shapes, expected = (llm_embeds.shape, llm_biases.shape), ((len(names), self.config.embed_dim), (len(names),))
        if shapes != expected:
            raise InputError(f"`llm_embeds` and `llm_biases` have shapes {shapes}, expected {expected}.")
        new = [name for name in names if name not in self.config.llm_names]
        grown = self._of_pool([*self.config.llm_names, *new], range(self.config.n_llms))
        index_of = {name: index for index, name in enumerate(grown.config.llm_names)}
        llm_indices = [index_of[name] for name in names]
        with torch.no_grad():
            grown.llm_embedding.weight[llm_indices] = torch.as_tensor(llm_embeds, dtype=torch.float32)
            if grown.llm_bias is not None:
                grown.llm_bias[llm_indices] = torch.as_tensor(llm_biases, dtype=torch.float32)
        return grown

    def without_llm(self, name: str) -> Self:
        """A new model without one LLM, its responses forgotten.

        Raises:
            KeyError: If the pool has no such LLM; the message offers close names.
        """
        removed = self.llm_index(name)
        kept = [index for index in range(self.config.n_llms) if index != removed]
        return self._of_pool([self.config.llm_names[index] for index in kept], kept)

    def with_llm_renamed(self, name: str, new_name: str) -> Self:
        """A new model in which one LLM has another name.

        Raises:
            KeyError: If the pool has no such LLM.
            ValueError: If it has one of the new name.
        """
        renamed, names = self.llm_index(name), list(self.config.llm_names)
        check_llm_names("`new_name`", [new_name])
        if new_name in names:
            raise InputError(f"the pool has an LLM `{new_name}` already. Choose another name.")
        names[renamed] = new_name
        return self._of_pool(names, range(len(names)))

    def _of_pool(self, llm_names: list[str], llm_indices: Sequence[int]) -> Self:
        """A copy for another pool: its first LLMs are this one's `llm_indices`, those beyond are still to be set."""
        kept = list(llm_indices)
        config = copy.deepcopy(self.config)
        check_llm_names("`llm_names`", llm_names)  # two may look alike
        config.llm_names = llm_names
        other = type(self)(config).eval()
        weights = {name: value.clone() for name, value in self.state_dict().items()}
        for name in _PER_LLM_WEIGHTS & set(weights):
            table = torch.zeros(len(llm_names), *weights[name].shape[1:])
            table[: len(kept)] = weights[name][kept]
            weights[name] = table
        other.load_state_dict(weights)
        if self._bank is not None:
            other._set_bank(self._bank.of_pool(llm_names, kept))
        return other

    def differing_weight(self, other: PooledNetwork) -> str | None:
        """A weight of the questions' side that differs from another model's; None if LLM vectors fit both."""
        ours, theirs = self.state_dict(), other.state_dict()
        for weight in sorted((ours.keys() | theirs.keys()) - _PER_LLM_WEIGHTS):
            if weight not in ours or weight not in theirs or not torch.equal(ours[weight].cpu(), theirs[weight].cpu()):
                return weight
        return None


def _numbers(argument: str, value: Any) -> np.ndarray:
    """Finite numbers of any container as float32."""
    if isinstance(value, torch.Tensor):
        value = value.detach().float().cpu()
    try:
        with np.errstate(over="ignore"):
            found = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"`{argument}` is no array of numbers ({error}).") from error
    if not np.isfinite(found).all():
        raise InputError(f"`{argument}` holds NaN, infinity or a number beyond float32. Place the LLM again.")
    return found


def carry_answers(source: QuestionBank, target: QuestionBank, name: str) -> QuestionBank:
    """Give an LLM of `target` the answers and the ability that it has in `source`."""
    to, frm = target.llm_names.index(name), source.llm_names.index(name)
    responses = source.responses_of(frm)
    answered = np.flatnonzero(~np.isnan(responses))
    keys = source.keys[answered]
    unknown = answered[target.rows_of_keys(keys) < 0]
    grown = target.with_texts(source.keys[unknown], source.question_embeds[unknown])
    rows = grown.rows_of_keys(keys)
    by_id = grown.rows_of_ids(source.question_ids[answered].tolist())
    rows = np.where((by_id >= 0) & (grown.keys[by_id] == keys), by_id, rows)  # of equal texts, the one that was asked
    rows, answer_of = np.unique(rows, return_inverse=True)
    means = np.bincount(answer_of, responses[answered]) / np.bincount(answer_of)
    grown = grown.with_responses(rows, np.full(len(rows), to), means)
    ours = source.item_parameters
    if grown.item_parameters is None or ours is None:
        return grown
    ability = ours.abilities[[frm]], ours.ability_covariances[[frm]], [STRATEGIES[ours.strategies[frm]]]
    return replace(grown, item_parameters=grown.item_parameters.with_llms([to], *ability))
