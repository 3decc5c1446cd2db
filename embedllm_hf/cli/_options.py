"""Options and steps that several verbs share. An option's default and help text come from its dataclass."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .._errors import FileError, InputError, visible
from .._files import whole_file

if TYPE_CHECKING:
    from ..data.responses import ResponseMatrix
    from ..encoding.encoded_responses import EncodedResponses
    from ..encoding.question_encoder import QuestionEncoder, Texts
    from ..inference.forecaster import ScoreForecast
    from ..modeling_embedllm import EmbedLLM
    from ..predictors import Predictor

COSTS_HELP = (
    "CSV with `llm` and `cost` (a call), or `usd_per_million_input_tokens` and `usd_per_million_output_tokens` (by "
    "the question's tokens; `output_tokens` is the length to expect of an answer), or only the output price"
)
NO_ANSWERS = "no answers of it are known"
KNOWN_ONLY = "the questions that the model knows"
# Options that several verbs have in the same words.
_SHARED: dict[str, dict[str, Any]] = {
    "model": {"required": True, "help": "Hub id or folder of a trained model"},
    "llm": {"required": True, "help": "name of an LLM of the pool"},
    "dataset_revision": {"help": "branch, tag or commit of a Hub data set"},
    "known_only": {
        "action": "store_true",
        "help": f"be about {KNOWN_ONLY} of --benchmark alone; otherwise they are a sample of it",
    },
    "benchmark_size": {
        "type": int,
        "help": "how many questions all of --benchmark has, 1319 say, if the score on just these is meant (default: "
        "any number of such questions)",
    },
    "json": {"action": "store_true", "help": "print JSON"},
}
_CONVERT: dict[str, type] = {"int": int, "float": float, "str": str, "str | None": str}
_Arguments = TypeVar("_Arguments")


def add_shared_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add options that several verbs have in the same words, by their names: `model`, `llm`, `known_only`, `json`."""
    for name in names:
        parser.add_argument(f"--{name}", **_SHARED[name])


def add_dataclass_options(parser: argparse.ArgumentParser, arguments: Any, *, skip: Iterable[str] = ()) -> None:
    """Give a parser one option a field of a dataclass; a bool field becomes a flag."""
    for option in dataclasses.fields(arguments):
        if option.name in skip:
            continue
        text = option.metadata["help"].replace("%", "%%")
        if option.type == "bool":
            parser.add_argument(f"--{option.name}", action="store_true", help=text)
            continue
        shown = "" if option.default is None else f" (default: {option.default})"
        parser.add_argument(
            f"--{option.name}", type=_CONVERT[str(option.type)], default=option.default, help=text + shown
        )


def read_dataclass_options(options: argparse.Namespace, arguments: type[_Arguments]) -> _Arguments:
    """Build the dataclass from parsed options."""
    given = {option.name: getattr(options, option.name) for option in dataclasses.fields(arguments)}  # type: ignore[arg-type]
    return arguments(**given)


def add_data_options(
    parser: argparse.ArgumentParser, *, option: str = "--dataset", split: str | None = None, also: str = ""
) -> None:
    """Options that name a data set and its text vectors; `also` is what a verb takes beside data sets."""
    parser.add_argument(
        option,
        required=True,
        help=f"Hub data set id, a folder in the same layout, evaluation logs (a file or a folder), {also}"
        "`open-llm-responses` (real responses, without texts, that the package brings), or `planted` (a made-up pool)",
    )
    add_shared_options(parser, "dataset_revision")
    parser.add_argument(
        "--duplicates", default="mean", help="what repeated rows become: mean, last, majority, max (default: mean)"
    )
    parser.add_argument(
        "--question_embeddings",
        help="safetensors file with `question_embeddings` and `prompt_id`, instead of encoding",
    )
    if split is not None:
        parser.add_argument("--split", help=f"the split (default: {split}; of evaluation logs, all questions)")
        parser.set_defaults(default_split=split)


def with_vectors(responses: ResponseMatrix, path: str | Path | None) -> ResponseMatrix | EncodedResponses:
    """A split with its text vectors from the file at `path`; without one they are found where they are needed."""
    if path is None:
        return responses
    from ..encoding.encoded_responses import EncodedResponses

    return EncodedResponses.from_file(responses, path)


