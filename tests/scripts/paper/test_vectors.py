"""Sections on the LLM vectors: each finds what was planted in a made-up pool, and nothing once it is shuffled."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from embedllm_hf import EncodedResponses, ResponseMatrix
from embedllm_hf.evaluation.report import without_nan
from scripts.paper import benchmark_scores, llm_map, transfer, vectors
from scripts.paper.map_page import llm_map_page
from scripts.paper.permutation import holm
from scripts.paper.score_table import ScoreTable
from scripts.paper.setting import PaperData, PaperSettings, in_categories

N_LLMS = 24
# Each benchmark asks for two skills; the first three alike, the last three alike.
TOPICS = {
    "sums": (3, 0),
    "algebra": (3, 0.5),
    "proofs": (2.5, 0),
    "verse": (0, 3),
    "tales": (0.5, 3),
    "plays": (0, 2.5),
}
FAMILIES = ("calc", "bard", "both", "none")
SETTINGS = PaperSettings(seeds=(0,), n_splits=15, n_permutations=500, quick=True)


def make_data(*, shuffled: bool = False, settings: PaperSettings = SETTINGS) -> PaperData:
    """Four families of six LLMs with two skills, six benchmarks; shuffled: LLMs change places in each benchmark."""
    generator = np.random.default_rng(5)
    means = np.array([[1, -1], [-1, 1], [1, 1], [-1, -1]])[np.arange(N_LLMS) // 6]
    skills = 0.8 * means + 0.35 * generator.normal(size=(N_LLMS, 2))
    names = [f"{FAMILIES[llm // 6]}/{llm}" for llm in range(N_LLMS)]
    who = {topic: generator.permutation(N_LLMS) if shuffled else np.arange(N_LLMS) for topic in TOPICS}
    splits, first = {}, 0
    for split, count in (("train", 50), ("validation", 20), ("test", 20)):
        rows, texts = [], []
        for topic, wanted in TOPICS.items():
            for question in range(count):
                logits = skills[who[topic]] @ np.array(wanted) / 1.5 + generator.normal()
                right = generator.random(N_LLMS) < 1 / (1 + np.exp(-logits))
                texts.append(np.concatenate([wanted, generator.normal(size=6) * 0.5]))
                text = f"{topic} {split} {question}"
                rows += [(first, name, int(answer), text, topic) for name, answer in zip(names, right, strict=True)]
                first += 1
        frame = pd.DataFrame(rows, columns=["prompt_id", "model_name", "label", "prompt", "category"])
        responses = ResponseMatrix.from_pandas(frame, llm_names=names)
        splits[split] = EncodedResponses(responses, np.array(texts, np.float32))
    sizes = ["7", "70", ""]
    llms = {
        name: {"family": name.split("/")[0], "kind": "chat" if row % 2 else "base", "params_billions": sizes[row % 3]}
        for row, name in enumerate(names)
    }
    return PaperData("made", None, "offline", splits, {}, llms, settings)


@pytest.fixture(scope="module")
def data() -> PaperData:
    return make_data()


def from_json(result: dict) -> dict:
    """A result as the report reads it."""
    return json.loads(json.dumps(without_nan(result), allow_nan=False))


def run(section, data: PaperData) -> dict:
    return from_json(section.run(data, lambda text: None))


def check_report(section, result: dict) -> str:
    """Every figure is linked in the text, and the other way round; the text."""
    figures, text = section.figures(result), section.markdown(result)
    assert all(isinstance(figure, Figure) for figure in figures.values())
    assert set(re.findall(r"\(figures/(\w+)\.png\)", text)) == set(figures)
    return text


def test_a_benchmark_is_left_out_of_all_that_is_trained_on(data, monkeypatch):
    """Neither its training nor its validation questions reach the network."""
    seen = {}
    monkeypatch.setattr(benchmark_scores, "fit_network", lambda data, train, **more: seen.update(train=train, **more))
    benchmark_scores.train_without(data, ("verse",), 0)
    for split in ("train", "validation"):
        assert set(seen[split].responses.categories) == set(TOPICS) - {"verse"}


def test_benchmark_scores_of_the_pool(data):
    """Planted skills are forecast on all six benchmarks; the text says so, and each figure is there."""
    result = run(benchmark_scores, data)
    rows = result["targets"]
    assert {row["name"] for row in rows} == set(TOPICS)
    assert all(row["n_llms"] == N_LLMS and row["shuffled"]["p_value"] < 0.05 for row in rows)
    shares = [row["forecasts"][benchmark_scores.DEFAULT]["share_significant"] for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert np.mean(shares) > 0.9
    text = check_report(benchmark_scores, result)
    reached = sum(share >= 0.9 for share in shares)
    assert f"for {reached} of the 6 benchmarks" in text
    assert len(re.findall(r"has \d+ significant splits", text)) == 6 - reached
    assert "7 of 10" in benchmark_scores.published(result)[0]["published"]


def test_benchmark_scores_of_a_pool_whose_llms_change_places():
    """When the LLMs change places in each benchmark, nothing can be forecast of one from the others."""
    result = run(benchmark_scores, make_data(shuffled=True))
    shares = [row["forecasts"][benchmark_scores.DEFAULT]["share_significant"] for row in result["targets"]]
    assert np.mean(shares) < 0.3
    text = check_report(benchmark_scores, result)
    assert "for 0 of the 6 benchmarks" in text
    assert "it is the vectors that miss it" in text


def test_too_few_llms_are_said(data):
    """A benchmark whose LLMs answered nothing else cannot be measured, and the text says how many there are."""
    first = np.arange(N_LLMS) < 20

    def only(asked: ResponseMatrix) -> ResponseMatrix:
        return asked.keep((asked.categories[asked.question_indices] == "sums") == first[asked.llm_indices])

    alone = data.with_responses({name: only(split.responses) for name, split in data.splits.items()})
    row = benchmark_scores.measure_target(alone, ScoreTable.of(alone), "sums", ("sums",))
    assert (row["n_answered"], row["n_llms"]) == (20, 0)
    text = benchmark_scores.markdown({"targets": [row], "n_splits": 1, "n_seeds": 1, "min_llms": 10})
    assert "of 20 LLMs that answered it, 0 answered anything else" in text
    assert benchmark_scores.published({"targets": [row]}) == []


def test_the_vectors_know_the_family_but_not_what_was_made_up(data):
    """Families differ in skill; size and kind were dealt out without regard to it."""
    result = run(vectors, data)
    found = {(test["fact"], test["measure"]): test["p_strata_holm"] for test in result["tests"]}
    assert all(found["family", measure] < 0.05 for measure in (vectors.GAP, vectors.NEIGHBOURS, vectors.SILHOUETTE))
    assert all(value > 0.05 for (fact, _), value in found.items() if fact != "family")
    rows = {row["distance"]: row for row in result["agreement"]["rows"]}
    assert rows[vectors.EXPECTED]["raw"]["pearson"]["value"] > 0.8
    assert rows[vectors.EXPECTED]["raw"]["pearson"]["p_value"] < 0.05
    refits = result["refits"]["default form"]
    assert refits["residual"]["high"] < refits["residual_chance"]["low"]
    assert refits["flipped"]["mean"] < 0.1
    text = check_report(vectors, result)
    assert "*Kind*: closer than chance by no measure" in text
    assert {row["published"] for row in vectors.published(result)} == {"8.1%", "0.887 (Euclidean)"}


def test_small_groups_take_no_part():
    """Two LLMs are no group, nor are those of which nothing is known."""
    assert vectors.large_groups(["a", "b", "a", "", "a", "b"]) == ["a", "", "a", "", "a", ""]


def test_shuffled_facts_are_no_finding(data):
    """With the table of LLMs shuffled, no fact is found by any measure."""
    names = list(data.llms)
    order = np.random.default_rng(9).permutation(len(names))
    llms = {name: data.llms[names[place]] for name, place in zip(names, order, strict=True)}
    shuffled = replace(data, llms=llms)
    models = [vectors.fit_network(shuffled, seed=0)]
    tests = []
    for fact, labels in vectors.llm_groups(shuffled).items():
        tests += vectors.group_tests(models, fact, labels, ["same"] * N_LLMS, 500)
    assert len(tests) == 12
    for null in ("p_free", "p_strata"):
        assert min(holm([test[null] for test in tests])) > 0.05


def test_what_only_the_answered_benchmarks_explain_is_no_finding(data):
    """Groups that go with the sets of answered benchmarks stand out freely, but not within those sets."""
    strata = ["left" if llm < 12 else "right" for llm in range(N_LLMS)]
    labels = ["a"] * 10 + ["b"] * 2 + ["a"] * 2 + ["b"] * 10
    test = next(iter(vectors.group_tests([_Vectors(strata)], "made", labels, strata, 500)))
    assert test["p_free"] < 0.01
    assert test["p_strata"] > 0.05


class _Vectors:
    """Stands for a model: vectors that tell the stratum and nothing else."""

    def __init__(self, strata: list[str]) -> None:
        generator = np.random.default_rng(10)
        self.llm_embeds = generator.normal(size=(N_LLMS, 4)) + 4 * (np.array(strata) == "left")[:, None]


def test_without_facts_the_rest_is_still_there(data):
    """Without a table of LLMs no groups are tested, and the text says why."""
    assert vectors.llm_groups(replace(data, llms=None)) == {}
    result = {"tests": [], "control": [], "agreement": {"rows": [], "n_pairs": 3, "min_shared": 50}}
    value = {"mean": 0.1, "low": 0.0, "high": 0.2}
    names = ("residual", "residual_chance", "distances", "flipped", "flipped_observed", "probability_change")
    result["refits"] = {"default form": {"n_refits": 2, "n_pairs": 1, **dict.fromkeys(names, value)}}
    text = check_report(vectors, result)
    assert "Nothing is known of the LLMs" in text
    assert "only 3 pairs" in text


def test_alike_benchmarks_help_each_other(data):
    """Trained on one of two kinds alone, the network forecasts its own kind better, as both likenesses say."""
    result = run(transfer, replace(data, settings=PaperSettings((0,), 20, 500)))
    assert len(result["names"]) == 6
    alone = [row for row in result["likeness"] if row["matrix"] == transfer.ALONE]
    assert len(alone) == 2
    assert all(row["value"] > 0.6 and row["p_value"] < 0.15 for row in alone)
    assert np.median(np.diag(result["change"])) > 0
    text = check_report(transfer, result)
    assert "on the diagonal" in text


def test_likeness_that_was_shuffled_is_no_finding():
    """A matrix that has nothing to do with the benchmarks' likeness agrees with none."""
    data = make_data()
    names = sorted(TOPICS)
    table = ScoreTable.of(data)
    generator = np.random.default_rng(11)
    noise = tuple(generator.normal(size=(6, 6)) for _ in range(2))
    rows = transfer.likeness_tests(data, table, names, names, noise)
    assert len(rows) == 4
    assert min(row["p_holm"] for row in rows) > 0.05


