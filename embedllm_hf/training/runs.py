"""What a training run is: its output folder and lock, its fingerprint, and the record of a run that has ended.

The fingerprint names everything that the result depends on: arguments, sizes, encoder, and digests of the responses,
of the text vectors and of the weights that training starts from. A checkpoint of another run is refused by the first
thing that differs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from .._errors import ExistingFile, InputError
from .._files import locked, whole_file
from ..data.responses import ResponseMatrix
from ..encoding.encoded_responses import EncodedResponses
from .arguments import EmbedLLMTrainingArguments
from .processes import process_state

if TYPE_CHECKING:
    from ..pool_edits import PooledNetwork

logger = logging.getLogger(__name__)

# Arguments that leave the result as it is.
_OF_NO_CONSEQUENCE = (
    "output_dir",
    "save_checkpoints",
    "resume_from_checkpoint",
    "report_to",
    "disable_tqdm",
    "overwrite_output_dir",
    "remote_code",
    "encoder_save_steps",
)
_SIZES = ("text_dim", "embed_dim", "llm_bias", "question_bias", "noise_std", "initializer_range")
_FINISHED = "finished.json"
_OURS = re.compile(r"(network|text_encoder)-\d+\.safetensors|finished\.json|\..*partial.*")
_held: ContextVar[frozenset[Path]] = ContextVar("_held", default=frozenset())


# --- the folder ---


def checkpoints_folder(output_dir: str | Path) -> Path:
    """Where the checkpoints of a run stand; while it is there without a record of an end, a run has not ended."""
    return Path(output_dir) / "checkpoints"


def check_output_dir(output_dir: str | Path, *, may_hold_model: bool) -> None:
    """Refuse an output folder that holds a model, before any work is done.

    Raises:
        FileExistsError: Unless `may_hold_model`, since that is overwritten or goes on.
    """
    folder = Path(output_dir)
    if folder.exists() and not folder.is_dir():
        raise ExistingFile(f"`output_dir`: {folder} is a file, expected a folder. Choose another name.")
    if (folder / "config.json").exists() and not may_hold_model:
        raise ExistingFile(
            f"`output_dir`: {folder} holds a model already. Choose another folder, or pass --overwrite_output_dir."
        )


def may_hold_model(args: EmbedLLMTrainingArguments) -> bool:
    """Whether the output folder may hold a model: one that is to be replaced, or beside what a run is resumed from."""
    resumable = args.resume_from_checkpoint and checkpoints_folder(args.output_dir).is_dir()
    return args.overwrite_output_dir or resumable


@contextmanager
def run_in(args: EmbedLLMTrainingArguments) -> Iterator[None]:
    """Hold the output folder: one run at a time. A run within this one, of the same folder, is part of it.

    A run that starts anew drops what an earlier one has left to resume from.

    Raises:
        OSError: If another process holds the folder.
    """
    folder = Path(args.output_dir).resolve()
    if folder in _held.get() or not process_state().is_main_process:
        yield
        return
    with locked(folder):
        token = _held.set(_held.get() | {folder})
        try:
            _begin(args)
            yield
        finally:
            _held.reset(token)


def _begin(args: EmbedLLMTrainingArguments) -> None:
    """Clear away what was cut off while it was written and, unless it is asked for, what an earlier run has left."""
    folder = checkpoints_folder(args.output_dir)
    for path in folder.glob("*"):
        if _OURS.fullmatch(path.name) and (path.name.startswith(".") or not args.resume_from_checkpoint):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if args.save_checkpoints:
        folder.mkdir(parents=True, exist_ok=True)  # says that a run has begun, before there is a checkpoint
    elif not args.resume_from_checkpoint:
        _remove_if_empty(folder)
    if args.resume_from_checkpoint and not any(folder.glob("*")):
        logger.warning("%s: no checkpoint to resume from; training starts at the beginning.", folder)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


# --- what a run is ---


def describe_run(
    args: EmbedLLMTrainingArguments,
    accelerator: Accelerator,
    model: PooledNetwork,
    splits: Mapping[str, EncodedResponses | ResponseMatrix | None],
) -> dict[str, Any]:
    """Everything that the result of a training depends on, by the name that an error gives it.

    Args:
        args (`EmbedLLMTrainingArguments`): Those that change the result are taken.
        accelerator (`Accelerator`): Each process draws its own random numbers.
        model (`PooledNetwork`): With the weights that training starts from.
        splits (`Mapping`): Responses by the word for them, with or without text vectors.
    """
    run: dict[str, Any] = {name: value for name, value in vars(args).items() if name not in _OF_NO_CONSEQUENCE}
    run |= {"number of processes": accelerator.num_processes, "device": accelerator.device.type}
    run |= {name: getattr(model.config, name) for name in _SIZES}
    run |= {"text encoder": str(model.config.encoder), "LLMs": _digest_of(list(model.config.llm_names))}
    for name, split in splits.items():
        responses = split.responses if isinstance(split, EncodedResponses) else split
        run[f"{name} responses"] = None if responses is None else _digest_of_responses(responses)
        if isinstance(split, EncodedResponses):
            vectors = torch.as_tensor(split.question_embeds)
            run[f"{name} text vectors"] = digest_of_tensors({"vectors": vectors})
    run["initial weights"] = digest_of_tensors(model.state_dict())
    return run


def check_same_run(run: Mapping[str, Any], other: Mapping[str, Any], where: Path) -> None:
    """Refuse what another run has left, by the first thing that differs.

    Raises:
        ValueError: If something differs.
    """
    remedy = "Give the same again, or start anew without --resume_from_checkpoint."
    for name in (*run, *other):
        mine, its = run.get(name), other.get(name)
        if mine == its:
            continue
        if any(isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) for value in (mine, its)):
            raise InputError(f"{where}: was made with other {name} than are given now. {remedy}")
        raise InputError(f"{where}: `{name}` is {mine}, the checkpoint's run had {its}. {remedy}")


def _digest_of_responses(responses: ResponseMatrix) -> str:
    """SHA-256 over ids, texts, and who answered what."""
    digest = hashlib.sha256()
    for array in (responses.question_ids, responses.indptr, responses.llm_indices):
        digest.update(array.astype("<i8").tobytes())
    for array in (responses.values, responses.entry_weights):
        digest.update(array.astype("<f8").tobytes())
    digest.update(_digest_of([*map(str, responses.questions), *responses.llm_names]).encode())
    return digest.hexdigest()


def _digest_of(texts: list[str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def digest_of_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over tensors with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


# --- a run that has ended ---


def note_end(args: EmbedLLMTrainingArguments, run: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Note that a run has ended and its model is saved, and drop its checkpoints.

    Resumed once more, it then gives its model instead of being trained again.
    """
    folder = checkpoints_folder(args.output_dir)
    if not folder.is_dir():
        return
    with whole_file(folder / _FINISHED) as partial:
        partial.write_text(json.dumps({"run": run, **record}, allow_nan=False) + "\n", encoding="utf-8")
    drop_checkpoints(args)


def drop_checkpoints(args: EmbedLLMTrainingArguments) -> None:
    """Remove the checkpoints of a run that has ended."""
    for path in checkpoints_folder(args.output_dir).glob("*"):
        if _OURS.fullmatch(path.name) and path.name != _FINISHED:
            path.unlink()


def end_of(args: EmbedLLMTrainingArguments, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of a run that has ended, if one is to be resumed; None if it has not.

    Raises:
        ValueError: If it was another run.
    """
    path = checkpoints_folder(args.output_dir) / _FINISHED
    if not args.resume_from_checkpoint or not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        other, _ = record["run"].items(), record["weights"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not the record of a run ({error}). Pass --overwrite_output_dir instead.") from error
    check_same_run(run, dict(other), path)
    return record
