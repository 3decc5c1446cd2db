"""The bank's file, `bank.safetensors`: one unit, known to the model's `config.json` by its hash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

from .._checks import shorten
from .._errors import InputError
from ..data.sparse import with_entries
from .blend import Blend
from .item_parameters import STRATEGIES, ItemParameters
from .question_bank import NO_CATEGORY, QuestionBank

BANK_FILE = "bank.safetensors"
_ARRAYS = ("keys", "question_ids", "question_embeds", "category_indices", "is_new")
_VALIDATION = "validation."  # before the names of arrays of the validation questions
_ENTRIES = ("data", "indices", "indptr")  # of the responses
_REMEDY = "Fetch or copy the model's folder whole, or train the model again."

Part = TypeVar("Part", ItemParameters, Blend)


def save_bank(bank: QuestionBank, folder: Path) -> None:
    """Write `bank.safetensors` into a folder."""
    from safetensors.numpy import save_file

    arrays = _arrays_of(bank)
    if bank.validation is not None:
        arrays |= {f"{_VALIDATION}{name}": value for name, value in _arrays_of(bank.validation).items()}
    for part, fitted in (("item_parameters", bank.item_parameters), ("blend", bank.blend)):
        if fitted is not None:
            arrays |= {f"{part}.{name}": value for name, value in vars(fitted).items() if value is not None}
    arrays = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    described: dict[str, Any] = {"llm_names": bank.llm_names, "categories": bank.categories, "knn": bank.knn}
    if bank.trained_on is not None:
        described["trained_on"] = bank.trained_on
    benchmark_of = dict(bank.benchmark_of)
    if bank.validation is not None:
        described["validation"] = bank.validation.categories
        benchmark_of |= bank.validation.benchmark_of
    if benchmark_of:
        described["benchmark_of"] = dict(sorted(benchmark_of.items()))
    # In one entry: safetensors orders several by chance, and the same bank shall make the same file.
    save_file(arrays, folder / BANK_FILE, metadata={"bank": json.dumps(described)})


def _arrays_of(bank: QuestionBank) -> dict[str, np.ndarray]:
    """The questions and their responses."""
    arrays = {name: getattr(bank, name) for name in _ARRAYS}
    arrays |= {f"responses.{name}": getattr(bank.responses, name) for name in _ENTRIES}
    if (bank.weights.data != 1).any():
        arrays["weights.data"] = bank.weights.data
    return arrays


def load_bank(folder: Path, llm_names: Sequence[str]) -> QuestionBank:
    """Read the bank of a model's folder, strictly.

    Raises:
        ValueError: If the file is damaged, its parts do not fit together, or it is of another pool.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / BANK_FILE
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            bank = _bank_of(arrays, json.loads(file.metadata()["bank"]))
    except (SafetensorError, LookupError, TypeError, ValueError, RecursionError, AttributeError) as error:
        raise InputError(f"{path}: not a whole question bank ({error}). {_REMEDY}") from error
    if bank.llm_names != tuple(llm_names):
        other = shorten(set(bank.llm_names) ^ set(llm_names), 3) or "the same in another order"
        raise InputError(f"{path}: a question bank of another pool of LLMs ({other}). {_REMEDY}")
    return bank


