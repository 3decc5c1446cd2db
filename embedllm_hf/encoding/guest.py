"""A text encoder as a guest: which of its files are read, what may stand in them, and loading it.

sentence-transformers imports the classes that an encoder's files name, and transformers fetches code, kernels and
adapters that they ask for. So an encoder is never loaded from where it lies: the files that are known go into a room,
a folder of its own, those with settings written anew from what was read and found to be on the list. Nothing else of
the encoder is looked at, and no code of its own runs.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._checks import shown
from .._errors import InputError, MissingFile
from .._files import sha256_of
from .._manifest import read_json, read_json_object

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MODULES_FILE, _SETTINGS_FILE = "modules.json", "config_sentence_transformers.json"
_KINDS = ("Transformer", "Pooling", "Normalize", "Dense", "StaticEmbedding")
_MOST_LAYERS, _LARGEST_SIZE = 1000, 1 << 22
_READS_TEXTS = ("Transformer", "StaticEmbedding")
_TYPE = re.compile(r"sentence_transformers\.[a-z_.]+\.([A-Za-z]+)")  # the module has moved from version to version
_TYPE_TO_LOAD = "sentence_transformers.sentence_transformer.modules."
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
_INDEX = "model.safetensors.index.json"
_READING_FILES = tuple(
    f"sentence_{base}_config.json"
    for base in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_CONFIG_FILE, _TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)
_FILES = (MODULES_FILE, _SETTINGS_FILE, *_READING_FILES, _CONFIG_FILE, _TOKENIZER_CONFIG, *_TOKENIZER_FILES, _INDEX)
_ARCHITECTURES = (
    "albert bert big_bird camembert deberta deberta-v2 distilbert electra ernie eurobert fnet funnel gemma3_text gpt2 "
    "llama longformer mistral mobilebert modernbert mpnet nomic_bert nystromformer qwen2 qwen3 roberta t5 xlm-roberta "
    "xlm-roberta-xl xlnet xmod"
).split()
# In a module's settings: what is known, and of what kind.
_OF_READING = {
    "max_seq_length": int,
    "do_lower_case": bool,
    "transformer_task": str,
    "modality_config": dict,
    "module_output_name": str,
    "unpad_inputs": bool,
}
_FORWARD = {"method": "forward", "method_output_name": "last_hidden_state"}
_OF_POOLING = {"embedding_dimension": int, "word_embedding_dimension": int, "include_prompt": bool}
_OF_DENSE = {"in_features": int, "out_features": int, "bias": bool, "activation_function": str}
_OF_DENSE |= {"module_input_name": str, "module_output_name": str}
_OF_NORMALIZE: dict[str, type] = {"module_input_name": str, "module_output_name": str}
_OF: dict[str, dict[str, type]] = {
    "Pooling": _OF_POOLING,
    "Dense": _OF_DENSE,
    "Normalize": _OF_NORMALIZE,
    "StaticEmbedding": {},
}
_ACTIVATIONS = ("Tanh", "Identity", "ReLU", "GELU", "SiLU", "Sigmoid")
# In the files of transformers: what would fetch or run code, or load other files.
_CALLS_CODE = re.compile(
    r"auto_map|quantization_config|.*attn_implementation.*|.*experts_impl.*|.*kernel.*|.*_weights"
)
_REMEDY = "Take an encoder of Transformer, Pooling, Dense, Normalize or StaticEmbedding modules."


def encoder_files(names: Iterable[str]) -> list[str]:
    """Of the files of an encoder's repository, those that may be read."""
    found = []
    for name in names:
        *folders, file = name.split("/")
        plain = not folders or (len(folders) == 1 and re.fullmatch(r"\d+_[A-Za-z]+", folders[0]))
        if plain and (file in _FILES or _WEIGHTS.fullmatch(file)):
            found.append(name)
    return found


def is_of_encoder(folder: Path, name: str) -> bool:
    """Whether an entry of a folder is a file or a module's folder of an encoder."""
    return bool(encoder_files([name if (folder / name).is_file() else f"{name}/{_CONFIG_FILE}"]))


def own_files(folder: Path) -> list[str]:
    """`encoder_files` of a folder on this disk, sorted.

    Raises:
        FileNotFoundError: If no encoder of sentence-transformers is there.
    """
    if not (folder / MODULES_FILE).is_file():
        raise MissingFile(
            f"{folder}: has no `{MODULES_FILE}`, so it is no encoder of sentence-transformers. {_REMEDY}"
        )
    names = [path.relative_to(folder).as_posix() for path in folder.glob("*")]
    names += [path.relative_to(folder).as_posix() for path in folder.glob("*/*")]
    return sorted(name for name in encoder_files(names) if (folder / name).is_file())


def encoder_digest(folder: Path) -> str:
    """SHA-256 of an encoder: of the names and contents of all the files that may be read."""
    digest = hashlib.sha256()
    for name in own_files(folder):
        digest.update(f"{name}\n{sha256_of(folder / name)}\n".encode())
    return digest.hexdigest()


def load_guest(folder: Path, device: str | None = None) -> SentenceTransformer:
    """Load the encoder in a folder.

    Raises:
        FileNotFoundError: If no encoder is there.
        ValueError: If it has a module or a setting that is not on the list, or its weights are damaged.
    """
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as room:
        _furnish(Path(room), folder)
        try:
            kept = {"local_files_only": True, "trust_remote_code": False, "model_kwargs": {"use_safetensors": True}}
            return SentenceTransformer(room, device=device, **kept)
        except SafetensorError as error:
            damage = f"the text encoder's weights are not a whole safetensors file ({error})"
            raise InputError(f"{folder}: {damage}. Fetch or train it again.") from error
        except MemoryError:
            raise
        except Exception as error:  # of a stranger's settings the libraries raise whatever comes
            cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{folder}: the text encoder cannot be loaded ({cause}). Fetch it again.") from error


