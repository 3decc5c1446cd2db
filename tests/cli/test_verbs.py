"""The command line: each verb does its work, and bad input gets one line, exit code 2 and nothing half-written."""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from embedllm_hf import EmbedLLM, ResponseMatrix
from embedllm_hf.cli import VERBS
from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.encoding.embeddings_file import save_embeddings
from tests.command_line import refused, run
from tests.pool import LLMS, make_frame, make_split

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dataset(tmp_path) -> Path:
    """A folder in the EmbedLLM layout, with text vectors beside it."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    frames = {
        name: make_frame(size, first_id=first, seed=first)
        for name, size, first in (("train", 80, 0), ("val", 30, 80), ("test", 30, 110))
    }
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    (folder / "model_order.csv").write_text(
        "model_id,model_name\n" + "".join(f"{index},{name}\n" for index, name in enumerate(LLMS))
    )
    split = make_split(140)
    vectors = folder / "vectors.safetensors"
    save_embeddings(vectors, split.question_embeds, split.responses.question_ids, EncoderId("offline"))
    return folder


def train(capsys, dataset: Path, output_dir: Path, *more: object) -> tuple[int, str, str]:
    vectors = dataset / "vectors.safetensors"
    options = ("--dataset", dataset, "--encoder", "offline", "--question_embeddings", vectors, "--disable_tqdm")
    return run(capsys, "train", *options, "--output_dir", output_dir, *more)


# --- what the verbs do ---


def test_train_writes_the_folder_of_the_contract(capsys, dataset, tmp_path):
    """Weights, configuration, bank and metrics are there; the report is printed; test was measured."""
    code, out, _ = train(capsys, dataset, tmp_path / "model", "--embed_dim", 4)
    assert code == 0
    files = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "bank.safetensors", "metrics.json"} <= files
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics["dataset"]["split"] == "test"
    assert metrics["dataset"]["n_questions"] == 30
    assert {"accuracy", "auc", "log_loss", "brier", "ece", "routing_accuracy"} <= set(metrics["embedllm"])
    assert metrics["embedllm"]["accuracy"] > 0.8
    assert {"llm_mean", "llm_category_mean", "knn", "oracle", "train_seconds", "seed", "versions"} <= set(metrics)
    for shown in ("embedllm", "llm_category_mean", "oracle", "95% interval", "saved to"):
        assert shown in out
    assert EmbedLLM.from_pretrained(tmp_path / "model").config.embed_dim == 4


def test_train_never_touches_the_test_split(capsys, dataset, tmp_path):
    """The weights are the same to the bit whatever the test split holds, even nothing."""
    train(capsys, dataset, tmp_path / "with", "--num_train_epochs", 2)
    (dataset / "test.csv").unlink()
    code, _, _ = train(capsys, dataset, tmp_path / "without", "--num_train_epochs", 2)
    assert code == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("with", "without")]
    assert weights[0] == weights[1]
    metrics = json.loads((tmp_path / "without" / "metrics.json").read_text())
    assert metrics["dataset"]["split"] == "validation"


def test_train_without_a_validation_split_sets_questions_aside(capsys, dataset, tmp_path):
    """A tenth of the training questions serves for validation, and is not trained on."""
    (dataset / "val.csv").unlink()
    assert train(capsys, dataset, tmp_path / "model")[0] == 0
    assert len(EmbedLLM.from_pretrained(tmp_path / "model").bank) == 72


def test_paper_preset(capsys, dataset, tmp_path):
    """`--paper` trains the paper's form."""
    assert train(capsys, dataset, tmp_path / "model", "--paper", "--num_train_epochs", 1)[0] == 0
    config = EmbedLLM.from_pretrained(tmp_path / "model").config
    assert (config.embed_dim, config.llm_bias, config.question_bias, config.noise_std) == (232, False, False, 0.05)


