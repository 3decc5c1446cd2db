"""LLMs as vectors: train a model on responses, measure it, route questions, forecast scores.

The command line `embedllm` has one module a verb, each with a parser and a `main` that calls the library.

A verb's module is imported only when that verb is asked for, and the library only when it runs, so `--help` is quick.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

VERBS = {
    "train": "train a model on a data set of responses",
    "evaluate": "measure a model beside the baselines",
    "embed": "encode a data set's questions once, into a file",
    "distill": "make a static encoder of a model's encoder, which takes microseconds",
    "route": "choose the LLM for a question",
    "curve": "measure quality against cost",
    "similar": "list the LLMs most like one",
    "portfolio": "choose the LLMs that together answer most",
    "forecast": "predict an LLM's score",
    "leaderboard": "rank the LLMs on questions of one's own",
    "onboard": "place a new LLM from a few graded answers",
    "probe": "choose the next questions for a new LLM",
}
USER_ERRORS = (ValueError, KeyError, OSError, ImportError)
logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        `int`: 0, or 2 after one line on standard error that says what was wrong and what to do.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="embedllm", description=__doc__.splitlines()[0])
    parser.add_argument("--version", action="store_true", help="print the version and end")
    verbs = parser.add_subparsers(dest="verb", metavar="verb")
    asked = next((argument for argument in arguments if argument in VERBS), None)
    for verb, text in VERBS.items():
        subparser = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
        if verb == asked:
            module = importlib.import_module(f".{verb}", __name__)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.main)
    options = parser.parse_args(arguments)
    if options.version:
        print(importlib.import_module("embedllm_hf").__version__)
        return 0
    if options.verb is None:
        parser.print_help()
        return 0
    return run_verb(options)


def run_verb(options: argparse.Namespace) -> int:
    """Call a verb's `main`, and turn what the user can mend into one line and exit code 2."""
    _quiet_libraries()
    try:
        return options.run(options)
    except USER_ERRORS as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        if isinstance(error, OSError) and error.strerror and not error.filename:
            message = error.strerror
        print(f"embedllm {options.verb}: error: {' '.join(str(message).split())}", file=sys.stderr)
        logger.debug("The whole error:", exc_info=True)
        return 2


def _quiet_libraries() -> None:
    """Leave standard error to our own bar and messages; each variable can be set otherwise by the user."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
