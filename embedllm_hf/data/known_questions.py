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
from .responses import ResponseMatrix, benchmark_categories


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
        category_indices (`np.ndarray` of shape `(n_questions,)`, int32): Positions in `categories`.
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

    def of_pool(self, columns: Sequence[int]) -> KnownQuestions:
        """The same questions for another pool, whose first LLMs are this one's `columns`.

        Other responses are left out; questions that no kept LLM has answered stay.
        """
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
            raise ValueError(
                f"{path}: not a whole file of known questions ({error}). Train or fetch it again."
            ) from error
