"""What is published: of each repository the files, and how they are pushed.

Data set and Space go as they are, file by file; a model goes as `EmbedLLM.push_to_hub` has it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, DatasetCard, RepoCard

import embedllm_hf
from embedllm_hf import EmbedLLM, EmbedLLMTrainer, EmbedLLMTrainingArguments, load_splits
from embedllm_hf._errors import InputError, MissingFile, Refused
from embedllm_hf.configuration_embedllm import OFFLINE_ENCODER
from embedllm_hf.data.files import EMBEDDED, ORDER_FILE, SPLIT_NAMES, VECTORS_FILE, split_files
from embedllm_hf.data.splits import ResponseSplits
from embedllm_hf.hub.client import Listing
from embedllm_hf.hub.commits import Target, commit_on_top
from embedllm_hf.hub.errors import explain_hub_errors
from embedllm_hf.hub.requests import api, asked
from embedllm_hf.model_folder import METRICS_FILE
from embedllm_hf.training.runs import checkpoints_folder

CARD_FILE = "README.md"
SPACE = Path(__file__).with_name("space")
SDK = "gradio"
_BESIDE = (CARD_FILE, ORDER_FILE, VECTORS_FILE, "llms.csv")


@dataclass(frozen=True)
class Part:
    """A repository.

    Attributes:
        target (`Target`): Where it is.
        files (`Mapping[str, Path | bytes]`): What it is to hold.
        push (`Callable`): Puts that there, in one commit.
    """

    target: Target
    files: Mapping[str, Path | bytes]
    push: Callable[[], CommitInfo]


def check_user(name: str) -> None:
    """Refuse, before any work, a token that may not write under a name.

    Raises:
        PermissionError: If there is none, or it is of another account.
    """
    from huggingface_hub.errors import LocalTokenNotFoundError

    with explain_hub_errors(name, None):
        try:
            who = asked(lambda: api().whoami())
        except LocalTokenNotFoundError as error:
            raise Refused(f"{name}: there is no token of the Hub. Log in (hf auth login), or set HF_TOKEN.") from error
    names = [who["name"], *(org["name"] for org in who["orgs"])]
    if name not in names:
        raise Refused(f"{name}: the token is of {', '.join(names)}. Give one of these as --user, or log in as {name}.")


def revision_of(target: Target) -> str:
    """The commit that a repository is at."""
    with explain_hub_errors(target.repo_id, target.revision):
        return target.look().revision


# --- the data set ---


def data_part(repo_id: str, folder: Path, *, private: bool) -> Part:
    """A data set's folder: tables, order of the LLMs, facts about them, text vectors, card.

    Raises:
        ValueError: If the card does not name a licence, so that nobody could use what is pushed.
    """
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    tables = [table for split in SPLIT_NAMES for table in split_files(names, split)]
    files = {name: folder / name for name in sorted({*tables, *(name for name in _BESIDE if name in names)})}
    if CARD_FILE not in files or DatasetCard.load(folder / CARD_FILE).data.license is None:
        raise InputError(
            f"{folder}: its `{CARD_FILE}` is missing, or names no `license` on top. Say whose data it is."
        )
    return _as_they_are(Target(repo_id, "dataset", private=private or None), files, "Upload the data set")


def _as_they_are(target: Target, files: Mapping[str, Path | bytes], message: str, *, whole: str | None = None) -> Part:
    """Files that go as they are; of the folder `whole` nothing else stays there."""

    def operations(there: Listing) -> list[CommitOperationAdd | CommitOperationDelete]:
        left = [name for name in there.files if name not in files and name.split("/")[0] == whole]
        return [*(CommitOperationAdd(*file) for file in files.items()), *map(CommitOperationDelete, left)]

    return Part(target, files, lambda: commit_on_top(target, operations, message=message))


# --- models ---


def model_part(repo_id: str, model: EmbedLLM, folder: Path, *, private: bool) -> Part:
    """A model; what `push_to_hub` will push is saved to a folder, to be compared."""
    model.save_pretrained(folder, repo_id=repo_id)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    target = Target(repo_id, private=private or None)
    return Part(target, files, lambda: model.push_to_hub(repo_id, private=target.private))


def given_model(folder: Path, *, trained_encoder: bool) -> EmbedLLM:
    """Load a model that the user gives.

    Raises:
        ValueError: If it is not of the kind that is meant, or was not measured, so that its card would be empty.
    """
    if not folder.is_dir():
        raise MissingFile(f"{folder}: no such folder. Give the folder of a trained model.")
    model = EmbedLLM.from_pretrained(folder)
    if (model.config.encoder_digest is not None) != trained_encoder:
        right = "--model" if trained_encoder else "--trained_encoder_model"
        raise InputError(f"{folder}: its text encoder was {'not ' * trained_encoder}trained. Give it as {right}.")
    if model.bank is None or not ((model.metrics or {}).get("dataset") or {}).get("id"):
        raise InputError(f"{folder}: has no question bank, or was not measured. Train it with `embedllm train`.")
    return model


def trained_model(dataset_id: str, revision: str, work_dir: Path) -> EmbedLLM:
    """A model with a frozen text encoder, of the Hub's data set: trained now, or where an earlier run left it."""
    folder = work_dir / f"{dataset_id.split('/')[-1]}-{revision[:12]}"
    if not (folder / METRICS_FILE).is_file():
        print(f"{dataset_id}: training a model of it, which takes half a minute")
        data = load_splits(dataset_id, revision=revision)
        resumed = checkpoints_folder(folder).is_dir()
        args = EmbedLLMTrainingArguments(str(folder), save_checkpoints=True, resume_from_checkpoint=resumed)
        model = EmbedLLM.from_encoder(OFFLINE_ENCODER, llm_names=data.llm_names)
        train, test = data["train"], data["test"]
        trainer = EmbedLLMTrainer(model, args, train_dataset=train, eval_dataset=data.validation)
        trainer.train()
        trainer.evaluate(test)
    return EmbedLLM.from_pretrained(folder)


def named_on_hub(model: EmbedLLM, data: ResponseSplits, dataset_id: str, revision: str | None) -> EmbedLLM:
    """The model; if it was measured on a folder with these responses, as measured on the Hub's data set with them.

    Other data of the same name have other counts, so that name stays.
    """
    measured = model.metrics["dataset"]
    if revision is not None and measured in [asdict(split.summary()) for _, split in data.items()]:
        model = copy.copy(model)
        model.metrics = {**model.metrics, "dataset": {**measured, "id": dataset_id, "revision": revision}}
    return model


# --- the Space ---


def space_part(repo_id: str, model_id: str, *, private: bool) -> Part:
    """The Space's own files, its card naming the model that it asks, and the library's source.

    The source, since the library is in no package registry; as it is here, since it fits the model that was pushed.
    """
    package = Path(embedllm_hf.__file__).parent
    files: dict[str, Path | bytes] = {path.name: path for path in SPACE.iterdir() if path.is_file()}
    card = RepoCard.load(SPACE / CARD_FILE, repo_type="space")
    card.data["models"] = [model_id]
    files[CARD_FILE] = str(card).encode()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and EMBEDDED not in path.parents:
            files[path.relative_to(package.parent).as_posix()] = path
    target = Target(repo_id, "space", private=private or None, space_sdk=SDK)
    return _as_they_are(target, files, "Upload the Space", whole=package.name)
