"""The bank's file, `bank.safetensors`: one unit, known to the model's `config.json` by its SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from scipy import sparse

from .._checks import shorten
from .._errors import InputError
from .blend import Blend
from .item_parameters import ItemParameters
from .question_bank import QuestionBank

BANK_FILE = "bank.safetensors"
_ARRAYS = ("keys", "question_ids", "question_embeds", "category_indices", "is_new")
_PARTS: dict[str, type] = {"item_parameters": ItemParameters, "blend": Blend}
_REMEDY = "Fetch or copy the model's folder whole, or train the model again."


def save_bank(bank: QuestionBank, folder: Path) -> str:
    """Write `bank.safetensors` into a folder; returns its SHA-256."""
    from safetensors.numpy import save_file

    arrays = {name: getattr(bank, name) for name in _ARRAYS}
    arrays |= {f"responses.{name}": getattr(bank.responses, name) for name in ("data", "indices", "indptr")}
    if (bank.weights.data != 1).any():
        arrays["weights.data"] = bank.weights.data
    for part in _PARTS:
        if getattr(bank, part) is not None:
            arrays |= {f"{part}.{name}": np.asarray(v) for name, v in vars(getattr(bank, part)).items() if v is not None}
    described = {"llm_names": bank.llm_names, "categories": bank.categories, "knn": bank.knn}
    metadata = {name: json.dumps(value) for name, value in described.items()}
    path = folder / BANK_FILE
    save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, path, metadata=metadata)
    return file_sha256(path)


def load_bank(folder: Path, sha256: str, llm_names: Sequence[str]) -> QuestionBank:
    """Read the bank of a model's folder, strictly.

    Args:
        folder (`Path`): The model's.
        sha256 (`str`): That the file must have, from `config.json`.
        llm_names (`Sequence[str]`): The pool that it must be of.

    Raises:
        ValueError: If the file is missing, another one, damaged, or of another pool.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / BANK_FILE
    if not path.is_file():
        raise InputError(f"{path}: the model's question bank is not there, which its forecasts are made with. {_REMEDY}")
    found = file_sha256(path)
    if found != sha256:
        raise InputError(
            f"{path}: not the question bank that the model was saved with (SHA-256 {found[:12]}, expected "
            f"{sha256[:12]}). {_REMEDY}"
        )
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            described = {name: json.loads(value) for name, value in file.metadata().items()}
        bank = _bank_of(arrays, described)
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a whole question bank ({error}). {_REMEDY}") from error
    if bank.llm_names != tuple(llm_names):
        other = shorten(set(bank.llm_names) ^ set(llm_names), 3) or "the same in another order"
        raise InputError(f"{path}: a question bank of another pool of LLMs ({other}). {_REMEDY}")
    return bank


def _bank_of(arrays: Mapping[str, np.ndarray], described: Mapping) -> QuestionBank:
    """Put the parts together."""
    names = tuple(described["llm_names"])
    data, indices, indptr = (arrays[f"responses.{name}"] for name in ("data", "indices", "indptr"))
    shape, weights = (len(arrays["keys"]), len(names)), arrays.get("weights.data", np.ones(len(data), np.float32))
    parts = {}
    for part, kind in _PARTS.items():
        given = {item.name: arrays.get(f"{part}.{item.name}") for item in fields(kind)}
        if any(value is not None for value in given.values()):
            if kind is Blend:
                given["question_sd"] = given["question_sd"].item()
            parts[part] = kind(**given)
    knn = described["knn"]
    return QuestionBank(
        llm_names=names,
        categories=tuple(described["categories"]),
        **{name: arrays[name] for name in _ARRAYS},
        responses=sparse.csr_array((data, indices, indptr), shape=shape),
        weights=sparse.csr_array((weights, indices, indptr), shape=shape),
        knn=None if knn is None else (int(knn[0]), float(knn[1])),
        **parts,
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()  # `hashlib.file_digest` is there from Python 3.11 on
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
