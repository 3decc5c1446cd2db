"""The order of the modules, read from their imports; what `import embedllm_hf` loads; the public names."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import embedllm_hf

PACKAGE = Path(embedllm_hf.__file__).parent
# From the bottom up, the flow of the data. A module imports only from layers before its own, and inside its folder.
# A module that is not named here fails a test.
LAYERS = (
    "_errors",
    "_checks",
    "_files",
    "_threads",
    "_manifest",
    "_tables",
    "metrics",
    "hub",
    "logs",
    "data",
    "configuration_embedllm",
    "encoding",
    "network",
    "bank",
    "item_response",
    "predictors",
    "plots",
    "cards",
    "model_folder",
    "pool_edits",
    "modeling_embedllm",
    "inference",
    "evaluation",
    "training",
    "new_llms",
    "cli",
    "__main__",
)
# Third-party packages with one home each; a tuple of path beginnings.
HOMES = {
    "datasets": ("data/sources.py",),
    "inspect_ai": ("logs/inspect_ai.py",),
    "sentence_transformers": ("encoding/", "training/encoder_trainer.py"),
    "faiss": ("predictors/neighbours.py",),
    "matplotlib": ("plots/",),
    "sklearn": ("predictors/stacked_fit.py", "plots/", "encoding/distill.py"),
}
# Functions of more than 40 lines, each with its reason.
LONG_FUNCTIONS: set[str] = set()
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
    """The modules that one module imports, as dotted names; `from . import x` counts as `x`.

    Imports inside functions count, and so do those for annotations (`if TYPE_CHECKING`).
    """

    def __init__(self, path: str) -> None:
        self.package = ["embedllm_hf", *path.split("/")[:-1]]
        self.found: set[str] = set()

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


def circle(trees: dict[str, ast.Module]) -> list[str]:
    """Modules that import each other in a circle, inside a folder too; empty if there are none."""
    names = {".".join(["embedllm_hf", *path.removesuffix(".py").split("/")]): path for path in trees}
    names |= {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {}
    for path, tree in trees.items():
        found = imports_of(path, tree)
        imported = {name if name in names else name.rpartition(".")[0] for name in found}
        graph[path] = {names[name] for name in imported & names.keys()} - {path}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_every_module_is_in_a_layer():
    """A new module has to be given its place in the order."""
    unknown = {layer_of(path) for path in modules()} - set(LAYERS)
    assert not unknown, f"give {sorted(unknown)} a place in LAYERS"


def test_every_layer_is_there():
    """The order names no room that is gone."""
    assert set(LAYERS) == {layer_of(path) for path in modules()}


def test_no_module_imports_from_a_later_layer():
    """The import graph follows the flow of the data."""
    assert back_edges(modules()) == []


def test_no_modules_import_each_other():
    """Inside a folder arrows run one way, too."""
    assert circle(modules()) == []


def test_the_check_sees_the_imports_that_there_are():
    """It reads many modules, and known imports at the top, in a function and for annotations are among its finds."""
    found = edges(modules())
    assert len({path for path, _ in found}) > 50
    assert {
        ("predictors/baselines.py", "metrics"),
        ("cli/train.py", "training"),
        ("cli/_options.py", "predictors"),
    } <= found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("metrics/new.py", "from ..evaluation import METRICS"),
        ("data/new.py", "def f():\n    from ..modeling_embedllm import EmbedLLM"),
        ("data/new.py", "if TYPE_CHECKING:\n    from ..modeling_embedllm import EmbedLLM"),
        ("network.py", "import embedllm_hf.inference"),
        ("network.py", "from . import cli"),
        ("network.py", "from embedllm_hf import evaluate_model"),
        ("_checks.py", "try:\n    from .data.sources import load_responses\nexcept ImportError:\n    pass"),
        ("data/new.py", "from ..unnamed import thing"),
    ],
)
def test_a_back_edge_is_found_in_every_form(path, source):
    """Relative and absolute, at the top, in a function, for annotations and in a block: each is seen."""
    assert len(back_edges({path: ast.parse(source)})) == 1


def test_forward_edges_pass():
    """Whatever stands before may be imported, and neighbours in a folder too."""
    source = "from ..data.sources import x\nfrom ..metrics import y\nfrom .guarantee import z"
    assert back_edges({"evaluation/report.py": ast.parse(source)}) == []


@pytest.mark.parametrize("second", ["from .one import x", "if TYPE_CHECKING:\n    from . import one"])
def test_a_circle_inside_a_folder_is_found(second):
    """Two neighbours that import each other, be it for annotations only."""
    trees = {"data/one.py": ast.parse("def f():\n    from .two import y"), "data/two.py": ast.parse(second)}
    assert set(circle(trees)) == {"data/one.py", "data/two.py"}
    assert circle({"data/one.py": ast.parse("from .two import y"), "data/two.py": ast.parse("")}) == []


def test_folders_say_what_lives_there():
    """The docstring of each folder: what lives there, what does not, where the flow enters and leaves."""
    for path, tree in modules().items():
        if path.endswith("/__init__.py"):
            assert len((ast.get_docstring(tree) or "").split()) >= 30, path


def test_files_fit_in_one_sitting():
    """No file is longer than 400 lines."""
    lengths = {path: len((PACKAGE / path).read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_functions_fit_on_a_screen():
    """No function has more than 40 lines of code, its docstring and signature apart, without saying why."""
    long = []
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and node.end_lineno - body[0].lineno + 1 > 40:
                    long.append(f"{path}: {node.name}")
    assert set(long) <= LONG_FUNCTIONS, sorted(set(long) - LONG_FUNCTIONS)


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
    wanted = {"EmbedLLM", "EmbedLLMConfig", "ResponseMatrix", "load_responses", "load_splits", "QuestionEncoder"}
    wanted |= {"EmbedLLMTrainer", "EmbedLLMTrainingArguments", "Router", "RoutingPolicy", "Forecaster"}
    wanted |= {"onboard", "probe", "evaluate_model"}
    assert wanted <= set(embedllm_hf.__all__)


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name is refused as Python does."""
    with pytest.raises(AttributeError, match="module 'embedllm_hf' has no attribute 'Ruoter'"):
        _ = embedllm_hf.Ruoter
