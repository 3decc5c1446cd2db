"""The EmbedLLM network: one vector per LLM, a linear map of a question's text vector, and a linear classifier.

For question q with text vector x and LLM m with vector p (Zhuang et al., ICLR 2025, section 3):

    logits = W (p_m * (A x + c)) + b                                    (two classes: wrong, right)

Only their difference matters, and it is one matrix product over all LLMs. With the optional biases it reads

    z(q, m) = p_m . v_q + b' + a_m + g . x + g0,    v_q = (W[1] - W[0]) * (A x + c),    P(right) = sigmoid(z)

The forward pass sees tensors only: encoding texts (`question_encoder`), training (`training`) and files
(`modeling_embedllm`) are elsewhere. This file and what it imports by a relative import travel with a model that is
saved with `remote_code=True` (`remote_code`), so it imports only modules that stand beside it and need little.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from ._checks import index_of, shorten
from ._errors import InputError
from .configuration_embedllm import EmbedLLMConfig

_PAIRS = 1 << 18  # pairs scored at once by `predict_pairs`
_SCORING_ROWS = 4096  # questions scored at once by `predict_proba`; their log odds stay in the processor's cache


@dataclass
class EmbedLLMOutput(ModelOutput):
    """What the network returns.

    Args:
        loss (`torch.Tensor` of shape `()`, *optional*): Weighted mean log loss, if labels were given.
        log_odds (`torch.Tensor`): Log odds of a right answer, `(batch,)` for pairs, else `(n_questions, n_llms)`.
        logits (`torch.Tensor` of shape `(batch, 2)`, *optional*): The paper's two logits (wrong, right); pairs only.
    """

    loss: torch.Tensor | None = None
    log_odds: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class EmbedLLMNetwork(PreTrainedModel):
    """The LLM vectors and the probability that each LLM answers a question correctly; `EmbedLLM` is built on it.

    Args:
        config (`EmbedLLMConfig`): Sizes and names.
    """

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
        elif module is self.question_bias:
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            module.reset_parameters()
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
            labels (`torch.Tensor`, *optional*): Responses in [0, 1], of the shape of the log odds.
            label_weights (`torch.Tensor`, same shape, *optional*): Weight of each response, 0 where it was not
                observed. Default: 1.
            loss_normalizer (`float`, *optional*): What the summed losses are divided by. Default: the batch's weight.
            question_indices (`torch.Tensor` of shape `(batch,)`, *optional*): The row of `question_embeds` of each
                pair, for many pairs of few questions. Default: one row a pair.

        Returns:
            `EmbedLLMOutput`: With `logits` for pairs, and `loss` if there are labels.

        Raises:
            ValueError: If the text vectors have another width than the model's.
        """
        self._check_width(question_embeds)
        if self.training and self.config.noise_std > 0:
            question_embeds = question_embeds + self.config.noise_std * torch.randn_like(question_embeds)
        logits = None
        if llm_indices is None:
            log_odds = self._score_all(question_embeds)
        else:
            logits = self._score_pairs(question_embeds, llm_indices, question_indices)
            log_odds = logits[:, 1] - logits[:, 0]
        loss = None
        if labels is not None:
            losses = F.binary_cross_entropy_with_logits(
                log_odds, labels.to(log_odds.dtype), label_weights, reduction="sum"
            )
            if loss_normalizer is None:
                loss_normalizer = labels.numel() if label_weights is None else label_weights.sum()
            loss = losses / loss_normalizer
        return EmbedLLMOutput(loss=loss, log_odds=log_odds, logits=logits)

    def _score_pairs(
        self, question_embeds: torch.Tensor, llm_indices: torch.Tensor, question_indices: torch.Tensor | None
    ) -> torch.Tensor:
        """The paper's two logits, `(batch, 2)`; the optional biases go to the logit of a right answer."""
        rows = slice(None) if question_indices is None else question_indices
        logits = self.classifier(self.llm_embedding(llm_indices) * self.question_proj(question_embeds)[rows])
        right = logits[:, 1]
        if self.llm_bias is not None:
            right = right + self.llm_bias[llm_indices]
        if self.question_bias is not None:
            right = right + self.question_bias(question_embeds)[rows, 0]
        return torch.stack([logits[:, 0], right], dim=1)

    def _score_all(self, question_embeds: torch.Tensor) -> torch.Tensor:
        """Log odds of all LLMs, `(n_questions, n_llms)`."""
        wrong, right = self.classifier.weight
        question_vectors = self.question_proj(question_embeds) * (right - wrong)  # (n_questions, embed_dim)
        log_odds = F.linear(question_vectors, self.llm_embedding.weight, self._llm_offsets())
        return log_odds if self.question_bias is None else log_odds + self.question_bias(question_embeds)

    def _llm_offsets(self) -> torch.Tensor:
        """What is added to each LLM's log odds whatever the question, `(n_llms,)`."""
        offset = (self.classifier.bias[1] - self.classifier.bias[0]).expand(self.config.n_llms)
        return offset if self.llm_bias is None else offset + self.llm_bias

    def _check_width(self, question_embeds: torch.Tensor | np.ndarray) -> None:
        if question_embeds.ndim != 2 or question_embeds.shape[1] != self.config.text_dim:
            raise InputError(
                f"`question_embeds` has shape {tuple(question_embeds.shape)}, but this model takes "
                f"(n_questions, {self.config.text_dim}), from `{self.config.encoder_name}`. "
                "Encode the questions with that encoder."
            )

    @torch.no_grad()
    def predict_proba(self, question_embeds: np.ndarray | torch.Tensor) -> np.ndarray:
        """Probability that each LLM answers each question correctly; noise is off whatever the mode.

        Args:
            question_embeds (`np.ndarray` or `torch.Tensor` of shape `(n_questions, text_dim)`): Text vectors.

        Returns:
            `np.ndarray` of shape `(n_questions, n_llms)`, float32, in [0, 1].

        Raises:
            ValueError: If the width is not the model's.
        """
        self._check_width(question_embeds)
        rows = torch.as_tensor(question_embeds)
        weight = self.llm_embedding.weight
        folded = self.folded() if self._folding_pays(len(rows)) else None
        probabilities = np.empty((len(rows), self.config.n_llms), np.float32)
        for start in range(0, len(rows), _SCORING_ROWS):
            chunk = rows[start : start + _SCORING_ROWS].to(weight.device, weight.dtype)
            log_odds = self._score_all(chunk) if folded is None else torch.addmm(folded[1], chunk, folded[0].T)
            probabilities[start : start + len(chunk)] = log_odds.sigmoid_().float().cpu().numpy()
        return probabilities

    @torch.no_grad()
    def predict_pairs(
        self, question_embeds: np.ndarray, question_indices: np.ndarray, llm_indices: np.ndarray
    ) -> np.ndarray:
        """Probability of a right answer for some pairs only, for pools too large to score whole.

        Args:
            question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`): Text vectors.
            question_indices, llm_indices (`np.ndarray` of shape `(n_pairs,)`): Row and column of each pair.

        Returns:
            `np.ndarray` of shape `(n_pairs,)`, float32, in [0, 1].
        """
        self._check_width(question_embeds)
        weight = self.llm_embedding.weight
        embeds = torch.as_tensor(question_embeds).to(weight.device, weight.dtype)
        wrong, right = self.classifier.weight
        question_vectors = self.question_proj(embeds) * (right - wrong)
        question_offsets = 0.0 if self.question_bias is None else self.question_bias(embeds)[:, 0]
        indices = (torch.tensor(values).split(_PAIRS) for values in (question_indices, llm_indices))
        log_odds = [
            (question_vectors[questions] * weight[llms.long()]).sum(dim=1)
            + self._llm_offsets()[llms.long()]
            + (question_offsets if self.question_bias is None else question_offsets[questions])
            for questions, llms in zip(*indices, strict=True)
        ]
        return torch.cat(log_odds).sigmoid().float().cpu().numpy() if log_odds else np.empty(0, np.float32)

    @torch.no_grad()
    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The whole network as one linear map from text vectors to log odds, for scoring many questions.

        Returns:
            `tuple[torch.Tensor, torch.Tensor]`: `M` of shape `(n_llms, text_dim)` and `o` of shape `(n_llms,)`, with
            `z = x M^T + o`: `M = (w * P) A + g` and `o = (w * P) c + b' + a + g0`.
        """
        wrong, right = self.classifier.weight
        llm_vectors = self.llm_embedding.weight * (right - wrong)
        weights = llm_vectors @ self.question_proj.weight
        offsets = llm_vectors @ self.question_proj.bias + self._llm_offsets()
        if self.question_bias is not None:
            weights, offsets = weights + self.question_bias.weight, offsets + self.question_bias.bias
        return weights, offsets

    def _folding_pays(self, n_questions: int) -> bool:
        """Whether one product of the folded weights, their making included, costs less than the two of the network."""
        config = self.config
        two_products = n_questions * config.embed_dim * (config.text_dim + config.n_llms)
        return (
            n_questions * config.text_dim * config.n_llms + config.n_llms * config.embed_dim * config.text_dim
            < two_products
        )

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
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: object, **kwargs: object):
        """Load from a Hub id or a folder, strictly.

        Takes the arguments of `PreTrainedModel.from_pretrained`.

        Returns:
            The model, in evaluation mode.

        Raises:
            ValueError: If a weight is missing, unexpected, of the wrong shape, or the file is damaged.
        """
        with_info = kwargs.pop("output_loading_info", False)
        source = str(pretrained_model_name_or_path)
        try:
            model, info = super().from_pretrained(source, *args, **kwargs, output_loading_info=True)
        except SafetensorError as error:
            raise InputError(f"{source}: the weights cannot be read ({error}). Fetch or train them again.") from error
        except RuntimeError as error:
            if "size mismatch" not in str(error) and "mismatched" not in str(error):
                raise
            raise InputError(f"{source}: the weights do not fit `config.json` ({_first_line(error)}).") from error
        wrong = {kind: sorted(map(str, info[f"{kind}_keys"])) for kind in ("missing", "unexpected", "mismatched")}
        if any(wrong.values()):
            found = "; ".join(f"{kind} {shorten(keys)}" for kind, keys in wrong.items() if keys)
            raise InputError(f"{source}: the weights do not fit `config.json`: {found}. Is the save complete?")
        return (model, info) if with_info else model


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
