"""LLMs, questions and answers added to a trained model: what joins, what stays to the bit, what is told."""

import logging
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from embedllm_hf import EmbedLLM, EncodedResponses, Forecaster, ResponseMatrix, add, onboard
from embedllm_hf.bank.growing import rows_of_questions
from embedllm_hf.data.texts import withheld_texts
from embedllm_hf.item_response import joining
from embedllm_hf.metrics import log_loss
from embedllm_hf.new_llms.adding import SHARE_THAT_PAYS
from embedllm_hf.new_llms.onboarding import onboard_many
from embedllm_hf.training.fit_bank import fit_bank
from tests.new_llms.test_onboarding import MadeUpEncoder, assert_same_llm
from tests.placing import pool_of, simulated_pool
from tests.pool import LLMS, make_embeds, make_frame, make_split, train_network, trained_model

NEW = ("new/logic", "new/poetry")
KNOWN, VALIDATION = 80, 30  # questions of the model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> EmbedLLM:
    return trained_model(tmp_path_factory.mktemp("trained"))


def answers_of(llms: dict[str, str], n_questions: int, *, first_id: int = 0, seed: int = 5) -> pd.DataFrame:
    """Answers of LLMs, by name, each in the manner of one of the pool."""
    frame = make_frame(n_questions, first_id=first_id, seed=seed, hidden=0).drop(columns="model_id")
    parts = [frame[frame["model_name"] == like].assign(model_name=name) for name, like in llms.items()]
    return pd.concat(parts, ignore_index=True)


def encoded(frame: pd.DataFrame) -> EncodedResponses:
    """Responses with text vectors."""
    responses = ResponseMatrix.from_pandas(frame)
    return EncodedResponses(responses, make_embeds(responses.question_ids))


def both_new() -> pd.DataFrame:
    """Two new LLMs and all old ones on 20 known and 40 new questions, the old ones on the new ones only."""
    old = answers_of(dict(zip(LLMS, LLMS, strict=True)), 40, first_id=200)
    new = {NEW[0]: LLMS[0], NEW[1]: LLMS[3]}
    return pd.concat([old, answers_of(new, 20), answers_of(new, 40, first_id=200)], ignore_index=True)


# --- what stays ---


def test_nothing_that_was_trained_changes(model):
    """Vectors, abilities, and forecasts on questions that got no answers: to the bit; the old model is untouched."""
    before = model.bank.known_logits(np.arange(KNOWN))
    embeds = make_embeds(np.arange(60))
    network, found = model.network_proba(embeds), add(model, encoded(both_new()))
    grown = found.model
    assert grown.config.llm_names == [*model.config.llm_names, *NEW]
    for name in model.config.llm_names:
        assert_same_llm(model, grown, name)
    np.testing.assert_allclose(grown.network_proba(embeds)[:, :6], network, rtol=1e-6)  # sums of another width
    np.testing.assert_array_equal(grown.bank.known_logits(np.arange(KNOWN))[:, :6], before)
    np.testing.assert_array_equal(grown.bank.question_embeds[:KNOWN], model.bank.question_embeds)
    assert len(model.bank) == len(model.bank.item_parameters.intercepts) == KNOWN
    assert (found.new_llms, found.placed_again) == (NEW, ())
    assert (found.n_known_questions, found.n_new_questions, found.n_validation_questions) == (20, 40, 0)


def test_one_new_llm_on_known_questions_is_as_onboarded(model):
    """The same vector, ability, bank and forecasts, to the bit."""
    frame = answers_of({NEW[0]: LLMS[0]}, 30)
    one = onboard(model, NEW[0], dict(zip(frame["prompt_id"].tolist(), frame["label"].tolist(), strict=True)))
    two = add(model, ResponseMatrix.from_pandas(frame)).model
    assert_same_llm(one, two, NEW[0])
    embeds = make_embeds(np.arange(60))
    np.testing.assert_array_equal(one.predict_proba(embeds), two.predict_proba(embeds))
    np.testing.assert_array_equal(one.bank.dense_responses(), two.bank.dense_responses())
    assert Forecaster(one).benchmark(NEW[0], "logic") == Forecaster(two).benchmark(NEW[0], "logic")