def test_evaluate_repeats_the_report_of_training(capsys, dataset, tmp_path):
    """Measured again from the saved folder, every figure is what training reported."""
    train(capsys, dataset, tmp_path / "model")
    code, out, _ = run(
        capsys, "evaluate", "--model", tmp_path / "model", "--dataset", dataset,
        "--question_embeddings", dataset / "vectors.safetensors", "--output", tmp_path / "report.json",
    )  # fmt: skip
    assert code == 0
    assert "accuracy / routing accuracy by benchmark" in out
    trained = json.loads((tmp_path / "model" / "metrics.json").read_text())
    again = json.loads((tmp_path / "report.json").read_text())
    for name in ("embedllm", "llm_mean", "llm_category_mean", "knn", "oracle", "benchmarks", "gains"):
        assert again[name] == pytest.approx(trained[name]) if name == "oracle" else again[name] == trained[name]


def test_route_prints_a_line_or_json_a_question(capsys, planted_model):
    """The planted specialist is chosen for each question, in text and in JSON, in the order asked."""
    questions = ("What is 64 multiplied by 33?", "How do I cook lentils with coconut milk?")
    code, out, _ = run(capsys, "route", "--model", planted_model, *questions)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["planted/abacus-large", "planted/healer-large"]
    code, out, _ = run(capsys, "route", "--model", planted_model, "--json", *questions)
    decisions = json.loads(out)
    assert [decision["question"] for decision in decisions] == list(questions)
    assert [decision["llm"] for decision in decisions] == ["planted/abacus-large", "planted/healer-large"]
    assert all(0.6 < decision["probability"] < 1 for decision in decisions)


def test_route_among_some_llms(capsys, planted_model):
    """`--llms` restricts the choice."""
    allowed = "planted/atlas-small, planted/abacus-small"
    _, out, _ = run(capsys, "route", "--model", planted_model, "--llms", allowed, "What is 64 multiplied by 33?")
    assert out.startswith("planted/abacus-small ")


def test_forecast_a_benchmark_and_own_questions(capsys, planted_model, tmp_path):
    """A specialist's score is high on its topic, in JSON with an interval around it, also on a file of questions."""
    llm = ("--llm", "planted/healer-large")
    code, out, _ = run(capsys, "forecast", "--model", planted_model, *llm, "--benchmark", "medicine", "--json")
    assert code == 0
    forecast = json.loads(out)
    assert 0 <= forecast["low"] <= forecast["accuracy"] <= forecast["high"] <= 1
    assert forecast["accuracy"] > 0.8
    assert 0 < forecast["n_observed"] < forecast["n_questions"]
    (tmp_path / "own.txt").write_text("What is 96 multiplied by 12?\n\nAdd 508 to 21 and halve the result.\n")
    _, out, _ = run(capsys, "forecast", "--model", planted_model, *llm, "--questions", tmp_path / "own.txt", "--json")
    assert json.loads(out)["accuracy"] < 0.55
    assert json.loads(out)["n_questions"] == 2
    _, out, _ = run(capsys, "forecast", "--model", planted_model, *llm, "--benchmark", "medicine")
    assert out.startswith(f"planted/healer-large on medicine: {forecast['accuracy']:.3f}, 90% interval [")
    assert f"] for the whole benchmark ({forecast['n_observed']} of " in out


def test_what_of_a_benchmark_a_forecast_is_about(capsys, planted_model, tmp_path):
    """The whole of it, as many questions as are said, or those that the model knows: ever narrower."""
    forecast = ("forecast", "--model", planted_model, "--llm", "planted/healer-large")
    sizes = {"the whole benchmark": (), "all its 999 questions": ("--benchmark_size", 999)}
    sizes["the questions that the model knows"] = ("--known_only",)
    widths = []
    for about, options in sizes.items():
        assert f"] for {about} (" in run(capsys, *forecast, "--benchmark", "medicine", *options)[1]
        told = json.loads(run(capsys, *forecast, "--benchmark", "medicine", *options, "--json")[1])
        widths.append(told["high"] - told["low"])
    assert widths == sorted(widths, reverse=True)
    refused(run(capsys, *forecast, "--benchmark", "medicine", "--benchmark_size", 3), "`benchmark_size` is 3, but the")
    refused(run(capsys, *forecast, "What?", "--known_only"), "--known_only and --benchmark_size go with --benchmark")


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb(capsys, verb):
    """Each verb explains its options."""
    code, out, _ = run(capsys, verb, "--help")
    assert code == 0
    assert f"usage: embedllm {verb}" in out
    assert "--model MODEL" in out or "--dataset DATASET" in out or verb in ("quickstart", "collect")


