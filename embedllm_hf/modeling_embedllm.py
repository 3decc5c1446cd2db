"""`EmbedLLM`: the network with what stands beside its weights in files: known questions, metrics, the card.

The formula is in `network`, the card's text in `model_card`. Encoding texts (`question_encoder`) and training
(`training`) are elsewhere.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi
from transformers import AutoModel

from ._hub import commit, explain_hub_errors, fetch_snapshot, retried
from .configuration_embedllm import EmbedLLMConfig
from .data.known_questions import KNOWN_QUESTIONS_FILE, KnownQuestions
from .model_card import write_model_card
from .network import EmbedLLMNetwork
from .remote_code import export_remote_code

METRICS_FILE = "metrics.json"
# Of the arguments of `save_pretrained`, those of its upload.
_PUSH_OPTIONS = ("commit_message", "private", "token", "revision", "create_pr")
_FETCH_OPTIONS = ("cache_dir", "revision", "token", "local_files_only")


class EmbedLLM(EmbedLLMNetwork):
    """A pool of LLMs as vectors, and the probability that each answers a question correctly.

    Args:
        config (`EmbedLLMConfig`): Sizes and names.

    Attributes:
        known_questions (`KnownQuestions | None`): The questions that the pool has answered, if the model was trained
            here; saved and loaded with the weights.
        metrics (`dict | None`): How it was measured, as `EvaluationReport.to_dict` gives it; saved as `metrics.json`,
            and the source of the card's numbers.
    """

    def __init__(self, config: EmbedLLMConfig) -> None:
        super().__init__(config)
        self.known_questions: KnownQuestions | None = None
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
            export_remote_code(save_directory)
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).resolve().name, remote_code=remote_code, **push)

    def _save_companions(self, folder: Path, repo_id: str | None) -> None:
        """Write what stands beside the weights, and remove what another model has left there."""
        known = self.known_questions
        for file, value in ((METRICS_FILE, self.metrics), (KNOWN_QUESTIONS_FILE, known)):
            if value is None:
                (folder / file).unlink(missing_ok=True)
        if self.metrics is not None:
            text = json.dumps(self.metrics, indent=2, ensure_ascii=False) + "\n"
            (folder / METRICS_FILE).write_text(text, encoding="utf-8")
        if known is not None:
            known.save(folder)
        benchmarks = [] if known is None else list(known.benchmarks)
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
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, remote_code=remote_code, repo_id=repo_id)
            files = sorted(path for path in Path(folder).iterdir() if path.is_file())
            return commit(
                repo_id,
                [CommitOperationAdd(path.name, path) for path in files],
                message=commit_message,
                token=token,
                revision=revision,
                create_pr=create_pr,
            )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *args: object, **kwargs: object):
        """Load from a Hub id or a folder, strictly.

        Takes the arguments of `PreTrainedModel.from_pretrained`. All files are of one commit, and each is compared
        with the Hub's hash of it.

        Returns:
            `EmbedLLM`: In evaluation mode, with its known questions and metrics.

        Raises:
            ValueError: If a weight is missing, unexpected, of the wrong shape, or a file is damaged.
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
        if (folder / KNOWN_QUESTIONS_FILE).is_file():
            model.known_questions = KnownQuestions.load(folder / KNOWN_QUESTIONS_FILE)
        if (folder / METRICS_FILE).is_file():
            model.metrics = _load_metrics(folder / METRICS_FILE)
        return (model, info) if with_info else model


def _needed(files: Sequence[str]) -> list[str]:
    """Of a model repository's files, those that loading reads."""
    return [name for name in files if "/" not in name and name.endswith((".json", ".safetensors"))]


def _load_metrics(path: Path) -> dict:
    """Read a `metrics.json`.

    Raises:
        ValueError: If it is damaged, or no JSON object.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a whole JSON file ({error}). Train or fetch the model again.") from error
    if not isinstance(metrics, dict):
        raise ValueError(f"{path}: holds a JSON {type(metrics).__name__}, expected metrics by name.")
    return metrics


AutoModel.register(EmbedLLMConfig, EmbedLLM)
