"""The card: its numbers are those of metrics.json, what is not known is left out, its examples run."""

import ast
import copy
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import EvalResult, HfApi, ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from embedllm_hf import EmbedLLM, EmbedLLMConfig, Router, evaluate_model, fit_baselines
from embedllm_hf.bank.question_bank import KnownQuestions
from embedllm_hf.cards import text as card_text
from embedllm_hf.cards.model_card import (
    CARD_FILE,
    MAP_FILE,
    RELIABILITY_FILE,
    base_model_of,
    model_card,
    write_model_card,
)
from embedllm_hf.cli import main
from embedllm_hf.data.responses import DUPLICATE_RULES
from embedllm_hf.evaluation import report as evaluation
from embedllm_hf.modeling_embedllm import METRICS_FILE
from tests.pool import LLMS, TEXT_DIM, make_split

HUB_DATA = {"dataset_id": "user/responses", "revision": "c" * 40, "split": "test"}


def make_model(text_dim: int = TEXT_DIM, **config) -> EmbedLLM:
    """A model with random weights."""
    torch.manual_seed(0)
    return EmbedLLM(EmbedLLMConfig(llm_names=LLMS, text_dim=text_dim, embed_dim=4, encoder_name="offline", **config))


@pytest.fixture(scope="module")
def report() -> dict:
    """Metrics of a model and its baselines, as `metrics.json` holds them."""
    train, test = make_split(60), make_split(40, first_id=60, seed=1)
    measured = evaluate_model(
        make_model(), test.responses, test.question_embeds,
        baselines=fit_baselines(train.responses, train.question_embeds), **HUB_DATA, train_seconds=1.25, seed=7,
    )  # fmt: skip
    return json.loads(json.dumps(measured.to_dict()))


@pytest.fixture
def measured(report) -> EmbedLLM:
    """A model with metrics and known questions, of the width of the encoder `offline`."""
    model, split = make_model(text_dim=384), make_split(20)
    embeds = np.random.default_rng(0).normal(size=(20, 384)).astype(np.float32)
    model.known_questions = KnownQuestions.from_responses(split.responses, embeds)
    model.metrics = copy.deepcopy(report)
    return model.eval()


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


# --- metadata ---


def test_metadata_survives_the_round_trip(report):
    """What the Hub reads out of the text is what was put in: library, task, data, base model, licence."""
    data = ModelCard(model_card(make_model().config, report, repo_id="user/pool").content).data
    assert data.library_name == "embedllm_hf"
    assert data.pipeline_tag == "text-classification"
    assert data.license == "apache-2.0"
    assert data.datasets == ["user/responses"]
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert {"embedllm", "llm-routing"} <= set(data.tags)


def test_results_come_back_as_eval_results(report):
    """A result a metric, on the split and revision that was measured, with the values of metrics.json."""
    content = model_card(make_model().config, report, repo_id="user/pool").content
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
    config = make_model().config
    frozen = model_card(config, report, repo_id="user/pool").content
    config.trained_encoder = "0" * 64
    trained = model_card(config, report, repo_id="user/pool").content
    assert "its weights were not trained" in frozen
    assert "its weights trained with the vectors and saved in `text_encoder/`" in trained
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
    assert base_model_of(config) == base_model
    data = model_card(config, None).data
    assert data.base_model == base_model
    assert data.to_dict().get("base_model_relation") == ("adapter" if base_model else None)


def test_a_folder_is_no_data_set_of_the_hub(report):
    """Without a revision the name is told in the text and the results, but not linked as a data set."""
    local = copy.deepcopy(report)
    local["dataset"].update(id="my-responses", revision=None)
    card = model_card(make_model().config, local)
    assert card.data.datasets is None
    assert card.data.eval_results[0].dataset_name == "my-responses"
    assert "`my-responses`" in card.text
    assert "huggingface.co/datasets" not in card.text
    hub = model_card(make_model().config, report)
    assert "[user/responses](https://huggingface.co/datasets/user/responses)" in hub.text


# --- text ---


def test_the_table_holds_the_numbers_of_the_report(report):
    """Each predictor's row has all metrics, the oracle its one; the columns are those of the report."""
    table = table_after(model_card(make_model().config, report), "## Results")
    keys = [key for key, *_ in card_text.METRICS]
    assert list(table) == ["", "embedllm", "llm_mean", "llm_category_mean", "knn", "oracle"]
    for name in ("embedllm", "llm_mean", "llm_category_mean", "knn"):
        assert [float(cell.strip("*")) for cell in table[name]] == pytest.approx(
            [report[name][key] for key in keys], abs=5e-5
        )
    assert table["oracle"][:-1] == ["-"] * (len(keys) - 1)
    assert float(table["oracle"][-1]) == pytest.approx(report["oracle"]["routing_accuracy"], abs=5e-5)


