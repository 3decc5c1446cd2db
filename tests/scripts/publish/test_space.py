"""The Space: what its page says, and that its files are what the Hub builds it from."""

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest
from huggingface_hub import metadata_load

from embedllm_hf import Router
from embedllm_hf.data.files import EMBEDDED
from scripts.publish.parts import SPACE, space_part

ROOT = Path(__file__).parents[3]
QUESTION = "What is 310 multiplied by 48?"


def app_in(folder: Path) -> ModuleType:
    """The page's module, as it stands in a folder."""
    spec = importlib.util.spec_from_file_location("app", folder / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files() -> dict[str, Path | bytes]:
    return dict(space_part("user/embedllm-router", "user/model", private=False).files)


def test_it_says_what_the_router_says(planted_model, monkeypatch):
    """The best five with their intervals, the first in words, and each of the nearest categories once."""
    monkeypatch.setitem(sys.modules, "gradio", None)
    router = Router.from_pretrained(planted_model)
    chosen, best, nearest = app_in(SPACE).answer(router, QUESTION)
    decision = router(QUESTION, top_k=5, explain=True)
    assert [row[0] for row in best] == [one.llm for one in decision.ranking]
    assert len(best) == 5
    assert best[0] == [decision.llm, f"{decision.probability:.1%}", f"{decision.low:.1%} to {decision.high:.1%}"]
    assert chosen.startswith(f"**{decision.llm}** answers correctly with a probability of {decision.probability:.1%}")
    assert best[0][2] in chosen
    assert [row[0] for row in nearest] == list(dict.fromkeys(known.category for known in decision.evidence))
    assert float(nearest[0][1]) == pytest.approx(decision.evidence[0].similarity, abs=0.006)


class Shown(Exception):
    """What Gradio shows to the user."""

    def __init__(self, text: str, *, print_exception: bool) -> None:
        super().__init__(text)


def test_the_page_asks_the_model_and_shows_errors(planted_model, monkeypatch):
    """Button and Enter route what stands in the box; what the library refuses is shown, not raised."""
    gradio = MagicMock(Error=Shown)
    monkeypatch.setitem(sys.modules, "gradio", gradio)
    app = app_in(SPACE)
    app.build(Router.from_pretrained(planted_model), "user/model")
    _, respond, question, outputs = gradio.on.call_args.args
    assert question is gradio.Textbox.return_value
    assert len(outputs) == 3
    assert respond(QUESTION)[1][0][0] == "planted/abacus-large"
    with pytest.raises(Shown, match="expected a text that is not empty"):
        respond(" ")


def test_its_card_is_complete(files, tmp_path):
    """What the Hub needs to build it, and the model, which the page reads from there."""
    (tmp_path / "README.md").write_bytes(files["README.md"])
    (tmp_path / "app.py").write_bytes(files["app.py"].read_bytes())
    card = metadata_load(tmp_path / "README.md")
    assert card["sdk"] == "gradio"
    assert [int(part) for part in card["sdk_version"].split(".")] >= [6, 0, 0]
    assert card["app_file"] in files
    assert card["license"] == "apache-2.0"
    assert app_in(tmp_path).model_id() == "user/model"


def test_it_asks_for_what_the_library_needs(files):
    """The packages of `setup.py` with their bounds, and the offline encoder."""
    assigned = {}
    for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("CORE", "EXTRAS"):
            assigned[node.targets[0].id] = ast.literal_eval(node.value)
    assert files["requirements.txt"].read_text().splitlines() == [*assigned["CORE"], *assigned["EXTRAS"]["offline"]]


def test_it_brings_the_library(files):
    """Each module and what stands beside them, but not the data set, which has a repository of its own."""
    package = EMBEDDED.parents[1]
    modules = {path.relative_to(package.parent).as_posix() for path in package.rglob("*.py")}
    assert modules <= set(files)
    assert {"embedllm_hf/cards/model_card.md", "embedllm_hf/py.typed"} <= set(files)
    assert not [name for name in files if "__pycache__" in name or EMBEDDED.name in name]
