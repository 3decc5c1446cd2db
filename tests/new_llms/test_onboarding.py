"""A new LLM from a few answers: where it lands, what stays as it was, what more answers do, what is refused."""

import json
import logging
import time
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from embedllm_hf import EmbedLLM, EmbedLLMTrainingArguments, Forecaster, QuestionEncoder, onboard, refine
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.new_llms.onboarding import onboard_many
from embedllm_hf.training.fit_bank import fit_bank
from embedllm_hf.training.network_trainer import NetworkTrainer
from tests.pool import make_embeds, make_split, new_model, trained_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return trained_model(tmp_path_factory.mktemp("trained"))


class MadeUpEncoder(QuestionEncoder):
    """Text vectors of the planted pool for texts that end in a number; counts the texts it was asked for."""

    def __init__(self) -> None:
        super().__init__("offline")
        self.n_encoded = 0

    def encode(self, questions, *, show_progress=False):
        self.n_encoded += len(questions)
        return make_embeds(np.array([int(text.split()[-1].strip("?")) for text in questions]))


def logician(n: int = 20) -> dict[int, float]:
    """Answers that are right on logic, the even questions, and wrong on poetry."""
    return {question: float(question % 2 == 0) for question in range(n)}


def assert_same_llm(first: EmbedLLM, second: EmbedLLM, name: str) -> None:
    """An LLM is the same to the bit in two models: vector, bias, ability, covariance."""
    one, two = first.llm_index(name), second.llm_index(name)
    np.testing.assert_array_equal(first.llm_embeds[one], second.llm_embeds[two])
    assert first.llm_bias[one] == second.llm_bias[two]
    for field in ("abilities", "ability_covariances", "strategies"):
        np.testing.assert_array_equal(
            getattr(first.bank.item_parameters, field)[one], getattr(second.bank.item_parameters, field)[two]
        )


def test_a_new_llm_lands_among_its_like(model):
    """Right on logic and wrong on poetry, it is forecast like the logicians, on known and on new questions."""
    grown = onboard(model, "new/logic", logician())
    assert grown.config.llm_names == [*model.config.llm_names, "new/logic"]
    test = make_split(40, first_id=200)
    probabilities = grown.network_proba(test.question_embeds)[:, -1]
    even = test.responses.question_ids % 2 == 0
    assert probabilities[even].min() > 0.5 > probabilities[~even].max()
    logic, poetry = (Forecaster(grown).benchmark("new/logic", name) for name in ("logic", "poetry"))
    assert logic.low > poetry.high
    assert (logic.n_observed, logic.n_questions) == (10, 40)


def test_no_other_llm_drifts_by_a_bit(model):
    """Vectors, abilities, probabilities and benchmark forecasts of the others are what they were; the model is too."""
    embeds = make_embeds(np.arange(60))
    before = model.predict_proba(embeds), model.network_proba(embeds)
    forecasts = [Forecaster(model).benchmark(name, "logic") for name in model.config.llm_names]
    texts = {"A riddle, number 501?": 1, "A sonnet, number 502?": 0}
    grown = onboard(model, "new/llm", {**logician(), **texts}, encoder=MadeUpEncoder())
    for probs, others in zip((grown.predict_proba(embeds), grown.network_proba(embeds)), before, strict=True):
        np.testing.assert_array_equal(probs[:, :-1], others)
    for name in model.config.llm_names:
        assert_same_llm(model, grown, name)
    assert [Forecaster(grown).benchmark(name, "logic") for name in model.config.llm_names] == forecasts
    assert "new/llm" not in model.config.llm_names
    assert len(model.bank) == len(model.bank.item_parameters.intercepts) == 80
    assert model.bank.item_parameters.abilities.shape[0] == 6


def test_the_same_answers_give_the_same_bits(model):
    """Twice, in another order, by id or by text: the new LLM is the same."""
    answers = logician()
    texts = make_split(80).responses
    by_text = {str(texts.questions[question]): value for question, value in reversed(answers.items())}
    first, second = onboard(model, "new/llm", answers), onboard(model, "new/llm", by_text)
    assert_same_llm(first, second, "new/llm")
    assert_same_llm(first, onboard(model, "new/llm", answers), "new/llm")


