"""`QuestionBank`: the questions that a pool has answered, and what was fitted to them.

Text vectors, categories and responses, found again by a hash of the text: no text is stored. With them come the
item-response parameters and the weights of the stacked predictor. A bank is frozen; each change gives a new one.
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from .._checks import check_shapes, check_text, shorten, shown, unknown_name
from .._errors import InputError, UnknownName
from ..configuration_embedllm import EncoderId
from ..data import sparse as observed
from ..data.benchmarks import agreed_benchmarks, benchmark_categories
from ..data.origin import DataOrigin
from ..data.responses import ResponseMatrix
from ..data.texts import question_keys, withheld_texts
from ..encoding.embeddings_file import positions_of
from ..encoding.encoded_responses import EncodedResponses
from .blend import Blend
from .item_parameters import ItemParameters

NO_CATEGORY = NO_ID = -1  # of a question that was given as a text of its own
_NOBODYS_ID = -2
_ID = re.compile(r"\s*([+-]?[0-9]{1,30})(\.0*)?\s*")
_PER_QUESTION = ("keys", "question_ids", "question_embeds", "category_indices")


def question_id_of(question: object) -> int | None:
    """The `prompt_id` that a question is given by: a whole number, or the text of one; None if it is another text.

    JSON has no keys but texts, and pandas writes whole numbers beside missing ones as `17.0`.

    Raises:
        ValueError: If it is neither a text nor a whole number.
    """
    id_: object = question
    if isinstance(question, str):
        match = _ID.fullmatch(question)
        if match is None:
            return None
        id_ = int(match[1])
    elif isinstance(question, numbers.Real) and not isinstance(question, numbers.Integral):
        id_ = int(float(question)) if float(question).is_integer() else None
    if isinstance(id_, bool) or not isinstance(id_, numbers.Integral):
        raise InputError(f"the question {shown(question)} is neither a text nor a `prompt_id`, a whole number.")
    return int(id_)


@dataclass(frozen=True, eq=False)
class QuestionBank:
    """Questions with the responses of a pool, without their texts; rows are questions, columns LLMs.

    Attributes:
        llm_names (`tuple[str, ...]`): The pool.
        keys (`np.ndarray` of shape `(n_questions,)`, int64): `question_keys` of the texts.
        question_ids (`np.ndarray` of shape `(n_questions,)`, int64): The data set's `prompt_id`.
        question_embeds (`np.ndarray` of shape `(n_questions, text_dim)`, float16): Text vectors.
        category_indices (`np.ndarray` of shape `(n_questions,)`, int32): Positions in `categories`; `NO_CATEGORY` for
            a new LLM's own texts, which stand at the end.
        categories (`tuple[str, ...]`): Category names.
        responses (`sparse.csr_array` of shape `(n_questions, n_llms)`): Responses in [0, 1]; a stored zero is a wrong
            answer, what is not stored was not observed.
        weights (`sparse.csr_array`, same entries): Answers behind each response.
        is_new (`np.ndarray` of shape `(n_llms,)`, bool): LLMs that were placed after training; they move no other
            LLM's forecast.
        item_parameters (`ItemParameters | None`): What each question tells about an LLM; None for fewer than three
            LLMs.
        blend (`Blend | None`): How network and bank predict together; None where the network alone is better.
        knn (`tuple[int, float] | None`): k and shrinkage of the kNN baseline, as chosen on the validation split.
        validation (`QuestionBank | None`): The questions that chose and calibrated. They forecast nothing; they are
            kept so that the model can be trained again (`splits`).
        benchmark_of (`Mapping[str, str]`): The benchmark of each category that the data set tells one of.
        trained_on (`tuple[int, int] | None`): How many of the questions, the first ones, the network was trained on,
            and with how many responses; None if nothing was added since.
    """

    llm_names: tuple[str, ...]
    keys: np.ndarray
    question_ids: np.ndarray
    question_embeds: np.ndarray
    category_indices: np.ndarray
    categories: tuple[str, ...]
    responses: sparse.csr_array
    weights: sparse.csr_array
    is_new: np.ndarray
    item_parameters: ItemParameters | None = None
    blend: Blend | None = None
    knn: tuple[int, float] | None = None
    validation: QuestionBank | None = None
    benchmark_of: Mapping[str, str] = field(default_factory=dict)
    trained_on: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        n_questions, n_llms = len(self.keys), len(self.llm_names)
        matrix = (n_questions, n_llms)
        shapes = {"question_ids": (n_questions,), "category_indices": (n_questions,), "is_new": (n_llms,)}
        check_shapes(self, {**shapes, "responses": matrix, "weights": matrix})
        item = self.item_parameters
        if len(self.question_embeds) != n_questions or (
            item is not None and (len(item.intercepts), len(item.abilities)) != matrix
        ):
            raise InputError(f"the parts are not all of {n_questions} questions and {n_llms} LLMs")
        strangers = self.benchmark_of.keys() - set(self.categories)
        if strangers:
            raise InputError(f"`benchmark_of` has {shorten(strangers, 3)}, expected some of the categories only")
        told = {"the questions": self} | ({} if self.validation is None else {"the validation": self.validation})
        agreed_benchmarks({name: part.benchmark_of for name, part in told.items()})
        for part in (self, self.responses, self.weights, item, self.blend):
            for value in () if part is None else vars(part).values():
                if isinstance(value, np.ndarray):
                    value.setflags(write=False)

    @classmethod
    def from_responses(cls, encoded: EncodedResponses) -> QuestionBank:
        """Keep responses and their text vectors; nothing is fitted yet."""
        responses = encoded.responses
        categories, indices = np.unique(responses.categories.astype(str), return_inverse=True)
        return cls(
            llm_names=responses.llm_names,
            keys=responses.keys,
            question_ids=responses.question_ids,
            question_embeds=encoded.question_embeds.astype(np.float16),
            category_indices=indices.astype(np.int32),
            categories=tuple(categories.tolist()),
            responses=responses.matrix,
            weights=observed.with_entries(responses.matrix, responses.entry_weights),
            is_new=np.zeros(responses.n_llms, bool),
            benchmark_of={name: of for name, of in responses.benchmark_of.items() if name in categories},
        )

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def benchmarks(self) -> dict[str, tuple[str, ...]]:
        """Categories of each benchmark: as the data set tells, else by their names (`data.benchmarks`)."""
        return benchmark_categories(self.categories, self.benchmark_of)

    def benchmark_rows(self, benchmark: str) -> np.ndarray:
        """Positions of the questions of a benchmark, or of one category.

        Raises:
            KeyError: If there is none of that name; the message offers the closest.
        """
        if benchmark not in self._category_positions:
            raise unknown_name("benchmark", benchmark, sorted(self._category_positions))
        return np.flatnonzero(np.isin(self.category_indices, self._category_positions[benchmark]))

    @cached_property
    def _category_positions(self) -> dict[str, list[int]]:
        """Positions of the categories of each category and benchmark, found once: there may be thousands of them."""
        position = {category: number for number, category in enumerate(self.categories)}
        alone = {category: [number] for category, number in position.items()}
        return alone | {name: [position[part] for part in parts] for name, parts in self.benchmarks.items()}

    @cached_property
    def n_answers(self) -> np.ndarray:
        """How many of the questions each LLM has answered, `(n_llms,)`; of one with none nothing is known."""
        return np.bincount(self.responses.indices, minlength=len(self.llm_names))

    @property
    def is_unplaced(self) -> np.ndarray:
        """LLMs without answers, not added with a vector, `(n_llms,)` bool: theirs was learned from nothing."""
        return (self.n_answers == 0) & ~self.is_new

    @cached_property
    def category_members(self) -> sparse.csr_array:
        """Which questions are of which category, `(n_categories, n_questions)` of 0 and 1."""
        told = np.flatnonzero(self.category_indices != NO_CATEGORY)
        entries = np.ones(len(told)), (self.category_indices[told], told)
        return sparse.csr_array(entries, shape=(len(self.categories), len(self)))

    @cached_property
    def benchmark_of_question(self) -> np.ndarray:
        """Position of each question's benchmark in `benchmarks`, `(n_questions,)`; -1 for a new LLM's own texts."""
        of_category = {name: number for number, members in enumerate(self.benchmarks.values()) for name in members}
        positions = np.array([*(of_category[name] for name in self.categories), -1])
        return positions[self.category_indices]  # -1: the last one

    def responses_of(self, llm_index: int) -> np.ndarray:
        """One LLM's responses, `(n_questions,)` float32, NaN where it was not observed."""
        return observed.column(self.responses, llm_index)

    def dense_responses(self) -> np.ndarray:
        """All responses, `(n_questions, n_llms)` float32, NaN where nothing was observed."""
        return observed.dense(self.responses)

    @cached_property
    def _order_of_keys(self) -> np.ndarray:
        return np.argsort(self.keys, kind="stable")

    @cached_property
    def _order_of_ids(self) -> np.ndarray:
        return np.argsort(self.question_ids, kind="stable")

    def rows_of_keys(self, keys: np.ndarray) -> np.ndarray:
        """Row of each question by its text's key, -1 where it is not known; the first of equal texts."""
        return positions_of(np.asarray(keys, np.int64), self.keys, self._order_of_keys)

    def rows_of_texts(self, questions: Sequence[str]) -> np.ndarray:
        """Row of each question by its text, -1 where it is not known."""
        return self.rows_of_keys(question_keys(questions))

    def rows_of_ids(self, question_ids: Sequence[int]) -> np.ndarray:
        """Row of each question by its `prompt_id`, -1 where it is not known."""
        return positions_of(np.asarray(question_ids, np.int64), self.question_ids, self._order_of_ids)

    def find(self, questions: Sequence[object]) -> np.ndarray:
        """Row of each question, given by its text or by its `prompt_id`, `(n_questions,)`; -1 for a new text.

        Raises:
            ValueError: If one is neither, or a number is the text of one known question and the id of another.
            KeyError: If an id is not known.
        """
        texts = np.array([isinstance(question, str) for question in questions], bool)
        for text in np.array(questions, object)[texts]:
            check_text("a question", text)
        ids = [question_id_of(question) for question in questions]
        by_text, by_id = np.full((2, len(questions)), -1)
        by_text[texts] = self.rows_of_texts([str(question) for question in questions if isinstance(question, str)])
        is_id = np.array([id_ is not None for id_ in ids], bool)
        by_id[is_id] = self.rows_of_ids([id_ if 0 <= id_ < 2**63 else _NOBODYS_ID for id_ in ids if id_ is not None])
        for position in np.flatnonzero((by_text >= 0) & (by_id >= 0) & (by_text != by_id)):
            raise InputError(
                f"the question {shown(questions[int(position)])} is the text of one known question and the "
                "`prompt_id` of another. Give the `prompt_id` as a number."
            )
        unknown = [ids[position] for position in np.flatnonzero(is_id & (by_text < 0) & (by_id < 0))]
        if unknown:
            raise UnknownName(
                f"unknown question id {shorten(unknown)}: the model knows {len(self):,} questions. Give the text "
                "instead."
            )
        return np.where(by_text >= 0, by_text, by_id)

    def known_logits(self, rows: np.ndarray) -> np.ndarray | None:
        """`ItemParameters.logits` of some rows, NaN where a row is -1; None if there is nothing to tell."""
        if self.item_parameters is None or (rows < 0).all():
            return None
        return np.where(rows[:, None] < 0, np.nan, self.item_parameters.logits(rows))

    # --- more questions, more responses, another pool ---

    @cached_property
    def listed(self) -> QuestionBank:
        """The questions of the data set alone, without new LLMs' own texts and without what was fitted."""
        n_listed = int((self.category_indices != NO_CATEGORY).sum())
        bare = replace(self, item_parameters=None, blend=None, validation=None, trained_on=None)
        if n_listed == len(self):
            return bare
        kept = {name: getattr(self, name)[:n_listed] for name in _PER_QUESTION}
        return replace(bare, **kept, responses=self.responses[:n_listed], weights=self.weights[:n_listed])

    def splits(self, encoder: EncoderId, source: str | None = None) -> dict[str, EncodedResponses]:
        """The responses that the pool was trained on, and new LLMs' to the same questions: `train` and `validation`.

        Texts are withheld ones; a new LLM's answers to texts of its own are not among them. `encoder` is the text
        encoder of the vectors, `source` the id of the data set.
        """
        parts = {"train": self, "validation": self.validation}
        there = {name: part for name, part in parts.items() if part is not None}
        return {name: part._encoded(encoder, DataOrigin(source, None, name)) for name, part in there.items()}

    def _encoded(self, encoder: EncoderId, origin: DataOrigin) -> EncodedResponses:
        listed = self.listed
        responses = ResponseMatrix(
            question_ids=listed.question_ids,
            questions=withheld_texts(listed.keys),
            categories=np.array(listed.categories, object)[listed.category_indices],
            llm_names=listed.llm_names,
            matrix=listed.responses,
            counts=np.rint(listed.weights.data).astype(np.int64),
            contradictory=np.zeros(listed.responses.nnz, bool),
            duplicates="mean",
            origin=origin,
            benchmark_of=listed.benchmark_of,
        )
        return EncodedResponses(responses, listed.question_embeds.astype(np.float32), encoder)

    def with_texts(self, keys: np.ndarray, question_embeds: np.ndarray) -> QuestionBank:
        """The same with a new LLM's own texts at the end: no category, no benchmark, and `NO_ID` as id.

        `keys` `(n,)` are `question_keys` of the texts, `question_embeds` `(n, text_dim)` their text vectors.
        """
        none = np.full(len(keys), NO_CATEGORY, np.int32)
        embeds, item = question_embeds.astype(np.float16), self.item_parameters
        shape = (len(self) + len(keys), len(self.llm_names))
        return replace(
            self,
            keys=np.concatenate([self.keys, np.asarray(keys, np.int64)]),
            question_ids=np.concatenate([self.question_ids, np.full(len(keys), NO_ID, np.int64)]),
            question_embeds=np.concatenate([self.question_embeds, embeds]),
            category_indices=np.concatenate([self.category_indices, none]),
            responses=_enlarged(self.responses, shape),
            weights=_enlarged(self.weights, shape),
            item_parameters=None if item is None else item.with_texts(embeds),
        )

    def with_responses(
        self, rows: np.ndarray, llm_indices: np.ndarray, values: np.ndarray, weights: np.ndarray | None = None
    ) -> QuestionBank:
        """The same with responses added, `(n,)` each, of pairs that have none yet; their weights are 1 by default."""
        all_rows = np.concatenate([observed.entry_rows(self.responses), rows])
        all_llms = np.concatenate([self.responses.indices, llm_indices])
        order = np.lexsort((all_llms, all_rows))
        indptr = np.searchsorted(all_rows[order], np.arange(len(self) + 1))

        def with_more(matrix: sparse.csr_array, more: np.ndarray) -> sparse.csr_array:
            data = np.concatenate([matrix.data, more]).astype(np.float32)
            return sparse.csr_array((data[order], all_llms[order], indptr), shape=matrix.shape)

        weights = np.ones(len(values)) if weights is None else weights
        return replace(self, responses=with_more(self.responses, values), weights=with_more(self.weights, weights))

    def of_pool(self, llm_names: Sequence[str], llm_indices: Sequence[int]) -> QuestionBank:
        """The same questions for another pool: this one's `llm_indices` come first, LLMs beyond them are new.

        Questions that no kept LLM has answered stay.
        """
        n_more = len(llm_names) - len(llm_indices)
        kept, item = np.asarray(llm_indices, int), self.item_parameters
        shape = (len(self), len(llm_names))
        return replace(
            self,
            llm_names=tuple(llm_names),
            responses=_enlarged(observed.select(self.responses, None, kept)[0], shape),
            weights=_enlarged(observed.select(self.weights, None, kept)[0], shape),
            is_new=np.concatenate([self.is_new[kept], np.ones(n_more, bool)]),
            item_parameters=None if item is None else item.of_pool(llm_indices, n_more),
            validation=None if self.validation is None else self.validation.of_pool(llm_names, llm_indices),
        )


def _enlarged(matrix: sparse.csr_array, shape: tuple[int, int]) -> sparse.csr_array:
    """The same entries in a matrix with empty rows and columns at its end."""
    larger = observed.with_entries(matrix, matrix.data)
    larger.resize(shape)
    return larger
