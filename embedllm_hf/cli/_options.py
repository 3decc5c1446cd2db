"""Options and steps that several verbs share. An option's default and help text come from its dataclass."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from ..data.responses import ResponseMatrix
    from ..question_encoder import QuestionEncoder

_CONVERT = {"int": int, "float": float, "str": str, "str | None": str}


def add_dataclass_options(parser: argparse.ArgumentParser, arguments: type, *, skip: Iterable[str] = ()) -> None:
    """Give a parser one option a field of a dataclass; a bool field becomes a flag."""
    for option in dataclasses.fields(arguments):
        if option.name in skip:
            continue
        text = option.metadata["help"].replace("%", "%%")
        if option.type == "bool":
            parser.add_argument(f"--{option.name}", action="store_true", help=text)
            continue
        shown = "" if option.default is None else f" (default: {option.default})"
        parser.add_argument(f"--{option.name}", type=_CONVERT[option.type], default=option.default, help=text + shown)


def read_dataclass_options(options: argparse.Namespace, arguments: type) -> object:
    """Build the dataclass from parsed options."""
    given = {option.name: getattr(options, option.name) for option in dataclasses.fields(arguments)}
    return arguments(**given)


def add_data_options(parser: argparse.ArgumentParser, *, split: str | None = None) -> None:
    """Options that name a data set and its text vectors."""
    parser.add_argument(
        "--dataset", required=True, help="Hub data set id, a folder in the same layout, or `planted` (a made-up pool)"
    )
    parser.add_argument("--dataset_revision", help="branch, tag or commit of a Hub data set")
    parser.add_argument(
        "--duplicates", default="mean", help="what repeated rows become: mean, last, majority, max (default: mean)"
    )
    parser.add_argument(
        "--question_embeddings",
        help="safetensors file with `question_embeddings` and `prompt_id`, instead of encoding",
    )
    if split is not None:
        parser.add_argument("--split", default=split, help=f"the split (default: {split})")


def embed_questions(
    responses: ResponseMatrix, encoder: QuestionEncoder, path: str | None, *, show_progress: bool = True
) -> np.ndarray:
    """Text vectors of a split: from the file at `path`, else by encoding."""
    from ..question_encoder import load_question_embeddings

    if path is not None:
        return load_question_embeddings(path, responses.question_ids, encoder_name=encoder.name)
    return encoder.encode(responses.questions, show_progress=show_progress)


def print_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