# --- what joins ---


def test_new_questions_are_known_then(model):
    """Their answers are there, and forecasts of them lie nearer to these than what their texts alone say."""
    responses = encoded(both_new())
    grown = add(model, responses).model
    truth = responses.responses.select(np.arange(20, 60), llms=grown.config.llm_names).responses()
    rows = rows_of_questions(grown.bank, responses.responses)[20:]
    assert rows.tolist() == list(range(KNOWN, KNOWN + 40))
    np.testing.assert_array_equal(grown.bank.dense_responses()[rows], truth)
    assert grown.bank.question_ids[rows].tolist() == list(range(200, 240))
    assert [grown.bank.categories[index] for index in grown.bank.category_indices[rows][:2]] == ["logic", "poetry"]
    bare = model.bank.item_parameters.with_texts(responses.question_embeds[20:]).logits(rows)
    assert log_loss(expit(grown.bank.known_logits(rows))[:, :6], truth[:, :6]) < log_loss(expit(bare), truth[:, :6])
    assert (grown.bank.item_parameters.residuals[rows] != 0).all()
    assert Forecaster(grown).benchmark(NEW[0], "logic").n_questions == 60
    again = grown.bank.splits(model.config.encoder)["train"].responses  # for training again
    np.testing.assert_array_equal(again.responses(), grown.bank.dense_responses())
    assert again.question_ids[KNOWN:].tolist() == list(range(200, 240))


def test_a_difficulty_is_fitted_as_training_again_would():
    """Of 40 LLMs and questions that texts tell nothing of: intercepts as of a bank fitted to everything."""
    pool = simulated_pool(n_questions=300)
    whole = pool_of(pool, 40, calibrate=False)
    bank, kept = whole.bank, np.arange(200)
    parts = whole.bank.splits(whole.config.encoder)["train"]
    small = whole.with_bank(fit_bank(whole, parts.select(kept), calibrate=False))
    grown = add(small, parts).model
    np.testing.assert_array_equal(grown.bank.keys, bank.keys)
    theirs, ours = (expit(one.known_logits(np.arange(200, 300))) for one in (bank, grown.bank))
    assert np.abs(theirs - ours).mean() < 0.03
    truth = pool.probabilities[200:]
    texts = expit(small.bank.item_parameters.with_texts(parts.question_embeds[200:]).logits(np.arange(200, 300)))
    errors = [np.abs(probs - truth).mean() for probs in (theirs, ours, texts)]
    assert errors[1] < 1.05 * errors[0] < 0.5 * errors[2]


def test_several_llms_at_once_are_each_as_alone(model):
    """On known questions the others that come with one do not matter to it."""
    frames = {name: answers_of({name: like}, 30) for name, like in zip(NEW, (LLMS[0], LLMS[3]), strict=True)}
    together = add(model, ResponseMatrix.from_pandas(pd.concat(frames.values()))).model
    by_llm = {
        name: dict(zip(one["prompt_id"].tolist(), one["label"].tolist(), strict=True)) for name, one in frames.items()
    }
    for name in NEW:
        assert_same_llm(together, onboard_many(model, by_llm), name)


def test_texts_may_be_withheld(model):
    """The vectors that come with the responses stand for them; without vectors the error says what to do."""
    responses = encoded(both_new())
    hidden = replace(responses.responses, questions=withheld_texts(responses.responses.keys))
    one, two = (add(model, given).model for given in (responses, replace(responses, responses=hidden)))
    np.testing.assert_array_equal(one.bank.keys, two.bank.keys)
    np.testing.assert_array_equal(one.bank.item_parameters.intercepts, two.bank.item_parameters.intercepts)
    with pytest.raises(ValueError, match="withholds its texts and brings no text vectors"):
        add(model, hidden)


def test_unknown_texts_are_encoded_and_known_ones_are_not(model):
    """Each new text once, whoever has answered it."""
    encoder = MadeUpEncoder()
    grown = add(model, ResponseMatrix.from_pandas(both_new()), encoder=encoder).model
    assert encoder.n_encoded == 40
    np.testing.assert_array_equal(grown.bank.question_embeds[KNOWN:], make_embeds(np.arange(200, 240)).astype("f2"))


