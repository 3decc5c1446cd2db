"""The paper's experiments: the command end to end on planted responses, resuming, and that noise gives no finding."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.data.planted import planted_probabilities
from embedllm_hf.data.responses import ResponseMatrix
from embedllm_hf.data.sources import load_responses
from embedllm_hf.data.sparse import with_entries
from embedllm_hf.encoding.embeddings_file import save_embeddings
from scripts.paper import ablations, forecasting, report, routing, wording
from scripts.paper.__main__ import main
from scripts.paper.setting import QUICK, PaperData, load_data

NOWHERE = "nobody/no-encoder"  # the test Hub has none of that name, and nothing needs to be encoded
SPLITS = {"train": "train", "validation": "val", "test": "test"}


def make_vectors(question_ids: np.ndarray) -> np.ndarray:
    """Text vectors `(n_questions, 12)` that tell the kind of a question, with noise."""
    told = planted_probabilities(question_ids) @ np.random.default_rng(0).normal(size=(8, 12))
    noise = np.stack([np.random.default_rng(int(question)).normal(size=12) for question in question_ids])
    return (told + 0.5 * noise).astype(np.float32)


def files_of(repeats: int = 0) -> dict[str, bytes]:
    """The planted pool as CSV files; training rows may be there again, with the other label."""
    files = {}
    for split, name in SPLITS.items():
        frame = load_responses("planted", split=split).to_long().to_pandas()
        frame = frame.drop(columns=["label_count", "label_contradictory"])
        if split == "train":
            again = frame.head(repeats)
            frame = pd.concat([frame, again.assign(label=1 - again["label"])])
        files[f"{name}.csv"] = frame.to_csv(index=False).encode()
    names = load_responses("planted", split="train").llm_names
    order = "".join(f"{index},{name}\n" for index, name in enumerate(names))
    return {**files, "model_order.csv": f"model_id,model_name\n{order}".encode()}


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Path:
    """A folder with the planted pool, its text vectors of two encoders, and what is known of its LLMs."""
    folder = tmp_path_factory.mktemp("data") / "pool"
    folder.mkdir()
    for name, content in files_of().items():
        (folder / name).write_bytes(content)
    ids = np.concatenate([load_responses("planted", split=split).question_ids for split in SPLITS])
    save_embeddings(folder / "vectors.safetensors", make_vectors(ids), ids, EncoderId(NOWHERE))
    save_embeddings(folder / "other.safetensors", make_vectors(ids)[:, :4], ids, EncoderId("a/b"))
    names = load_responses("planted", split="train").llm_names
    rows = "".join(
        f"{name},{name.split('/')[1].split('-')[0]},{name.split('-')[1]},{1 + i}\n" for i, name in enumerate(names)
    )
    (folder / "llms.csv").write_text(f"llm,family,kind,params_billions\n{rows}")
    return folder


def options_of(local: Path, dataset: object, out: Path) -> list[str]:
    options = [
        "--dataset",
        dataset,
        "--output_dir",
        out,
        "--encoder",
        NOWHERE,
        "--llms",
        local / "llms.csv",
        "--quick",
    ]
    options += ["--question_embeddings", local / "vectors.safetensors", "--n_processes", "1"]
    return [str(item) for item in [*options, "--more_question_embeddings", f"a/b={local / 'other.safetensors'}"]]


@pytest.fixture(scope="module")
def finished(local, tmp_path_factory) -> Path:
    """The output of one whole quick run on the folder."""
    out = tmp_path_factory.mktemp("finished") / "out"
    assert main(options_of(local, local, out)) == 0
    return out


@pytest.fixture
def data(local) -> PaperData:
    return load_data(str(local), QUICK, encoder=NOWHERE, question_embeddings=local / "vectors.safetensors")


def silent(text: str) -> None:
    pass


def shuffled(data: PaperData) -> PaperData:
    """The same with each LLM's responses of a split dealt out anew among the questions it was asked."""

    def shuffle(responses: ResponseMatrix, seed: int) -> ResponseMatrix:
        values, generator = responses.values.copy(), np.random.default_rng(seed)
        for llm in range(responses.n_llms):
            mine = np.flatnonzero(responses.llm_indices == llm)
            values[mine] = values[generator.permutation(mine)]
        return replace(responses, matrix=with_entries(responses.matrix, values))

    shuffled = {name: shuffle(split.responses, seed) for seed, (name, split) in enumerate(data.splits.items())}
    return replace(data.with_responses(shuffled), reload=None)