def test_the_best_of_each_column_is_bold():
    """The largest accuracy and the smallest log loss stand out, ties together; the oracle never does."""
    scores = {"embedllm": {"accuracy": 0.7, "log_loss": 0.5}, "knn": {"accuracy": 0.7, "log_loss": 0.4}}
    table = card_text.results_table(scores, {"routing_accuracy": 0.99})
    embedllm, knn, oracle = table.splitlines()[2:]
    assert embedllm == "| **embedllm** | **0.7000** | 0.5000 |"
    assert knn == "| `knn` | **0.7000** | **0.4000** |"
    assert oracle == "| `oracle` | - | - |"


def test_the_metrics_and_rules_are_all_of_them(report):
    """What the card knows of metrics, predictors, duplicate rules and splits is what the library has."""
    assert [key for key, *_ in card_text.METRICS] == list(evaluation.METRICS)
    assert set(card_text.DUPLICATES) == set(DUPLICATE_RULES)
    blended = {evaluation.NETWORK, evaluation.WITH_CATEGORY, evaluation.WITH_KNOWN}
    assert set(card_text.PREDICTORS) == {*card_text.predictor_scores(report), *blended, "oracle"} - {"embedllm"}
    assert evaluation.MODEL == card_text.MODEL


def test_benchmarks_have_their_own_table(report):
    """Each benchmark's accuracy and routing accuracy, by predictor."""
    table = table_after(model_card(make_model().config, report), "by benchmark:")
    assert set(table) == {"", *report["benchmarks"]}
    for benchmark, scores in report["benchmarks"].items():
        expected = [f"{scores[name]['accuracy']:.3f} / {scores[name]['routing_accuracy']:.3f}" for name in scores]
        assert table[benchmark] == expected


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.03, "EmbedLLM is better"),
        (-0.03, -0.01, "the baseline is better"),
        (-0.01, 0.03, "no clear difference"),
    ],
)
def test_gains_come_with_a_verdict(low, high, verdict):
    """An interval that holds zero is called no clear difference."""
    gain = {"over": "knn", "difference": (low + high) / 2, "low": low, "high": high}
    (line,) = card_text.gain_lines({"routing_accuracy": gain})
    assert line.endswith(verdict)
    assert f"between {low:+.4f} and {high:+.4f}" in line
    assert "over `knn`" in line


def test_the_text_tells_where_the_data_is_from(report):
    """Id, revision, split, sizes, the duplicate rule with its counts, time, seed and versions."""
    repeated = copy.deepcopy(report)
    repeated["dataset"].update(n_repeats=1234, n_contradictions=56)
    text = model_card(make_model().config, repeated).text
    dataset = report["dataset"]
    for part in (
        "c" * 40,
        "the split `test` of `user/responses`, which training has not seen",
        f"{dataset['n_questions']} questions x 6 LLMs, {dataset['n_observed']} responses",
        "rule `mean` (k right answers of n",
        "1,234 such rows in that split, 56 pairs contradict themselves",
        "1.2 s",
        "**Seed**: 7",
        f"torch {torch.__version__}",
        "arxiv.org/abs/2410.02223",
        "It is not for:",
    ):
        assert part in text, part


@pytest.mark.parametrize("split", ["validation", "train"])
def test_figures_of_a_split_that_was_used_are_called_so(report, split):
    """Figures of the validation or training split do not pass for unseen ones."""
    seen = copy.deepcopy(report)
    seen["dataset"]["split"] = split
    text = model_card(make_model().config, seen).text
    assert "flatter the model" in text
    assert "has not seen" not in text


@pytest.mark.parametrize("metrics", [None, {}, {"dataset": {}}, {"embedllm": {"accuracy": 0.7}}, {"seed": None}])
def test_unknown_values_leave_their_line_out(metrics):
    """A card of little still has its use, pool, limits and citation, and never says None, nan or Unknown."""
    card = model_card(make_model().config, metrics, pictures=())
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
    whole = model_card(make_model().config, report).text
    for key in report:
        partial = {name: value for name, value in report.items() if name != key}
        text = model_card(make_model().config, partial).text
        assert "\n\n\n" not in text, key
        if key != "reliability":
            assert len(text) < len(whole), key
    for key in report["dataset"]:
        partial = {**report, "dataset": {name: value for name, value in report["dataset"].items() if name != key}}
        assert len(model_card(make_model().config, partial).text) < len(whole), key