def load_measured(options: argparse.Namespace) -> tuple[EmbedLLM, EncodedResponses, dict[str, Predictor]]:
    """The model, the split to measure it on, and the baselines: of its bank, without one of the training split."""
    from ..bank.question_bank import QuestionBank
    from ..data.sources import load_responses
    from ..encoding.encoded_responses import encode_responses
    from ..modeling_embedllm import EmbedLLM
    from ..predictors.baselines import fit_baselines

    model = EmbedLLM.from_pretrained(options.model)
    source = {"revision": options.dataset_revision, "duplicates": options.duplicates}

    def load(split: str) -> EncodedResponses:
        responses = load_responses(options.dataset, split=split, llm_names=model.config.llm_names, **source)
        given = with_vectors(responses, options.question_embeddings)
        return encode_responses(given, model.encoder, show_progress=True)

    bank = model.bank or QuestionBank.from_responses(load("train"))
    return model, load(split_of(options, options.dataset)), fit_baselines(bank)


def split_of(options: argparse.Namespace, source: str) -> str:
    """The split that is asked for, else the verb's own; evaluation logs have none, so all of them is taken."""
    from ..data.sources import is_log

    return options.split or ("all" if is_log(Path(source)) else options.default_split)


def read_fixed_costs(
    path: str, encoder: QuestionEncoder, questions: Texts | None, *, column: str | None = None
) -> dict[str, float]:
    """Costs of a call from a table; prices by the token at the mean length of the questions.

    Raises:
        ValueError: If prices are by the token and there are no questions.
    """
    from ..data.llm_table import are_by_token, costs_at, read_costs
    from ..inference.base import count_tokens

    costs, n_tokens = read_costs(path, column=column), 0.0
    if are_by_token(costs):
        if questions is None:
            raise InputError(
                f"{path}: its prices are by the token. Give --questions, or name a column: --cost_column."
            )
        n_tokens = float(count_tokens(encoder, questions).mean())
    return costs_at(costs, n_tokens)


def read_size(options: argparse.Namespace) -> dict[str, Any]:
    """What of a benchmark a score is about, for `Forecaster.benchmark` and `Leaderboard.benchmark`.

    Raises:
        ValueError: If it is told without a benchmark.
    """
    if options.benchmark is None and (options.known_only or options.benchmark_size is not None):
        raise InputError("--known_only and --benchmark_size go with --benchmark.")
    return {"known_only": options.known_only, "benchmark_size": options.benchmark_size}


def told_size(options: argparse.Namespace) -> str:
    """The same in words."""
    if options.benchmark_size is not None:
        return f"all its {options.benchmark_size:,} questions"
    return KNOWN_ONLY if options.known_only else "the whole benchmark"


def told_score(forecast: ScoreForecast) -> str:
    """An LLM's score with its interval."""
    return f"{forecast.accuracy:.3f}, 90% interval [{forecast.low:.3f}, {forecast.high:.3f}]"


def split_names(names: str | None) -> list[str] | None:
    """The names in an option, which commas stand between."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def check_output_file(option: str, path: str | None) -> None:
    """Refuse, before the work, a place that no file can be written to; folders on the way are made later.

    Raises:
        OSError: If it is a folder, is below a file, or the folder cannot be written.
    """
    if path is None:
        return
    target = Path(path)
    parent = next(folder for folder in target.absolute().parents if folder.exists())
    if not target.name or target.is_dir():
        raise FileError(None, f"{option} {path}: is a folder, expected the name of a file.")
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise FileError(None, f"{option} {path}: no file can be written into {parent}. Choose another place.")


def write_json(path: str, value: object, *, indent: int = 2) -> None:
    """Write a value as JSON into a file, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=indent, allow_nan=False) + "\n", encoding="utf-8")


def beginning(text: str, limit: int = 80) -> str:
    """The beginning of a text, on one line, as it may be shown on a terminal."""
    return visible(" ".join(text[: 10 * limit].split())[:limit])


def print_json_line(question: str, result: Mapping[str, object]) -> None:
    """Print a question and what was found for it as a line of JSON, at once."""
    print(_json({"question": question, **result}), flush=True)


def print_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    print(_json(value, indent=2))


def _json(value: object, indent: int | None = None) -> str:
    """JSON as it may be shown on a terminal; NaN and infinity, which JSON lacks, are a bug and not printed."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    if text.isprintable():
        return text
    return "\n".join("".join(_escaped(sign) for sign in line) for line in text.split("\n"))


def _escaped(sign: str) -> str:
    return sign if sign.isprintable() else json.dumps(sign)[1:-1]
