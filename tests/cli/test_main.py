"""How the command line ends: one line for what the user can mend, a traceback for a bug, quiet where nobody reads."""

import errno
import importlib
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from embedllm_hf import __version__
from embedllm_hf._errors import FileError, InputError, MissingExtra, UnknownName
from embedllm_hf.cli import VERBS
from tests.command_line import refused, run

ROOT = Path(__file__).parents[2]
# Output is written late, as users have it.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
VERB = "similar"
ARGUMENTS = (VERB, "--model", "some model", "--llm", "x")


@pytest.fixture
def verb(monkeypatch):
    """Make the verb `similar` do something else: call this with a function of no arguments."""

    def replace(action) -> None:
        module = importlib.import_module(f"embedllm_hf.cli.{VERB}")
        monkeypatch.setattr(module, "main", lambda options: action() or 0)

    return replace


def raising(error: BaseException):
    def action() -> None:
        raise error

    return action


def start(action: str, **variables: str) -> subprocess.Popen:
    """`embedllm similar` in a process of its own, doing `action`, a line of Python that may use `options`."""
    code = (
        "import errno, os, signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from embedllm_hf.cli import main, similar\n"
        f"def act(options):\n    {action}\n    return 0\n"
        "similar.main = act\n"
        f"sys.exit(main({list(ARGUMENTS)!r}))"
    )
    environment = {**ENVIRONMENT, **variables}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, **pipes)


def finish(process: subprocess.Popen) -> tuple[int, bytes, bytes]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


# --- what the user can mend, and bugs ---


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["route", "--model", "", "hi"], "model"),
        (["route", "--model", "m", "--costs=", "hi"], "costs"),
        (["train", "--dataset", "planted", "--encoder", "", "--output_dir", "m"], "encoder"),
        (["embed", "--dataset", "planted", "--encoder", "offline", "--output", ""], "output"),
        (["forecast", "--model", "m", "--llm", "", "--benchmark", "law"], "llm"),
    ],
)
def test_an_empty_option_is_no_default(capsys, arguments, name):
    """A variable of a script that is not set: said of every option, before anything is read."""
    refused(run(capsys, *arguments), f"--{name} is empty", "leave the option out")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("`x` is 3,\n  expected\tless\x0b.\u2028Give 2."), "`x` is 3, expected less . Give 2."),
        (UnknownName("unknown LLM `x`"), "unknown LLM `x`"),
        (MissingExtra("needs `matplotlib`"), "needs `matplotlib`"),
        (FileError(errno.ENOSPC, "cannot write here"), "cannot write here"),
        (InputError("red \x1b[31m and \udcff"), "red \\x1b[31m and \\udcff"),
        (InputError(), "InputError"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a.csv"), "a.csv: No such file or directory"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)), "Broken pipe"),
    ],
)
def test_what_the_user_can_mend_is_one_line(capsys, verb, monkeypatch, error, line):
    """The library's own errors and the system's: exit code 2 and the verb, whatever the text holds."""
    monkeypatch.setattr("embedllm_hf.cli._a_reader_has_gone", lambda: False)
    verb(raising(error))
    code, out, err = run(capsys, *ARGUMENTS)
    assert (code, out, err) == (2, "", f"embedllm similar: error: {line}\n")


@pytest.mark.parametrize(
    "error",
    [ValueError("odd\nshape"), KeyError("x"), OSError("not the system's"), ImportError("no"), ZeroDivisionError()],
)
def test_a_bug_shows_itself(capsys, verb, error):
    """Python's own errors: exit code 1, the traceback, and one line that asks for a report with the command."""
    verb(raising(error))
    code, out, err = run(capsys, *ARGUMENTS)
    *trace, last = err.splitlines()
    assert (code, out) == (1, "")
    assert trace[0] == "Traceback (most recent call last):"
    assert "in action" in err
    assert last.startswith("embedllm similar: this is a bug in embedllm_hf. Please report it with the lines above")
    assert last.endswith(f" {shlex.join(['embedllm', *ARGUMENTS])}")


@pytest.mark.parametrize("where", ["before", "after", "variable"])
def test_debugging_shows_the_traceback_of_any_error(capsys, verb, monkeypatch, where):
    """On either side of the verb or by the environment; the line and the exit code stay."""
    arguments = {"before": ("--debug", *ARGUMENTS), "after": (*ARGUMENTS, "--debug"), "variable": ARGUMENTS}[where]
    monkeypatch.setenv("EMBEDLLM_DEBUG", "1" if where == "variable" else "0")
    verb(raising(InputError("mend this")))
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("embedllm similar: error: mend this\n")