def _furnish(room: Path, folder: Path) -> None:
    """Put what an encoder needs into its room."""
    names = own_files(folder)
    modules = _modules(folder / MODULES_FILE)
    _write(room / MODULES_FILE, modules)
    settings = read_json_object(folder / _SETTINGS_FILE) if _SETTINGS_FILE in names else {}
    prompts = {"prompts", "default_prompt_name"} & settings.keys()
    _write(room / _SETTINGS_FILE, {name: settings[name] for name in prompts} | {"similarity_fn_name": "cosine"})
    for module in modules:
        kind, place = module["type"].removeprefix(_TYPE_TO_LOAD), module["path"]
        (room / place).mkdir(exist_ok=True)
        for name in names:
            inside, _, file = name.rpartition("/")
            if inside != place or file in (MODULES_FILE, _SETTINGS_FILE):
                continue
            if file.endswith(".json") and file not in _TOKENIZER_FILES:
                _write(room / name, _settings(folder / name, kind))
            else:
                (room / name).symlink_to((folder / name).resolve())


def _modules(path: Path) -> list[dict[str, Any]]:
    """The modules of an encoder, in order, as sentence-transformers shall load them."""
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: holds {shown(entries)}, expected a list of modules. {_REMEDY}")
    modules = []
    for number, entry in enumerate(entries):
        known = isinstance(entry, dict) and entry.keys() <= {"idx", "name", "path", "type"}
        kind = _TYPE.fullmatch(str(entry.get("type"))) if known else None
        if kind is None or kind[1] not in _KINDS:
            raise InputError(f"{path}: the module {shown(entry)} is not one that is loaded here. {_REMEDY}")
        place = entry.get("path", "")
        if not isinstance(place, str) or not (place == "" or re.fullmatch(r"\d+_[A-Za-z]+", place)):
            raise InputError(f"{path}: the module's folder {shown(place)} is none of an encoder, `1_Pooling` say.")
        if number == 0 and kind[1] not in _READS_TEXTS:
            raise InputError(f"{path}: begins with {shown(kind[1])}, expected {' or '.join(_READS_TEXTS)}. {_REMEDY}")
        modules.append({"idx": number, "name": str(number), "path": place, "type": _TYPE_TO_LOAD + kind[1]})
    return modules


def _settings(path: Path, kind: str) -> dict[str, Any]:
    """The content of a module's file of settings, if all of it is on the list."""
    settings = read_json_object(path)
    if path.name == _INDEX:
        names = list((settings.get("weight_map") or {}).values())
        _require(path, "weight_map", names, all(_WEIGHTS.fullmatch(str(name)) for name in names))
    elif path.name in _READING_FILES:
        _check_known(path, settings, _OF_READING)
        _check_reading(path, settings)
    elif path.name == _CONFIG_FILE and kind != "Transformer":
        _check_known(path, {name: value for name, value in settings.items() if not _is_mode(name)}, _OF[kind])
        activation = settings.get("activation_function", "torch.nn.modules.activation.Tanh")
        plain = re.fullmatch(r"torch\.nn\.modules\.(activation|linear)\.(\w+)", activation)
        _require(path, "activation_function", activation, plain is not None and plain[2] in _ACTIVATIONS)
    else:
        for name, value in _all_items(settings):
            _require(path, name, value, not _CALLS_CODE.fullmatch(name))
        if path.name == _CONFIG_FILE:
            _require(path, "model_type", settings.get("model_type"), settings.get("model_type") in _ARCHITECTURES)
            for name, value in _all_items(settings):
                _require(path, name, value, not _is_too_large(name, value))
    return settings


def _is_too_large(name: str, value: Any) -> bool:
    """Whether a size would take memory, or time, for what no weights are there for."""
    if type(value) is not int or name.startswith("rope"):  # the base of angles, which is no size
        return False
    return value > (_MOST_LAYERS if "layer" in name else _LARGEST_SIZE)


def _is_mode(name: str) -> bool:
    return name.startswith("pooling_mode")  # one of several names, or flags of older versions


def _check_known(path: Path, settings: dict[str, Any], known: dict[str, type]) -> None:
    for name, value in settings.items():
        is_kind = name in known and isinstance(value, known[name]) and (known[name] is bool) == isinstance(value, bool)
        _require(path, name, value, value is None or value == {} or is_kind)


def _check_reading(path: Path, settings: dict[str, Any]) -> None:
    """Text goes in, through the model's `forward`, and vectors come out: no other method of it is called."""
    task = settings.get("transformer_task", "feature-extraction")
    _require(path, "transformer_task", task, task == "feature-extraction")
    for modality, how in (settings.get("modality_config") or {}).items():
        _require(path, f"modality_config.{modality}", how, how == _FORWARD and modality in ("text", "message"))
    output = settings.get("module_output_name")
    _require(path, "module_output_name", output, output == "token_embeddings")


def _all_items(value: Any) -> list[tuple[str, Any]]:
    """Names and values of a JSON value, at all depths."""
    found: list[tuple[str, Any]] = []
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            found += one.items()
            left += one.values()
        elif isinstance(one, list):
            left += one
    return found


def _require(path: Path, name: str, value: Any, allowed: bool) -> None:
    if not allowed and value is not None:
        raise InputError(f"{path}: the setting `{name}` is {shown(value)}, which is not loaded here. {_REMEDY}")


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