def test_an_id_that_is_taken_is_not_given_twice(model):
    """A new text under the id of another question gets one of its own; the same text twice is one question."""
    frame = answers_of({NEW[0]: LLMS[0]}, 6)
    frame["prompt"] = [f"New, number {number}?" for number in (900, 901, 900, 903, 904, 905)]
    grown = add(model, encoded(frame)).model
    new = grown.bank.question_ids[KNOWN:]
    assert len(new) == len(set(frame["prompt"]))
    assert len(set(grown.bank.question_ids)) == len(grown.bank)
    assert not np.isin(new, model.bank.question_ids).any()


def test_new_categories_bring_their_benchmarks(model):
    """What is told counts, words join what is there, and a benchmark that the model has keeps its categories."""
    names = ("logic", "logic_puzzles", "suite_a", "suite_b", "poetry_odes")
    frame = answers_of(dict(zip(LLMS, LLMS, strict=True)), 10, first_id=300)
    frame["category"] = frame["prompt_id"].map(lambda id_: names[id_ % 5])
    frame["benchmark"] = frame["category"].map({"suite_a": "exam", "suite_b": "exam"})
    grown = add(model, encoded(frame)).model
    assert grown.bank.benchmarks == {
        "logic": ("logic",),
        "logic_puzzles": ("logic_puzzles",),
        "poetry": ("poetry",),
        "poetry_odes": ("poetry_odes",),
        "exam": ("suite_a", "suite_b"),
    }
    assert grown.bank.categories == ("logic", "poetry", "logic_puzzles", "poetry_odes", "suite_a", "suite_b")
    old, new = (one.bank.item_parameters.benchmark_prior_means for one in (model, grown))
    np.testing.assert_array_equal(new[[0, 2]], old)
    np.testing.assert_array_equal(new[4], model.bank.item_parameters.prior_mean)
    assert grown.predict_proba(make_embeds(np.arange(5))).shape == (5, 6)
    assert Forecaster(grown).benchmark(LLMS[0], "exam").n_questions == 4
    told = replace(encoded(frame).responses, benchmark_of={"logic": "another"})
    with pytest.raises(ValueError, match="category `logic` is of the benchmark `logic` in the model and of `another`"):
        add(model, replace(encoded(frame), responses=told))


# --- what the pool has already ---


def test_contradictions_are_counted_and_the_models_answer_stays(model, caplog):
    """Equal answers may be repeated; of two that differ the first one counts, with a warning."""
    frame = make_frame(KNOWN).drop(columns="model_id")
    frame.loc[:2, "label"] = 1 - frame.loc[:2, "label"]
    with caplog.at_level(logging.WARNING):
        found = add(model, ResponseMatrix.from_pandas(frame))
    assert (found.n_contradictions, found.n_repeated, found.n_answers) == (3, len(frame) - 3, 0)
    assert "3 answers contradict answers that the model has" in caplog.text
    assert (found.model.bank.responses != model.bank.responses).nnz == 0


def test_new_answers_of_a_trained_llm_move_the_question_alone(model):
    """Its vector and ability stay; the question's difficulty follows."""
    row, llm_index = np.argwhere(np.isnan(model.bank.dense_responses()))[0]
    name, text = LLMS[llm_index], make_split(KNOWN, hidden=0).responses.questions[row]
    moved = {}
    for label in (0, 1):
        frame = pd.DataFrame([{"prompt": text, "model_name": name, "label": label, "category": "logic"}])
        grown = add(model, ResponseMatrix.from_pandas(frame)).model
        assert_same_llm(model, grown, name)
        assert grown.bank.dense_responses()[row, llm_index] == label
        logits = grown.bank.known_logits(np.arange(KNOWN))
        moved[label] = logits[row]
        rest = np.arange(KNOWN) != row
        np.testing.assert_array_equal(logits[rest], model.bank.known_logits(np.arange(KNOWN))[rest])
    assert (moved[0] < moved[1]).all()