def test_many_at_once_are_each_as_alone(model):
    """A batch with different numbers of answers gives what each LLM gives alone."""
    answers = {"new/a": logician(), "new/b": {3: 1, 5: 0.5}, "new/c": {1: 0}}
    together = onboard_many(model, answers)
    assert together.config.llm_names[6:] == list(answers)
    for name, given in answers.items():
        alone, llm_index = onboard(model, name, given), together.llm_index(name)
        np.testing.assert_allclose(alone.llm_embeds[-1], together.llm_embeds[llm_index], atol=1e-6)
        abilities = together.bank.item_parameters.abilities
        np.testing.assert_allclose(alone.bank.item_parameters.abilities[-1], abilities[llm_index], atol=1e-6)
        responses = together.bank.responses_of(llm_index)
        np.testing.assert_array_equal(responses, alone.bank.responses_of(6))
        assert (~np.isnan(responses)).sum() == len(given)


def test_refining_is_onboarding_with_all_answers(model):
    """Some answers now and more later end at the same bits as all at once; texts of one's own included."""
    encoder, more = MadeUpEncoder(), {"A sonnet, number 602?": 0}
    early, late = dict(list(logician().items())[:7]), dict(list(logician().items())[5:])
    step = onboard(model, "new/llm", {**early, "A riddle, number 601?": 1}, encoder=encoder, strategy="adaptive")
    refined = refine(step, "new/llm", {**late, **more}, encoder=encoder)
    everything = {**more, "A riddle, number 601?": 1, **logician()}
    whole = onboard(model, "new/llm", everything, encoder=encoder, strategy="adaptive")
    assert_same_llm(refined, whole, "new/llm")
    assert refined.config.llm_names == whole.config.llm_names
    assert np.nansum(refined.bank.responses_of(6)) == np.nansum(whole.bank.responses_of(6)) == 11
    assert len(refined.bank) == 82


def test_texts_of_ones_own_join_the_known_questions(model, tmp_path):
    """They are of no benchmark, no text is stored, they come back from the file, and count when asked again."""
    encoder = MadeUpEncoder()
    grown = onboard(model, "new/llm", {"A riddle, number 700?": 1, 0: 1}, encoder=encoder)
    grown.save_pretrained(tmp_path)
    assert all(b"riddle" not in path.read_bytes() for path in tmp_path.iterdir())
    loaded = EmbedLLM.from_pretrained(tmp_path)
    assert loaded.bank.benchmarks == model.bank.benchmarks
    assert len(loaded.bank.listed) == 80
    row = loaded.bank.rows_of_texts(["A riddle, number 700?"])[0]
    assert loaded.bank.responses_of(6)[row] == 1
    n_before = encoder.n_encoded
    onboard(loaded, "new/other", {"A riddle, number 700?": 0}, encoder=encoder)
    assert encoder.n_encoded == n_before


def test_graded_answers_lie_between(model):
    """Half right is forecast between right and wrong."""
    accuracy = [
        Forecaster(onboard(model, "new/llm", dict.fromkeys(range(20), grade))).benchmark("new/llm", "poetry").accuracy
        for grade in (0, 0.5, 1)
    ]
    assert accuracy[0] < accuracy[1] < accuracy[2]


def test_more_answers_make_surer(model):
    """The ability's covariance shrinks with answers, in every direction."""
    few, many = onboard(model, "new/llm", logician(4)), onboard(model, "new/llm", logician(40))
    gap = few.bank.item_parameters.ability_covariances[-1] - many.bank.item_parameters.ability_covariances[-1]
    assert np.linalg.eigvalsh(gap.astype(float)).min() > -1e-6


def test_no_answers_give_the_prior_and_a_warning(model, caplog):
    """Without answers the ability is the prior's mean, the interval is wide, and a warning says so."""
    with caplog.at_level(logging.WARNING):
        grown = onboard(model, "new/llm", {})
    assert "`new/llm` has no answers" in caplog.text
    np.testing.assert_allclose(
        grown.bank.item_parameters.abilities[-1], model.bank.item_parameters.prior_mean, rtol=1e-6
    )
    forecast = Forecaster(grown).benchmark("new/llm", "logic")
    placed = Forecaster(onboard(model, "new/llm", logician(60))).benchmark("new/llm", "logic")
    assert forecast.high - forecast.low > 2 * (placed.high - placed.low)


def test_a_model_without_biases_takes_new_llms(model):
    """In the paper's form, which has no biases, the vector alone says who is good at what."""
    train = make_split(80)
    plain = new_model(llm_bias=False, question_bias=False)
    NetworkTrainer(plain, EmbedLLMTrainingArguments(output_dir="unused", disable_tqdm=True), train, None).train()
    plain = plain.with_bank(fit_bank(plain, train, calibrate=False))
    grown = onboard(plain, "new/logic", logician(40))
    probabilities = grown.network_proba(make_embeds(np.arange(200, 240)))[:, -1]
    assert probabilities[::2].mean() > 0.65 > 0.35 > probabilities[1::2].mean()


