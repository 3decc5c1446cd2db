"""Which files a model's save consists of: their hashes, and that of the configuration itself, in its `config.json`.

What is loaded is what was saved: nothing but the files in the list is read, and each only if it has its hash. So files
of another model that stand beside them, damage on the disk, and a copy that was interrupted are all found out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ._checks import shown
from ._errors import InputError, MissingFile
from ._files import sha256_of

CONFIG_FILE = "config.json"
FILES, SEAL = "files", "sha256"  # keys of the configuration
_LARGEST_JSON = 64 << 20  # bytes; a pool of 100,000 LLMs takes four million
_REMEDY = "Fetch or copy the model's folder whole, or train the model again."


def read_json(path: Path) -> Any:
    """Read a JSON file without NaN and infinity.

    Raises:
        ValueError: If it is no such file.
    """
    if path.stat().st_size > _LARGEST_JSON:
        raise InputError(f"{path}: has {path.stat().st_size:,} bytes, expected {_LARGEST_JSON:,} at most. {_REMEDY}")
    try:
        return json.loads(path.read_bytes().decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a whole JSON file ({error}). {_REMEDY}") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """`read_json` of a file that holds an object.

    Raises:
        ValueError: If it is no such file.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a JSON {type(value).__name__}, expected an object. {_REMEDY}")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def seal(folder: Path, names: Iterable[str]) -> None:
    """Write the hashes of some files of a folder into its `config.json`, and that of what it holds itself."""
    config = read_json_object(folder / CONFIG_FILE)
    config[FILES] = {name: sha256_of(folder / name) for name in sorted(names)}
    config[SEAL] = _digest(config)
    text = json.dumps(config, indent=2, sort_keys=True, allow_nan=False)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def read_sealed(folder: Path) -> dict[str, Any]:
    """Read the `config.json` of a folder and check it, and each of the files that it names.

    Raises:
        FileNotFoundError: If there is no `config.json`.
        ValueError: If it, or one of the files, is not what was saved.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise MissingFile(f"{folder}: has no `{CONFIG_FILE}`, so it is no folder of a model. Check the path.")
    config = read_json_object(path)
    files = config.get(FILES)
    if not isinstance(files, dict) or config.get(SEAL) != _digest(config):
        raise InputError(f"{path}: not what `save_pretrained` wrote: damaged, edited or of another library. {_REMEDY}")
    for name, expected in files.items():
        if Path(name).name != name or name in ("", ".", ".."):
            raise InputError(f"{path}: names the file {shown(name)}, expected one beside it. {_REMEDY}")
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: is missing; the model was saved with it. {_REMEDY}")
        if sha256_of(folder / name) != expected:
            raise InputError(f"{folder / name}: not the file that the model was saved with. {_REMEDY}")
    return config


def _digest(config: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration's values, whatever the order and the white space of its file."""
    plain = {name: value for name, value in config.items() if name != SEAL}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
