"""What is installed is whole: wheel and sdist, in a clean environment, outside the checkout."""

import os
import subprocess
import sys
import zipfile

import pytest

from scripts import check_install

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist."""
    try:
        return check_install.build(tmp_path_factory.mktemp("built"))
    except check_install.CheckError as error:
        # Its own environment for setuptools comes from a registry, as all that is installed does.
        if os.environ.get("EMBEDLLM_REQUIRE_REAL_DATA") or "No matching distribution" not in str(error):
            raise
        pytest.skip("NO REGISTRY: nothing can be built and installed")


def test_the_wheel_has_the_package_and_no_more(built):
    """Its files are the tracked ones, which `build` compares; the data set and the cards' text are there."""
    wheel, sdist = built
    assert wheel.stat().st_size + sdist.stat().st_size < 2 * check_install.MOST_BYTES
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("data/open-llm-responses/train.parquet", "cards/model_card.md", "py.typed", "evaluate_modules"):
        assert any(f"embedllm_hf/{name}" in found for found in names), name


@pytest.mark.timeout(900)
def test_the_wheel_works_in_a_clean_environment(built, tmp_path):
    """Installed with what it stands on, elsewhere: help of all verbs, and the quick start to its last line."""
    python = check_install.install(built[0], tmp_path / "environment", ["offline"], python=sys.executable)
    shown = check_install.use(python, tmp_path / "elsewhere")
    assert shown.rstrip().endswith("embedllm --help")
    assert "placed google/gemma-2-27b-it from 32 answers" in shown


def test_the_requirements_are_those_of_setup(built):
    """The core's without an extra, and each extra's under its name: what `--lowest` asks for directly."""
    found = check_install.requirements(built[0])
    assert ("numpy>=1.26", None) in found
    assert ("matplotlib>=3.8", "plot") in found
    assert all(">=" in need or "==" in need for need, _ in found)


def test_a_package_from_elsewhere_is_told(tmp_path):
    """The environment of the checkout itself, in which the package is not the installed wheel, fails the check."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "checkout.pth").write_text(str(check_install.ROOT))
    with pytest.raises(check_install.CheckError, match="expected the clean environment"):
        check_install.use(environment / "bin" / "python", tmp_path / "elsewhere")


def test_a_forgotten_file_is_told(tmp_path, monkeypatch):
    """A file of the package that setup.py does not put into the wheel."""
    files = subprocess.run(["git", "ls-files"], cwd=check_install.ROOT, capture_output=True, text=True).stdout
    for name in files.splitlines():
        if name.startswith(("embedllm_hf/", "setup.py", "pyproject", "README", "LICENSE")):
            (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "root" / name).write_bytes((check_install.ROOT / name).read_bytes())
    forgotten = "forgotten.txt"
    (tmp_path / "root" / "embedllm_hf" / "data" / forgotten).write_text("facts")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "root", check=True)
    subprocess.run(["git", "add", "-A"], cwd=tmp_path / "root", check=True)
    monkeypatch.setattr(check_install, "ROOT", tmp_path / "root")
    with pytest.raises(check_install.CheckError, match=rf"the wheel lacks \['embedllm_hf/data/{forgotten}'\]"):
        check_install.build(tmp_path)
