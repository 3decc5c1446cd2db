"""The report: its figures are the metrics, its form is that of `metrics.json`."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from embedllm_hf import EmbedLLM, ResponseMatrix, evaluate_model, metrics
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.data.origin import DataOrigin
from embedllm_hf.encoding.embeddings_file import save_embeddings
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from embedllm_hf.evaluation.cost_report import cost_report
from embedllm_hf.evaluation.report import METRICS
from embedllm_hf.predictors.baselines import choose_knn, fit_baselines
from embedllm_hf.predictors.confidence import interval_on_question
from embedllm_hf.predictors.stacked_fit import fit_blend
from tests.command_line import refused, run
from tests.pool import (
    LLMS,
    NEVER,
    make_embeds,
    make_frame,
    make_split,
    model_with_one_unasked,
    new_model,
    trained_model,
    with_one_unasked,
)

CONTRACT = ("accuracy", "auc", "log_loss", "brier", "ece", "routing_accuracy")  # names that scripts rely on
PREDICTORS = ["embedllm", "llm_mean", "llm_category_mean", "knn"]


@pytest.fixture(scope="module")
def model() -> EmbedLLM:
    """An untrained network without a bank."""
    return new_model(initializer_range=1.0)


@pytest.fixture(scope="module")
def baselines() -> dict:
    return fit_baselines(QuestionBank.from_responses(make_split(80)))


@pytest.fixture(scope="module")
def split() -> EncodedResponses:
    split = make_split(60, first_id=80, seed=1)
    return split.with_responses(replace(split.responses, origin=DataOrigin("user/pool", "abc", "test")))


@pytest.fixture(scope="module")
def predictions(model, baselines, split) -> dict[str, np.ndarray]:
    embeds, categories = split.question_embeds, split.responses.categories
    fitted = {name: baseline.predict_proba(embeds, categories) for name, baseline in baselines.items()}
    return {"embedllm": model.predict_proba(embeds), **fitted}


@pytest.fixture(scope="module")
def report(model, baselines, split):
    return evaluate_model(model, split, baselines=baselines, train_seconds=1.5, seed=3)


def test_the_figures_are_those_of_scikit_learn_over_observed_pairs(report, predictions, split):
    """Every predictor's accuracy, AUC, log loss and Brier score, computed anew from its predictions."""
    observed, truth = split.responses.observed(), split.responses.responses()
    assert list(report.scores) == PREDICTORS
    for name, probs in predictions.items():
        seen, right = probs[observed], truth[observed]
        score = report.scores[name]
        assert score["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(right, seen > 0.5))
        assert score["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(right, seen))
        assert score["log_loss"] == pytest.approx(sklearn.metrics.log_loss(right, seen.astype(float)))
        assert score["brier"] == pytest.approx(sklearn.metrics.brier_score_loss(right, seen))
        assert score["ece"] == metrics.expected_calibration_error(probs, truth)


def test_routing_is_a_loop_over_questions_with_a_choice(report, predictions, split):
    """Of each question with two observed LLMs or more, the response of the observed LLM with most probability."""
    truth = split.responses.responses()
    for name, probs in predictions.items():
        outcomes = []
        for row in range(len(truth)):
            seen = [llm_index for llm_index in range(6) if not np.isnan(truth[row, llm_index])]
            if len(seen) >= 2:
                outcomes.append(truth[row, max(seen, key=lambda llm_index, row=row: probs[row, llm_index])])
        assert report.scores[name]["routing_accuracy"] == pytest.approx(np.mean(outcomes))
    assert report.oracle == {"routing_accuracy": np.nanmax(truth, axis=1).mean()}


def test_the_benchmarks_are_measured_on_their_questions_alone(report, predictions, split):
    """Each benchmark's figures are the metrics over its rows."""
    truth = split.responses.responses()
    assert list(report.benchmarks) == ["logic", "poetry"]
    for benchmark, scores in report.benchmarks.items():
        rows = split.responses.categories == benchmark
        for name, probs in predictions.items():
            assert scores[name] == {metric: f(probs[rows], truth[rows]) for metric, f in METRICS.items()}


def test_gains_are_paired_differences_over_the_best_baseline(report, predictions, split):
    """Each gain names the best baseline of that metric, and its difference is that of the two scores."""
    truth = split.responses.responses()
    assert list(report.gains) == ["accuracy", "routing_accuracy"]
    for metric, gain in report.gains.items():
        rivals = {name: report.scores[name][metric] for name in PREDICTORS[1:]}
        assert gain["over"] in [name for name in rivals if rivals[name] == max(rivals.values())]
        difference = report.scores["embedllm"][metric] - max(rivals.values())
        assert gain["difference"] == pytest.approx(difference)
        assert gain["low"] <= gain["difference"] <= gain["high"]
    best = report.gains["accuracy"]["over"]
    hits = [
        np.where(np.isnan(truth), np.nan, (predictions[name] > 0.5) == (truth > 0.5)) for name in ("embedllm", best)
    ]
    assert report.gains["accuracy"] == {"over": best, **metrics.paired_difference(*hits).to_dict()}


def test_routing_is_set_beside_always_the_best_llm(report, predictions, split):
    """Whatever the best baseline is, the gain over `llm_mean` is there, with its paired interval."""
    ours, theirs = (
        metrics.routed_responses(predictions[name], split.responses.responses()) for name in ("embedllm", "llm_mean")
    )
    assert report.routing_over_best_llm == {"over": "llm_mean", **metrics.paired_difference(ours, theirs).to_dict()}
    best, in_hindsight = report.scores["llm_mean"]["routing_accuracy"], report.oracle["routing_accuracy"]
    with_best = f"  {best:.1%} with always the best LLM (llm_mean): difference {np.nanmean(ours - theirs):+.4f}, 95%"
    assert with_best in str(report)
    assert f"  {in_hindsight:.1%} with the best choice in hindsight" in str(report).splitlines()


@pytest.mark.parametrize("costs", [None, {name: 1.0 + index for index, name in enumerate(LLMS[:5])}])
def test_the_guarantee_is_a_loop_over_questions(model, baselines, split, predictions, costs):
    """The cheapest, else the most probable, observed LLM whose bound reaches it; flagged answers do not count."""
    probs, truth = predictions["embedllm"], split.responses.responses()
    named = {"baselines": baselines, "costs": costs, "min_success": 0.4}
    guarantee = evaluate_model(model, split, **named).guarantee
    logits = model.predict_logits(split.question_embeds)
    low, _ = interval_on_question(logits, 1.2)  # there is no blend, so the bound is the interval's
    answered, n_asked = [], 0
    for row in range(len(truth)):
        seen = [llm_index for llm_index in range(5 if costs else 6) if not np.isnan(truth[row, llm_index])]
        n_asked += len(seen) >= 2
        reaching = [llm_index for llm_index in seen if low[row, llm_index] >= 0.4]
        if len(seen) >= 2 and reaching:
            cheapest = min(reaching, key=lambda llm_index: costs[LLMS[llm_index]] if costs else -probs[row, llm_index])
            answered.append((truth[row, cheapest], 1.0 + cheapest))
    assert 0 < len(answered) < n_asked
    assert (np.isnan(truth) & (low >= 0.4)).any()  # who was not observed would be taken, if that were allowed
    assert guarantee.share_answered == pytest.approx(len(answered) / n_asked)
    assert guarantee.share_right == pytest.approx(np.mean(answered, axis=0)[0])
    assert guarantee.low <= guarantee.share_right <= guarantee.high
    assert guarantee.mean_cost == (pytest.approx(np.mean(answered, axis=0)[1]) if costs else None)
    assert f"{guarantee.share_answered:.1%} of questions answered without a flag" in str(guarantee)


def test_a_guarantee_that_is_no_probability_is_refused(model, baselines, split):
    """Before anything is computed."""
    with pytest.raises(ValueError, match="`min_success` is 1, expected a probability"):
        evaluate_model(model, split, baselines=baselines, min_success=1)


def test_the_json_has_the_keys_of_the_contract(report, split):
    """Names that scripts rely on, with the numbers of the report; everything is plain JSON."""
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    expected = {
        "id": "user/pool",
        "revision": "abc",
        "split": "test",
        "n_questions": 60,
        "n_llms": 6,
        "n_observed": split.responses.n_observed,
        "duplicates": "mean",
    }
    assert expected.items() <= content["dataset"].items()
    for name in PREDICTORS:
        assert set(content[name]) == {*CONTRACT, "ece_llm_median"}
        assert content[name] == report.scores[name]
    assert content["oracle"] == report.oracle
    assert (content["train_seconds"], content["seed"]) == (1.5, 3)
    assert {"embedllm_hf", "python", "torch", "transformers"} <= set(content["versions"])
    assert {"benchmarks", "gains", "routing_over_best_llm", "guarantee"} <= set(content)


def test_what_is_not_defined_is_none_in_json(model):
    """Responses all right and one LLM a question: no AUC and no routing, as null and not as NaN."""
    frame = pd.DataFrame({"prompt_id": [0, 1, 2], "model_name": LLMS[:3], "label": 1, "prompt": ["a", "b", "c"]})
    responses = ResponseMatrix.from_pandas(frame, llm_names=LLMS)
    report = evaluate_model(model, EncodedResponses(responses, make_embeds(responses.question_ids)), baselines={})
    content = report.to_dict()
    assert content["embedllm"]["auc"] is None
    assert content["benchmarks"]["all"]["embedllm"]["auc"] is None
    assert content["oracle"] == {"routing_accuracy": None}
    assert content["gains"] == {}
    assert content["routing_over_best_llm"] is None
    assert content["guarantee"]["share_right"] is None
    json.dumps(content, allow_nan=False)
    assert "nan" not in str(report)


def test_an_llm_that_the_model_knows_no_answer_of_is_not_routed_to(tmp_path):
    """It is always wrong in the test split: routing is measured without it, the rest with it, and a line says so."""
    model, plain = model_with_one_unasked(tmp_path), make_split(40, first_id=110, seed=2)
    truth, frame = with_one_unasked(plain), make_frame(40, first_id=110, seed=2)
    frame = pd.concat([frame, frame.drop_duplicates("prompt_id").assign(model_name=NEVER, model_id=6, label=0)])
    asked = ResponseMatrix.from_pandas(frame, llm_names=(*LLMS, NEVER))
    with_it = evaluate_model(model, EncodedResponses(asked, truth.question_embeds))
    assert with_it.without_answers == [NEVER]
    assert "left out of routing, since the model knows no answers of them: `lab/never`" in str(with_it)
    answers = asked.responses()[:, :6]
    without = metrics.routing_accuracy(model.predict_proba(truth.question_embeds)[:, :6], answers)
    assert with_it.scores["embedllm"]["routing_accuracy"] == without
    assert with_it.oracle["routing_accuracy"] == metrics.oracle_accuracy(answers)
    assert with_it.dataset.n_observed == int((~np.isnan(answers)).sum()) + 40
    assert with_it.scores["embedllm"]["accuracy"] != evaluate_model(model, truth).scores["embedllm"]["accuracy"]


def test_many_benchmarks_leave_the_verdict_in_sight(report):
    """Twenty rows and how many more there are; the JSON has them all. A line that is already there is not repeated."""
    part = report.benchmarks["logic"]
    many = replace(report, benchmarks={f"b{number:03}": part for number in range(102)})
    lines = str(many).splitlines()
    assert sum(line.startswith("b0") for line in lines) == 20
    assert "and 82 more, which the JSON has (--output, metrics.json)" in lines
    assert len(many.to_dict()["benchmarks"]) == 102
    gain = {"over": "llm_mean", "difference": 0.1, "low": 0.0, "high": 0.2}
    same = replace(report, gains={"routing_accuracy": gain}, routing_over_best_llm=gain)
    assert str(same).count("always the best LLM") == 1
    assert str(same).count("difference +0.1000") == 1
    other = replace(same, gains={"accuracy": gain, "routing_accuracy": {**gain, "over": "knn"}})
    assert str(other).count("difference +0.1000") == 3


def test_a_benchmark_without_responses_is_left_out(model, baselines, split):
    """Where nothing was observed there is nothing to report, and the rest is not disturbed."""
    whole = split.responses
    logic = whole.categories == "logic"
    masked = split.with_responses(whole.keep(logic[whole.question_indices]))
    report = evaluate_model(model, masked, baselines=baselines)
    assert list(report.benchmarks) == ["logic"]
    assert report.scores == report.benchmarks["logic"]
    assert report.dataset.n_observed == whole.select(logic).n_observed < whole.n_observed


def test_the_table_shows_the_figures(report):
    """People read the same numbers as programs, to four digits, each predictor in its row."""
    lines = str(report).splitlines()
    assert lines[0].startswith("user/pool test: 60 questions x 6 LLMs")
    assert "duplicates: mean" in lines[0]
    for name, score in report.scores.items():
        (row,) = [line for line in lines if line.startswith(name + " ") and f"{score['log_loss']:.4f}" in line]
        assert row.split()[1:] == [f"{score[metric]:.4f}" for metric in METRICS]
    gain = report.gains["accuracy"]
    ours, theirs = (report.scores[name]["accuracy"] for name in ("embedllm", gain["over"]))
    place = lines.index(f"EmbedLLM forecasts {ours:.1%} of the responses right")
    interval = f"95% interval [{gain['low']:+.4f}, {gain['high']:+.4f}]"
    assert lines[place + 1] == f"  {theirs:.1%} with {gain['over']}: difference {gain['difference']:+.4f}, {interval}"


# --- what is refused ---


def test_other_llms_or_another_order_are_refused(model, baselines, split):
    """LLMs must be the model's: a permuted or a smaller pool is not measured as if it fitted."""
    for llms in (LLMS[::-1], LLMS[:5]):
        with pytest.raises(ValueError, match="`dataset` has other LLMs than the model, or in another order"):
            evaluate_model(model, split.select(llms=llms), baselines=baselines)


def test_an_empty_split_and_a_single_llm_are_refused(model, baselines, split):
    """Both are said of the split before anything is computed."""
    with pytest.raises(ValueError, match="test: the split holds no responses"):
        evaluate_model(model, split.select(np.zeros(60, bool)), baselines=baselines)
    with pytest.raises(ValueError, match="test: only one LLM"):
        evaluate_model(model, split.select(llms=LLMS[:1]), baselines=baselines)


def test_vectors_of_the_wrong_width_or_another_encoder_are_refused(model, baselines, split):
    """The message has what was found and what the model takes."""
    narrow = EncodedResponses(split.responses, split.question_embeds[:, :5])
    with pytest.raises(ValueError, match=r"`question_embeds` has shape \(60, 5\), but this model takes .*8"):
        evaluate_model(model, narrow, baselines=baselines)
    other = replace(split, encoder=replace(model.config.encoder, name="some/other"))
    with pytest.raises(ValueError, match="the text vectors are of the encoder `some/other"):
        evaluate_model(model, other, baselines=baselines)


# --- a model with a bank ---


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> EmbedLLM:
    return trained_model(tmp_path_factory.mktemp("trained"))


def test_a_model_with_a_blend_has_rows_for_its_parts(model, baselines, split):
    """`embedllm` is the blend from the text alone; beside it the network, and the blend with the category given."""
    bank = QuestionBank.from_responses(make_split(80))
    blended = model.with_bank(replace(bank, blend=fit_blend(model, bank, split)))
    report = evaluate_model(blended, split, baselines=baselines)
    assert list(report.scores) == ["embedllm", "embedllm_network", "embedllm_with_category", *PREDICTORS[1:]]
    expected = {
        "embedllm": blended.predict_proba(split.question_embeds),
        "embedllm_network": model.predict_proba(split.question_embeds),
        "embedllm_with_category": blended.predict_proba(split.question_embeds, split.responses.categories),
    }
    truth = split.responses.responses()
    for name, probs in expected.items():
        assert report.scores[name] == pytest.approx({metric: f(probs, truth) for metric, f in METRICS.items()})
    assert {gain["over"] for gain in report.gains.values()} <= set(PREDICTORS[1:])
    assert len({len(line) for line in str(report).splitlines() if line.startswith(("embedllm", "knn", "oracle"))}) == 1
    uncategorised = split.with_responses(replace(split.responses, categories=np.full(60, "all", object)))
    assert "embedllm_with_category" not in evaluate_model(blended, uncategorised, baselines=baselines).scores


def test_known_questions_are_evaluated_as_such(trained):
    """On the training questions there is a row that uses what is known of each; on new questions there is none."""
    scores = evaluate_model(trained, make_split(80), baselines={}).scores
    assert scores["embedllm_with_known"]["log_loss"] < scores["embedllm"]["log_loss"]
    new = evaluate_model(trained, make_split(20, first_id=200, seed=3), baselines={})
    assert "embedllm_with_known" not in new.scores
    assert "none of them is unseen" in str(evaluate_model(trained, make_split(80), baselines={}))
    assert "none of them is unseen" not in str(new)


def test_known_questions_are_not_measured_as_unseen(trained, split):
    """Texts that the model knows, under other ids, change no figure: they are left out, counted, and said."""
    known = make_split(20)
    responses = replace(known.responses, question_ids=known.responses.question_ids + 5000)
    mixed = EncodedResponses.concat([split, replace(known, responses=responses)])
    report, expected = evaluate_model(trained, mixed), evaluate_model(trained, split)
    assert (report.dataset.n_questions, report.dataset.n_left_out) == (60, 20)
    assert report.scores == expected.scores
    assert report.to_dict()["dataset"]["n_left_out"] == 20
    assert "left out, since their texts are known: 20 questions" in str(report)
    assert "left out, since their texts" not in str(expected)
    costs = {name: 1.0 + number for number, name in enumerate(LLMS)}
    curves = [cost_report(trained, dataset, costs=costs).aiq() for dataset in (mixed, split)]
    assert curves[0] == curves[1]


def test_without_a_training_split_the_baselines_are_those_of_the_bank(trained, split):
    """They say to the bit what they say when they are fitted on the training split again."""
    train, validation = make_split(80), make_split(30, first_id=80, seed=1)
    bank = QuestionBank.from_responses(train)
    fitted = fit_baselines(replace(bank, knn=choose_knn(bank, validation)))
    expected = evaluate_model(trained, split, baselines=fitted).to_dict()
    assert trained.bank.knn is not None
    assert evaluate_model(trained, split).to_dict() == expected
    assert set(PREDICTORS) <= set(expected)


def test_the_verb_measures_any_labelled_questions(capsys, model, trained, tmp_path):
    """A folder with one split is enough for a model with a bank; without a bank the training split is missed."""
    folder, vectors = tmp_path / "pool", tmp_path / "vectors.safetensors"
    folder.mkdir()
    make_frame(60, first_id=80, seed=1).to_csv(folder / "test.csv", index=False)
    ids = np.arange(80, 140)
    save_embeddings(vectors, make_embeds(ids), ids, trained.config.encoder)
    options = ("evaluate", "--dataset", folder, "--question_embeddings", vectors, "--output", tmp_path / "report.json")
    trained.save_pretrained(tmp_path / "trained")
    model.save_pretrained(tmp_path / "bare")
    code, out, err = run(capsys, *options, "--model", tmp_path / "trained")
    assert code == 0, err
    assert out.startswith("pool test: 60 questions x 6 LLMs")
    assert set(PREDICTORS) <= set(json.loads((tmp_path / "report.json").read_text()))
    refused(run(capsys, *options, "--model", tmp_path / "bare"), "no table for the split `train`")


def test_a_model_without_a_bank_needs_baselines(model, split):
    """The message says how to get a bank."""
    with pytest.raises(ValueError, match="the model has no question bank"):
        evaluate_model(model, split)