def test_two_benchmarks_are_no_matrix(data):
    """Fewer than four cannot be shuffled."""
    few = {
        name: split.select(in_categories(split.responses, ["sums", "verse"])) for name, split in data.splits.items()
    }
    result = run(transfer, replace(data, splits=few))
    assert "The data has 2 benchmarks; at least 4" in check_report(transfer, result)


@pytest.fixture(scope="module")
def mapped(data) -> dict:
    return run(llm_map, data)


def test_the_map_has_every_llm_with_its_scores(data, mapped):
    """Coordinates, facts and the accuracy on each benchmark; family goes with the axes."""
    assert [llm["name"] for llm in mapped["llms"]] == list(data.train.responses.llm_names)
    accuracy = ScoreTable.of(data).accuracies(["verse"])[3]
    assert mapped["llms"][3]["scores"]["verse"] == {"accuracy": round(float(accuracy), 4), "n": 90}
    assert mapped["llms"][2]["billions"] is None
    assert mapped["llms"][1]["billions"] == 70
    families = [axis for axis in mapped["axes"] if axis["fact"] == "family"]
    assert max(axis["share"] for axis in families) > 0.5
    assert min(axis["p_holm"] for axis in families) < 0.05
    assert "goes most with family" in check_report(llm_map, mapped)


