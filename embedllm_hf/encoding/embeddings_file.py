"""Files of text vectors: safetensors with `question_embeddings` and `prompt_id`, and the encoder in the metadata.

Ids are unique in a table at most, so the files that are written here have a hash of each text, too, and a question
finds its vector by that. In a file of others it has to trust the id. Vectors of whole numbers from -127 to 127 have a
`scale` each, which they are multiplied by: half of float16's size.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._checks import shorten
from .._errors import InputError, MissingFile
from .._files import whole_file
from ..configuration_embedllm import EncoderId

_VECTORS, _IDS, _KEYS, _DIGEST = "question_embeddings", "prompt_id", "text_key", "sha256"
_SCALES = "scale"


def read_embeddings(
    path: str | Path, question_ids: np.ndarray, question_keys: np.ndarray
) -> tuple[np.ndarray, EncoderId | None]:
    """Read the text vectors of some questions, and their encoder if the file names it.

    The vectors are `(n_questions, text_dim)` float32, in the order of `question_ids`; `question_keys` are
    `data.texts.question_keys` of the texts.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, lacks a tensor or a question.
    """
    path = Path(path)
    file = _read(path)
    rows = positions_of(question_ids, file.ids) if file.keys is None else positions_of(question_keys, file.keys)
    if (rows < 0).any():
        raise InputError(
            f"{path.name}: no vector for {np.sum(rows < 0):,} of {len(rows):,} questions, that of `{_IDS}` "
            f"{shorten(question_ids[rows < 0][:3])} for instance. Is the file of another data set?"
        )
    found = file.vectors[rows].astype(np.float32)
    if file.scales is not None:
        found *= file.scales[rows, None].astype(np.float32)
    check_finite(f"{path.name}: `{_VECTORS}`", found, question_ids)
    return found, None if file.encoder is None else EncoderId.parse(file.encoder)


class _Content(NamedTuple):
    """What a file holds: of each question one entry of each array."""

    vectors: np.ndarray
    ids: np.ndarray
    keys: np.ndarray | None
    scales: np.ndarray | None
    encoder: str | None  # its label


def _read(path: Path) -> _Content:
    """Read a file and check what does not depend on the questions that are asked for."""
    import torch
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise MissingFile(f"`question_embeddings`: there is no file {path}.")
    try:
        with safe_open(path, "pt") as file:  # which has bfloat16, too
            missing = {_VECTORS, _IDS} - set(file.keys())
            if missing:
                raise InputError(
                    f"{path.name}: tensor {shorten(missing)} is missing; found {shorten(file.keys())}, expected "
                    f"`{_VECTORS}` (n, text_dim) and `{_IDS}` (n,)."
                )
            vectors, ids = file.get_tensor(_VECTORS), file.get_tensor(_IDS)
            # not in a file of others
            rest = {n: file.get_tensor(n).numpy() for n in (_KEYS, _SCALES, _DIGEST) if n in file.keys()}
            made_by = (file.metadata() or {}).get("encoder")
    except SafetensorError as error:
        raise InputError(f"{path.name}: not a whole safetensors file ({error}). Fetch or write it again.") from error
    if vectors.ndim != 2 or ids.shape != (len(vectors),) or ids.is_floating_point() or ids.is_complex():
        raise InputError(
            f"{path.name}: `{_VECTORS}` has shape {tuple(vectors.shape)} and `{_IDS}` {tuple(ids.shape)} of "
            f"{ids.dtype}, expected (n, text_dim) and (n,) whole numbers. Write the file again."
        )
    as_written = vectors.dtype in (torch.float16, torch.float32, torch.int8)
    kept = vectors.numpy() if as_written else vectors.float().numpy()
    content = _Content(kept, ids.numpy().astype(np.int64), rest.get(_KEYS), rest.get(_SCALES), made_by)
    # A file with keys is one of ours, and has a hash; of others' there may be none.
    if (_DIGEST in rest or content.keys is not None) and not np.array_equal(rest.get(_DIGEST, 0), _digest(content)):
        raise InputError(f"{path.name}: damaged, its content is not what was written. Fetch or write it again.")
    if content.keys is not None and (content.keys.dtype != np.int64 or content.keys.shape != content.ids.shape):
        raise InputError(f"{path.name}: expected one whole number in `{_KEYS}` for each vector. Write the file again.")
    with_scale = np.zeros(0) if content.scales is None else content.scales
    if with_scale.shape != ((len(kept),) if kept.dtype == np.int8 else (0,)):
        raise InputError(
            f"{path.name}: expected a `{_SCALES}` for each vector of int8, and for no other. Write it again."
        )
    return content


def check_finite(where: str, vectors: np.ndarray, question_ids: np.ndarray) -> None:
    """Refuse vectors `(n, text_dim)` with NaN or infinity, naming the first question."""
    wrong = ~np.isfinite(vectors).all(axis=1)
    if wrong.any():
        raise InputError(
            f"{where} holds NaN or infinity for {wrong.sum():,} of {len(vectors):,} questions, `{_IDS}` "
            f"{question_ids[np.argmax(wrong)]} for instance. Encode them again."
        )


def _digest(content: _Content) -> np.ndarray:
    """SHA-256 of all that a file says, `(32,)` uint8."""
    digest = hashlib.sha256(f"{content.encoder} {content.vectors.dtype} {content.vectors.shape}".encode())
    for array in content[:-1]:
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return np.frombuffer(digest.digest(), np.uint8)


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
    path: str | Path,
    question_embeds: np.ndarray,
    question_ids: np.ndarray,
    encoder: EncoderId,
    question_keys: np.ndarray | None = None,
    *,
    int8: bool = False,
) -> None:
    """Write text vectors in the form that `read_embeddings` reads, as float16 if they fit, whole or not at all.

    With the keys of the texts, `data.texts.question_keys`, a vector is found by its text, else by its id. With `int8`
    the vectors are rounded to a byte a number.

    Raises:
        ValueError: If a vector holds NaN or infinity.
        OSError: If the file cannot be written.
    """
    from safetensors.numpy import save_file

    ids = np.asarray(question_ids, np.int64)
    check_finite("`question_embeds`", question_embeds, ids)
    fits = np.abs(question_embeds).max(initial=0) < np.finfo(np.float16).max
    vectors = np.asarray(question_embeds, np.float16 if fits else np.float32)
    scales = None
    if int8:
        scales = np.maximum(np.abs(question_embeds).max(axis=1) / 127, 1e-30).astype(np.float32)
        vectors = np.rint(question_embeds / scales[:, None]).astype(np.int8)
    content = _Content(vectors, ids, question_keys, scales, encoder.label)
    named = zip((_VECTORS, _IDS, _KEYS, _SCALES), content[:-1], strict=True)
    tensors = {name: array for name, array in named if array is not None}
    with whole_file(path) as partial:
        save_file(tensors | {_DIGEST: _digest(content)}, partial, metadata={"encoder": encoder.label})
