"""The EmbedLLM network: one vector per LLM, a linear map of a question's text vector, and a linear classifier.

For question q with text vector x and LLM m with vector p the paper (Zhuang et al., ICLR 2025, section 3) has two
classes, wrong and right, with the scores `W (p_m * (A x + c)) + b`. Only their difference matters: it is the logit of
a right answer, and one matrix product over all LLMs. With the optional biases a and g it reads

    z(q, m) = p_m . v_q + b' + a_m + g . x + g0,    v_q = (W[1] - W[0]) * (A x + c),    P(right) = sigmoid(z)

The forward pass sees tensors only: texts (`encoding/`), training (`training/`) and files (`modeling_embedllm`) are
elsewhere. This file and its relative imports travel with a model that is saved with `remote_code=True`, so it imports
only modules that stand beside it and need little.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from ._checks import index_of, shorten
from ._errors import InputError, InputTypeError
from .configuration_embedllm import EmbedLLMConfig

_PAIRS = 1 << 18  # pairs scored at once
_SCORING_ROWS = 4096  # questions scored at once; their logits stay in the processor's cache


@dataclass
class EmbedLLMOutput(ModelOutput):
    """What the network returns.

    Args:
        loss (`torch.Tensor` of shape `()`, *optional*): Weighted mean log loss, if labels were given.
        logits (`torch.Tensor`): Log odds of a right answer, `(batch,)` for pairs, else `(n_questions, n_llms)`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class EmbedLLMNetwork(PreTrainedModel):
    """The LLM vectors and the probability that each LLM answers a question correctly; `EmbedLLM` is built on it."""

    config_class = EmbedLLMConfig
    base_model_prefix = "embedllm"
    main_input_name = "question_embeds"

    def __init__(self, config: EmbedLLMConfig) -> None:
        super().__init__(config)
        self.llm_embedding = nn.Embedding(config.n_llms, config.embed_dim)  # P
        self.question_proj = nn.Linear(config.text_dim, config.embed_dim)  # A, c
        self.classifier = nn.Linear(config.embed_dim, 2)  # W, b
        self.llm_bias = nn.Parameter(torch.zeros(config.n_llms)) if config.llm_bias else None  # a
        self.question_bias = nn.Linear(config.text_dim, 1) if config.question_bias else None  # g, g0
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """LLM vectors from a normal, biases at zero, the rest as torch does (which is as the paper's code did)."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        elif isinstance(module, nn.Linear) and module is not self.question_bias:
            module.reset_parameters()
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        elif module is self and self.llm_bias is not None:
            nn.init.zeros_(self.llm_bias)

    def get_input_embeddings(self) -> None:
        """None: there is no table of tokens, which FSDP asks for in order to shard it apart."""

    # --- scoring ---

    def forward(
        self,
        question_embeds: torch.Tensor,
        llm_indices: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        label_weights: torch.Tensor | None = None,
        loss_normalizer: float | None = None,
        question_indices: torch.Tensor | None = None,
    ) -> EmbedLLMOutput:
        """Score (question, LLM) pairs, or every question against every LLM.

        Args:
            question_embeds (`torch.Tensor`): Text vectors, `(batch, text_dim)` or `(n_questions, text_dim)`.
            llm_indices (`torch.Tensor` of shape `(batch,)`, *optional*): The LLM of each pair. Without it all LLMs are
                scored on each question, in one matrix product.
            labels (`torch.Tensor`, *optional*): Responses in [0, 1], of the shape of the logits.
            label_weights (`torch.Tensor`, same shape, *optional*): Weight of each response, 0 where it was not
                observed. Default: 1.
            loss_normalizer (`float`, *optional*): What the summed losses are divided by. Default: the batch's weight.
            question_indices (`torch.Tensor` of shape `(batch,)`, *optional*): The row of `question_embeds` of each
                pair, for many pairs of few questions. Default: one row a pair.

        Raises:
            ValueError: If the text vectors have another width than the model's.
        """
        self._check_width(question_embeds)
        if self.training and self.config.noise_std > 0:
            question_embeds = question_embeds + self.config.noise_std * torch.randn_like(question_embeds)
        logits = self._score(*self._question_side(question_embeds), llm_indices, question_indices)
        loss = None
        if labels is not None:
            targets = labels.to(logits.dtype)
            losses = F.binary_cross_entropy_with_logits(logits, targets, label_weights, reduction="sum")
            if loss_normalizer is None:
                loss_normalizer = labels.numel() if label_weights is None else label_weights.sum()
            loss = losses / loss_normalizer
        return EmbedLLMOutput(loss=loss, logits=logits)

    def _question_side(self, question_embeds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """v_q `(n_questions, embed_dim)`, and the question bias `(n_questions, 1)` if there is one."""
        if not isinstance(self.classifier.weight, torch.Tensor):  # a method, of a layer that was quantised
            raise InputTypeError(
                f"the model's classifier is of `{type(self.classifier).__module__}`, expected the layer that it was "
                "made with. Use the model as it was loaded; `model.half()` makes it smaller."
            )
        wrong, right = self.classifier.weight
        vectors = self.question_proj(question_embeds) * (right - wrong)
        return vectors, None if self.question_bias is None else self.question_bias(question_embeds)

    @property
    def shared_offset(self) -> torch.Tensor:
        """b': what is added to all logits, `()`."""
        return self.classifier.bias[1] - self.classifier.bias[0]

    def _llm_offsets(self) -> torch.Tensor:
        """B' + a_m: what is added to each LLM's logits whatever the question, `(n_llms,)`."""
        offset = self.shared_offset.expand(self.config.n_llms)
        return offset if self.llm_bias is None else offset + self.llm_bias

    def _score(
        self,
        vectors: torch.Tensor,
        biases: torch.Tensor | None,
        llm_indices: torch.Tensor | None = None,
        question_indices: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits of all LLMs on each question `(n_questions, n_llms)`, or of pairs `(batch,)`."""
        weight, offsets = self.llm_embedding.weight, self._llm_offsets()
        if llm_indices is None:
            logits = F.linear(vectors, weight, offsets)
            return logits if biases is None else logits + biases
        rows = slice(None) if question_indices is None else question_indices
        logits = (vectors[rows] * self.llm_embedding(llm_indices)).sum(dim=1) + offsets[llm_indices]
        return logits if biases is None else logits + biases[rows, 0]

    def _check_width(self, question_embeds: torch.Tensor | np.ndarray) -> None:
        if question_embeds.ndim != 2 or question_embeds.shape[1] != self.config.text_dim:
            raise InputError(
                f"`question_embeds` has shape {tuple(question_embeds.shape)}, but this model takes "
                f"(n_questions, {self.config.text_dim}), from `{self.config.encoder_name}`. "
                "Encode the questions with that encoder."
            )

    def checked_vectors(self, question_embeds: Any) -> np.ndarray | torch.Tensor:
        """Text vectors `(n_questions, text_dim)` of any container of numbers, once it is sure that they are vectors.

        Raises:
            TypeError: If they are no numbers.
            ValueError: If they have another shape than the model's, or hold NaN, infinity or a number beyond float32.
        """
        vectors = question_embeds
        if not isinstance(vectors, torch.Tensor):
            try:
                vectors = np.asarray(vectors)
            except ValueError as error:
                raise InputError(
                    f"`question_embeds` is no array of numbers ({error}). Encode the questions."
                ) from error
            if vectors.dtype.kind not in "fiu":
                raise InputTypeError(
                    f"`question_embeds` holds {vectors.dtype.name}, expected numbers: the vectors of questions. "
                    "Encode the questions with `model.encoder.encode`."
                )
        self._check_width(vectors)
        finite = _finite_rows(vectors)
        if not finite.all():
            raise InputError(
                f"`question_embeds[{finite.argmin()}]` holds NaN, infinity or a number beyond float32. Encode the "
                "question again."
            )
        return vectors

    def _check_logits(self, logits: np.ndarray) -> None:
        """Refuse to give NaN or infinity out, and name the cause."""
        if np.isfinite(logits).all():
            return
        for name, weight in self.state_dict().items():
            if not torch.isfinite(weight).all():
                raise InputError(
                    f"the model's weight `{name}` holds NaN or infinity: did its training diverge? Train again, with "
                    "a lower learning rate."
                )
        raise InputError("`question_embeds` holds numbers too large for this model. Are they of its text encoder?")

    def _as_weights(self, question_embeds: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Text vectors as the weights are, on their device; copied only where that is needed."""
        weight = self.llm_embedding.weight
        if isinstance(question_embeds, np.ndarray):  # torch takes arrays that may be written to
            question_embeds = torch.from_numpy(np.require(question_embeds, np.float32, "W"))
        return question_embeds.to(weight.device, weight.dtype)

    @torch.no_grad()
    def network_logits(self, question_embeds: np.ndarray | torch.Tensor) -> np.ndarray:
        """Log odds that each LLM answers each question correctly; noise is off whatever the mode.

        Takes text vectors `(n_questions, text_dim)` and gives `(n_questions, n_llms)`, float32.

        Raises:
            ValueError: If the width is not the model's.
        """
        question_embeds = self.checked_vectors(question_embeds)
        folded = self.folded() if self._folding_pays(len(question_embeds)) else None
        found = np.empty((len(question_embeds), self.config.n_llms), np.float32)
        for start in range(0, len(found), _SCORING_ROWS):
            chunk = self._as_weights(question_embeds[start : start + _SCORING_ROWS])
            if folded is None:
                logits = self._score(*self._question_side(chunk))
            else:
                logits = torch.addmm(folded[1], chunk, folded[0].T)
            found[start : start + len(chunk)] = logits.float().cpu().numpy()
        self._check_logits(found)
        return found

    def network_proba(self, question_embeds: np.ndarray | torch.Tensor) -> np.ndarray:
        """`network_logits` as probabilities in [0, 1]; arguments, shape and errors are the same."""
        return torch.from_numpy(self.network_logits(question_embeds)).sigmoid_().numpy()

    def predict_proba(self, question_embeds: np.ndarray | torch.Tensor) -> np.ndarray:
        """The best forecast there is: of a bare network `network_proba`; `EmbedLLM` adds its bank to it."""
        return self.network_proba(question_embeds)

    @torch.no_grad()
    def pair_logits(
        self, question_embeds: np.ndarray, question_indices: np.ndarray, llm_indices: np.ndarray
    ) -> np.ndarray:
        """Logits of some pairs only, for pools too large to score whole; `(n_pairs,)` float32.

        The indices `(n_pairs,)` are each pair's row of `question_embeds` `(n_questions, text_dim)`, and its LLM.

        Raises:
            ValueError: If the width is not the model's, or an index is none of a question or LLM.
        """
        question_embeds = self.checked_vectors(question_embeds)
        _check_indices("question_indices", question_indices, len(question_embeds))
        _check_indices("llm_indices", llm_indices, self.config.n_llms)
        sides = self._question_side(self._as_weights(question_embeds))
        kind: dict[str, Any] = {"dtype": torch.long, "device": self.llm_embedding.weight.device}
        indices = (torch.tensor(values, **kind).split(_PAIRS) for values in (llm_indices, question_indices))
        logits = [self._score(*sides, *pairs) for pairs in zip(*indices, strict=True)]
        return torch.cat(logits).float().cpu().numpy() if len(question_indices) else np.empty(0, np.float32)

    @torch.no_grad()
    def question_maps(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The questions' side as linear maps of `(1, x)`, x a text vector; zero and the unit vectors tell them.

        They go to v_q, `(1 + text_dim, embed_dim)`, and to the question bias, `(1 + text_dim,)`.
        """
        weight = self.llm_embedding.weight
        units = torch.eye(self.config.text_dim, device=weight.device, dtype=weight.dtype)
        vectors, biases = self._question_side(torch.cat([torch.zeros_like(units[:1]), units]))
        biases = vectors.new_zeros(len(vectors)) if biases is None else biases[:, 0]
        for side in (vectors, biases):
            side[1:] -= side[0].clone()
        return vectors, biases

    @torch.no_grad()
    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The whole network as one linear map of text vectors, `z = x M^T + o`, for scoring many questions.

        Its parts are M, `(n_llms, text_dim)`, and o, `(n_llms,)`.
        """
        vectors, biases = self.question_maps()
        maps = self.llm_embedding.weight @ vectors.T + biases
        return maps[:, 1:], maps[:, 0] + self._llm_offsets()

    def _folding_pays(self, n_questions: int) -> bool:
        """Whether one product of the folded weights, their making included, costs less than the two of the network."""
        text_dim, embed_dim, n_llms = self.config.text_dim, self.config.embed_dim, self.config.n_llms
        return (n_questions + embed_dim) * text_dim * n_llms < n_questions * embed_dim * (text_dim + n_llms)

    # --- the pool ---

    @property
    def llm_embeds(self) -> np.ndarray:
        """The LLM vectors, `(n_llms, embed_dim)` float32, a copy."""
        return self.llm_embedding.weight.detach().float().cpu().numpy().copy()

    def llm_index(self, name: str) -> int:
        """Column of an LLM.

        Raises:
            KeyError: If the pool has no such LLM; the message offers close names.
        """
        return index_of("LLM", name, self.config.llm_names)

    # --- files ---

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike | None, *args: object, **kwargs: object):
        """Load from a Hub id or a folder, strictly, in evaluation mode; arguments as for `PreTrainedModel`.

        Raises:
            ValueError: If a weight is missing, unexpected, of the wrong shape, or the file is damaged.
        """
        with_info = kwargs.pop("output_loading_info", False)
        source = pretrained_model_name_or_path or getattr(kwargs.get("config"), "name_or_path", "")
        # Weights of another shape are asked to be told, not raised by transformers: its error advises to ignore them.
        options = {**kwargs, "output_loading_info": True, "ignore_mismatched_sizes": True}
        try:
            model, info = super().from_pretrained(pretrained_model_name_or_path, *args, **options)
        except SafetensorError as error:
            raise InputError(f"{source}: the weights cannot be read ({error}). Fetch or train them again.") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise InputError(f"{source}: {str(error).splitlines()[0]} Fetch or train the model again.") from error
        wrong = {kind: sorted(map(str, info[f"{kind}_keys"])) for kind in ("missing", "unexpected", "mismatched")}
        if any(wrong.values()):
            found = "; ".join(f"{kind} {shorten(keys)}" for kind, keys in wrong.items() if keys)
            raise InputError(f"{source}: the weights do not fit `config.json`: {found}. Is the save complete?")
        return (model, info) if with_info else model


def _finite_rows(vectors: np.ndarray | torch.Tensor) -> np.ndarray:
    """Which rows hold nothing but numbers that float32 has, `(n,)` bool."""
    if isinstance(vectors, torch.Tensor):
        return torch.isfinite(vectors.float()).all(dim=1).cpu().numpy()
    with np.errstate(over="ignore"):
        return np.isfinite(vectors if vectors.itemsize <= 4 else vectors.astype(np.float32)).all(axis=1)


def _check_indices(argument: str, indices: np.ndarray, n: int) -> None:
    """Refuse indices that are none; negative ones would count from the end."""
    wrong = [index for index in np.asarray(indices).ravel().tolist() if not 0 <= index < n]
    if wrong:
        raise InputError(f"`{argument}` holds {wrong[0]}, expected positions from 0 to {n - 1}.")
