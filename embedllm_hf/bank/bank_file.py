"""The bank's file, `bank.safetensors`: one unit, known to the model's `config.json` by its SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

from .._checks import shorten
from .._errors import InputError
from ..data.sparse import with_entries
from .blend import Blend
from .item_parameters import ItemParameters
from .question_bank import QuestionBank

BANK_FILE = "bank.safetensors"
_ARRAYS = ("keys", "question_ids", "question_embeds", "category_indices", "is_new")
_ENTRIES = ("data", "indices", "indptr")  # of the responses
_REMEDY = "Fetch or copy the model's folder whole, or train the model again."

Part = TypeVar("Part", ItemParameters, Blend)


def save_bank(bank: QuestionBank, folder: Path) -> str:
    """Write `bank.safetensors` into a folder; returns its SHA-256."""
    from safetensors.numpy import save_file

    arrays = {name: getattr(bank, name) for name in _ARRAYS}
    arrays |= {f"responses.{name}": getattr(bank.responses, name) for name in _ENTRIES}
    if (bank.weights.data != 1).any():
        arrays["weights.data"] = bank.weights.data
    for part, fitted in (("item_parameters", bank.item_parameters), ("blend", bank.blend)):
        if fitted is not None:
            arrays |= {f"{part}.{name}": value for name, value in vars(fitted).items() if value is not None}
    arrays = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    described = {"llm_names": bank.llm_names, "categories": bank.categories, "knn": bank.knn}
    # In one entry: safetensors orders several by chance, and the same bank shall make the same file.
    save_file(arrays, folder / BANK_FILE, metadata={"bank": json.dumps(described)})
    return _sha256(folder / BANK_FILE)


def load_bank(folder: Path, sha256: str, llm_names: Sequence[str]) -> QuestionBank:
    """Read the bank of a model's folder, strictly: `config.json` has the file's SHA-256 and the pool's names.

    Raises:
        ValueError: If the file is missing, another one, damaged, or of another pool.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / BANK_FILE
    if not path.is_file():
        raise InputError(f"{path}: the question bank that the model was saved with is not there. {_REMEDY}")
    found = _sha256(path)
    if found != sha256:
        raise InputError(
            f"{path}: not the question bank that the model was saved with (SHA-256 {found[:12]}, expected "
            f"{sha256[:12]}). {_REMEDY}"
        )
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            bank = _bank_of(arrays, json.loads(file.metadata()["bank"]))
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a whole question bank ({error}). {_REMEDY}") from error
    if bank.llm_names != tuple(llm_names):
        other = shorten(set(bank.llm_names) ^ set(llm_names), 3) or "the same in another order"
        raise InputError(f"{path}: a question bank of another pool of LLMs ({other}). {_REMEDY}")
    return bank


def _bank_of(arrays: Mapping[str, np.ndarray], described: Mapping) -> QuestionBank:
    """Put the parts together."""
    llm_names, knn = tuple(described["llm_names"]), described["knn"]
    entries = [arrays[f"responses.{name}"] for name in _ENTRIES]
    responses = sparse.csr_array(tuple(entries), shape=(len(arrays["keys"]), len(llm_names)))
    return QuestionBank(
        llm_names=llm_names,
        categories=tuple(described["categories"]),
        **{name: arrays[name] for name in _ARRAYS},
        responses=responses,
        weights=with_entries(responses, arrays.get("weights.data", np.ones(responses.nnz, np.float32))),
        item_parameters=_part("item_parameters", ItemParameters, arrays),
        blend=_part("blend", Blend, arrays),
        knn=None if knn is None else (knn[0], knn[1]),
    )


def _part(name: str, kind: type[Part], arrays: Mapping[str, np.ndarray]) -> Part | None:
    """One of the fitted parts; None if the file has nothing of it."""
    own: dict[str, Any] = {
        key.removeprefix(f"{name}."): value if value.ndim else value.item()
        for key, value in arrays.items()
        if key.startswith(f"{name}.")
    }
    return kind(**own) if own else None


def _sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()  # `hashlib.file_digest` is there from Python 3.11 on
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
