"""Files of text vectors: safetensors with `question_embeddings` and `prompt_id`, and the encoder in the metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._checks import shorten
from .._errors import InputError, MissingFile
from .._files import whole_file
from ..configuration_embedllm import EncoderId

_VECTORS, _IDS = "question_embeddings", "prompt_id"


def read_embeddings(path: str | Path, question_ids: np.ndarray) -> tuple[np.ndarray, EncoderId | None]:
    """Read the text vectors of some questions, and their encoder if the file names it.

    The vectors are `(n_questions, text_dim)` float32, in the order of `question_ids`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, lacks a tensor or a question.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"`question_embeddings`: there is no file {path}.")
    try:
        with safe_open(path, "np") as file:
            missing = {_VECTORS, _IDS} - set(file.keys())
            if missing:
                raise InputError(
                    f"{path.name}: tensor {shorten(missing)} is missing; found {shorten(file.keys())}, expected "
                    f"`{_VECTORS}` (n, text_dim) and `{_IDS}` (n,)."
                )
            vectors, ids = file.get_tensor(_VECTORS), file.get_tensor(_IDS)
            made_by = (file.metadata() or {}).get("encoder")
    except SafetensorError as error:
        raise InputError(f"{path.name}: not a whole safetensors file ({error}). Fetch or write it again.") from error
    if vectors.ndim != 2 or ids.shape != (len(vectors),):
        raise InputError(
            f"{path.name}: `{_VECTORS}` has shape {vectors.shape} and `{_IDS}` {ids.shape}, expected (n, text_dim) "
            "and (n,). Write the file again."
        )
    rows = positions_of(question_ids, ids)
    if (rows < 0).any():
        raise InputError(
            f"{path.name}: no vector for {np.sum(rows < 0):,} of {len(rows):,} questions, `{_IDS}` "
            f"{shorten(question_ids[rows < 0][:3])} for instance. Is the file of another data set?"
        )
    return vectors[rows].astype(np.float32), None if made_by is None else EncoderId.parse(made_by)


def positions_of(wanted: np.ndarray, values: np.ndarray, order: np.ndarray | None = None) -> np.ndarray:
    """Position of each wanted id in `values`, the first of equal ones, -1 where it is not there.

    `order` `(n,)` sorts the values, equal ones as they stand; whoever asks more than once keeps it.
    """
    if not len(values):
        return np.full(len(wanted), -1)
    order = np.argsort(values, kind="stable") if order is None else order
    places = order[np.searchsorted(values, wanted, sorter=order).clip(max=len(values) - 1)]
    return np.where(values[places] == wanted, places, -1)


def save_embeddings(
    path: str | Path, question_embeds: np.ndarray, question_ids: np.ndarray, encoder: EncoderId
) -> None:
    """Write text vectors in the form that `read_embeddings` reads, as float16, whole or not at all."""
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {_VECTORS: question_embeds.astype(np.float16), _IDS: np.asarray(question_ids)}
    with whole_file(path) as partial:
        save_file(tensors, partial, metadata={"encoder": encoder.label})
