"""Cost reports: complete parts, curves and summaries of a planted pool, the picture and the command line."""

import json

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, EncodedResponses, TokenPrice, load_responses, plots
from embedllm_hf.data.planted import planted_llms
from embedllm_hf.encoding.encoded_responses import encode_responses
from embedllm_hf.evaluation.cost_report import CostReport, complete_part, cost_report
from embedllm_hf.metrics import cost_curves, oracle_accuracy
from tests.command_line import refused, run

NAN = np.nan
COSTS = {name: 3.0 if "large" in name else 1.0 for name in planted_llms()}


@pytest.fixture(scope="module")
def model(planted_model) -> EmbedLLM:
    return EmbedLLM.from_pretrained(planted_model)


@pytest.fixture(scope="module")
def split(model) -> EncodedResponses:
    return encode_responses(load_responses("planted", split="test"), model.encoder)


@pytest.fixture(scope="module")
def report(model, split) -> CostReport:
    return cost_report(model, split, costs=COSTS)


def test_complete_part_by_hand():
    """LLMs with nine tenths of the rows, and the rows that all of them have."""
    truth = np.ones((11, 3))
    truth[0, 0], truth[:5, 1], truth[10] = NAN, NAN, NAN
    rows, llms = complete_part(truth, np.arange(11) < 10)
    assert (rows.tolist(), llms.tolist()) == ([1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 2])
    assert [len(part) for part in complete_part(truth, np.zeros(11, bool))] == [0, 0]


def test_the_whole_split_has_the_routers_and_the_oracle(report, split):
    """`all` starts at routing accuracy and ends with the cheap LLMs; the oracle is the bound."""
    part = report.benchmarks["all"]
    assert list(part.curves) == ["embedllm", "llm_mean", "llm_category_mean", "knn", "oracle"]
    assert part.curves["oracle"].quality[0] == pytest.approx(oracle_accuracy(split.responses.responses()))
    for name, curve in part.curves.items():
        assert (curve.quality <= part.curves["oracle"].quality[0] + 1e-9).all()
        assert part.summary[name]["aiq"] == cost_curves.aiq(curve.cost, curve.quality, (1.0, 3.0))
        assert curve.cost[-1] == pytest.approx(1.0, abs=0.1)
    assert part.summary["embedllm"]["aiq"] > part.summary["llm_mean"]["aiq"]
    assert part.summary["oracle"]["aiq"] > part.summary["embedllm"]["aiq"]


def test_single_llms_stand_on_the_questions_they_answered(report, split):
    """In a benchmark every response is there, so a single LLM's quality is its mean over the same questions."""
    truth = split.responses.responses()
    benchmarks = [name for name in report.benchmarks if name != "all"]
    assert benchmarks
    for name in benchmarks:
        part = report.benchmarks[name]
        llms = [planted_llms().index(llm) for llm in part.llm_names]
        rows = (split.responses.categories == name) & ~np.isnan(truth[:, llms]).any(axis=1)
        assert part.n_questions == rows.sum()
        np.testing.assert_allclose(part.llm_qualities, truth[rows][:, llms].mean(axis=0))
        single = [
            cost_curves.aiq([c], [q], (1.0, 3.0)) for c, q in zip(part.llm_costs, part.llm_qualities, strict=True)
        ]
        assert part.summary["best_llm"]["aiq"] == max(single)
        assert part.summary["single_llms"]["aiq"] >= max(single)
        assert part.best_llm == part.llm_names[int(np.argmax(single))]


def test_it_is_json_and_a_table(report):
    """Plain JSON without NaN; the table has a row a router and says what the LLMs of a pair are."""
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(content["benchmarks"]) == set(report.benchmarks)
    text = str(report)
    for name, part in report.benchmarks.items():
        assert f"{name}: {part.n_questions:,} questions x {len(part.llm_names)} LLMs" in text
        assert f"{part.summary['embedllm']['aiq']:.4f}" in text
    assert "single_llms" in text


def test_aiq_alone_is_a_table_of_routers_and_benchmarks(report):
    """The numbers of the summaries, `-` where there is none."""
    aiq = report.aiq()
    assert set(aiq) == set(report.benchmarks)
    assert aiq["all"]["embedllm"] == report.benchmarks["all"].summary["embedllm"]["aiq"]
    head, *rows = report.aiq_table().splitlines()
    assert head.split() == ["AIQ", *aiq]
    cells = {row.split()[0]: row.split()[1:] for row in rows}
    assert cells["embedllm"] == [f"{values['embedllm']:.4f}" for values in aiq.values()]
    assert cells["best_llm"][list(aiq).index("all")] == "-"


def test_prices_by_the_token_need_a_length(model, split):
    """The report takes one number an LLM, and says so; the command line counts the split's questions."""
    with pytest.raises(ValueError, match="is by the token, and no question's length is known"):
        cost_report(model, split, costs=dict.fromkeys(planted_llms(), TokenPrice(1, 2)))


