"""`embedllm quickstart`: the flow on real responses that come with the package, each command shown before it runs."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from .._checks import brief

_DATASET, _NEW, _BENCHMARK, _N_ANSWERS = "open-llm-responses", "google/gemma-2-27b-it", "kor", 32
_QUESTIONS = (
    "What is 310 multiplied by 48?",
    "Which sea is nearest to Portugal?",
    "Is a contract about a used car valid when nothing was signed?",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument(
        "--output_dir",
        default="runs/quickstart",
        help="folder of the models that it makes; those of an earlier quick start are replaced (default: %(default)s)",
    )


def main(options: argparse.Namespace) -> int:
    """Train, route, forecast, place a new LLM, choose its next questions; stop where a command fails."""
    from . import run_verb

    folder = Path(options.output_dir)
    model, smaller, grown, answers = (str(folder / name) for name in ("model", "smaller", "grown", "answers.csv"))
    train = ["--dataset", _DATASET, "--encoder", "offline", "--output_dir", model, "--overwrite_output_dir"]
    guarantee = ["--costs", _DATASET, "--min_success", "0.8"]
    new = ["--model", smaller, "--llm", _NEW, "--answers", answers]
    steps: list[tuple[str, list[str]]] = [
        ("Learn a vector for each of 105 LLMs from who answered what right, and measure it on questions kept apart:",
         ["train", *train]),
        ("For each question, the cheapest LLM under a promise: 80% of such answers are right (cost: dollars for a "
         "million tokens):", ["route", "--model", model, *guarantee, *_QUESTIONS]),
        ("One LLM's chances with the same questions:",
         ["forecast", "--model", model, "--llm", "google/gemma-2-9b-it", *_QUESTIONS]),
        (f"Take {_NEW} out of the pool, and place it as if it were new, from {_N_ANSWERS} answers to {_BENCHMARK}:",
         ["onboard", *new, "--output_dir", grown, "--overwrite_output_dir"]),
        ("The next five questions that tell most about it:", ["probe", *new, "--benchmark", _BENCHMARK, "-n", "5"]),
    ]  # fmt: skip
    for reason, command in steps:
        print(f"\n# {reason}\n$ {shlex.join(['embedllm', *command])}", flush=True)
        if command[0] == "onboard":
            score, n_asked = _take_out(model, smaller, answers)
        code = run_verb(command)
        if code:
            return code
        if command[0] == "onboard":
            print(f"what it really scored on the {n_asked:,} questions of {_BENCHMARK} that it was asked: {score:.3f}")
    print(_next_steps(model))
    return 0


def _take_out(folder: str, smaller: str, answers: str) -> tuple[float, int]:
    """Save the model without one LLM, and some of that LLM's answers; its mean on the benchmark, and of how many."""
    import numpy as np

    from .._files import whole_file
    from ..inference.base import bank_of
    from ..modeling_embedllm import EmbedLLM

    model = EmbedLLM.from_pretrained(folder)
    bank = bank_of(model)
    responses = bank.responses_of(model.llm_index(_NEW))
    asked = bank.benchmark_rows(_BENCHMARK)
    asked = asked[~np.isnan(responses[asked])]
    chosen = np.random.default_rng(0).choice(asked, _N_ANSWERS, replace=False)
    model.without_llm(_NEW).save_pretrained(smaller)
    rows = "".join(f"{bank.question_ids[row]},{responses[row]:g}\n" for row in chosen)
    with whole_file(answers) as partial:
        partial.write_text(f"prompt_id,label\n{rows}", encoding="utf-8")
    return float(responses[asked].mean()), len(asked)


def _next_steps(model: str) -> str:
    """What a newcomer may do next, a line each."""
    return (
        f"\n# What next?\n"
        f'your own questions:  embedllm route --model {brief(model)} --explain "..."\n'
        "your own responses:  embedllm train --dataset FOLDER --encoder offline --output_dir runs/base\n"
        "all that it does:    embedllm --help"
    )
