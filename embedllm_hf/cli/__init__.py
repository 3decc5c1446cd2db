"""LLMs as vectors: train a model on responses, measure it, route questions, forecast scores.

The command line `embedllm`: one module a verb, each with `add_arguments` and a `main` that calls the library and
prints. `_options.py` and its neighbours hold what several verbs share. No computation lives here, and nothing in the
library imports it: the flow enters with the user's words and leaves as text, JSON or files.

A verb's module is imported only when that verb is asked for, and the library only when it runs, so `--help` is quick.
This file also decides how errors look: what the user can mend is one line, a bug shows its traceback.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import importlib
import json
import os
import select
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from .._checks import brief
from .._errors import InputError, UserError

VERBS = {
    "quickstart": "see what the library does, on real answers of 105 LLMs",
    "collect": "make a data set of responses from evaluation logs",
    "train": "train a model on a data set of responses",
    "evaluate": "measure a model beside the baselines",
    "embed": "encode a data set's questions once, into a file",
    "distill": "make a static encoder of a model's encoder, which takes a millisecond",
    "route": "choose the LLM for a question",
    "curve": "measure quality against cost",
    "similar": "list the LLMs most like one",
    "portfolio": "choose the LLMs that together answer most",
    "forecast": "predict an LLM's score",
    "leaderboard": "rank the LLMs on questions of one's own",
    "onboard": "place a new LLM from a few graded answers",
    "add": "add LLMs, questions and answers to a model, without training it again",
    "probe": "choose the next questions for a new LLM",
    "drift": "see whether an LLM is still the one that was measured",
}
DEBUG = "EMBEDLLM_DEBUG"
_LONGEST_LINE = 2000


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        `int`: 0, also if the reader of a pipe (`| head`) stops reading: it has what it wanted, and `set -o pipefail`
        should not turn that into a failure. 2 after one line on standard error about something that the user can
        mend, 1 after the traceback of a bug, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = argparse.Namespace(verb=None, debug=False)
    _prepare_output()
    try:
        code = run_verb(arguments, options)
        sys.stdout.flush()  # the interpreter's own flush at its end cannot be guarded
        return code
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except Exception as error:
        gone = isinstance(error, BrokenPipeError) and _a_reader_has_gone()
        code = 0 if gone else _report(error, arguments, options)
        _drop_unwritten_output()
        return code


def run_verb(arguments: Sequence[str], options: argparse.Namespace | None = None) -> int:
    """Parse the arguments into `options`, and call the verb's `main`, whose errors are the caller's."""
    options = argparse.Namespace() if options is None else options
    parser = argparse.ArgumentParser(prog="embedllm", description=__doc__.splitlines()[0])
    parser.add_argument("--version", action="store_true", help="print the version and end")
    debug = f"show the traceback of any error (also: {DEBUG}=1)"
    parser.add_argument("--debug", action="store_true", help=debug)
    verbs = parser.add_subparsers(dest="verb", metavar="verb")
    asked = next((argument for argument in arguments if argument in VERBS), None)
    for verb, text in VERBS.items():
        subparser = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
        subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=debug)
        if verb == asked:
            module = importlib.import_module(f".{verb}", __name__)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.main)
    try:
        parser.parse_args(arguments, options)
    except SystemExit as end:  # after `--help`, or after a line about the options
        return int(end.code or 0)
    if options.version:
        print(importlib.import_module("embedllm_hf").__version__)
        return 0
    if options.verb is None:
        parser.print_help()
        return 0
    for name, value in vars(options).items():
        if value == "":
            raise InputError(f"--{name} is empty: a variable that is not set? Give a value, or leave the option out.")
    _quiet_libraries()
    return options.run(options)


def _quiet_libraries() -> None:
    """Leave standard error to our own bar and messages; each variable can be set otherwise by the user."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


# --- errors ---


def _report(error: Exception, arguments: Sequence[str], options: argparse.Namespace) -> int:
    """Say on standard error what went wrong, and return the exit code: 2 if the user can mend it, 1 for a bug."""
    command = "embedllm" if options.verb is None else f"embedllm {options.verb}"
    to_mend = isinstance(error, UserError) or (isinstance(error, OSError) and error.errno is not None)
    if not to_mend or options.debug or os.environ.get(DEBUG, "0") not in ("", "0"):
        _say("".join(traceback.format_exception(error)).rstrip())
    if not to_mend:
        called = shlex.join(["embedllm", *arguments])
        bug = "this is a bug in embedllm_hf. Please report it with the lines above and the command:"
        _say(f"{command}: {bug} {_one_line(called)}")
        return 1
    text = str(error)
    if isinstance(error, OSError) and not isinstance(error, UserError):
        text = ": ".join(str(part) for part in (error.filename, error.strerror) if part is not None)
    _say(f"{command}: error: {_one_line(text) or type(error).__name__}")
    return 2


def _one_line(text: str) -> str:
    """The text on one line; what would steer the terminal is shown as an escape."""
    return brief(" ".join(text.split()), _LONGEST_LINE)


def _say(text: str) -> None:
    """Print to standard error, unless nobody reads it."""
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


# --- standard output ---


def _prepare_output() -> None:
    r"""Write characters that the output's encoding lacks as `\uXXXX`: nothing is lost, and JSON stays JSON.

    A closed output (`>&-`), which Python shows as None, becomes one that goes nowhere.
    """

    def escape(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        return json.dumps(error.object[error.start : error.end])[1:-1], error.end

    codecs.register_error("embedllm", escape)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or Path(os.devnull).open("w", encoding="utf-8")
        setattr(sys, name, stream)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="embedllm")


def _a_reader_has_gone() -> bool:
    """Whether standard output or error is a pipe that nobody reads; another pipe may have broken as well."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        poll.register(stream, 0)  # a broken pipe is told unasked
    return bool(poll.poll(0))


def _drop_unwritten_output() -> None:
    """Send what could not be written nowhere, so that the interpreter does not try it again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
