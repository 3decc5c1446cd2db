"""The `evaluate` modules: by path and from a Space, alone and combined, batch by batch, with missing responses."""

import re
from pathlib import Path

import evaluate
import numpy as np
import pytest

import embedllm_hf
from embedllm_hf import metrics

MODULES = Path(embedllm_hf.__file__).parent / "evaluate_modules"
NAMES = sorted(path.name for path in MODULES.iterdir())
NAN = float("nan")
PROBS = np.random.default_rng(0).random((30, 4))
RESPONSES = np.where(np.random.default_rng(1).random((30, 4)) < 0.2, NAN, (PROBS > 0.4).astype(float))


def load(name: str) -> evaluate.Metric:
    return evaluate.load(str(MODULES / name))


def test_correctness_is_what_the_reports_compute():
    """Every figure equals the function's that the package's reports call, over observed pairs."""
    expected = {
        "accuracy": metrics.accuracy(PROBS, RESPONSES),
        "auc": metrics.auc(PROBS, RESPONSES),
        "log_loss": metrics.log_loss(PROBS, RESPONSES),
        "brier": metrics.brier_score(PROBS, RESPONSES),
        "ece": metrics.expected_calibration_error(PROBS, RESPONSES),
    }
    result = load("correctness").compute(predictions=PROBS.tolist(), references=RESPONSES.tolist())
    assert result == pytest.approx(expected)


def test_batches_give_what_all_at_once_gives():
    """Added batch by batch, of different sizes, the result is the same."""
    metric = load("routing_accuracy")
    for rows in (slice(0, 7), slice(7, 8), slice(8, None)):
        metric.add_batch(predictions=PROBS[rows].tolist(), references=RESPONSES[rows].tolist())
    result = metric.compute()
    assert result["routing_accuracy"] == pytest.approx(metrics.routing_accuracy(PROBS, RESPONSES))
    assert result["oracle"] == pytest.approx(metrics.oracle_accuracy(RESPONSES))


def test_modules_combine():
    """`evaluate.combine` takes them together."""
    both = evaluate.combine([load("correctness"), load("routing_accuracy")])
    result = both.compute(predictions=PROBS.tolist(), references=RESPONSES.tolist())
    assert result["accuracy"] == pytest.approx(metrics.accuracy(PROBS, RESPONSES))
    assert result["routing_accuracy"] == pytest.approx(metrics.routing_accuracy(PROBS, RESPONSES))


def test_benchmark_forecast_by_hand():
    """Error, order, coverage and width on a case counted by hand; an unknown score counts nowhere."""
    scores = {
        "predictions": [0.5, 0.7, 0.9, 0.1],
        "references": [0.6, 0.7, 0.6, NAN],
        "lows": [0.4, 0.6, 0.8, 0.0],
        "highs": [0.6, 0.8, 1.0, 1.0],
    }
    result = load("benchmark_forecast").compute(**scores)
    assert result["mean_absolute_error"] == pytest.approx(0.4 / 3)
    assert result["coverage"] == pytest.approx(2 / 3)
    assert result["mean_width"] == pytest.approx(0.2)
    assert result["kendall_tau"] == pytest.approx(0.0)
    without = {**scores, "lows": [NAN] * 4, "highs": [NAN] * 4}
    assert "coverage" not in load("benchmark_forecast").compute(**without)


def test_from_a_space(hub):
    """A Space on the Hub gives the same metric."""
    folder = MODULES / "routing_accuracy"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.create_repo("user/routing_accuracy", files, type="space")
    metric = evaluate.load("user/routing_accuracy")
    result = metric.compute(predictions=[[0.9, 0.1], [0.2, 0.3]], references=[[1, 0], [1, 0]])
    assert result == {"routing_accuracy": 0.5, "oracle": 1.0}


@pytest.mark.parametrize("name", NAMES)
def test_the_card_has_an_example_that_runs(name, monkeypatch):
    """Each module has its card, with metadata of a Space and a Python block that runs as it stands."""
    monkeypatch.chdir(MODULES)
    card = (MODULES / name / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\ntitle:")
    assert "sdk: gradio" in card
    (code,) = re.findall(r"^```python\n(.*?)^```", card, re.M | re.S)
    code = code.replace(f'"{name}"', repr(str(MODULES / name)))
    exec(compile(code, f"{name}/README.md", "exec"), {})  # the card is ours


def test_every_module_measures_with_the_package():
    """No formula stands in a module: each calls `embedllm_hf.metrics`."""
    assert NAMES == ["benchmark_forecast", "correctness", "cost_quality", "routing_accuracy"]
    for name in NAMES:
        code = (MODULES / name / f"{name}.py").read_text(encoding="utf-8")
        assert "metrics." in code.split("def _compute")[1]