def test_other_llms_are_refused(model, split):
    """LLMs in another order would have each other's curves."""
    turned = EncodedResponses(split.responses.select(llms=planted_llms()[::-1]), split.question_embeds)
    with pytest.raises(ValueError, match="`dataset` has other LLMs than the model, or in another order"):
        cost_report(model, turned, costs=COSTS)


def test_llms_without_a_cost_are_left_out(model, split):
    """They are named, and no curve has them; two must be left."""
    costs = {name: cost for name, cost in COSTS.items() if name != "planted/atlas-large"}
    report = cost_report(model, split, costs=costs)
    assert report.without_cost == ("planted/atlas-large",)
    assert "left out, since they have no cost: `planted/atlas-large`" in str(report)
    assert all("planted/atlas-large" not in part.llm_names for part in report.benchmarks.values())
    with pytest.raises(ValueError, match="`costs` has 1 of the pool's 8 LLMs"):
        cost_report(model, split, costs={"planted/atlas-large": 1})
    with pytest.raises(ValueError, match="no two LLMs of different costs"):
        cost_report(model, split, costs=dict.fromkeys(planted_llms(), 2))


def test_the_picture_shows_the_curves(report, tmp_path):
    """A panel a benchmark, a line a router through its points, a dot an LLM, one legend."""
    figure = plots.cost_quality_figure(report.to_dict()["benchmarks"])
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == len(report.benchmarks)
    for axes, part in zip(shown, report.benchmarks.values(), strict=True):
        assert len(axes.lines) == len(part.curves)
        line = next(line for line in axes.lines if line.get_label() == "EmbedLLM").get_xydata()
        assert line[:, 0].min() == part.curves["embedllm"].cost.min()
        assert line[-1].tolist() == [part.curves["embedllm"].cost[0], part.curves["embedllm"].quality[0]]
        best = max(part.llm_names, key=lambda name: part.llm_qualities[part.llm_names.index(name)])
        notes = [text.get_text() for text in axes.texts]
        if np.isnan(part.llm_qualities).all():
            assert notes == ["routers only; single LLMs: see the benchmarks"]
        else:
            assert notes == [f"best single LLM: {best.split('/')[1]}"]
            ring = axes.collections[-1].get_offsets()[0]
            assert ring[1] == part.llm_qualities.max()
    assert len(figure.legends) == 1
    plots.save_png(figure, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="`benchmarks` is empty"):
        plots.cost_quality_figure({})


def test_the_command_line_writes_table_json_and_picture(capsys, planted_model, tmp_path):
    """`embedllm curve` prints the table and writes both files."""
    table = tmp_path / "llms.csv"
    table.write_text("llm,cost\n" + "".join(f"{name},{cost}\n" for name, cost in COSTS.items()))
    files = ("--output", tmp_path / "curve.json", "--figure", tmp_path / "curve.png")
    code, out, err = run(capsys, "curve", "--model", planted_model, "--dataset", "planted", "--costs", table, *files)
    assert code == 0, err
    assert "all: 200 questions x 8 LLMs" in out
    _, printed, _ = run(capsys, "curve", "--model", planted_model, "--dataset", "planted", "--costs", table, "--json")
    assert json.loads(printed) == json.loads((tmp_path / "curve.json").read_text())
    assert "aiq" in out
    assert "embedllm" in json.loads((tmp_path / "curve.json").read_text())["benchmarks"]["all"]["curves"]
    assert (tmp_path / "curve.png").stat().st_size > 1000
    prices = ["llm,usd_per_million_input_tokens,usd_per_million_output_tokens"]
    table.write_text("\n".join([*prices, *[f"{name},{cost},{4 * cost}" for name, cost in COSTS.items()], ""]))
    report = ("evaluate", "--model", planted_model, "--dataset", "planted", "--costs", table, "--min_success", 0.4)
    code, out, err = run(capsys, *report, "--output", tmp_path / "report.json")
    assert code == 0, err
    assert "min_success 0.4 (the cheapest LLM that reaches it)" in out
    content = json.loads((tmp_path / "report.json").read_text())
    assert f"{content['aiq']['all']['embedllm']:.4f}" in out
    assert 4 * 512 / 1e6 < content["guarantee"]["mean_cost"] < 3 * (4 * 512 + 50) / 1e6
    table.write_text("llm,cost\nplanted/atlas-large,-1\n")
    refused(
        run(capsys, "curve", "--model", planted_model, "--dataset", "planted", "--costs", table),
        "expected a number of 0",
    )


@pytest.mark.parametrize("verb", ["curve", "evaluate"])
def test_a_place_that_no_file_can_be_written_to_is_refused_before_the_work(capsys, tmp_path, verb):
    """A folder, and a path below a file; nothing is loaded, so there need be no model."""
    (tmp_path / "file").write_text("")
    for path, message in ((tmp_path, "is a folder"), (tmp_path / "file" / "x.json", "no file can be written into")):
        command = (verb, "--model", "not/there", "--dataset", "planted", "--costs", "none.csv", "--output", path)
        refused(run(capsys, *command), message, "--output")
    assert not (tmp_path / "new").exists()
