"""`EmbedLLM`: a pool of LLMs as vectors, with its question bank, its text encoder, its files and its card.

The formula is in `network`, the forecast in `predictors/`, edits of the pool in `pool_edits`, training in `training/`.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import tempfile
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete
from transformers import AutoModel
from typing_extensions import Self

from ._errors import InputError, MissingFile
from ._files import whole_directory
from ._manifest import CONFIG_FILE, FILES, read_sealed, seal
from .bank.bank_file import BANK_FILE, load_bank, save_bank
from .cards.model_card import CARD_FILE, is_our_card, write_model_card
from .configuration_embedllm import DEFAULT_ENCODER, EmbedLLMConfig
from .encoding.question_encoder import QuestionEncoder
from .hub.client import Listing, fetch_snapshot
from .hub.commits import Target, commit_on_top
from .hub.remote_code import export_remote_code
from .model_folder import (
    METRICS_FILE,
    TEXT_ENCODER,
    config_of,
    is_ours,
    is_ours_in,
    load_metrics,
    load_weights,
    needed_files,
)
from .network import EmbedLLMNetwork
from .pool_edits import PooledNetwork, carry_answers

logger = logging.getLogger(__name__)

_REMOTE_CLASSES = {"AutoConfig": EmbedLLMConfig, "AutoModel": EmbedLLMNetwork}
# Of the arguments of `save_pretrained`, those of its upload.
_PUSH_OPTIONS = ("commit_message", "private", "token", "revision", "create_pr")
_FETCH_OPTIONS = ("cache_dir", "revision", "token", "local_files_only")


class EmbedLLM(PooledNetwork):
    """A pool of LLMs as vectors, and the probability that each answers a question correctly.

    `predict_proba` is the best forecast, by network and bank together; `network_proba` is the bare network's.

    Args:
        config (`EmbedLLMConfig`): Sizes and names.

    Attributes:
        bank (`QuestionBank | None`): The questions that the pool has answered, and what was fitted to them; set by the
            trainer, or in a copy by `with_bank`. Saved and loaded with the weights.
        encoder (`QuestionEncoder`): The text encoder that the vectors are for; loaded at the first text.
        metrics (`dict | None`): How the model was measured, as `EvaluationReport.to_dict` gives it; saved as
            `metrics.json`, and the source of the card's numbers.
    """

    def __init__(self, config: EmbedLLMConfig) -> None:
        super().__init__(config)
        self._encoder: QuestionEncoder | None = None
        self.metrics: dict | None = None

    @classmethod
    def from_encoder(
        cls,
        encoder: str | QuestionEncoder = DEFAULT_ENCODER,
        *,
        llm_names: Sequence[str],
        revision: str | None = None,
        text_dim: int | None = None,
        seed: int = 0,
        **config: Any,
    ) -> Self:
        """An untrained model for a text encoder.

        Args:
            encoder (`str` or `QuestionEncoder`): Hub id of a sentence-transformers model, a folder with one, or
                `"offline"`. Default: the paper's.
            llm_names (`Sequence[str]`): The pool, `data.llm_names`.
            revision (`str`, *optional*): Branch, tag or commit of the encoder.
            text_dim (`int`, *optional*): Width of its vectors, where they are at hand. Default: the encoder is asked.
            seed (`int`): Of the initial weights.
            config: More fields of `EmbedLLMConfig`.

        Raises:
            OSError: If the encoder cannot be loaded.

        Example:
            >>> EmbedLLM.from_encoder("offline", llm_names=["a/one", "b/two"]).config.text_dim
            384
        """
        if not isinstance(encoder, QuestionEncoder):
            encoder = QuestionEncoder(encoder, revision=revision)
        width = encoder.dim if text_dim is None else text_dim
        settings = EmbedLLMConfig(
            llm_names=llm_names,
            text_dim=width,
            encoder_name=encoder.name,
            encoder_revision=encoder.revision,
            encoder_digest=encoder.digest,
            **config,
        )
        return cls._with_initial_weights(settings, encoder, seed)

    def untrained(self, *, seed: int = 0) -> Self:
        """A model of the same sizes, pool and text encoder with initial weights, to be trained anew.

        Args:
            seed (`int`): Of the weights.
        """
        return self._with_initial_weights(copy.deepcopy(self.config), self.encoder, seed)

    @classmethod
    def _with_initial_weights(cls, config: EmbedLLMConfig, encoder: QuestionEncoder, seed: int) -> Self:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = cls(config)
        model._encoder = encoder
        return model

    @property
    def encoder(self) -> QuestionEncoder:
        """The text encoder that the vectors are for."""
        if self._encoder is None:
            self._encoder = QuestionEncoder.of_model(self.config.encoder, Path(self.name_or_path, TEXT_ENCODER))
        return self._encoder

    def _forget_fitted(self) -> None:
        super()._forget_fitted()
        self.metrics = None  # measured with other weights

    def _set_encoder(self, encoder: QuestionEncoder) -> None:
        """Take over an encoder that was trained with the vectors."""
        self._encoder, self.config.encoder_digest = encoder, encoder.digest

    def _of_pool(self, llm_names: list[str], llm_indices: Sequence[int]) -> Self:
        other = super()._of_pool(llm_names, llm_indices)
        other.metrics = copy.deepcopy(self.metrics)
        other._encoder = self._encoder
        return other

    # --- files ---

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        *,
        remote_code: bool = False,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write `config.json`, `model.safetensors`, the card and, if there are any, bank, text encoder and metrics.

        Takes the arguments of `PreTrainedModel.save_pretrained`, and:

        Args:
            push_to_hub (`bool`): Also upload, with the arguments of `EmbedLLM.push_to_hub`.
            repo_id (`str`, *optional*): The model's id on the Hub, which the card then names. Default for an upload:
                the folder's name.
            remote_code (`bool`): Add the network's source files, so that `AutoModel.from_pretrained(...,
                trust_remote_code=True)` works where this package is not installed.
        """
        push = {name: kwargs.pop(name) for name in _PUSH_OPTIONS if name in kwargs}
        if not kwargs.pop("is_main_process", True):
            return
        with whole_directory(Path(save_directory), owned=is_ours_in) as folder:
            self._write(folder, repo_id, remote_code, **kwargs)
        if not is_our_card(card := Path(save_directory, CARD_FILE)):
            logger.warning("%s was not written here; it stays as it is, in place of the model's card.", card)
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).resolve().name, remote_code=remote_code, **push)

    def _write(self, folder: Path, repo_id: str | None, remote_code: bool, **kwargs: Any) -> None:
        """Write the set of files of this model into an empty folder; what the card needs comes last."""
        self.config.__dict__.pop("auto_map", None)  # of the folder it was loaded from, whose code is not copied
        super().save_pretrained(folder, **kwargs)
        if self.bank is not None:
            save_bank(self.bank, folder)
        if self.metrics is not None:
            text = json.dumps(self.metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            (folder / METRICS_FILE).write_text(text, encoding="utf-8")
        if self.config.encoder_digest is not None:
            self.encoder.save(folder / TEXT_ENCODER)
        if remote_code:
            export_remote_code(folder, _REMOTE_CLASSES)
        seal(folder, [name for name in needed_files([path.name for path in folder.iterdir()]) if name != CONFIG_FILE])
        benchmarks = [] if self.bank is None else list(self.bank.benchmarks)
        about: dict[str, Any] = {"benchmarks": benchmarks, "without_answers": self.llms_without_answers}
        write_model_card(folder, self.config, self.metrics, self.llm_embeds, repo_id=repo_id, **about)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike | None, *args: Any, **kwargs: Any):
        """Load from a Hub id or a folder, strictly.

        Takes the arguments of `PreTrainedModel.from_pretrained`. All files are of one commit, and each is compared
        with the Hub's hash of it.

        Returns:
            `EmbedLLM`: In evaluation mode, with its bank, text encoder and metrics.

        Raises:
            ValueError: If a weight is missing, unexpected or of the wrong shape, a file is damaged, or the bank or the
                trained text encoder is missing or another one than the model was saved with.
            OSError: If there is no such model, or the Hub refuses or cannot be reached; one line with the remedy.
        """
        with_info = kwargs.pop("output_loading_info", False)
        source = str(pretrained_model_name_or_path)
        folder = _folder_of(source, kwargs)
        saved = read_sealed(folder)
        config = kwargs.pop("config", None) or config_of(saved, folder)
        config._name_or_path = source
        with torch.device("meta"):
            expected = {name: weight.shape for name, weight in cls(config).state_dict().items()}
        given = {"config": config, "state_dict": load_weights(folder, saved[FILES], expected)}
        model, info = super().from_pretrained(None, *args, **given, **kwargs, output_loading_info=True)
        model.name_or_path = source
        if BANK_FILE in saved[FILES]:
            model._set_bank(load_bank(folder, model.config.llm_names))
        if METRICS_FILE in saved[FILES]:
            model.metrics = load_metrics(folder / METRICS_FILE)
        model._encoder = QuestionEncoder.of_model(model.config.encoder, folder / TEXT_ENCODER)
        return (model, info) if with_info else model

    # --- the Hub ---

    def push_to_hub(
        self,
        repo_id: str,
        *,
        remote_code: bool = False,
        commit_message: str = "Upload EmbedLLM",
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> CommitInfo:
        """Upload everything that `save_pretrained` writes, in one commit.

        `PreTrainedModel.push_to_hub` would put a card of transformers in the place of ours.

        Args:
            repo_id (`str`): Repository on the Hub, made if it is not there.
            remote_code (`bool`): See `save_pretrained`.
            revision (`str`, *optional*): Branch, made if it is not there. Default: the main one.
            commit_message, private, token, create_pr (*optional*): As in huggingface_hub.

        Raises:
            OSError: If the Hub refuses or cannot be reached; nothing is committed then.
        """
        target = Target(repo_id, revision=revision, token=token, create_pr=create_pr, private=private)
        with tempfile.TemporaryDirectory() as folder:

            def whole(there: Listing) -> list[CommitOperationAdd | CommitOperationDelete]:
                return self._operations(Path(folder, there.revision), there, remote_code=remote_code)

            return commit_on_top(target, whole, message=commit_message)

    def _operations(
        self, folder: Path, there: Listing, *, remote_code: bool = False
    ) -> list[CommitOperationAdd | CommitOperationDelete]:
        """What puts everything that `save_pretrained` writes in the place of what is there; saves it to `folder`."""
        self.save_pretrained(folder, remote_code=remote_code, repo_id=there.repo_id)
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        added = [CommitOperationAdd(name, path) for name, path in sorted(files.items())]
        return [*added, *(CommitOperationDelete(name) for name in _of_another(there.files, files))]

    def push_llm_to_hub(
        self, name: str, repo_id: str, *, token: str | bool | None = None, create_pr: bool = False
    ) -> CommitInfo:
        """Add one LLM of this model to a model that lives on the Hub, as a small change to it.

        The change is made on top of the commit that was read. If somebody changed the model in the meantime, for
        instance by adding another LLM, it is made again on top of theirs, so that neither is lost.

        Args:
            name (`str`): The LLM, of this model's pool.
            repo_id (`str`): The model on the Hub, with the same questions' side as this one.
            token, create_pr (*optional*): As in huggingface_hub.

        Raises:
            KeyError: If this model has no such LLM.
            ValueError: If the Hub's model has another LLM of that name, or is not one that this LLM's vector fits.
            OSError: If the Hub refuses or cannot be reached.
        """
        self.llm_index(name)
        target = Target(repo_id, token=token, create_pr=create_pr, make=False)
        with tempfile.TemporaryDirectory() as folder:

            def one_more(there: Listing) -> list[CommitOperationAdd | CommitOperationDelete] | None:
                shared = type(self).from_pretrained(there.repo_id, revision=there.revision, token=token)
                grown = self._grown(shared, name, repo_id)
                code = hasattr(shared.config, "auto_map")  # as it was saved
                path = Path(folder, there.revision)
                return None if grown is None else grown._operations(path, there, remote_code=code)

            return commit_on_top(target, one_more, message=f"Add {name}")

    def _grown(self, shared: Self, name: str, repo_id: str) -> Self | None:
        """A shared model with one of this model's LLMs; None if it has this LLM already, with the same vector.

        Raises:
            ValueError: If it has another one of that name, or one that this LLM's vector does not fit.
        """
        different = self.differing_weight(shared)
        if different is not None:
            raise InputError(
                f"{repo_id}: `{different}` differs from this model's, so its LLM vectors live in another space. "
                "Place the LLM with that model, and push it from there."
            )
        vector, bias = self._vector_and_bias(name)
        if name in shared.config.llm_names:
            theirs, their_bias = shared._vector_and_bias(name)
            if np.array_equal(vector, theirs) and bias == their_bias:
                return None
        grown = shared.with_llm(name, vector, bias)
        if self.bank is not None and grown.bank is not None:
            grown._set_bank(carry_answers(self.bank, grown.bank, name))
        return grown

    def _vector_and_bias(self, name: str) -> tuple[np.ndarray, float]:
        index = self.llm_index(name)
        return self.llm_embeds[index], 0.0 if self.llm_bias is None else self.llm_bias[index].item()


def _folder_of(source: str, options: dict[str, Any]) -> Path:
    """The folder of a model: one on this disk, or fetched from the Hub by those of `options`, which go."""
    folder, fetch = Path(source), {name: options.pop(name) for name in _FETCH_OPTIONS if name in options}
    subfolder = options.pop("subfolder", "") or ""
    if Path(subfolder).is_absolute() or ".." in Path(subfolder).parts:
        raise InputError(f"`subfolder` is {subfolder!r}, expected a folder below the model's.")
    if folder.is_dir():
        return folder / subfolder
    if folder.is_file():
        raise InputError(f"`{source}` is a file, expected the folder that it is in, or a Hub id.")
    if folder.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1:
        raise MissingFile(f"`{source}`: no such folder. Give a trained model's folder, or a Hub id (user/name).")
    prefix = f"{Path(subfolder).as_posix()}/" if subfolder else ""

    def needed(files: Sequence[str]) -> list[str]:
        inside = [name.removeprefix(prefix) for name in files if name.startswith(prefix)]
        return [prefix + name for name in needed_files(inside)]

    return fetch_snapshot(source, needed, **fetch).folder / subfolder


def _of_another(there: Sequence[str], written: Container[str]) -> list[str]:
    """Of the files in a repository, those that another model has left, as if they were parts of this one."""
    return [name for name in there if is_ours(name.split("/")[0]) and name not in written]


AutoModel.register(EmbedLLMConfig, EmbedLLM)
