"""A model's folder: which of its files are a model's own, and reading them, each checked before it is used.

`modeling_embedllm` writes the folder, `_manifest` knows the hashes of its files.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ._checks import shorten
from ._errors import InputError
from ._manifest import CONFIG_FILE, read_json_object
from .bank.bank_file import BANK_FILE
from .cards.metrics_file import checked_metrics
from .cards.model_card import CARD_FILE, MAP_FILE, RELIABILITY_FILE, is_our_card
from .configuration_embedllm import EmbedLLMConfig
from .hub.remote_code import remote_code_files

METRICS_FILE = "metrics.json"
TEXT_ENCODER = "text_encoder"  # folder of an encoder that is the model's own
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
_INDEX = "model.safetensors.index.json"  # of several files of weights, for other libraries; not read here
_DTYPES = ("float32", "float16", "bfloat16", "float64")
_REMEDY = "Is the save complete? Fetch or train the model again."


def is_model_folder(path: str | Path) -> bool:
    """Whether this is a folder with a model, of whatever kind."""
    return Path(path, CONFIG_FILE).is_file()


def is_ours(name: str) -> bool:
    """Whether a file or folder of this name, in a model's folder or repository, is of a model's set."""
    parts = (CONFIG_FILE, BANK_FILE, METRICS_FILE, RELIABILITY_FILE, MAP_FILE, TEXT_ENCODER, _INDEX, CARD_FILE)
    return name in parts or bool(_WEIGHTS.fullmatch(name)) or name in {path.name for path in remote_code_files()}


def is_ours_in(folder: Path, name: str) -> bool:
    """`is_ours`, but for a card that the user has written."""
    return is_ours(name) and (name != CARD_FILE or is_our_card(folder / name))


def needed_files(files: Sequence[str]) -> list[str]:
    """Of a model repository's files, those that loading reads."""
    beside = [name for name in files if name in (CONFIG_FILE, BANK_FILE, METRICS_FILE) or _WEIGHTS.fullmatch(name)]
    return [*beside, *(name for name in files if name.startswith(f"{TEXT_ENCODER}/"))]


def config_of(saved: Mapping[str, Any], folder: Path) -> EmbedLLMConfig:
    """The configuration in the values of a `config.json`.

    Raises:
        ValueError: If it is of another kind of model, or a value is of the wrong type or out of range.
    """
    if saved.get("model_type") != EmbedLLMConfig.model_type:
        kind = saved.get("model_type")
        raise InputError(f"{folder / CONFIG_FILE}: of a model of the type {kind!r}, expected `embedllm`. {_REMEDY}")
    fields = set(inspect.signature(EmbedLLMConfig).parameters) - {"kwargs"}
    values = {name: value for name, value in saved.items() if name in fields}
    if saved.get("dtype") in _DTYPES:
        values["dtype"] = saved["dtype"]
    if isinstance(saved.get("auto_map"), dict):
        values["auto_map"] = saved["auto_map"]
    try:
        return EmbedLLMConfig(**values)
    except InputError as error:
        raise InputError(f"{folder / CONFIG_FILE}: {error}") from error


def load_weights(folder: Path, files: Iterable[str], expected: Mapping[str, torch.Size]) -> dict[str, torch.Tensor]:
    """The weights in some files of a folder, once they are known to have the shapes that are expected.

    Raises:
        ValueError: If a file is damaged, or a weight is missing, unexpected, of another shape or not finite.
    """
    paths = [folder / name for name in sorted(files) if _WEIGHTS.fullmatch(name)]
    weights: dict[str, torch.Tensor] = {}
    for path in paths:
        try:
            with safe_open(path, "pt") as file:
                shapes = {name: torch.Size(file.get_slice(name).get_shape()) for name in file.keys()}
                _check_names(path, [name for name in shapes if shapes[name] != expected.get(name)], "unexpected")
                weights |= {name: file.get_tensor(name) for name in shapes}
        except SafetensorError as error:
            raise InputError(f"{path}: the weights cannot be read ({error}). {_REMEDY}") from error
    _check_names(folder, expected.keys() - weights.keys(), "missing")
    _check_names(folder, [name for name, weight in weights.items() if not torch.isfinite(weight).all()], "not finite")
    return weights


def _check_names(where: Path, names: Iterable[str], what: str) -> None:
    """Refuse weights that do not fit the configuration."""
    if names := list(names):
        raise InputError(f"{where}: the weights do not fit `{CONFIG_FILE}`: {what} {shorten(names)}. {_REMEDY}")


def load_metrics(path: Path) -> dict[str, Any]:
    """Read a `metrics.json`.

    Raises:
        ValueError: If it is damaged, or not what a card can be made of.
    """
    metrics = read_json_object(path)
    try:
        return checked_metrics(metrics)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