def test_a_long_pool_is_folded():
    """A few LLMs stand in the open, many behind one line; all of them are there."""
    assert "<details>" not in model_card(make_model().config, None).text
    names = [f"lab/llm-{index}" for index in range(40)]
    text = model_card(EmbedLLMConfig(llm_names=names, encoder_name="offline"), None).text
    folded = text.split("<summary>The 40 LLMs</summary>")[1].split("</details>")[0]
    assert re.findall("`(.+?)`", folded) == names


def test_the_paper_form_is_told():
    """Biases and noise are as in the configuration, and the map's note on biases goes with them."""
    assert (
        "with biases for an LLM's overall strength and a question's difficulty"
        in model_card(make_model().config, {}).text
    )
    paper = model_card(EmbedLLMConfig.paper(llm_names=LLMS), {}).text
    assert "without biases, as in the paper; noise of standard deviation 0.05" in paper
    assert "stands mostly in a bias" not in paper


@pytest.mark.parametrize(
    ("text", "span"),
    [("plain", "`plain`"), ("a`b", "`` a`b ``"), ("a|b", "`a\\|b`"), ("a\n# b", "`a # b`"), ("``", "``` `` ```")],
)
def test_names_cannot_break_out_of_their_code_span(text, span):
    """Backticks, pipes and line breaks of a name stay text."""
    assert card_text.code(text) == span


# --- use ---


def test_the_examples_of_the_card_run(measured, tmp_path, monkeypatch, capsys):
    """The Python block and each command run as they stand in the folder that the card was saved with."""
    monkeypatch.chdir(tmp_path)
    measured.save_pretrained("path/to/model")
    card = Path("path/to/model", CARD_FILE).read_text(encoding="utf-8")
    (python,) = blocks(card, "python")
    exec(compile(python, CARD_FILE, "exec"), {})  # the card is ours
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[0] in LLMS
    assert shown[-1] == "(1, 6) (6, 4)"
    commands = [line for block in blocks(card, "bash") for line in block.splitlines() if line.startswith("embedllm ")]
    assert [command.split()[1] for command in commands] == ["route", "forecast"]
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    assert "90% interval" in capsys.readouterr().out


def test_odd_names_are_quoted_in_the_examples():
    """A name with quotes and spaces is a literal of Python and one word of the shell."""
    name = 'lab/it\'s "odd" $HOME'
    config = EmbedLLMConfig(llm_names=[name, "b"], encoder_name="offline")
    text = model_card(config, None, benchmarks=["gsm8k"]).text
    (python,) = blocks(text, "python")
    assert name in [node.value for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Constant)]
    forecast = next(line for line in text.splitlines() if line.startswith("embedllm forecast"))
    assert name in shlex.split(forecast)


def test_without_known_questions_no_benchmark_is_promised(measured, tmp_path):
    """The lines on benchmarks are there only if the model can forecast one."""
    measured.known_questions = None
    measured.save_pretrained(tmp_path)
    assert ".benchmark(" not in (tmp_path / CARD_FILE).read_text(encoding="utf-8")


# --- files ---