def test_removing_and_renaming(model):
    """A new LLM can be renamed and removed; what is left is the model that there was."""
    grown = onboard(model, "new/llm", logician())
    renamed = grown.with_llm_renamed("new/llm", "new/name")
    assert renamed.bank.item_parameters.has_ability(renamed.llm_index("new/name"))
    back = renamed.without_llm("new/name")
    for part in (lambda model: model.bank, lambda model: model.bank.item_parameters):
        for field in fields(part(model)):
            one, two = (getattr(part(each), field.name) for each in (model, back))
            if isinstance(one, np.ndarray | tuple):
                np.testing.assert_array_equal(one, two, err_msg=field.name)
    np.testing.assert_array_equal(model.bank.dense_responses(), back.bank.dense_responses())
    assert back.bank.blend is model.bank.blend


def test_an_llm_travels_to_the_hub_with_its_answers(model, hub):
    """What is pushed alone is, in the Hub's model, the LLM with its ability and answers, its own texts too."""
    model.push_to_hub("user/pool")
    grown = onboard(model, "new/llm", {**logician(), "A riddle, number 900?": 1}, encoder=MadeUpEncoder())
    grown.push_llm_to_hub("new/llm", "user/pool")
    shared = EmbedLLM.from_pretrained("user/pool")
    assert_same_llm(grown, shared, "new/llm")
    np.testing.assert_array_equal(shared.bank.responses_of(6), grown.bank.responses_of(6))
    np.testing.assert_array_equal(shared.bank.item_parameters.intercepts, grown.bank.item_parameters.intercepts)
    assert Forecaster(shared).benchmark("new/llm", "logic") == Forecaster(grown).benchmark("new/llm", "logic")


def test_one_llm_is_placed_in_milliseconds(model):
    """The median of nine placements of 64 answers stays far below what a retraining takes."""
    answers, seconds = logician(64), []
    for _ in range(9):
        began = time.process_time()
        onboard(model, "new/llm", answers)
        seconds.append(time.process_time() - began)
    assert np.median(seconds) < 0.05


# --- the bank ---


def test_responses_are_added_in_order(model):
    """Added responses come back by LLM, and each row's LLMs stay ascending."""
    bank = model.bank.of_pool([*model.config.llm_names, "new/a", "new/b"], range(6))
    more = bank.with_responses(np.array([5, 5, 2, 79]), np.array([6, 7, 6, 7]), np.array([1, 0.5, 0, 1]))
    assert more.responses_of(6)[[5, 2]].tolist() == [1, 0]
    assert more.responses_of(7)[[5, 79]].tolist() == [0.5, 1]
    np.testing.assert_array_equal(more.responses_of(0), bank.responses_of(0))
    assert more.responses.has_sorted_indices
    assert all((np.diff(more.responses[[row]].indices) > 0).all() for row in range(len(more)))
    np.testing.assert_array_equal(more.dense_responses()[:, 7], more.responses_of(7))
    again = more.of_pool(model.config.llm_names, range(6))
    np.testing.assert_array_equal(again.responses.data, model.bank.responses.data)


def test_rows_are_found_by_key_and_id(model):
    """Known keys and ids give rows, others -1, also where nothing is known."""
    bank = model.bank
    assert bank.rows_of_ids([3, 10**6, -1]).tolist() == [3, -1, -1]
    assert bank.rows_of_keys(np.array([bank.keys[4], 12345])).tolist() == [4, -1]
    assert QuestionBank.from_responses(make_split(80).select([])).rows_of_ids([3]).tolist() == [-1]


# --- what is refused ---


def test_answers_from_json_are_the_same_answers(model):
    """Ids that became texts place the LLM to the bit as numbers do; forms of a text are one question."""
    answers = logician()
    placed = onboard(model, "new/llm", answers)
    assert_same_llm(placed, onboard(model, "new/llm", json.loads(json.dumps(answers))), "new/llm")
    texts = {f" {text}\r\n": answers[id_] for id_, text in enumerate(make_split(20).responses.questions)}
    assert_same_llm(placed, onboard(model, "new/llm", texts), "new/llm")
    new = {"A riddle, number 501?": 1, " A riddle, number 501?\n": 1}
    grown = onboard(model, "new/llm", new, encoder=MadeUpEncoder())
    assert len(grown.bank) == len(model.bank) + 1


