"""A bank with more questions of a data set, and with more answers to those that it knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..data import sparse as observed
from ..data.benchmarks import agreed_benchmarks, benchmark_categories
from ..data.responses import ResponseMatrix
from ..data.texts import text_id
from .question_bank import NO_CATEGORY, QuestionBank


def rows_of_questions(bank: QuestionBank, responses: ResponseMatrix) -> np.ndarray:
    """Row of each question of some responses, by its text, `(n_questions,)`; -1 where the bank does not know it.

    Of equal texts it is the one that has the same id.
    """
    rows, by_id = bank.rows_of_keys(responses.keys), bank.rows_of_ids(responses.question_ids.tolist())
    if not len(bank):
        return rows
    return np.where((by_id >= 0) & (bank.keys[by_id] == responses.keys), by_id, rows)


def new_questions(bank: QuestionBank, responses: ResponseMatrix) -> np.ndarray:
    """Positions of the questions that the bank does not know, the first one of each text, in their order."""
    first = np.sort(np.unique(responses.keys, return_index=True)[1])
    return first[rows_of_questions(bank, responses)[first] < 0]


def with_questions(bank: QuestionBank, responses: ResponseMatrix, question_embeds: np.ndarray) -> QuestionBank:
    """The same bank with the questions of some responses, of which it may know some, but none of the answers.

    A question that it does not know joins with text vector, category, benchmark, and the item parameters that its
    text tells. One that it knows as a new LLM's own text becomes one of the data set. Own texts stay at the end.

    Args:
        responses (`ResponseMatrix`): The questions.
        question_embeds (`np.ndarray` of shape `(n, text_dim)`): Text vectors of the `new_questions`.

    Raises:
        ValueError: If a category is of one benchmark in the bank and of another one in the responses.
    """
    n_trained = int((~bank.is_new[bank.listed.responses.indices]).sum())
    trained_on = bank.trained_on or (len(bank.listed), n_trained)
    new = new_questions(bank, responses)
    grown = _with_categories(bank, responses).with_texts(responses.keys[new], question_embeds)
    rows = rows_of_questions(grown, responses)
    joining = np.flatnonzero(grown.category_indices[rows] == NO_CATEGORY)[::-1]  # of equal texts the first one counts
    position = {name: number for number, name in enumerate(grown.categories)}
    ids, categories = grown.question_ids.copy(), grown.category_indices.copy()
    taken = np.isin(responses.question_ids, bank.question_ids)
    if bank.validation is not None:
        taken |= np.isin(responses.question_ids, bank.validation.question_ids)
    for question in joining.tolist():
        id_ = responses.question_ids[question]
        ids[rows[question]] = text_id(responses.questions[question]) if taken[question] else id_
        categories[rows[question]] = position[responses.categories[question]]
    order = np.argsort(categories == NO_CATEGORY, kind="stable")
    item = grown.item_parameters
    return replace(
        grown,
        keys=grown.keys[order],
        question_ids=ids[order],
        question_embeds=grown.question_embeds[order],
        category_indices=categories[order],
        responses=observed.select(grown.responses, order)[0],
        weights=observed.select(grown.weights, order)[0],
        item_parameters=None if item is None else item.of_questions(order),
        trained_on=trained_on,
    )


def _with_categories(bank: QuestionBank, responses: ResponseMatrix) -> QuestionBank:
    """The same with the categories of some responses at the end; no category that it has changes its benchmark.

    A new category whose benchmark is not told joins one of the bank's if its words say so.
    """
    old = {category: name for name, members in bank.benchmarks.items() for category in members}
    found = {*responses.categories.tolist()}
    told = {category: name for category, name in responses.benchmark_of.items() if category in found}
    agreed = agreed_benchmarks({"the model": old, "the responses": told})
    new = sorted(found - old.keys())
    for name, members in benchmark_categories([*old, *new], told).items():
        if name in bank.benchmarks:
            agreed |= {category: name for category in members if category not in agreed}
    for name, members in benchmark_categories([*old, *new], agreed).items():
        agreed |= dict.fromkeys(members, name)
    grown = replace(bank, categories=(*bank.categories, *new), benchmark_of=agreed, item_parameters=None)
    if bank.item_parameters is None:
        return grown
    place = {name: number for number, name in enumerate(bank.benchmarks)}
    return replace(grown, item_parameters=bank.item_parameters.of_benchmarks([*map(place.get, grown.benchmarks)]))


class Joined(NamedTuple):
    """A bank with more answers, and what became of these: how many were new, known already, or contradicted it."""

    bank: QuestionBank
    n_new: int
    n_repeated: int
    n_contradictions: int
    rows: np.ndarray  # of each new answer
    llm_indices: np.ndarray


def with_answers(bank: QuestionBank, responses: ResponseMatrix, rows: np.ndarray, llms: Sequence[int]) -> Joined:
    """The same bank with the answers that it does not have yet; where it has another one, its own stays.

    Args:
        responses (`ResponseMatrix`): The answers.
        rows (`np.ndarray` of shape `(n_questions,)`): Row in the bank of each of their questions.
        llms (`Sequence[int]`): Position in the bank's pool of each of their LLMs.
    """
    n_llms = len(bank.llm_names)
    question, llm = rows[responses.question_indices].astype(np.int64), np.asarray(llms, int)[responses.llm_indices]
    pairs = question * n_llms + llm
    own_pairs = observed.entry_rows(bank.responses).astype(np.int64) * n_llms + bank.responses.indices
    # The bank's own first, then those of one pair in their order: the first of each pair counts.
    all_pairs = np.concatenate([own_pairs, pairs])
    values = np.concatenate([bank.responses.data, responses.values])
    _, first, pair_of = np.unique(all_pairs, return_index=True, return_inverse=True)
    agrees = (values == values[first[pair_of]])[len(own_pairs) :]
    new = first[first >= len(own_pairs)] - len(own_pairs)
    question, llm = question[new], llm[new]
    grown = bank.with_responses(question, llm, responses.values[new], responses.entry_weights[new])
    n_contradictions = int((~agrees).sum())
    n_repeated = len(pairs) - len(new) - n_contradictions
    return Joined(grown, len(new), n_repeated, n_contradictions, question, llm)
