"""The card: its numbers are those of metrics.json, and what is not known is left out."""

import ast
import copy
import re
import shlex
import sys

import numpy as np
import pytest
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from embedllm_hf import EmbedLLMConfig
from embedllm_hf.cards import text as card_text
from embedllm_hf.cards.model_card import CARD_FILE, MAP_FILE, RELIABILITY_FILE, model_card, write_model_card
from tests.cards.made import EMBEDS, ROWS, make_config, make_metrics
from tests.pool import LLMS


@pytest.fixture
def report() -> dict:
    return make_metrics()


def table_after(card: ModelCard, heading: str) -> dict[str, list[str]]:
    """The first Markdown table after a heading: cells by row name, the header under an empty name."""
    lines = card.text.split(heading)[1].splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("*`") for cell in line.strip("|").split("|")])
    return {name: cells for name, *cells in rows if not name.startswith("---")}


def blocks(card: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", card, re.M | re.S)


def test_metadata_survives_the_round_trip(report):
    """What the Hub reads out of the text is what was put in: library, task, data, base model, license."""
    data = ModelCard(model_card(make_config(), report, repo_id="user/pool").content).data
    assert data.library_name == "embedllm_hf"
    assert data.pipeline_tag == "text-classification"
    assert data.license == "apache-2.0"
    assert data.datasets == ["user/responses"]
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert {"embedllm", "llm-routing"} <= set(data.tags)


def test_results_come_back_as_eval_results(report):
    """A result a metric, on the split and revision that was measured, with the values of metrics.json."""
    content = model_card(make_config(), report, repo_id="user/pool").content
    name, results = model_index_to_eval_results(ModelCard(content).data.to_dict()["model-index"])
    assert name == "pool"
    found = {result.metric_type: result for result in results}
    expected = {
        "accuracy": "accuracy", "roc_auc": "auc", "log_loss": "log_loss", "brier_score": "brier",
        "expected_calibration_error": "ece", "expected_calibration_error_llm_median": "ece_llm_median",
        "routing_accuracy": "routing_accuracy",
    }  # fmt: skip
    assert found.keys() == expected.keys()
    for metric_type, key in expected.items():
        result = found[metric_type]
        assert isinstance(result, EvalResult)
        assert result.metric_value == pytest.approx(report["embedllm"][key], abs=5e-5)
        assert (result.dataset_type, result.dataset_split) == ("user/responses", "test")
        assert result.dataset_revision == "c" * 40


def test_the_card_says_whether_the_encoder_was_trained(report):
    """A frozen encoder is said to be frozen, a trained one to be in the folder."""
    config = make_config()
    frozen = model_card(config, report, repo_id="user/pool").content
    config.encoder_digest = "0" * 64
    trained = model_card(config, report, repo_id="user/pool").content
    assert "its weights were not trained" in frozen
    assert "its weights were trained with the LLM vectors and are saved in `text_encoder/`" in trained
    assert "were not trained" not in trained
    assert model_card(config, report).data.to_dict()["base_model_relation"] == "finetune"


@pytest.mark.parametrize(
    ("encoder", "base_model"),
    [
        ("offline", "sentence-transformers/all-MiniLM-L6-v2"),
        ("sentence-transformers/all-mpnet-base-v2", "sentence-transformers/all-mpnet-base-v2"),
        ("./my/encoder", None),
        ("/opt/encoders/mine", None),
        ("encoders/mine", None),  # a folder that is there, see below
    ],
)
def test_base_model_is_a_hub_id_or_nothing(encoder, base_model, tmp_path, monkeypatch):
    """The encoder's Hub id, and none for a folder, even one that looks like an id."""
    (tmp_path / "encoders" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    config = EmbedLLMConfig(llm_names=LLMS, encoder_name=encoder)
    assert card_text.base_model_of(config) == base_model
    data = model_card(config, None).data
    assert data.base_model == base_model
    assert data.to_dict().get("base_model_relation") == ("adapter" if base_model else None)


def test_a_folder_is_no_data_set_of_the_hub(report):
    """Without a revision the name is told in the text and the results, but not linked as a data set."""
    local = copy.deepcopy(report)
    local["dataset"].update(id="my-responses", revision=None)
    card = model_card(make_config(), local)
    assert card.data.datasets is None
    assert card.data.eval_results[0].dataset_name == "my-responses"
    assert "`my-responses`" in card.text
    assert "huggingface.co/datasets" not in card.text
    hub = model_card(make_config(), report)
    assert "[user/responses](https://huggingface.co/datasets/user/responses)" in hub.text


def test_the_table_holds_the_numbers_of_the_report(report):
    """Each predictor's row has all metrics, the oracle its one; the columns are those of the report."""
    table = table_after(model_card(make_config(), report), "## Results")
    keys = [key for key, *_ in card_text.METRICS]
    assert list(table) == ["", *ROWS, "oracle"]
    for name in ROWS:
        assert [float(cell.strip("*")) for cell in table[name]] == pytest.approx(
            [report[name][key] for key in keys], abs=5e-5
        )
    assert table["oracle"][:-1] == ["-"] * (len(keys) - 1)
    assert float(table["oracle"][-1]) == pytest.approx(report["oracle"]["routing_accuracy"], abs=5e-5)


def test_benchmarks_have_their_own_table(report):
    """Each benchmark's accuracy and routing accuracy, by predictor."""
    table = table_after(model_card(make_config(), report), "by benchmark:")
    assert set(table) == {"", *report["benchmarks"]}
    for benchmark, scores in report["benchmarks"].items():
        expected = [f"{scores[name]['accuracy']:.3f} / {scores[name]['routing_accuracy']:.3f}" for name in scores]
        assert table[benchmark] == expected


def test_the_text_tells_where_the_data_is_from(report):
    """Id, revision, split, sizes, the duplicate rule with its counts, time, seed and versions."""
    repeated = copy.deepcopy(report)
    repeated["dataset"].update(n_repeats=1234, n_contradictions=56)
    text = model_card(make_config(), repeated).text
    dataset = report["dataset"]
    for part in (
        "c" * 40,
        "the split `test` of `user/responses`, which training has not seen",
        f"{dataset['n_questions']} questions x 6 LLMs, {dataset['n_observed']} responses",
        "rule `mean` (k right answers of n",
        "1,234 such rows in that split, 56 pairs contradict themselves",
        "1.2 s",
        "**Seed**: 7",
        "torch 2.9.0",
        "arxiv.org/abs/2410.02223",
        "It is not for:",
    ):
        assert part in text, part


@pytest.mark.parametrize("split", ["validation", "train"])
def test_figures_of_a_split_that_was_used_are_called_so(report, split):
    """Figures of the validation or training split do not pass for unseen ones."""
    seen = copy.deepcopy(report)
    seen["dataset"]["split"] = split
    text = model_card(make_config(), seen).text
    assert "flatter the model" in text
    assert "has not seen" not in text


@pytest.mark.parametrize("metrics", [None, {}, {"dataset": {}}, {"embedllm": {"accuracy": 0.7}}, {"seed": None}])
def test_unknown_values_leave_their_line_out(metrics):
    """A card of little still has its use, pool, limits and citation, and never says None, nan or Unknown."""
    card = model_card(make_config(), metrics, pictures=())
    for heading in ("## How to use", "## The pool", "## Limits", "## Citation"):
        assert heading in card.text
    for heading in ("## Data", "## Training", "by benchmark", "Measured on", "interval (paired"):
        assert heading not in card.text
    assert ("## Results" in card.text) == bool(metrics and "embedllm" in metrics)
    assert not re.search(r"\bNone\b|\bnan\b|unknown|!\[", card.text, re.I)
    assert "model-index" not in card.data.to_dict()
    assert "\n\n\n" not in card.text


def test_every_key_can_be_missing(report):
    """The card is written whichever part of metrics.json is not there."""
    whole = model_card(make_config(), report).text
    for key in report:
        partial = {name: value for name, value in report.items() if name != key}
        text = model_card(make_config(), partial).text
        assert "\n\n\n" not in text, key
        if key != "reliability":
            assert len(text) < len(whole), key
    for key in report["dataset"]:
        partial = {**report, "dataset": {name: value for name, value in report["dataset"].items() if name != key}}
        assert len(model_card(make_config(), partial).text) < len(whole), key


def test_a_long_pool_is_folded():
    """A few LLMs stand in the open, many behind one line; all of them are there."""
    assert "<details>" not in model_card(make_config(), None).text
    names = [f"lab/llm-{index}" for index in range(40)]
    text = model_card(EmbedLLMConfig(llm_names=names, encoder_name="offline"), None).text
    folded = text.split("<summary>The 40 LLMs</summary>")[1].split("</details>")[0]
    assert re.findall("`(.+?)`", folded) == names


def test_the_paper_form_is_told():
    """Biases and noise are as in the configuration, and the map's note on biases goes with them."""
    assert (
        "with biases for an LLM's overall strength and a question's difficulty" in model_card(make_config(), {}).text
    )
    paper = model_card(EmbedLLMConfig.paper(llm_names=LLMS), {}).text
    assert "without biases, as in the paper; noise of standard deviation 0.05" in paper
    assert "stands mostly in a bias" not in paper


def test_without_matplotlib_the_card_has_no_pictures(report, tmp_path, monkeypatch):
    """Neither files nor lines; everything else is there."""
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    write_model_card(tmp_path, make_config(), report, EMBEDS)
    assert [path.name for path in tmp_path.iterdir()] == [CARD_FILE]
    card = (tmp_path / CARD_FILE).read_text(encoding="utf-8")
    assert "![" not in card
    assert "## Results" in card


@pytest.mark.parametrize("case", ["two LLMs", "equal vectors", "infinite vectors"])
def test_what_cannot_be_drawn_is_left_out(report, tmp_path, case):
    """A map needs three LLMs, vectors that differ and finite numbers; without it the diagram is still drawn."""
    names, vectors = list(LLMS), EMBEDS.copy()
    if case == "two LLMs":
        names, vectors = names[:2], vectors[:2]
    elif case == "equal vectors":
        vectors = np.ones_like(vectors)
    else:
        vectors[0, 0] = np.inf
    config = EmbedLLMConfig(llm_names=names, embed_dim=4, encoder_name="offline")
    write_model_card(tmp_path, config, report, vectors)
    assert {path.name for path in tmp_path.iterdir()} == {CARD_FILE, RELIABILITY_FILE}
    assert MAP_FILE not in (tmp_path / CARD_FILE).read_text(encoding="utf-8")


def test_odd_names_are_quoted_in_the_examples():
    """A name with quotes and spaces is a literal of Python and one word of the shell."""
    name = 'lab/it\'s "odd" $HOME'
    config = EmbedLLMConfig(llm_names=[name, "b"], encoder_name="offline")
    text = model_card(config, None, benchmarks=["gsm8k"]).text
    (python,) = blocks(text, "python")
    assert name in [node.value for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Constant)]
    forecast = next(line for line in text.splitlines() if line.startswith("embedllm forecast"))
    assert name in shlex.split(forecast)


# --- what is optional, large, or a stranger's ---


@pytest.mark.parametrize("error", [MemoryError("5.96 GiB"), ValueError("no"), OSError(28, "No space left on device")])
def test_a_picture_that_cannot_be_made_costs_a_warning(tmp_path, monkeypatch, caplog, report, error):
    """Of whatever kind the error is: the card is written, without the picture, and one line says so."""

    def fail(*arguments):
        raise error

    monkeypatch.setattr("embedllm_hf.plots.llm_map_figure", fail)
    write_model_card(tmp_path, make_config(), report, EMBEDS)
    assert {path.name for path in tmp_path.iterdir()} == {CARD_FILE, RELIABILITY_FILE}
    assert MAP_FILE not in (tmp_path / CARD_FILE).read_text()
    (record,) = caplog.records
    assert MAP_FILE in record.message
    assert type(error).__name__ in record.message


def test_a_card_that_cannot_be_made_costs_a_warning(tmp_path, caplog):
    """Metrics of another form than ours, set in Python."""
    write_model_card(tmp_path, make_config(), {"dataset": "x", "gains": 7}, EMBEDS)
    assert "no model card is written" in caplog.text
    assert not (tmp_path / CARD_FILE).exists()


def test_a_large_pool_has_a_card_that_can_be_read(report):
    """100,000 LLMs: a list of 500 and how many more; a table of 50 benchmarks and how many more."""
    names = [f"lab/llm-{number}" for number in range(100_000)]
    metrics = {**report, "benchmarks": {f"b{number}": report["benchmarks"]["logic"] for number in range(3000)}}
    text = model_card(make_config(llm_names=names), metrics).content
    assert "100,000 large language models" in text
    assert "\n- `lab/llm-499`\n" in text
    assert "\n- `lab/llm-500`\n" not in text
    assert "And 99,500 more, in `config.json`." in text
    assert "And 2,950 more, in `metrics.json`." in text
    assert len(text) < 100_000


def test_llms_without_answers_are_marked_and_no_example(report):
    """The first LLM that is known is the example."""
    text = model_card(make_config(), report, benchmarks=["logic"], without_answers=[LLMS[0]]).text
    assert f"- `{LLMS[0]}` (no answers of it are known, so it is not chosen)\n" in text
    assert f"--llm {LLMS[1]} --benchmark logic" in text
    assert "1 of them has no known answer" in text


def test_names_that_cannot_stand_in_a_command_are_no_example(report):
    """A benchmark with a line break or an escape code is left out of the code; the card has no line of its."""
    hostile = "x\n```\n# Heading\n<script>alert(1)</script>\x1b[2J"
    told = {
        **report,
        "versions": {"a**b": "<b>1</b>"},
        "dataset": {**report["dataset"], "id": "a](http://evil)", "split": hostile},
    }
    text = model_card(make_config(), told, benchmarks=[hostile, "logic"]).text
    assert "--benchmark logic" in text
    assert "\n# Heading" not in text
    assert "\x1b" not in text
    assert "`a**b <b>1</b>`" in text
    assert "`a](http://evil)`" in text