def test_axes_of_shuffled_facts_are_no_finding(mapped):
    """Labels in another order explain an axis no better than chance."""
    points = np.array([[llm["x"], llm["y"]] for llm in mapped["llms"]])
    labels = [llm["family"] for llm in mapped["llms"]]
    order = np.random.default_rng(12).permutation(N_LLMS)
    found = llm_map.axis_tests(points, {"family": [labels[place] for place in order]}, 200)
    assert min(row["p_value"] for row in found) > 0.05


def test_the_figure_names_the_families_and_their_share(mapped):
    """Axes tell their share of the variance; the legends name families, kinds and sizes."""
    axes = llm_map.figures(mapped)["llm_map"].axes[0]
    assert f"{mapped['explained'][0]:.0%} of the variance" in axes.get_xlabel()
    legends = [child for child in axes.get_children() if type(child).__name__ == "Legend"]
    texts = {text.get_text() for legend in legends for text in legend.get_texts()}
    assert {"calc (6)", "bard (6)", "chat", "base", "not known"} <= texts
    assert len(axes.collections) == N_LLMS


def test_the_page_holds_all_and_loads_nothing(mapped):
    """The data comes back from the page as it was; the only address in it is the name of SVG."""
    page = llm_map.pages(mapped)[llm_map.PAGE]
    given = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1])
    assert given["llms"] == mapped["llms"]
    assert set(re.findall(r"\w+://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\s(src|href)=|@import|url\(|fetch\(|innerHTML", page)
    assert "default-src 'none'" in page
    assert "__" not in page.split("<script>")[0].replace("__proto__", "")


def test_a_name_cannot_leave_the_data(mapped):
    """`</script>` and the like stay text: they are escaped in the page and come back whole."""
    wild = ["</script><b>bold</b>", "<!--<script>", 'a"b\\c', "\u2028 & é", "__LLM_MAP_DATA__"]
    llms = [{**llm, "name": name} for llm, name in zip(mapped["llms"], wild, strict=False)]
    page = llm_map_page("</title><img src=x>", llms, [0.5, 0.2])
    data_part = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1]
    assert [llm["name"] for llm in json.loads(data_part)["llms"]] == wild
    assert not set("<>&") & set(data_part)
    assert page.count("</script>") == 2
    assert "<b>" not in page
    assert "<img" not in page


def test_a_page_of_nothing_is_refused():
    """There is no map without LLMs."""
    with pytest.raises(ValueError, match="`llms` is empty"):
        llm_map_page("x", [], [0, 0])


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_script_of_the_page_is_javascript(mapped):
    """It parses as a whole."""
    script = re.search(r"<script>\n(.*?)</script>", llm_map.pages(mapped)[llm_map.PAGE], re.S)[1]
    check = "new Function(require('fs').readFileSync(0, 'utf8'))"
    subprocess.run(["node", "-e", check], input=script, text=True, check=True, timeout=60)