@pytest.mark.parametrize(
    ("name", "answers", "message"),
    [
        ("lab/logic-a", {0: 1}, "the pool has an LLM `lab/logic-a` already.*`refine`"),
        (" ", {0: 1}, "the LLM's name ' ' is empty"),
        ("new/llm", {0: 1.5}, r"the answer to 0 is 1.5, expected a grade in \[0, 1\]"),
        ("new/llm", {0: float("nan")}, "the answer to 0 is nan"),
        ("new/llm", {0: "yes"}, "the answer to 0 is 'yes'"),
        ("new/llm", {0.5: 1}, "the question 0.5 is neither a text nor a `prompt_id`"),
        ("new/llm", {0: 1, "A logic question, number 0?": 0}, "contradict each other: "),
        ("new/llm", {"  ": 1}, "is '  ', expected a text that is not empty"),
    ],
)
def test_bad_answers_are_refused(model, name, answers, message):
    """Each with one line that says what is wrong."""
    with pytest.raises(ValueError, match=message):
        onboard(model, name, answers)


def test_unknown_ids_names_and_choices_are_refused(model):
    """An id the model does not know, a name that is not in the pool to refine, a way of choosing there is not."""
    with pytest.raises(KeyError, match="unknown question id `4711`: the model knows 80 questions"):
        onboard(model, "new/llm", {4711: 1})
    with pytest.raises(KeyError, match="unknown question id `-1`"):
        onboard(model, "new/llm", {-1: 1})
    with pytest.raises(KeyError, match="did you mean `lab/logic-a`"):
        refine(model, "lab/logic-aa", {0: 1})
    with pytest.raises(ValueError, match="`strategy` is 'greedy', expected one of 'adaptive', 'random', 'stratified'"):
        onboard(model, "new/llm", {0: 1}, strategy="greedy")
    with pytest.raises(ValueError, match="contradict each other: 1 and 0"):
        refine(onboard(model, "new/llm", {0: 1}), "new/llm", {0: 0})


def test_a_model_without_statistics_says_how_to_add_them(model):
    """Without item parameters or a bank, the message names the remedy."""
    without_items = model.with_bank(replace(model.bank, item_parameters=None))
    with pytest.raises(ValueError, match=r"no item parameters, which place LLMs.*Train on 3 LLMs or more"):
        onboard(without_items, "new/llm", {0: 1})
    with pytest.raises(ValueError, match="the model has no question bank"):
        onboard(model.with_bank(None), "new/llm", {0: 1})


def test_a_text_that_the_encoder_cuts_is_warned_of(planted_model, caplog):
    """The offline encoder reads 256 tokens; of a longer text the warning names the beginning, of a short one none."""
    model = EmbedLLM.from_pretrained(planted_model)
    with caplog.at_level(logging.WARNING):
        onboard(model, "new/llm", {"Is this short?": 1, "a word or two " * 30: 1})
    assert "longer than the encoder" not in caplog.text
    with caplog.at_level(logging.WARNING):
        onboard(model, "new/llm", {"Why " + "is it so very long " * 100: 1})
    assert "1 of 1 texts are longer than the encoder `offline` reads" in caplog.text


@pytest.mark.parametrize("answers", [None, [(0, 1)], 7, "0"])
def test_answers_that_are_no_mapping_are_refused(model, answers):
    """In words, with what to do about two columns."""
    with pytest.raises(TypeError, match=r"answers of `new/llm`: .* is no mapping.*dict\(zip\(questions, grades\)\)"):
        onboard(model, "new/llm", answers)


@pytest.mark.parametrize("many", [{}, None, ["new/llm"]])
def test_nobody_to_onboard_is_refused(model, many):
    """An empty mapping, or none."""
    with pytest.raises(TypeError, match="expected answers by LLM"):
        onboard_many(model, many)


def test_grades_are_numbers_of_any_kind_and_truth_values(model):
    """Of Python, NumPy and torch; what is none is named with its question."""
    plain = onboard(model, "new/llm", {0: 1, 1: 0})
    for right, wrong in ((True, False), (np.float32(1), np.bool_(False)), (torch.tensor(1.0), np.array(0))):
        same = onboard(model, "new/llm", {0: right, np.int64(1): wrong})
        np.testing.assert_array_equal(same.llm_embeds, plain.llm_embeds)
    for grade in (None, [1], 1j, "1"):
        with pytest.raises(ValueError, match=r"the answer to 0 is .*expected a grade"):
            onboard(model, "new/llm", {0: grade})