def test_metrics_card_and_pictures_travel_with_the_model(measured, tmp_path):
    """A save writes them, a load brings the metrics back equal, and the next save gives the same card."""
    measured.save_pretrained(tmp_path / "one")
    loaded = EmbedLLM.from_pretrained(tmp_path / "one")
    assert loaded.metrics == measured.metrics
    loaded.save_pretrained(tmp_path / "two")
    for name in (CARD_FILE, METRICS_FILE, RELIABILITY_FILE, MAP_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    card = (tmp_path / "one" / CARD_FILE).read_text(encoding="utf-8")
    assert re.findall(r"!\[.*\]\((.*)\)", card) == [MAP_FILE, RELIABILITY_FILE]


def test_a_push_brings_the_card_in_one_commit(measured, hub, tmp_path):
    """The repository has weights, configuration, metrics, card and pictures; the card names the repository."""
    measured.push_to_hub("user/pool")
    assert len(hub.seen(r"POST /api/models/user/pool/commit/")) == 1
    loaded = EmbedLLM.from_pretrained("user/pool", cache_dir=tmp_path)
    assert loaded.metrics == measured.metrics
    card = ModelCard.load("user/pool", repo_type="model")
    assert 'path = "user/pool"' in card.text
    assert card.data.library_name == "embedllm_hf"
    assert card.data.model_name == "pool"
    files = set(HfApi().list_repo_files("user/pool"))
    assert {"config.json", "model.safetensors", METRICS_FILE, CARD_FILE, RELIABILITY_FILE, MAP_FILE} <= files


def test_saving_with_an_upload_uploads_all_of_it(measured, hub, tmp_path):
    """`save_pretrained(push_to_hub=True)` leaves the folder and the repository with the same files."""
    measured.save_pretrained(tmp_path / "pool", push_to_hub=True, repo_id="user/saved", private=True)
    files = {path.name for path in (tmp_path / "pool").iterdir()}
    assert files == set(HfApi().list_repo_files("user/saved")) - {".gitattributes"}
    assert METRICS_FILE in files
    assert hub.repo("user/saved").private


def test_a_save_leaves_nothing_of_another_model(measured, tmp_path):
    """A model without metrics, saved over one with them, has none when it is loaded."""
    measured.save_pretrained(tmp_path)
    make_model(text_dim=384).save_pretrained(tmp_path)
    loaded = EmbedLLM.from_pretrained(tmp_path)
    assert loaded.metrics is None
    assert loaded.known_questions is None
    assert not (tmp_path / RELIABILITY_FILE).exists()
    assert "## Results" not in (tmp_path / CARD_FILE).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "message"), [('{"embedllm": {"acc', "not a whole JSON file"), ("[1, 2]", "holds a JSON list")]
)
def test_damaged_metrics_are_refused(measured, tmp_path, content, message):
    """Half a file, and another kind of value, are errors that name the file."""
    measured.save_pretrained(tmp_path)
    (tmp_path / METRICS_FILE).write_text(content)
    with pytest.raises(ValueError, match=rf"metrics\.json: {message}"):
        EmbedLLM.from_pretrained(tmp_path)


def test_somebody_elses_readme_is_kept(tmp_path, caplog):
    """Saving into a folder with a README of its own leaves it, and says so; our own card is renewed."""
    (tmp_path / CARD_FILE).write_text("# My project\n")
    make_model().save_pretrained(tmp_path)
    assert (tmp_path / CARD_FILE).read_text() == "# My project\n"
    assert "no card is written" in caplog.text
    assert not (tmp_path / MAP_FILE).exists()
    make_model().save_pretrained(tmp_path / "model")
    make_model(llm_bias=False).save_pretrained(tmp_path / "model")
    assert "overall strength" not in (tmp_path / "model" / CARD_FILE).read_text(encoding="utf-8")


def test_without_matplotlib_the_card_has_no_pictures(report, tmp_path, monkeypatch):
    """Neither files nor lines; everything else is there."""
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    model = make_model()
    write_model_card(tmp_path, model.config, report, model.llm_embeds)
    assert [path.name for path in tmp_path.iterdir()] == [CARD_FILE]
    card = (tmp_path / CARD_FILE).read_text(encoding="utf-8")
    assert "![" not in card
    assert "## Results" in card


@pytest.mark.parametrize("case", ["two LLMs", "equal vectors", "infinite vectors"])
def test_what_cannot_be_drawn_is_left_out(report, tmp_path, case):
    """A map needs three LLMs, vectors that differ and finite numbers; without it the diagram is still drawn."""
    names, vectors = list(LLMS), make_model().llm_embeds
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


def test_a_report_names_a_folder_not_its_place(tmp_path):
    """`metrics.json` holds the name of a local data set's folder; a Hub id stays as it is."""
    test = make_split(20)
    (tmp_path / "my-responses").mkdir()
    for dataset_id, shown in ((str(tmp_path / "my-responses"), "my-responses"), ("user/responses", "user/responses")):
        measured = evaluate_model(
            make_model(), test.responses, test.question_embeds, baselines={}, dataset_id=dataset_id
        )
        assert measured.dataset.id == shown


def test_a_report_holds_the_reliability_and_the_repeats(report):
    """The bins hold every observed pair, and their error is the ECE; repeated rows are counted."""
    bins = report["reliability"]
    assert sum(item["n_pairs"] for item in bins) == report["dataset"]["n_observed"]
    error = sum(abs(item["mean_probability"] - item["share_right"]) * item["n_pairs"] for item in bins)
    assert error / report["dataset"]["n_observed"] == pytest.approx(report["embedllm"]["ece"], abs=1e-12)
    assert (report["dataset"]["n_repeats"], report["dataset"]["n_contradictions"]) == (0, 0)


def test_a_saved_router_is_the_cards_router(measured, tmp_path):
    """The path of the card's first example takes a folder as well as an id."""
    measured.save_pretrained(tmp_path)
    assert Router.from_pretrained(tmp_path)("What is 17 * 23?").llm in LLMS
