"""The order of the modules, read from their imports; what `import embedllm_hf` loads; the public names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import embedllm_hf

PACKAGE = Path(embedllm_hf.__file__).parent
# From the bottom up. A module imports only from layers before its own, and inside its own package.
# Names without a file are those of the plan (see the issues); a module that is not named here fails a test.
LAYERS = (
    "_checks",
    "_defaults",
    "_hub",
    "_processes",
    "data",
    "vector_cache",
    "question_encoder",
    "static_encoder",
    "configuration_embedllm",
    "plots",
    "card_text",
    "model_card",
    "network",
    "remote_code",
    "modeling_embedllm",
    "conversion",
    "metrics",
    "baselines",
    "neighbours",
    "vector_index",
    "training",
    "blending",
    "item_response",
    "onboarding",
    "probing",
    "confidence",
    "encoded_model",
    "routing",
    "forecasting",
    "similarity",
    "leaderboard",
    "evaluation",
    "cost_report",
    "experiments",
    "pipelines",
    "serving",
    "cli",
    "__main__",
)
# Third-party packages with one home each; a tuple of path beginnings.
HOMES = {
    "datasets": ("data/hub.py",),
    "sentence_transformers": ("question_encoder.py", "static_encoder.py"),
    "faiss": ("vector_index.py",),
    "matplotlib": ("plots/",),
    "fastapi": ("serving/",),
    "uvicorn": ("serving/",),
}
HEAVY = ("torch", "transformers", "datasets", "sentence_transformers", "pyarrow", "numpy", "scipy", "matplotlib")


def modules() -> dict[str, ast.Module]:
    """All modules of the package by their path in it, parsed.

    The package's own `__init__` is left out, and what `evaluate` copies before it imports it.
    """
    apart = {PACKAGE / "__init__.py", *(PACKAGE / "evaluate_modules").rglob("*.py")}
    paths = [path for path in PACKAGE.rglob("*.py") if path not in apart]
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def layer_of(path: str) -> str:
    """The first part of a module's path: `data/hub.py` is of `data`."""
    return path.split("/")[0].removesuffix(".py")


class Imports(ast.NodeVisitor):
    """The modules that one module imports when it runs, as dotted names; `from . import x` counts as `x`.

    Imports inside functions count; those for annotations only (`if TYPE_CHECKING`) do not.
    """

    def __init__(self, path: str) -> None:
        self.package = ["embedllm_hf", *path.split("/")[:-1]]
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self.package[: len(self.package) - node.level + 1] if node.level else []
        stem = ".".join([*base, *([node.module] if node.module else [])])
        self.found.update(f"{stem}.{alias.name}" for alias in node.names)


def imports_of(path: str, tree: ast.Module) -> set[str]:
    visitor = Imports(path)
    visitor.visit(tree)
    return visitor.found


def edges(trees: dict[str, ast.Module]) -> set[tuple[str, str]]:
    """Pairs (module, imported layer) inside the package; names of the package's own `__init__` are no layer."""
    found = set()
    for path, tree in trees.items():
        for name in imports_of(path, tree):
            parts = name.split(".")
            if parts[0] == "embedllm_hf" and len(parts) > 1 and not parts[1].startswith("__version"):
                found.add((path, parts[1]))
    return found


def back_edges(trees: dict[str, ast.Module]) -> list[str]:
    """Imports from a later layer, or from one that is not known, as `module -> layer`."""
    rank = {layer: position for position, layer in enumerate(LAYERS)}
    wrong = [
        f"{path} -> {layer}"
        for path, layer in edges(trees)
        if layer_of(path) in rank and rank.get(layer, len(LAYERS)) > rank[layer_of(path)]
    ]
    return sorted(wrong)


def test_every_module_is_in_a_layer():
    """A new module has to be given its place in the order."""
    unknown = {layer_of(path) for path in modules()} - set(LAYERS)
    assert not unknown, f"give {sorted(unknown)} a place in LAYERS"


