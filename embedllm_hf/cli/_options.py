"""Options and steps that several verbs share. An option's default and help text come from its dataclass."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .._errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from ..data.responses import ResponseMatrix
    from ..encoding.question_encoder import QuestionEncoder
    from ..modeling_embedllm import EmbedLLM
    from ..predictors.baselines import Predictor

COSTS_HELP = (
    "CSV with `llm` and `cost` (a call), or `usd_per_million_input_tokens` and `usd_per_million_output_tokens` (by "
    "the question's tokens; `output_tokens` is the length to expect of an answer), or only the output price"
)
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
    from ..encoding.question_encoder import load_question_embeddings

    if path is not None:
        return load_question_embeddings(path, responses.question_ids, encoder_name=encoder.label)
    return encoder.encode(responses.questions, show_progress=show_progress)


def load_measured(
    options: argparse.Namespace,
) -> tuple[EmbedLLM, QuestionEncoder, ResponseMatrix, np.ndarray, dict[str, Predictor]]:
    """What is measured: the model, its encoder, the split with its text vectors, baselines from the training split."""
    from ..data.sources import available_splits, load_responses
    from ..encoding.question_encoder import encoder_of
    from ..modeling_embedllm import EmbedLLM
    from ..predictors.baselines import fit_baselines

    model = EmbedLLM.from_pretrained(options.model)
    encoder = encoder_of(model)
    source = {"revision": options.dataset_revision, "duplicates": options.duplicates}
    there = available_splits(options.dataset, revision=options.dataset_revision)
    splits = {
        split: load_responses(options.dataset, split=split, llm_names=model.config.llm_names, **source)
        for split in sorted({"train", options.split} | ({"validation"} & set(there)))
    }
    embeds = {
        split: embed_questions(responses, encoder, options.question_embeddings) for split, responses in splits.items()
    }
    baselines = fit_baselines(splits["train"], embeds["train"], splits.get("validation"), embeds.get("validation"))
    return model, encoder, splits[options.split], embeds[options.split], baselines


def read_fixed_costs(
    path: str, encoder: QuestionEncoder, questions: Sequence[str] | None, *, column: str | None = None
) -> dict[str, float]:
    """Costs of a call from a table; prices by the token at the mean length of the questions.

    Raises:
        ValueError: If prices are by the token and there are no questions.
    """
    from ..data.llm_table import are_by_token, costs_at, read_costs
    from ..inference.base import count_tokens

    costs = read_costs(path, column=column)
    if not are_by_token(costs):
        return costs
    if questions is None:
        raise InputError(f"{path}: its prices are by the token. Give --questions, or name a column: --cost_column.")
    return costs_at(costs, float(count_tokens(encoder, questions).mean()))


def split_names(names: str | None) -> list[str] | None:
    """The names in an option, which commas stand between."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def print_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
