"""`EmbedLLM`: the network with what stands beside its weights in files: known questions, metrics, the card.

The formula is in `network`, the card's text in `model_card`. Encoding texts (`question_encoder`) and training
(`training`) are elsewhere.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi
from transformers import AutoModel

from ._errors import InputError
from .bank.blend import Blend
from .bank.item_parameters import STRATEGIES, ItemResponse
from .bank.question_bank import KnownQuestions
from .cards.model_card import write_model_card
from .configuration_embedllm import EmbedLLMConfig
from .encoding.question_encoder import QuestionEncoder
from .hub.client import commit, explain_hub_errors, fetch_snapshot, retried
from .hub.remote_code import export_remote_code
from .network import EmbedLLMNetwork

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"
TEXT_ENCODER = "text_encoder"  # folder of an encoder that was trained with the model
# What stands beside the weights, by attribute: each is a class with FILE, `save(folder)`, `load(path)` and
# `of_pool(columns)`, the same for another pool, whose first LLMs are this one's columns.
_COMPANIONS = {"known_questions": KnownQuestions, "blend": Blend, "item_response": ItemResponse}
# Of the arguments of `save_pretrained`, those of its upload.
_PUSH_OPTIONS = ("commit_message", "private", "token", "revision", "create_pr")
_PER_LLM_WEIGHTS = {"llm_embedding.weight", "llm_bias"}
_PUSH_ATTEMPTS = 3  # changes of others that one push gives way to
_FETCH_OPTIONS = ("cache_dir", "revision", "token", "local_files_only")


class EmbedLLM(EmbedLLMNetwork):
    """A pool of LLMs as vectors, and the probability that each answers a question correctly.

    Args:
        config (`EmbedLLMConfig`): Sizes and names.

    Attributes:
        known_questions (`KnownQuestions | None`): The questions that the pool has answered, if the model was trained
            here; saved and loaded with the weights.
        blend (`Blend | None`): How to predict with the network and the known questions together (`blending`); saved
            and loaded with the weights.
        item_response (`ItemResponse | None`): What each known question tells about an LLM, if it was fitted
            (`fit_item_response`); saved and loaded with the weights.
        text_encoder (`QuestionEncoder | None`): The text encoder, if it was trained with the vectors; saved and loaded
            with them. None: the one that the configuration names, as it was published.
        metrics (`dict | None`): How it was measured, as `EvaluationReport.to_dict` gives it; saved as `metrics.json`,
            and the source of the card's numbers.
    """

    def __init__(self, config: EmbedLLMConfig) -> None:
        super().__init__(config)
        self.known_questions: KnownQuestions | None = None
        self.blend: Blend | None = None
        self.item_response: ItemResponse | None = None
        self.text_encoder: QuestionEncoder | None = None
        self.metrics: dict | None = None

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        *,
        remote_code: bool = False,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **kwargs: object,
    ) -> None:
        """Write `config.json`, `model.safetensors`, the card and, if there are any, metrics and known questions.

        Takes the arguments of `PreTrainedModel.save_pretrained`, and:

        Args:
            push_to_hub (`bool`): Also upload, with the arguments of `EmbedLLM.push_to_hub`.
            repo_id (`str`, *optional*): The model's id on the Hub, which the card then names. Default for an upload:
                the folder's name.
            remote_code (`bool`): Add the network's source files, so that `AutoModel.from_pretrained(...,
                trust_remote_code=True)` works where this package is not installed.
        """
        vars(self.config).pop("auto_map", None)  # of the folder it was loaded from, whose code is not copied
        push = {name: kwargs.pop(name) for name in _PUSH_OPTIONS if name in kwargs}
        super().save_pretrained(save_directory, **kwargs)
        if not kwargs.get("is_main_process", True):
            return
        self._save_companions(Path(save_directory), repo_id)
        if remote_code:
            export_remote_code(save_directory, {"AutoConfig": EmbedLLMConfig, "AutoModel": EmbedLLMNetwork})
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).resolve().name, remote_code=remote_code, **push)

    def _save_companions(self, folder: Path, repo_id: str | None) -> None:
        """Write what stands beside the weights, and remove what another model has left there."""
        for file in (METRICS_FILE, *(kind.FILE for kind in _COMPANIONS.values())):
            (folder / file).unlink(missing_ok=True)
        if self.metrics is not None:
            text = json.dumps(self.metrics, indent=2, ensure_ascii=False) + "\n"
            (folder / METRICS_FILE).write_text(text, encoding="utf-8")
        for attribute in _COMPANIONS:
            if getattr(self, attribute) is not None:
                getattr(self, attribute).save(folder)
        if self.text_encoder is None:
            shutil.rmtree(folder / TEXT_ENCODER, ignore_errors=True)
        else:
            self.text_encoder.save(folder / TEXT_ENCODER)
        benchmarks = [] if self.known_questions is None else list(self.known_questions.benchmarks)
        write_model_card(folder, self.config, self.metrics, self.llm_embeds, repo_id=repo_id, benchmarks=benchmarks)

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
            commit_message (`str`): Summary of the commit.
            private (`bool`, *optional*): Make the repository a private one, if it is made now.
            token (`str`, *optional*): Default: the one that is logged in.
            revision (`str`, *optional*): Branch, made if it is not there. Default: the main one.
            create_pr (`bool`): Open a pull request instead.

        Returns:
            `CommitInfo`: The commit.

        Raises:
            OSError: If the Hub refuses or cannot be reached; nothing is committed then.
        """
        api = HfApi(token=token)
        with explain_hub_errors(repo_id, revision):
            if not create_pr:
                repo_id = retried(lambda: api.create_repo(repo_id, private=private, exist_ok=True)).repo_id
            if revision is not None and not revision.startswith("refs/"):
                retried(lambda: api.create_branch(repo_id, branch=revision, exist_ok=True))
        target = {"token": token, "revision": revision, "create_pr": create_pr}
        return self._commit(repo_id, remote_code=remote_code, message=commit_message, **target)

    def _commit(self, repo_id: str, *, remote_code: bool = False, **options: object) -> CommitInfo:
        """Put everything that `save_pretrained` writes into one commit; files that did not change are not sent."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, remote_code=remote_code, repo_id=repo_id)
            files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            additions = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
            return commit(repo_id, additions, **options)

    # --- one LLM more or less ---

    def with_llm(self, name: str, llm_embed: np.ndarray, llm_bias: float = 0.0) -> EmbedLLM:
        """A new model with one LLM more; this one stays as it is, and no other LLM's vector changes by a bit.

        Args:
            name (`str`): Its name.
            llm_embed (`np.ndarray` of shape `(embed_dim,)`): Its vector.
            llm_bias (`float`): Its bias, in log odds.

        Raises:
            ValueError: If the pool has an LLM of that name, the vector has another width, or the model has no biases
                and one is given.
        """
        if name in self.config.llm_names:
            raise InputError(f"the pool has an LLM `{name}` already. Choose another name, or remove that one first.")
        vector = np.asarray(llm_embed, np.float32)
        if vector.shape != (self.config.embed_dim,):
            raise InputError(
                f"`llm_embed` has shape {vector.shape}, expected ({self.config.embed_dim},), as the pool's vectors."
            )
        if self.llm_bias is None and llm_bias:
            raise InputError("`llm_bias` is given, but this model has no biases. Leave it out.")
        return self.with_llm_vectors([name], vector[None], np.array([llm_bias]))

    def with_llm_vectors(self, names: Sequence[str], llm_embeds: np.ndarray, llm_biases: np.ndarray) -> EmbedLLM:
        """A new model with the vectors `(n, embed_dim)` and biases `(n,)` of some LLMs: of new ones, or other ones."""
        new = [name for name in names if name not in self.config.llm_names]
        grown = self._of_pool([*self.config.llm_names, *new], list(range(self.config.n_llms)))
        column_of = {name: column for column, name in enumerate(grown.config.llm_names)}
        columns = [column_of[name] for name in names]
        with torch.no_grad():
            grown.llm_embedding.weight[columns] = torch.as_tensor(llm_embeds, dtype=torch.float32)
            if grown.llm_bias is not None:
                grown.llm_bias[columns] = torch.as_tensor(llm_biases, dtype=torch.float32)
        return grown

    def without_llm(self, name: str) -> EmbedLLM:
        """A new model without one LLM, its responses forgotten.

        Raises:
            KeyError: If the pool has no such LLM; the message offers close names.
        """
        removed = self.llm_index(name)
        columns = [column for column in range(self.config.n_llms) if column != removed]
        return self._of_pool([self.config.llm_names[column] for column in columns], columns)

    def with_llm_renamed(self, name: str, new_name: str) -> EmbedLLM:
        """A new model in which one LLM has another name.

        Raises:
            KeyError: If the pool has no such LLM.
            ValueError: If it has one of the new name.
        """
        renamed, names = self.llm_index(name), list(self.config.llm_names)
        if new_name in names:
            raise InputError(f"the pool has an LLM `{new_name}` already. Choose another name.")
        names[renamed] = new_name
        return self._of_pool(names, list(range(len(names))))

    def _of_pool(self, llm_names: list[str], columns: list[int]) -> EmbedLLM:
        """A copy for another pool: its first LLMs are this one's `columns`, those beyond are still to be set."""
        config = copy.deepcopy(self.config)
        config.llm_names = llm_names
        other = type(self)(config).eval()
        weights = {name: value.clone() for name, value in self.state_dict().items()}
        for name in _PER_LLM_WEIGHTS & set(weights):
            table = torch.zeros(len(llm_names), *weights[name].shape[1:])
            table[: len(columns)] = weights[name][columns]
            weights[name] = table
        other.load_state_dict(weights)
        other.metrics = copy.deepcopy(self.metrics)
        other.text_encoder = self.text_encoder
        for attribute in _COMPANIONS:
            if getattr(self, attribute) is not None:
                setattr(other, attribute, getattr(self, attribute).of_pool(columns))
        if other.item_response is not None:
            other.item_response = other.item_response.of_pool(range(len(columns)), len(llm_names))
        return other

    def push_llm_to_hub(
        self, name: str, repo_id: str, *, token: str | bool | None = None, create_pr: bool = False
    ) -> CommitInfo:
        """Add one LLM of this model to a model that lives on the Hub, as a small change to it.

        The change is made on top of the commit that was read. If somebody changed the model in the meantime, for
        instance by adding another LLM, it is made again on top of theirs, so that neither is lost.

        Args:
            name (`str`): The LLM, of this model's pool.
            repo_id (`str`): The model on the Hub, with the same questions' side as this one.
            token (`str`, *optional*): Default: the one that is logged in.
            create_pr (`bool`): Propose it as a pull request.

        Returns:
            `CommitInfo`: The commit.

        Raises:
            KeyError: If this model has no such LLM.
            ValueError: If the Hub's model has an LLM of that name, or is not one that this LLM's vector fits.
            OSError: If the Hub refuses or cannot be reached.
        """
        column = self.llm_index(name)
        bias = 0.0 if self.llm_bias is None else self.llm_bias[column].item()
        for attempt in range(_PUSH_ATTEMPTS):
            with explain_hub_errors(repo_id, None):
                head = retried(lambda: HfApi(token=token).model_info(repo_id)).sha
            shared = EmbedLLM.from_pretrained(repo_id, revision=head, token=token)
            self._check_same_questions(shared, repo_id)
            grown = _carry_answers(self, shared.with_llm(name, self.llm_embeds[column], bias), name)
            options = {"message": f"Add {name}", "token": token, "create_pr": create_pr, "parent_commit": head}
            try:
                return grown._commit(repo_id, **options)
            except OSError as error:
                if "(412)" not in str(error) or attempt == _PUSH_ATTEMPTS - 1:
                    raise
                logger.info("%s changed in the meantime; adding %s on top of the change.", repo_id, name)
        raise AssertionError("unreachable")

    def _check_same_questions(self, shared: EmbedLLM, repo_id: str) -> None:
        """Refuse a model whose questions' side differs: its LLM vectors live in another space."""
        ours, theirs = self.state_dict(), shared.state_dict()
        for weight in ours.keys() - _PER_LLM_WEIGHTS:
            if weight not in theirs or not torch.equal(ours[weight], theirs[weight]):
                raise InputError(
                    f"{repo_id}: `{weight}` differs from this model's, so its LLM vectors live in another space. "
                    "Place the LLM with that model, and push it from there."
                )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: object, **kwargs: object):
        """Load from a Hub id or a folder, strictly.

        Takes the arguments of `PreTrainedModel.from_pretrained`. All files are of one commit, and each is compared
        with the Hub's hash of it.

        Returns:
            `EmbedLLM`: In evaluation mode, with its known questions and metrics.

        Raises:
            ValueError: If a weight is missing, unexpected, of the wrong shape, a file is damaged, or the text encoder
                that was trained with the model is not in its folder.
            OSError: If there is no such model, or the Hub refuses or cannot be reached; one line with the remedy.
        """
        with_info = kwargs.pop("output_loading_info", False)
        source = str(pretrained_model_name_or_path)
        folder = Path(source)
        if not folder.is_dir():
            passed = {name: kwargs.pop(name) for name in _FETCH_OPTIONS if name in kwargs}
            folder = fetch_snapshot(source, _needed, **passed).folder
        model, info = super().from_pretrained(folder, *args, **kwargs, output_loading_info=True)
        model.config._name_or_path = model.name_or_path = source
        for attribute, kind in _COMPANIONS.items():
            if (folder / kind.FILE).is_file():
                setattr(model, attribute, kind.load(folder / kind.FILE))
        if (folder / METRICS_FILE).is_file():
            model.metrics = _load_metrics(folder / METRICS_FILE)
        if model.config.trained_encoder is not None:
            model.text_encoder = _trained_encoder(folder / TEXT_ENCODER, model.config)
        return (model, info) if with_info else model


def _needed(files: Sequence[str]) -> list[str]:
    """Of a model repository's files, those that loading reads."""
    beside = [name for name in files if "/" not in name and name.endswith((".json", ".safetensors"))]
    return [*beside, *(name for name in files if name.startswith(f"{TEXT_ENCODER}/"))]


def _trained_encoder(folder: Path, config: EmbedLLMConfig) -> QuestionEncoder:
    """The text encoder in a model's folder; it is read when the first text is encoded."""
    if not (folder / "modules.json").is_file():
        raise InputError(
            f"{folder}: the text encoder that the model was trained with is not there. Fetch or copy the model's "
            f"folder with its `{TEXT_ENCODER}`."
        )
    return QuestionEncoder.trained(folder, name=config.encoder_name, digest=config.trained_encoder)


def _carry_answers(source: EmbedLLM, target: EmbedLLM, name: str) -> EmbedLLM:
    """Give an LLM of `target`, in place, the answers and the ability that it has in `source`, if both keep them."""
    ours, theirs, column = source.known_questions, target.known_questions, target.llm_index(name)
    from_column = source.llm_index(name)
    if ours is None or theirs is None:
        return target
    responses = ours.responses_of(from_column)
    answered = np.flatnonzero(~np.isnan(responses))
    keys = ours.keys[answered]
    unknown = answered[theirs.rows_of_keys(keys) < 0]
    embeds = ours.question_embeds[unknown]
    target.known_questions = theirs = theirs.with_questions(ours.keys[unknown], embeds)
    columns = np.full(len(answered), column)
    target.known_questions = theirs.with_responses(theirs.rows_of_keys(keys), columns, responses[answered])
    if target.item_response is not None:
        grown = target.item_response.with_questions_of_texts(embeds)
        if source.item_response is not None:
            grown = grown.with_llms(
                [column],
                source.item_response.abilities[from_column],
                source.item_response.ability_covariances[from_column],
                STRATEGIES[source.item_response.strategies[from_column]],
            )
        target.item_response = grown
    return target


def _load_metrics(path: Path) -> dict:
    """Read a `metrics.json`.

    Raises:
        ValueError: If it is damaged, or no JSON object.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not a whole JSON file ({error}). Train or fetch the model again.") from error
    if not isinstance(metrics, dict):
        raise InputError(f"{path}: holds a JSON {type(metrics).__name__}, expected metrics by name.")
    return metrics


AutoModel.register(EmbedLLMConfig, EmbedLLM)
