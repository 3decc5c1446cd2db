"""The report: its figures are the metrics, its form is that of `metrics.json`."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import torch

from embedllm_hf import (
    EmbedLLM,
    EmbedLLMConfig,
    ResponseMatrix,
    evaluate_model,
    fit_baselines,
    metrics,
)
from embedllm_hf.evaluation.report import METRICS
from embedllm_hf.predictors.confidence import probability_interval
from tests.pool import LLMS, TEXT_DIM, make_embeds, make_split

CONTRACT = ("accuracy", "auc", "log_loss", "brier", "ece", "routing_accuracy")  # names that scripts rely on
PREDICTORS = ["embedllm", "llm_mean", "llm_category_mean", "knn"]


@pytest.fixture(scope="module")
def model() -> EmbedLLM:
    torch.manual_seed(0)
    return EmbedLLM(EmbedLLMConfig(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4, initializer_range=1.0))


@pytest.fixture(scope="module")
def baselines() -> dict:
    train = make_split(80)
    return fit_baselines(train.responses, train.question_embeds)


@pytest.fixture(scope="module")
def split():
    return make_split(60, first_id=80, seed=1)


@pytest.fixture(scope="module")
def predictions(model, baselines, split) -> dict[str, np.ndarray]:
    embeds, categories = split.question_embeds, split.responses.categories
    fitted = {name: baseline.predict_proba(embeds, categories) for name, baseline in baselines.items()}
    return {"embedllm": model.predict_proba(embeds), **fitted}


@pytest.fixture(scope="module")
def report(model, baselines, split):
    named = {"dataset_id": "user/pool", "revision": "abc", "split": "test", "train_seconds": 1.5, "seed": 3}
    return evaluate_model(model, split.responses, split.question_embeds, baselines=baselines, **named)


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
            seen = [column for column in range(6) if not np.isnan(truth[row, column])]
            if len(seen) >= 2:
                outcomes.append(truth[row, max(seen, key=lambda column, row=row: probs[row, column])])
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
    assert f"EmbedLLM minus llm_mean = {(ours - theirs).mean():+.4f}" in str(report)


@pytest.mark.parametrize("costs", [None, {name: 1.0 + index for index, name in enumerate(LLMS[:5])}])
def test_the_promise_is_a_loop_over_questions(model, baselines, split, predictions, costs):
    """Of observed LLMs whose bound reaches it the cheapest, else the most probable; only unmarked answers count."""
    probs, truth = predictions["embedllm"], split.responses.responses()
    named = {"baselines": baselines, "costs": costs, "min_success": 0.4}
    promise = evaluate_model(model, split.responses, split.question_embeds, **named).promise
    low, _ = probability_interval(probs, 1.2)  # there is no blend, so the bound is the interval's
    answered, n_asked = [], 0
    for row in range(len(truth)):
        seen = [column for column in range(5 if costs else 6) if not np.isnan(truth[row, column])]
        n_asked += len(seen) >= 2
        reaching = [column for column in seen if low[row, column] >= 0.4]
        if len(seen) >= 2 and reaching:
            cheapest = min(reaching, key=lambda column: costs[LLMS[column]] if costs else -probs[row, column])
            answered.append((truth[row, cheapest], 1.0 + cheapest))
    assert 0 < len(answered) < n_asked
    assert (np.isnan(truth) & (low >= 0.4)).any()  # who was not observed would be taken, if that were allowed
    assert promise.share_answered == pytest.approx(len(answered) / n_asked)
    assert promise.share_right == pytest.approx(np.mean(answered, axis=0)[0])
    assert promise.low <= promise.share_right <= promise.high
    assert promise.mean_cost == (pytest.approx(np.mean(answered, axis=0)[1]) if costs else None)
    assert f"{promise.share_answered:.1%} of questions answered without the mark" in str(promise)


def test_a_promise_that_is_no_probability_is_refused(model, baselines, split):
    """Before anything is computed."""
    with pytest.raises(ValueError, match="`min_success` is 1, expected a probability"):
        evaluate_model(model, split.responses, split.question_embeds, baselines=baselines, min_success=1)


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
    assert {"benchmarks", "gains", "routing_over_best_llm", "promise"} <= set(content)


def test_what_is_not_defined_is_none_in_json(model):
    """Responses all right and one LLM a question: no AUC and no routing, as null and not as NaN."""
    frame = pd.DataFrame({"prompt_id": [0, 1, 2], "model_name": LLMS[:3], "label": 1, "prompt": ["a", "b", "c"]})
    responses = ResponseMatrix.from_pandas(frame, llm_names=LLMS)
    report = evaluate_model(model, responses, make_embeds(responses.question_ids), baselines={})
    content = report.to_dict()
    assert content["embedllm"]["auc"] is None
    assert content["benchmarks"]["all"]["embedllm"]["auc"] is None
    assert content["oracle"] == {"routing_accuracy": None}
    assert content["gains"] == {}
    assert content["routing_over_best_llm"] is None
    assert content["promise"]["share_right"] is None
    json.dumps(content, allow_nan=False)
    assert "nan" in str(report)


def test_a_benchmark_without_responses_is_left_out(model, baselines, split):
    """Where nothing was observed there is nothing to report, and the rest is not disturbed."""
    whole = split.responses
    logic = whole.categories == "logic"
    keep = logic[whole.question_indices]
    counts = np.bincount(whole.question_indices[keep], minlength=60)
    entries = {name: getattr(whole, name)[keep] for name in ("llm_indices", "values", "counts", "contradictory")}
    masked = replace(whole, indptr=np.concatenate([[0], np.cumsum(counts)]), **entries)
    report = evaluate_model(model, masked, split.question_embeds, baselines=baselines)
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
    assert f"accuracy: EmbedLLM minus {gain['over']} = {gain['difference']:+.4f}" in str(report)


# --- what is refused ---


def test_other_llms_or_another_order_are_refused(model, baselines, split):
    """Columns must be the model's: a permuted or a smaller pool is not measured as if it fitted."""
    for llms in (LLMS[::-1], LLMS[:5]):
        with pytest.raises(ValueError, match="`responses` has other LLMs than the model, or in another order"):
            evaluate_model(model, split.responses.select(llms=llms), split.question_embeds, baselines=baselines)