def _check_arrays(arrays: Mapping[str, np.ndarray], n_llms: int, n_categories: int) -> None:
    """Refuse numbers that are none, and positions outside of what they are positions in."""
    for name, array in arrays.items():
        may_be_nan = name.startswith("item_parameters.abilit")  # those of an LLM that has not been placed
        if array.dtype.kind not in "fiub" or (not may_be_nan and not np.isfinite(array).all()):
            raise ValueError(f"`{name}` holds what are no finite numbers")
    positions = {"responses.indices": (0, n_llms), "category_indices": (NO_CATEGORY, n_categories)}
    for name, (lowest, size) in (positions | {"item_parameters.strategies": (0, len(STRATEGIES))}).items():
        found = arrays.get(name, np.zeros(0, int))
        if found.dtype.kind != "i" or ((found < lowest) | (found >= size)).any():
            raise ValueError(f"`{name}` holds positions outside of {lowest} to {size - 1}")
    values, indices, indptr = (arrays[f"responses.{name}"] for name in _ENTRIES)
    weights = arrays.get("weights.data", values)
    if not values.shape == indices.shape == weights.shape or ((values < 0) | (values > 1) | (weights < 0)).any():
        raise ValueError("the responses are not one number in [0, 1] for each position, with its weight")
    if indptr.shape != (len(arrays["keys"]) + 1,) or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError("the responses are not those of ascending questions")
    if indptr[-1] != len(indices):
        raise ValueError(f"the questions have {indptr[-1]} responses, expected {len(indices)}")


def _bank_of(arrays: Mapping[str, np.ndarray], described: Mapping) -> QuestionBank:
    """Put the parts together."""
    llm_names, knn, validation = tuple(described["llm_names"]), described["knn"], None
    trained_on = described.get("trained_on")
    if trained_on is not None and not 0 <= trained_on[0] <= len(arrays["keys"]):
        raise ValueError(f"`trained_on` is {trained_on}, of {len(arrays['keys'])} questions")
    benchmark_of = _benchmarks_of(described)
    if "validation" in described:
        own = {name.removeprefix(_VALIDATION): value for name, value in arrays.items() if name.startswith(_VALIDATION)}
        validation = _questions_of(own, llm_names, described["validation"], benchmark_of)
    return replace(
        _questions_of(arrays, llm_names, described["categories"], benchmark_of),
        item_parameters=_part("item_parameters", ItemParameters, arrays),
        blend=_part("blend", Blend, arrays),
        knn=None if knn is None else (knn[0], knn[1]),
        validation=validation,
        trained_on=None if trained_on is None else (int(trained_on[0]), int(trained_on[1])),
    )


def _benchmarks_of(described: Mapping) -> dict[str, str]:
    """The benchmark of each category that one is told of, by name."""
    benchmark_of, categories = described.get("benchmark_of", {}), {*described["categories"]}
    strangers = benchmark_of.keys() - (categories | {*described.get("validation", ())})
    if strangers:
        raise ValueError(f"`benchmark_of` has {shorten(strangers, 3)}, which are no categories of it")
    if not all(isinstance(name, str) and name for name in benchmark_of.values()):
        raise ValueError("`benchmark_of` holds what are no names")
    return benchmark_of


def _questions_of(
    arrays: Mapping[str, np.ndarray],
    llm_names: tuple[str, ...],
    categories: Sequence[str],
    benchmark_of: Mapping[str, str],
) -> QuestionBank:
    """The questions and their responses, checked."""
    _check_arrays(arrays, len(llm_names), len(categories))
    entries = [arrays[f"responses.{name}"] for name in _ENTRIES]
    responses = sparse.csr_array(tuple(entries), shape=(len(arrays["keys"]), len(llm_names)))
    if not responses.has_canonical_format:
        raise ValueError("a question repeats an LLM, or they do not ascend")
    own: dict[str, Any] = {name: arrays[name] for name in _ARRAYS}
    return QuestionBank(
        llm_names=llm_names,
        categories=tuple(categories),
        **own,
        responses=responses,
        weights=with_entries(responses, arrays.get("weights.data", np.ones(responses.nnz, np.float32))),
        benchmark_of={name: of for name, of in benchmark_of.items() if name in categories},
    )


def _part(name: str, kind: type[Part], arrays: Mapping[str, np.ndarray]) -> Part | None:
    """One of the fitted parts; None if the file has nothing of it."""
    own: dict[str, Any] = {
        key.removeprefix(f"{name}."): value if value.ndim else value.item()
        for key, value in arrays.items()
        if key.startswith(f"{name}.")
    }
    return kind(**own) if own else None