@pytest.mark.parametrize("name", [name for name in VERBS if name != "quickstart"])  # which takes no option to miss
def test_every_verb_can_be_debugged(capsys, name):
    """The option is in each verb's help, and the verb's own option is missed, not this one."""
    assert "--debug" in run(capsys, name, "--help")[1]
    code, _, err = run(capsys, name, "--debug")
    assert code == 2
    assert "unrecognized" not in err


def test_unknown_verbs_and_options_are_argparses(capsys):
    """Exit code 2 with the usage; without a verb there is the help."""
    code, out, err = run(capsys, "rout")
    assert (code, out) == (2, "")
    assert "invalid choice: 'rout'" in err
    code, out, _ = run(capsys)
    assert code == 0
    assert "usage: embedllm" in out


def test_a_refusal_has_no_traceback(capsys, tmp_path):
    """A real one: the folder of the model is not there."""
    refused(run(capsys, "similar", "--model", tmp_path / "nowhere", "--llm", "x"), "nowhere")


# --- real processes ---


def test_module_script_and_version():
    """`python -m embedllm_hf` is the command line, and errors of it are lines too."""
    command = [sys.executable, "-m", "embedllm_hf"]
    done = subprocess.run(
        [*command, "--version"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == f"{__version__}\n"
    done = subprocess.run(
        [*command, "route", "--model", "/no/such/model", "Hi?"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("embedllm route: error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("n_lines", [1, 100_000], ids=["at the end", "in the middle"])
def test_a_reader_that_leaves_is_no_failure(n_lines):
    """`| head`: quiet and 0, whether the pipe breaks while the verb prints or when the rest is flushed."""
    process = start(f"time.sleep(0.5); [print('x' * 80) for _ in range({n_lines})]")
    process.stdout.close()
    process.stdout = None
    code, _, err = finish(process)
    assert (code, err) == (0, b"")


def test_pipefail_with_head():
    """The shell's own judgement: the pipeline succeeds, and the first line is there."""
    module = f"{shlex.quote(sys.executable)} -m embedllm_hf"
    line = f"set -o pipefail; {module} --help | head -n 1; echo code $?"
    done = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )
    first, last = done.stdout.splitlines()
    assert first.startswith("usage: embedllm")
    assert (last, done.stderr) == ("code 0", "")


def test_another_broken_pipe_is_an_error():
    """A pipe that is not the output has broken: that is said."""
    code, out, err = finish(start("raise BrokenPipeError(errno.EPIPE, 'Broken pipe', 'worker')"))
    assert (code, out) == (2, b"")
    assert err == b"embedllm similar: error: worker: Broken pipe\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_output_to_a_full_disk_is_one_line():
    """What could not be written is an error of the system, said once."""
    command = [sys.executable, "-m", "embedllm_hf", "--version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "embedllm: error: No space left on device\n")


def test_closed_outputs_are_no_bug():
    """`>&-` and `2>&-`: nobody reads, nothing fails but what the user asked for."""
    module = f"{shlex.quote(sys.executable)} -m embedllm_hf"
    for line, code in ((f"{module} --version >&- 2>&-", 0), (f"{module} similar --model /none --llm x >&- 2>&-", 2)):
        assert (
            subprocess.run(["bash", "-c", line], cwd=ROOT, env=ENVIRONMENT, timeout=120, check=False).returncode
            == code
        )


def test_an_interrupt_is_one_word():
    """Ctrl-C: 130, what was printed before, and no traceback."""
    process = start("print('begun', flush=True); time.sleep(100)")
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, b"", b"interrupted\n")


def test_an_output_of_ascii_loses_nothing():
    """Text and JSON arrive as escapes that JSON reads back, on standard output and in an error's line."""
    text = "Café 中 😀"
    action = f"from embedllm_hf.cli._options import print_json; print_json({text!r}); raise OSError(1, {text!r})"
    code, out, err = finish(start(action, PYTHONIOENCODING="ascii", PYTHONUTF8="0"))
    assert code == 2
    assert json.loads(out) == text
    assert json.loads(b'"' + err.removeprefix(b"embedllm similar: error: ").rstrip() + b'"') == text
