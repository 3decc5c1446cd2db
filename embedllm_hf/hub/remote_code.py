"""The network's source files beside a model's weights, so that it loads where this package is not installed.

transformers runs such files on `AutoModel.from_pretrained(..., trust_remote_code=True)`: `auto_map` in `config.json`
names the classes, and every file that they import relatively must stand beside them, without sub-folders. So nothing
is generated and no formula is written twice: `network.py` and what it imports are copied as they are. The bank stays
behind, with all that is built on it, and the encoding of texts.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_import_files

from .._errors import MissingFile


def remote_code_files() -> list[Path]:
    """The source files that travel with a model: the network's own and those it imports from the package."""
    network = Path(__file__).parents[1] / "network.py"
    return sorted({network, *map(Path, get_relative_import_files(network))})


def export_remote_code(folder: str | os.PathLike, classes: Mapping[str, type]) -> list[Path]:
    """Add the network's source files to the folder of a saved model, and name its classes in `config.json`.

    `classes` has the class that each Auto class of transformers loads. The result is the files that were added.

    Raises:
        FileNotFoundError: If the folder has no `config.json`.
    """
    config_file = Path(folder) / "config.json"
    if not config_file.is_file():
        raise MissingFile(f"`folder`: {config_file} is not there. Save the model first.")
    added = [Path(shutil.copyfile(source, Path(folder) / source.name)) for source in remote_code_files()]
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config["auto_map"] = {
        auto: f"{made.__module__.rpartition('.')[2]}.{made.__name__}" for auto, made in classes.items()
    }
    partial = config_file.with_suffix(".json.partial")  # the classes are named at once, after their files are there
    partial.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(config_file)
    return added
