"""The splits of one data set, of which each holds unseen texts only, and splitting the questions of one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._errors import InputError
from .files import SPLIT_NAMES, missing_split, split_name
from .responses import ResponseMatrix
from .upload import push_tables

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ResponseSplits:
    """The splits of a data set, of one commit and with one pool of LLMs; `load_splits` makes them.

    A question of the validation or test split whose text stands in a split before it is not among them: each
    split's `origin.n_left_out` says how many there were.

    `data["val"]` is `data.validation`, or an error where the data set has no such split; iteration gives the names.

    Attributes:
        train, validation, test (`ResponseMatrix | None`): None where the data set has no such split.
        id, revision (`str | None`): Of the data set, as in `DataOrigin`.
        llm_names (`tuple[str, ...]`): The columns of every split.
    """

    train: ResponseMatrix | None
    validation: ResponseMatrix | None
    test: ResponseMatrix | None
    id: str | None
    revision: str | None
    llm_names: tuple[str, ...]

    def __iter__(self) -> Iterator[str]:
        return (name for name in SPLIT_NAMES if getattr(self, name) is not None)

    def __getitem__(self, split: str) -> ResponseMatrix:
        if split_name(split) not in self:
            raise missing_split(self.id or "the data set", split, list(self))
        return getattr(self, split_name(split))

    def items(self) -> Iterator[tuple[str, ResponseMatrix]]:
        """Names and responses of the splits that there are."""
        return ((name, self[name]) for name in self)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload all splits, and their text vectors if they bring some, in one commit.

        Options and address of the commit are those of `data.upload.push_tables`.
        """
        tables = {name: split.to_long() for name, split in self.items()}
        first = self[next(iter(self))]
        options = {"duplicates": first.duplicates, "vectors": first.origin.vectors, **options}
        return push_tables(tables, repo_id, llm_names=self.llm_names, **options)


def unseen_questions(responses: ResponseMatrix, seen: np.ndarray) -> ResponseMatrix:
    """The questions whose texts are not among `seen`, `data.texts.question_keys` of texts that were met before.

    Ids do not matter: the same text may stand in two splits under two. `origin.n_left_out` counts the others.
    """
    unseen = ~np.isin(responses.keys, seen)
    if unseen.all():
        return responses
    n_left_out = responses.origin.n_left_out + int((~unseen).sum())
    return replace(responses.select(unseen), origin=replace(responses.origin, n_left_out=n_left_out))


def without_overlap(splits: Mapping[str, ResponseMatrix]) -> dict[str, ResponseMatrix]:
    """The splits, in their order, without questions whose texts stand in one before; a warning counts these.

    A split of which nothing is left is left out.
    """
    seen, kept = np.zeros(0, np.int64), {}
    for name, split in splits.items():
        kept[name] = unseen_questions(split, seen)
        seen = np.concatenate([seen, split.keys])
    counts = [
        f"{kept[name].origin.n_left_out:,} of {split.n_questions:,} questions of the split `{name}`"
        for name, split in splits.items()
        if kept[name].n_questions < split.n_questions
    ]
    if counts:
        origin = next(iter(splits.values())).origin.id or "the data set"
        logger.warning("%s: left out %s: their texts stand in a split before it.", origin, " and ".join(counts))
    return {name: split for name, split in kept.items() if split.n_questions}


def id_of_two_texts(splits: Mapping[str, ResponseMatrix]) -> int | None:
    """An id that stands for one text in one split and for another in another; None if there is none."""
    ids = np.concatenate([split.question_ids for split in splits.values()])
    keys = np.concatenate([split.keys for split in splits.values()])
    order = np.argsort(ids, kind="stable")
    ids, keys = ids[order], keys[order]
    clashes = np.flatnonzero((ids[1:] == ids[:-1]) & (keys[1:] != keys[:-1]))
    return int(ids[clashes[0]]) if len(clashes) else None


def split_questions(
    responses: ResponseMatrix, share: float, *, seed: int = 0
) -> tuple[ResponseMatrix, ResponseMatrix]:
    """Split the questions in two, at random, so that each category keeps its share within one question.

    The questions stand in random order within each category, the categories one after the other, and every
    `1 / share`-th is taken, from a random start (systematic sampling). So small categories share their fractions.
    The first part is the rest, the second the share, in (0, 1); no question is in both, and each has at least one.

    Raises:
        ValueError: If `share` is not in (0, 1), or there are fewer than two questions.
    """
    if not 0 < share < 1:
        raise InputError(f"`share` is {share}, expected a share in (0, 1).")
    n_questions = responses.n_questions
    if n_questions < 2:
        raise InputError(
            f"{n_questions} questions are too few to set a share of {share:g} aside. Give a validation split."
        )
    generator = np.random.default_rng(seed)
    order = generator.permutation(n_questions)
    order = order[np.argsort(responses.categories[order], kind="stable")]
    # A start in [0, 1), but where it would take none of few questions, or all of them.
    start = generator.uniform(max(0, 1 - n_questions * share), min(1, n_questions * (1 - share)))
    steps = np.floor(np.arange(n_questions + 1) * share + start)
    taken = np.zeros(n_questions, bool)
    taken[order[np.diff(steps) > 0]] = True
    return responses.select(~taken), responses.select(taken)