def test_no_module_imports_from_a_later_layer():
    """The import graph follows the flow of the data."""
    assert back_edges(modules()) == []


def test_the_check_sees_the_imports_that_there_are():
    """It reads many modules, and known imports at the top, in a function and of a name are among what it finds."""
    found = edges(modules())
    assert len({path for path, _ in found}) > 10
    assert {("baselines.py", "metrics"), ("evaluation.py", "metrics"), ("cli/_options.py", "baselines")} <= found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("metrics/new.py", "from ..evaluation import METRICS"),
        ("data/new.py", "def f():\n    from ..modeling_embedllm import EmbedLLM"),
        ("baselines.py", "import embedllm_hf.routing"),
        ("routing.py", "from . import cli"),
        ("routing.py", "from embedllm_hf import evaluate_model"),
        ("_checks.py", "try:\n    from .data.hub import load_responses\nexcept ImportError:\n    pass"),
        ("data/new.py", "from ..unnamed import thing"),
    ],
)
def test_a_back_edge_is_found_in_every_form(path, source):
    """Relative and absolute, at the top, in a function and in a block: each is seen."""
    assert len(back_edges({path: ast.parse(source)})) == 1


def test_forward_edges_and_annotations_pass():
    """What stands before may be imported, neighbours in a package too, and types for annotations from anywhere."""
    source = "from .data.hub import x\nfrom .metrics import y\nif TYPE_CHECKING:\n    from .cli import main"
    assert back_edges({"evaluation.py": ast.parse(source)}) == []
    assert back_edges({"data/hub.py": ast.parse("from .reading import x\nfrom .._checks import y")}) == []


def test_packages_are_imported_in_their_home_only():
    """`datasets`, sentence-transformers, matplotlib and the web stack are each called from one place."""
    for path, tree in modules().items():
        for name in {found.split(".")[0] for found in imports_of(path, tree)} & HOMES.keys():
            assert path.startswith(HOMES[name]), f"{path} imports {name}"


def test_data_and_metrics_do_without_torch():
    """Data needs no torch; metrics need only NumPy and SciPy beside the standard library."""
    for path, tree in modules().items():
        roots = {name.split(".")[0] for name in imports_of(path, tree)}
        if layer_of(path) == "data":
            assert not roots & {"torch", "transformers", "accelerate"}, path
        if layer_of(path) == "metrics":
            assert roots - sys.stdlib_module_names <= {"numpy", "scipy", "embedllm_hf"}, path


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout


def test_importing_the_package_loads_nothing_heavy():
    """`import embedllm_hf` alone leaves all heavy packages out, and its `dir` is known without them."""
    code = f"import sys, embedllm_hf; dir(embedllm_hf); print([name for name in {HEAVY} if name in sys.modules])"
    assert run(code) == "[]\n"


def test_the_data_layer_loads_without_torch():
    """Responses can be read where torch is not wanted: the public name loads neither torch nor transformers."""
    code = "import sys; from embedllm_hf import load_responses; print({'torch', 'transformers'} & set(sys.modules))"
    assert run(code) == "set()\n"


@pytest.mark.parametrize("name", embedllm_hf.__all__)
def test_public_names_resolve(name):
    """Each name of `__all__` is there, is itself on the second look, and is in `dir`."""
    value = getattr(embedllm_hf, name)
    assert value is getattr(embedllm_hf, name)
    assert name in dir(embedllm_hf)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__doc__


def test_the_names_of_the_contract_are_public():
    """What users rely on from the first version on can be imported from the top."""
    wanted = {"EmbedLLM", "EmbedLLMConfig", "ResponseMatrix", "load_responses", "QuestionEncoder", "EmbedLLMTrainer"}
    wanted |= {"EmbedLLMTrainingArguments", "Router", "Forecaster", "evaluate_model"}
    assert wanted <= set(embedllm_hf.__all__)


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name is refused as Python does."""
    with pytest.raises(AttributeError, match="module 'embedllm_hf' has no attribute 'Ruoter'"):
        _ = embedllm_hf.Ruoter
