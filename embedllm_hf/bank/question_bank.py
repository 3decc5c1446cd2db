"""`KnownQuestions`: what a trained model keeps of the questions that its pool has answered.

Their text vectors, categories and responses, found again by a hash of the text: no text is stored. The forecaster
needs them for the score on a benchmark. They are saved beside the weights as `known_questions.safetensors`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from .._checks import unknown_name
from .._errors import InputError
from ..data.responses import ResponseMatrix, benchmark_categories

NO_CATEGORY = NO_ID = -1  # of a question that was given as a text of its own


def question_keys(questions: Sequence[str]) -> np.ndarray:
    """Hash texts: the first 8 bytes of SHA-256, as int64, `(n_questions,)`."""
    digests = b"".join(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8] for text in questions)
    return np.frombuffer(digests, "<i8")


@dataclass(frozen=True, eq=False)
class KnownQuestions:
    """Questions with responses of the pool, without their texts.

    Attributes:
        keys (`np.ndarray` of shape `(n_questions,)`, int64): `question_keys` of the texts.
        question_ids (`np.ndarray` of shape `(n_questions,)`, int64): The data set's `prompt_id`.
        question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`, float16): Text vectors.
        category_indices (`np.ndarray` of shape `(n_questions,)`, int32): Positions in `categories`; `NO_CATEGORY` for
            the texts of one's own that an LLM was placed by, which stand at the end.
        indptr, llm_indices, values (`np.ndarray`): Responses as compressed rows, see `ResponseMatrix`.
        categories (`tuple[str, ...]`): Category names.
    """

    keys: np.ndarray
    question_ids: np.ndarray
    question_embeds: np.ndarray
    category_indices: np.ndarray
    indptr: np.ndarray
    llm_indices: np.ndarray
    values: np.ndarray
    categories: tuple[str, ...]

    FILE: ClassVar[str] = "known_questions.safetensors"

    @classmethod
    def from_responses(cls, responses: ResponseMatrix, question_embeds: np.ndarray) -> KnownQuestions:
        """Keep what is needed of responses and their questions' text vectors `(n_questions, text_dim)`."""
        categories, indices = np.unique(responses.categories.astype(str), return_inverse=True)
        return cls(
            keys=question_keys(responses.questions),
            question_ids=responses.question_ids,
            question_embeds=question_embeds.astype(np.float16),
            category_indices=indices.astype(np.int32),
            indptr=responses.indptr.astype(np.int64),
            llm_indices=responses.llm_indices,
            values=responses.values,
            categories=tuple(categories.tolist()),
        )

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def benchmarks(self) -> dict[str, tuple[str, ...]]:
        """Categories of each benchmark; a benchmark of one category has its name."""
        return benchmark_categories(self.categories)

    def benchmark_rows(self, benchmark: str) -> np.ndarray:
        """Positions of the questions of a benchmark, or of one category.

        Raises:
            KeyError: If there is none of that name; the message offers the closest.
        """
        names = {**{category: (category,) for category in self.categories}, **self.benchmarks}
        if benchmark not in names:
            raise unknown_name("benchmark", benchmark, sorted(names))
        wanted = [self.categories.index(category) for category in names[benchmark]]
        return np.flatnonzero(np.isin(self.category_indices, wanted))

    def responses_of(self, llm_index: int) -> np.ndarray:
        """One LLM's responses, `(n_questions,)` float32, NaN where it was not observed."""
        responses = np.full(len(self), np.nan, np.float32)
        entries = self.llm_indices == llm_index
        rows = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        responses[rows[entries]] = self.values[entries]
        return responses

    def dense_responses(self, n_llms: int) -> np.ndarray:
        """All responses, `(n_questions, n_llms)` float32, NaN where nothing was observed."""
        responses = np.full((len(self), n_llms), np.nan, np.float32)
        responses[np.repeat(np.arange(len(self)), np.diff(self.indptr)), self.llm_indices] = self.values
        return responses

    def rows_of_keys(self, keys: np.ndarray) -> np.ndarray:
        """Row of each question by its text's key, -1 where it is not known; the first of equal texts."""
        return _positions(self.keys, np.asarray(keys, np.int64))

    def rows_of_ids(self, question_ids: Sequence[int]) -> np.ndarray:
        """Row of each question by its `prompt_id`, -1 where it is not known."""
        return _positions(self.question_ids, np.asarray(question_ids, np.int64))

    # --- more questions, more responses, another pool ---

    def with_questions(self, keys: np.ndarray, question_embeds: np.ndarray) -> KnownQuestions:
        """The same with questions added at the end that are of no category and no benchmark.

        Args:
            keys (`np.ndarray` of shape `(n,)`): `question_keys` of their texts; as ids they have `NO_ID`.
            question_embeds (`np.ndarray` of shape `(n, text_dim)`): Their text vectors.
        """
        none = np.full(len(keys), NO_CATEGORY, np.int32)
        return replace(
            self,
            keys=np.concatenate([self.keys, np.asarray(keys, np.int64)]),
            question_ids=np.concatenate([self.question_ids, np.full(len(keys), NO_ID, np.int64)]),
            question_embeds=np.concatenate([self.question_embeds, question_embeds.astype(np.float16)]),
            category_indices=np.concatenate([self.category_indices, none]),
            indptr=np.concatenate([self.indptr, np.full(len(keys), self.indptr[-1])]),
        )

    def listed(self) -> KnownQuestions:
        """The same without the questions that `with_questions` has added: those of the data set alone."""
        n_listed = int((self.category_indices != NO_CATEGORY).sum())
        if n_listed == len(self):
            return self
        end = self.indptr[n_listed]
        rows = ("keys", "question_ids", "question_embeds", "category_indices")
        kept = {name: getattr(self, name)[:n_listed] for name in rows}
        entries = {"llm_indices": self.llm_indices[:end], "values": self.values[:end]}
        return replace(self, **kept, **entries, indptr=self.indptr[: n_listed + 1])

    def with_responses(self, rows: np.ndarray, llm_indices: np.ndarray, values: np.ndarray) -> KnownQuestions:
        """The same with responses added, `(n,)` each, of (question, LLM) pairs that have none yet."""
        order = np.lexsort((llm_indices, rows))
        rows, llm_indices, values = rows[order], llm_indices[order], values[order]
        # Where each entry goes: behind those of its question whose LLM comes earlier in the pool.
        behind = [
            start + np.searchsorted(self.llm_indices[start:end], column)
            for start, end, column in zip(self.indptr[rows], self.indptr[rows + 1], llm_indices, strict=True)
        ]
        return replace(
            self,
            indptr=self.indptr + np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(self)))]),
            llm_indices=np.insert(self.llm_indices, np.array(behind, int), llm_indices.astype(np.int32)),
            values=np.insert(self.values, np.array(behind, int), values.astype(np.float32)),
        )

    def of_pool(self, columns: Sequence[int]) -> KnownQuestions:
        """The same questions for another pool, whose first LLMs are this one's `columns`.

        Other responses are left out; questions that no kept LLM has answered stay.
        """
        if list(columns) == list(range(len(columns))) and self.llm_indices.max(initial=-1) < len(columns):
            return self
        new_index = np.full(max([*columns, *self.llm_indices], default=-1) + 1, -1, np.int32)
        new_index[list(columns)] = np.arange(len(columns))
        kept = new_index[self.llm_indices] >= 0
        rows = np.repeat(np.arange(len(self)), np.diff(self.indptr))[kept]
        return replace(
            self,
            indptr=np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(self)))]),
            llm_indices=new_index[self.llm_indices[kept]],
            values=self.values[kept],
        )

    def save(self, folder: str | Path) -> None:
        """Write `known_questions.safetensors` into a folder."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(value) for name, value in vars(self).items() if name != "categories"}
        metadata = {"categories": json.dumps(self.categories)}
        save_file(arrays, Path(folder) / self.FILE, metadata=metadata)

    @classmethod
    def load(cls, path: str | Path) -> KnownQuestions:
        """Read the file that `save` wrote.

        Raises:
            ValueError: If the file is damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}
                return cls(**arrays, categories=tuple(json.loads(file.metadata()["categories"])))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: not a whole file of known questions ({error}). Train or fetch it again."
            ) from error


def _positions(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Position of each wanted value in `values`, the first of equal ones, -1 where it is not there."""
    if not len(values):
        return np.full(len(wanted), -1)
    order = np.argsort(values, kind="stable")
    places = order[np.searchsorted(values, wanted, sorter=order).clip(max=len(values) - 1)]
    return np.where(values[places] == wanted, places, -1)