def test_help_shows_the_defaults(capsys):
    """The defaults in `--help` are those of the training arguments."""
    from embedllm_hf import EmbedLLMTrainingArguments

    _, out, _ = run(capsys, "train", "--help")
    for name in ("num_train_epochs", "learning_rate", "weight_decay", "block_size"):
        shown = " ".join(out.split(f"--{name}")[2].split())
        assert f"(default: {getattr(EmbedLLMTrainingArguments, name)})" in shown


def test_help_loads_no_heavy_package():
    """`--help`, of the whole and of a verb, imports neither torch nor transformers nor pyarrow."""
    code = """
        import sys
        from embedllm_hf.cli import main
        for argv in ([], ["--help"], ["train", "--help"], ["route", "--help"]):
            try: main(argv)
            except SystemExit: pass
        heavy = {"torch", "transformers", "datasets", "pyarrow", "numpy", "sentence_transformers"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True)


# --- what bad input gets ---


@pytest.mark.parametrize(
    ("file", "edit", "parts"),
    [
        ("train.csv", lambda text: text.replace("label", "score", 1), ["train.csv", "`label` is missing", "Rename"]),
        ("train.csv", lambda text: text.replace(',1,"A', ',7,"A', 1), ["train.csv, row", "`label` is 7", "[0, 1]"]),
        ("train.csv", lambda text: text.replace(',1,"A', ',yes,"A', 1), ["train.csv", "yes"]),
        ("train.csv", lambda text: text.splitlines()[0] + "\n", ["train.csv", "no rows", "empty"]),
        ("val.csv", lambda text: text.splitlines()[0] + "\n", ["val.csv", "no rows"]),
        ("train.csv", lambda text: text.replace("A logic question, number 0?", "", 1), ["row 1", "`prompt` is empty"]),
        ("train.csv", lambda text: text.replace("number 0?", "no. 0?", 1), ["`prompt_id` 0 has another text"]),
        ("train.csv", lambda text: text[: text.rindex("question")], ["train.csv", "cut off"]),
        ("train.csv", lambda text: text[:-3], ["train.csv", "cut off"]),
        ("model_order.csv", lambda text: "model_id,model_name\n0,lab/logic-a\n", ["train.csv", "not in the pool"]),
    ],
)
def test_bad_data_is_refused(capsys, dataset, tmp_path, file, edit, parts):
    """The line names the file, the row where there is one, what was found and what to do; no folder is left."""
    path = dataset / file
    path.write_text(edit(path.read_text()))
    refused(train(capsys, dataset, tmp_path / "model"), *parts)
    assert not (tmp_path / "model").exists()


def test_one_llm_only_is_refused(capsys, dataset, tmp_path):
    """A pool of one cannot be learned from."""
    for name in ("train", "val", "test"):
        frame = make_frame(30)
        frame[frame.model_name == LLMS[0]].to_csv(dataset / f"{name}.csv", index=False)
    (dataset / "model_order.csv").unlink()
    refused(train(capsys, dataset, tmp_path / "model"), "only one LLM", "`lab/logic-a`", "at least two")


@pytest.mark.parametrize("damage", ["cut", "ids", "width"])
def test_bad_vectors_are_refused(capsys, dataset, tmp_path, damage, planted_model):
    """Vectors that are cut off, of other questions, or of the wrong width for a model are refused."""
    path, split = dataset / "vectors.safetensors", make_split(140)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
        refused(train(capsys, dataset, tmp_path / "model"), "vectors.safetensors", "not a whole safetensors file")
    elif damage == "ids":
        ids = split.responses.question_ids + 1000
        save_embeddings(path, split.question_embeds, ids, EncoderId("offline"))
        refused(train(capsys, dataset, tmp_path / "model"), "vectors.safetensors", "no vector for 80 of 80 questions")
    else:
        train(capsys, dataset, tmp_path / "model")
        wide = split.question_embeds.repeat(2, axis=1)
        save_embeddings(path, wide, split.responses.question_ids, EncoderId("offline"))
        result = run(
            capsys, "evaluate", "--model", tmp_path / "model", "--dataset", dataset, "--question_embeddings", path
        )
        refused(result, "`question_embeds`", "16", "(n_questions, 8)")


def test_vectors_of_another_encoder_are_refused(capsys, dataset, tmp_path):
    """The file says which encoder made it; another one is refused."""
    result = train(capsys, dataset, tmp_path / "model", "--encoder", "sentence-transformers/all-mpnet-base-v2")
    refused(result, "all-MiniLM-L6-v2", "all-mpnet-base-v2", "--encoder")


def test_a_truncated_parquet_is_refused(capsys, dataset, tmp_path):
    """Half a Parquet file is refused by name."""
    ResponseMatrix.from_pandas(make_frame(80)).to_long()
    make_frame(80).to_parquet(dataset / "train.parquet")
    content = (dataset / "train.parquet").read_bytes()
    (dataset / "train.parquet").write_bytes(content[: len(content) // 2])
    refused(train(capsys, dataset, tmp_path / "model"), "train.parquet", "cannot be read as parquet", "again")


def test_another_models_folder_is_refused(capsys, dataset, tmp_path):
    """A folder with a model is left alone, to the byte, unless overwriting is asked for."""
    train(capsys, dataset, tmp_path / "model")
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    again = train(capsys, dataset, tmp_path / "model", "--seed", 5)
    refused(again, "`output_dir`", "holds a model already", "--overwrite_output_dir")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    assert train(capsys, dataset, tmp_path / "model", "--seed", 5, "--overwrite_output_dir")[0] == 0
    assert (tmp_path / "model" / "model.safetensors").read_bytes() != before


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["route", "--llms", "planted/abacus-lage", "Hi?"], ["unknown LLM", "did you mean", "`planted/abacus-large`"]),
        (["route", ""], ["`questions[0]` is ''", "not empty"]),
        (["forecast", "--llm", "planted/heal", "--benchmark", "law"], ["unknown LLM", "`planted/healer-large`"]),
        (["forecast", "--llm", "planted/healer-large", "--benchmark", "lw"], ["unknown benchmark `lw`", "`law`"]),
        (["forecast", "--llm", "planted/healer-large", "--questions", "no.txt"], ["no file no.txt"]),
        (["evaluate", "--dataset", "planted", "--split", "tset"], ["`tset`"]),
        (["evaluate", "--dataset", "/nowhere/at/all"], ["/nowhere/at/all", "no such folder"]),
        (["evaluate", "--dataset", str(ROOT / "setup.py")], ["setup.py` is a file", "the folder that it is in"]),
        (["evaluate", "--dataset", "planted", "--duplicates", "first"], ["`duplicates` is 'first'", "'majority'"]),
    ],
)
def test_bad_requests_are_refused(capsys, planted_model, argv, parts):
    """Unknown names get close ones; missing files and splits are named."""
    refused(run(capsys, argv[0], "--model", planted_model, *argv[1:]), *parts)


def test_questions_that_are_no_utf8_name_their_line(capsys, planted_model, tmp_path):
    """A file of questions in another encoding is refused with the line."""
    (tmp_path / "own.txt").write_bytes(b"What is 1 + 1?\nCaf\xe9?\n")
    llm = ("--llm", "planted/healer-large")
    result = run(capsys, "forecast", "--model", planted_model, *llm, "--questions", tmp_path / "own.txt")
    refused(result, "own.txt, line 2", "UTF-8")


@pytest.mark.parametrize("damage", ["config", "weights", "nothing"])
def test_a_damaged_model_is_refused(capsys, planted_model, tmp_path, damage):
    """A model folder with a damaged file, or none at all, is refused in one line."""
    folder = tmp_path / "model"
    if damage != "nothing":
        shutil.copytree(planted_model, folder)
        file = folder / ("config.json" if damage == "config" else "model.safetensors")
        file.write_bytes(file.read_bytes()[:200])
    refused(run(capsys, "route", "--model", folder, "Hi?"), str(folder))


def test_a_full_disk_leaves_nothing_half_written(dataset, tmp_path):
    """When the kernel refuses to write the model, the line says so and no folder is left."""
    code = f"""
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        from embedllm_hf.cli import main
        raise SystemExit(main(["train", "--dataset", {str(dataset)!r}, "--encoder", "offline", "--disable_tqdm",
            "--question_embeddings", {str(dataset / "vectors.safetensors")!r}, "--output_dir", "model"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write model: the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*model*"))