def test_an_llm_that_was_placed_is_placed_again_by_all_its_answers(model):
    """In two steps it ends where it is with all answers at once."""
    frame = answers_of({NEW[0]: LLMS[0]}, 40)
    half = add(model, ResponseMatrix.from_pandas(frame[: len(frame) // 2])).model
    found = add(half, ResponseMatrix.from_pandas(frame[len(frame) // 2 :]))
    assert (found.new_llms, found.placed_again) == ((), NEW[:1])
    assert_same_llm(found.model, add(model, ResponseMatrix.from_pandas(frame)).model, NEW[0])


def test_an_llms_own_text_becomes_a_question(model):
    """It gets id and category, in front of the other own texts, which stay at the end."""
    texts = {"A riddle, number 501?": 1, "A logic question, number 200?": 0}
    placed = onboard(model, NEW[0], texts, encoder=MadeUpEncoder())
    grown = add(placed, encoded(answers_of(dict(zip(LLMS, LLMS, strict=True)), 4, first_id=200))).model
    assert [len(one.bank.listed) for one in (placed, grown)] == [KNOWN, KNOWN + 4]
    assert grown.bank.question_ids[KNOWN:].tolist() == [200, 201, 202, 203, -1]
    assert grown.bank.responses_of(6)[KNOWN:].tolist()[::4] == [0, 1]
    assert_same_llm(placed, grown, NEW[0])


def test_answers_to_validation_questions_join_these(model):
    """They are kept for training again, and place nobody."""
    frame = answers_of({NEW[0]: LLMS[0]}, 20, first_id=70)
    grown = add(model, ResponseMatrix.from_pandas(frame))
    assert (grown.n_known_questions, grown.n_validation_questions, grown.n_new_questions) == (10, 10, 0)
    assert grown.n_answers == len(frame)
    assert (~np.isnan(grown.model.bank.validation.responses_of(6))).sum() == (frame["prompt_id"] >= 80).sum()
    assert_same_llm(grown.model, add(model, ResponseMatrix.from_pandas(frame[frame["prompt_id"] < 80])).model, NEW[0])
    splits = grown.model.bank.splits(model.config.encoder)
    assert [split.responses.n_questions for split in splits.values()] == [KNOWN, VALIDATION]


def test_an_llm_that_the_training_had_no_answer_of_is_placed(tmp_path):
    """Its vector was learned from nothing."""
    split = make_split(60)
    few = split.with_responses(split.responses.keep(split.responses.llm_indices != 5))
    network = train_network(tmp_path, few)
    bare = network.with_bank(fit_bank(network, few, calibrate=False))
    found = add(bare, split)
    assert (found.placed_again, found.model.llms_without_answers) == ((LLMS[5],), ())
    assert not np.array_equal(found.model.llm_embeds[5], bare.llm_embeds[5])
    np.testing.assert_array_equal(found.model.llm_embeds[:5], bare.llm_embeds[:5])


# --- saved, refused, told ---


def test_saved_and_loaded_it_grows_on(model, tmp_path):
    """Everything comes back to the bit, and more can be added."""
    grown = add(model, encoded(both_new())).model
    grown.save_pretrained(tmp_path / "grown")
    loaded = EmbedLLM.from_pretrained(tmp_path / "grown")
    embeds = make_embeds(np.arange(60))
    np.testing.assert_array_equal(loaded.predict_proba(embeds), grown.predict_proba(embeds))
    assert loaded.bank.trained_on == grown.bank.trained_on == (KNOWN, model.bank.responses.nnz)
    more = encoded(answers_of({"third/one": LLMS[1]}, 50, first_id=210))
    one, two = (add(each, more).model for each in (grown, loaded))
    assert_same_llm(one, two, "third/one")
    np.testing.assert_array_equal(one.bank.item_parameters.intercepts, two.bank.item_parameters.intercepts)
    assert len(one.bank) == KNOWN + 60


def test_what_cannot_be_added_is_refused(model):
    """No responses, no model that places LLMs, responses of another kind."""
    responses = ResponseMatrix.from_pandas(make_frame(4))
    with pytest.raises(ValueError, match="`responses` holds no responses"):
        add(model, responses.keep(np.zeros(responses.n_observed, bool)))
    with pytest.raises(TypeError, match=r"`responses` is .*, expected a `ResponseMatrix`"):
        add(model, {1: 0})
    with pytest.raises(ValueError, match="the model has no question bank"):
        add(model.with_bank(None), responses)
    with pytest.raises(ValueError, match="the model has no item parameters"):
        add(model.with_bank(replace(model.bank, item_parameters=None)), responses)


def test_what_is_told_of_training_again(model):
    """Forecasts of the trained LLMs' answers, made before these joined, beside those of the validation split."""
    responses = encoded(both_new())
    found = add(model, responses)
    truth = responses.responses.select(np.arange(20, 60), llms=LLMS).responses()
    probs = model.predict_proba(responses.question_embeds[20:].astype(np.float32))
    assert found.log_loss_before == pytest.approx(log_loss(probs, truth), abs=1e-6)
    validation = model.bank.validation
    probs = model.predict_proba(validation.question_embeds.astype(np.float32))
    assert found.log_loss_validation == pytest.approx(log_loss(probs, validation.dense_responses()), abs=1e-6)
    n_trained, n_now = model.bank.responses.nnz, found.model.bank.responses.nnz
    assert found.share_added == pytest.approx(1 - n_trained / n_now)
    assert found.retraining.startswith("not yet, ")
    assert f"log loss {found.log_loss_before:.4f}, validation with {found.log_loss_validation:.4f}" in found.retraining


def test_training_again_pays_for_strange_questions_or_for_many(model):
    """Answers that go against all that the model knows; or more than it was trained with, over several additions."""
    strange = both_new()
    strange["label"] = 1 - strange["label"]
    assert add(model, encoded(strange)).retraining.startswith("yes, ")
    shares, grown = [], model
    for number in range(4):
        names = {f"new/{number}{like}": like for like in LLMS}
        found = add(grown, ResponseMatrix.from_pandas(answers_of(names, 40, seed=number)))
        assert np.isnan(found.log_loss_before)
        shares.append(found.share_added)
        grown = found.model
    assert shares == sorted(shares)
    assert (found.retraining_pays, "log loss" in found.retraining) == (shares[-1] > SHARE_THAT_PAYS, False)
    assert shares[-1] > SHARE_THAT_PAYS > shares[0]


def test_no_dense_matrix_of_all_questions_and_llms_is_made(model, monkeypatch):
    """Refitting sees blocks of bounded size."""
    seen = []
    fit = joining.fit_questions
    monkeypatch.setattr(joining, "_CELLS_AT_ONCE", 64)
    monkeypatch.setattr(joining, "fit_questions", lambda *given: (seen.append(given[0].shape), fit(*given))[1])
    whole, bounded = encoded(both_new()), add(model, encoded(both_new())).model
    assert max(n_questions * n_llms for n_questions, n_llms in seen) <= 64
    monkeypatch.undo()
    rows = rows_of_questions(bounded.bank, whole.responses)
    expected = add(model, whole).model.bank.known_logits(rows)
    np.testing.assert_allclose(bounded.bank.known_logits(rows), expected, atol=1e-3)


def test_memory_stays_below_that_of_a_dense_matrix():
    """20,000 new questions to 800 LLMs, two answers each: all pairs as numbers would take twice the memory."""
    model = pool_of(simulated_pool(n_questions=60, n_llms=800), 800, calibrate=False)
    generator, n_new = np.random.default_rng(0), 20_000
    llms = generator.integers(0, 800, (n_new, 2))
    llms[:, 1] = (llms[:, 0] + 1 + llms[:, 1] % 799) % 800
    names = np.array(model.config.llm_names, object)
    frame = pd.DataFrame(
        {
            "prompt": np.repeat([f"Made, number {number}?" for number in range(n_new)], 2),
            "model_name": names[llms.ravel()],
            "label": generator.integers(0, 2, 2 * n_new),
        }
    )
    responses = ResponseMatrix.from_pandas(frame, llm_names=model.config.llm_names)
    given = EncodedResponses(responses, generator.normal(size=(n_new, model.config.text_dim)).astype(np.float32))
    tracemalloc.start()
    grown = add(model, given).model
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(grown.bank) == 60 + n_new
    assert peak < 4 * n_new * 800 / 2
