"""`embedllm forecast`: an LLM's expected score on a known benchmark, or on one's own questions."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._options import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--model", required=True, help="Hub id or folder of a trained model")
    parser.add_argument("--llm", required=True, help="name of an LLM of the pool")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--benchmark", help="a benchmark, or one of its categories, that the model knows")
    target.add_argument("--questions", help="text file of one's own questions, one a line")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> int:
    """Print the expected share of right answers with its 90% interval."""
    from ..forecasting import Forecaster

    forecaster = Forecaster.from_pretrained(options.model)
    if options.benchmark is not None:
        forecast, target = forecaster.benchmark(options.llm, options.benchmark), options.benchmark
    else:
        forecast, target = forecaster.questions(options.llm, read_questions(options.questions)), options.questions
    if options.json:
        print_json(forecast.to_dict())
        return 0
    print(
        f"{forecast.llm} on {target}: {forecast.accuracy:.3f}, 90% interval [{forecast.low:.3f}, {forecast.high:.3f}] "
        f"({forecast.n_observed} of {forecast.n_questions} questions observed)"
    )
    return 0


def read_questions(path: str) -> list[str]:
    """Texts of a file, one a line, blank lines left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is not UTF-8, or there is no text.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"`--questions`: there is no file {path}.")
    questions = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}, line {number}: not UTF-8 ({error.reason}). Save the file as UTF-8.") from error
        if text:
            questions.append(text)
    if not questions:
        raise ValueError(f"{path}: holds no text, expected one question a line.")
    return questions