def test_an_empty_split_and_a_single_llm_are_refused(model, baselines, split):
    """Both are said of the split before anything is computed."""
    nothing = split.responses.select(np.zeros(60, bool))
    with pytest.raises(ValueError, match="test: the split holds no responses"):
        evaluate_model(model, nothing, split.question_embeds, baselines=baselines, split="test")
    with pytest.raises(ValueError, match="responses: only one LLM"):
        evaluate_model(model, split.responses.select(llms=LLMS[:1]), split.question_embeds, baselines=baselines)


def test_vectors_of_the_wrong_width_are_refused(model, baselines, split):
    """The message has the shape found, the width expected and the encoder."""
    with pytest.raises(ValueError, match=r"`question_embeds` has shape \(60, 5\), but this model takes .*8"):
        evaluate_model(model, split.responses, split.question_embeds[:, :5], baselines=baselines)


def test_vectors_of_another_number_of_questions_are_refused(model, baselines, split):
    """One vector too few is a mistake in what was encoded; the message has both numbers."""
    with pytest.raises(ValueError, match=r"`question_embeds` .*59.*60"):
        evaluate_model(model, split.responses, split.question_embeds[:-1], baselines=baselines)


# --- a model with a blend ---


def test_a_model_with_a_blend_has_rows_for_its_parts(model, baselines, split):
    """`embedllm` is the blend from the text alone; beside it the network, and the blend with the category given."""
    from embedllm_hf.bank.question_bank import KnownQuestions
    from embedllm_hf.predictors.stacked import BlendedPredictor, fit_blend

    train, blended = make_split(80), model._of_pool(list(LLMS), list(range(6)))
    blended.known_questions = KnownQuestions.from_responses(train.responses, train.question_embeds)
    blended.blend = fit_blend(blended, split.responses, split.question_embeds)
    report = evaluate_model(blended, split.responses, split.question_embeds, baselines=baselines)
    assert list(report.scores) == ["embedllm", "embedllm_network", "embedllm_with_category", *PREDICTORS[1:]]
    predictor, truth = BlendedPredictor(blended), split.responses.responses()
    expected = {
        "embedllm": predictor.predict_proba(split.question_embeds),
        "embedllm_network": model.predict_proba(split.question_embeds),
        "embedllm_with_category": predictor.predict_proba(split.question_embeds, split.responses.categories),
    }
    for name, probs in expected.items():
        assert report.scores[name] == {metric: f(probs, truth) for metric, f in METRICS.items()}
    assert {gain["over"] for gain in report.gains.values()} <= set(PREDICTORS[1:])
    assert len({len(line) for line in str(report).splitlines() if line.startswith(("embedllm", "knn", "oracle"))}) == 1
    uncategorised = replace(split.responses, categories=np.full(60, "all", object))
    report = evaluate_model(blended, uncategorised, split.question_embeds, baselines=baselines)
    assert "embedllm_with_category" not in report.scores