def result_of(out: Path, name: str) -> dict:
    return json.loads((out / "results" / f"{name}.json").read_text())["result"]


def without_times(text: str) -> str:
    """A report without its seconds and its speed."""
    return re.sub(r"(?m)^- Seconds: .*$|^\| (EmbedLLM.*, (batch|one by one)|Selections a second).*$", "", text)


# --- the command ---


@pytest.mark.slow
def test_the_command_writes_a_report_with_figures(finished, local):
    """Every section with its figures as PNG and SVG, what was run, no path of this machine, no text of a question."""
    text = (finished / "README.md").read_text()
    for section in report.SECTIONS:
        assert f"\n## {section.TITLE}\n" in text
    pictures = re.findall(r"\(figures/(.*)\.png\)", text)
    assert len(pictures) >= len(report.SECTIONS)
    for stem in pictures:
        assert (finished / "figures" / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (finished / "figures" / f"{stem}.svg").read_text()
    assert "train 640 questions" in text
    assert "python -m scripts.paper --dataset pool --output_dir out" in text
    assert "--more_question_embeddings a/b=other.safetensors" in text
    assert "## Published and measured" in text
    everything = text + "".join(path.read_text() for path in finished.rglob("*.json"))
    assert str(local.parent) not in everything
    assert "multiplied by" not in everything
    assert "the text encoder `nobody/no-encoder` is not here" in text
    assert "nan" not in text


@pytest.mark.slow
def test_the_same_with_a_hub_id(hub, finished, local, tmp_path):
    """From the Hub the numbers are those of the folder, and the report names the commit."""
    repo = hub.create_repo("user/planted", files_of(), type="dataset")
    options = [*options_of(local, "user/planted", tmp_path / "out"), "--sections", "forecasting"]
    assert main(options) == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"`user/planted`, commit `{repo.resolve().oid}`" in text
    assert "--dataset user/planted" in text
    assert "Not run: routing" in text
    assert result_of(tmp_path / "out", "forecasting") == result_of(finished, "forecasting")


@pytest.mark.slow
def test_an_interrupted_run_goes_on(finished, local, tmp_path, monkeypatch):
    """What was finished is not run again, and the report is that of a run without interruption."""
    first, second = report.SECTIONS[0], report.SECTIONS[1]
    options = options_of(local, local, tmp_path / "out")

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(second, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            main(options)
    assert [path.stem for path in (tmp_path / "out" / "results").iterdir()] == [first.NAME]
    assert not (tmp_path / "out" / "README.md").exists()

    def run_again(*args: object) -> None:
        pytest.fail(f"{first.NAME} was run again")

    monkeypatch.setattr(first, "run", run_again)
    for section in report.SECTIONS[2:]:  # these were not reached: the whole run's results stand for theirs
        kept = result_of(finished, section.NAME)
        monkeypatch.setattr(section, "run", lambda *args, kept=kept: kept)
    assert main(options) == 0
    again, whole = ((folder / "README.md").read_text() for folder in (tmp_path / "out", finished))
    assert without_times(again) == without_times(whole)


@pytest.mark.slow
def test_two_processes_give_the_same(finished, local, tmp_path):
    """Side by side, the sections find what they find one after the other."""
    options = [*options_of(local, local, tmp_path / "out"), "--sections", "forecasting", "routing"]
    options[options.index("--n_processes") + 1] = "2"
    assert main(options) == 0
    for name in ("forecasting", "routing"):
        assert result_of(tmp_path / "out", name)["rows"] == result_of(finished, name)["rows"]


def test_results_of_another_run_are_not_used(data, tmp_path, monkeypatch, capsys):
    """Other responses, other settings, and a damaged file: the section is run again."""
    runs = []

    def run(data: PaperData, progress: object) -> dict:
        runs.append(data.settings.n_splits)
        return {"n": data.settings.n_splits}

    monkeypatch.setattr(forecasting, "run", run)
    for name, value in (("figures", {}), ("markdown", "text"), ("published", [])):
        monkeypatch.setattr(forecasting, name, lambda result, value=value: value)

    def write(data: PaperData) -> None:
        report.write_report(tmp_path, data, sections=["forecasting"])

    write(data)
    write(data)
    assert len(runs) == 1
    write(replace(data, settings=replace(QUICK, n_splits=7)))
    assert runs == [20, 7]
    assert "forecasting.json was made with other data, settings or versions: not used" in capsys.readouterr().err
    write(shuffled(data))
    assert len(runs) == 3
    (tmp_path / "results" / "forecasting.json").write_text("{")
    write(data)
    assert len(runs) == 4


def test_mistakes_are_answered_in_one_line(local, tmp_path, capsys):
    """A section that is not there, and text vectors that are not there."""
    options = options_of(local, local, tmp_path)
    assert main([*options, "--sections", "rooting"]) == 2
    assert "`sections` is 'rooting', expected one of 'forecasting'" in capsys.readouterr().err
    options[options.index("--question_embeddings") + 1] = "nowhere.safetensors"
    assert main(options) == 2
    assert "there is no file nowhere.safetensors" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--dataset", "planted", "--output_dir", "x", "--more_question_embeddings", "file"])
    assert "expected ENCODER=FILE" in capsys.readouterr().err


# --- the sections ---


@pytest.fixture(scope="module")
def null(local) -> dict[str, dict]:
    """Forecasting and routing on shuffled responses."""
    data = load_data(str(local), QUICK, encoder=NOWHERE, question_embeddings=local / "vectors.safetensors")
    return {section.NAME: section.run(shuffled(data), silent) for section in (forecasting, routing)}


def test_forecasts_beat_the_means_and_on_noise_they_do_not(finished, null):
    """With skills the network is far above the LLM means; with shuffled responses it is where they are."""

    def lead(result: dict) -> float:
        most = max(row["n_questions"] for row in result["rows"])
        auc = {row["method"]: row["auc"][0] for row in result["rows"] if row["n_questions"] == most}
        return auc[forecasting.NETWORK] - auc[forecasting.LLM_MEAN]

    found = result_of(finished, "forecasting")
    assert lead(found) > 0.1
    assert lead(null["forecasting"]) < 0.02
    assert {row["n_questions"] for row in found["rows"]} == {300, 640}
    assert {row["method"] for row in found["rows"]} == set(forecasting.METHODS)
    assert "better" not in forecasting._sentence(null["forecasting"]["gains"], forecasting.BLEND, forecasting.KNN)
    assert found["rules"] == {"n_repeats": 0, "n_contradictions": 0, "same": True, "rows": []}
    assert "0 repeated rows" in forecasting.markdown(found)


def test_rules_for_repeated_rows(tmp_path, local):
    """Where training rows contradict each other, each rule has its rows, and teaches something else."""
    for name, content in files_of(repeats=150).items():
        (tmp_path / name).write_bytes(content)
    data = load_data(str(tmp_path), QUICK, encoder=NOWHERE, question_embeddings=local / "vectors.safetensors")
    rules = forecasting._compare_rules(data, silent)
    assert rules["n_repeats"] == rules["n_contradictions"] == 150
    assert not rules["same"]
    assert [row["rule"] for row in rules["rows"]] == [
        rule for rule in ("mean", "last", "majority", "max") for _ in range(3)
    ]
    auc = {(row["rule"], row["method"]): row["auc"][0] for row in rules["rows"]}
    assert len({auc[rule, forecasting.NETWORK] for rule in ("mean", "last", "max")}) == 3
    text = forecasting._rules_markdown(rules)
    assert "150 pairs have rows that disagree" in text
    assert "| max | kNN, k = 131 |" in text


def test_routing_finds_the_skills(finished, data):
    """The ways are in the order that the planted skills make them, and the simple ones are what a count gives."""
    result = result_of(finished, "routing")
    rows = {(row["group"], row["way"]): row for row in result["rows"]}
    overall = {way: rows["overall", way]["accuracy"] for way in routing.WAYS}
    frame = data.test.responses.to_long().to_pandas()
    chance = frame.groupby("prompt_id")["label"].mean().mean()
    assert overall[routing.RANDOM] == pytest.approx(chance, abs=1e-6)
    assert overall[routing.ORACLE] == pytest.approx(frame.groupby("prompt_id")["label"].max().mean())
    assert overall[routing.RANDOM] < overall[routing.BEST] < overall[routing.BEST_OF_BENCHMARK]
    assert overall[routing.BEST_OF_BENCHMARK] < overall[routing.ROUTER] <= overall[routing.ORACLE]
    assert rows["overall", routing.ROUTER]["over_best"]["low"] > 0
    train = data.train.responses.to_long().to_pandas()
    best = train[train["category"] == "law"].groupby("model_name", observed=True)["label"].mean().idxmax()
    asked = frame[(frame["category"] == "law") & (frame["model_name"] == best)]["label"]
    law = rows["law", routing.BEST_OF_BENCHMARK]
    assert abs(law["accuracy"] - asked.mean()) < 0.25  # the best may not have been asked: then the next one is chosen
    assert law["n_questions"] == (data.test.responses.categories == "law").sum()
    assert result["speed"]["per_second"][routing.NETWORK]["one by one"] > 100
    text = routing.markdown(result)
    assert "**EmbedLLM** against the best single LLM: better on overall" in text
    assert [row["published"] for row in routing.published(result)][1] == "more than 750"


def test_routing_on_noise_finds_nothing(null):
    """With shuffled responses no router is better than the best single LLM, and the report says so."""
    result = null["routing"]
    for row in result["rows"]:
        if row["group"] == "overall" and row["way"] in (routing.ROUTER, routing.NETWORK, routing.KNN):
            assert row["over_best"]["low"] <= 0
    assert "better on overall" not in "\n".join(
        line for line in routing.markdown(result).splitlines() if line.startswith("- **EmbedLLM")
    )


def test_ablations(finished):
    """Hiding responses costs accuracy, most of all whole benchmarks; the default is among each choice's variants."""
    result = result_of(finished, "ablations")
    hidden = {(row["share"], row["method"]): row["auc"][0] for row in result["hidden"]}
    assert hidden[0.9, ablations.NETWORK] < hidden[0.0, ablations.NETWORK]
    assert [choice["default"] for choice in result["choices"]] == ["64", "0", "both", NOWHERE]
    for choice in result["choices"]:
        best = max(choice["rows"], key=lambda row: row["auc"][0])
        assert choice["best"] == best["label"]
        assert set(choice["test"]) == {choice["default"], choice["best"]}
    costs = [row["cost"]["difference"] for row in result["hidden_benchmarks"] if row["method"] == ablations.NETWORK]
    assert len(costs) == 6
    assert np.mean(costs) < 0
    hurt = {
        row["benchmark"]: row["cost"] for row in result["hidden_benchmarks"] if row["method"] == ablations.LLM_MEAN
    }
    assert hurt["medicine"]["high"] < 0
    assert [row["n_llms"] for row in result["pool"]] == [2, 4, 8]
    assert "### Fewer LLMs" in ablations.markdown(result)


def test_ablations_on_noise_find_nothing(data):
    """With shuffled responses a hidden benchmark costs nothing, and a larger pool gains nothing."""
    noise = shuffled(data)
    costs = [row["cost"] for row in ablations._hide_benchmarks(noise, silent) if row["method"] == ablations.NETWORK]
    assert abs(np.mean([cost["difference"] for cost in costs])) < 0.03
    assert sum(cost["high"] < 0 for cost in costs) <= 1
    assert ablations._shrink_pool(noise, silent)[-1]["over_smallest"]["low"] <= 0


def test_words_follow_the_interval():
    """A verdict needs an interval on one side of zero."""
    gaps = [{"difference": 0.1, "low": low, "high": high} for low, high in ((0.05, 0.2), (-0.1, 0.2), (-0.3, -0.1))]
    assert [wording.verdict(gap) for gap in gaps] == ["better", "not clearly different", "worse"]
    assert wording.with_interval(gaps[0], 2) == "+0.10 (+0.05 to +0.20)"
    assert wording.spread([0.5]) == "0.5000"
    assert wording.spread([0.4, 0.6], 2) == "0.50 ± 0.14"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.verdicts(dict(zip("abc", [gaps[0], gaps[1], gaps[0]], strict=True)), "on {}") == (
        "better on a and c; not clearly different on b"
    )
    assert wording.paragraphs("a", "", "b") == "a\n\nb"
