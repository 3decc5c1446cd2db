"""The bank's file: it comes back to the bit with its model, and a folder that does not fit is one line."""

import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy import sparse

from embedllm_hf import EmbedLLM, EmbedLLMTrainingArguments, EncodedResponses
from embedllm_hf._manifest import seal
from embedllm_hf.bank.bank_file import BANK_FILE, load_bank, save_bank
from embedllm_hf.bank.question_bank import QuestionBank
from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.training.network_trainer import NetworkTrainer
from tests.pool import LLMS, make_split, trained_model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> EmbedLLM:
    return trained_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def folder(model, tmp_path) -> Path:
    """The saved model."""
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def assert_equal(one: object, other: object) -> None:
    """To the bit, with all types."""
    assert type(one) is type(other)
    if is_dataclass(one):
        for field in fields(one):
            assert_equal(getattr(one, field.name), getattr(other, field.name))
    elif sparse.issparse(one):
        assert one.shape == other.shape
        for name in ("data", "indices", "indptr"):
            assert_equal(getattr(one, name), getattr(other, name))
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


def refused(folder: Path, match: str) -> None:
    """Loading is an error of one line that names the file, although its hash is right."""
    seal(folder, ["model.safetensors", BANK_FILE])
    with pytest.raises(ValueError, match=rf"bank\.safetensors: {match}") as error:
        EmbedLLM.from_pretrained(folder)
    assert "\n" not in str(error.value)


# --- a round trip ---


def test_saved_and_loaded_it_is_the_same(model, folder):
    """Everything comes back to the bit, and so do predictions; saved again it is the same file."""
    loaded = EmbedLLM.from_pretrained(folder)
    assert loaded.bank.blend is not None
    assert loaded.bank.item_parameters is not None
    assert loaded.bank.knn is not None
    assert_equal(loaded.bank, model.bank)
    embeds = make_split(30, first_id=200).question_embeds
    np.testing.assert_array_equal(loaded.predict_proba(embeds), model.predict_proba(embeds))
    written = (folder / BANK_FILE).read_bytes()
    loaded.save_pretrained(folder)
    assert (folder / BANK_FILE).read_bytes() == written


def test_a_bank_without_fitted_parts_and_with_weights(tmp_path):
    """What is not there comes back as None, and an answer of three rows with its weight."""
    split = make_split(12)
    counts = np.arange(split.responses.n_observed, dtype=np.int32) % 3 + 1
    bank = QuestionBank.from_responses(
        EncodedResponses(replace(split.responses, counts=counts), split.question_embeds)
    )
    assert bank.weights.data.max() == 3
    save_bank(bank, tmp_path)
    assert_equal(load_bank(tmp_path, LLMS), bank)


def told_split(n_questions: int, **options: int) -> EncodedResponses:
    """A split of the pool whose data set tells the benchmark of one of the categories."""
    split = make_split(n_questions, **options)
    return replace(split, responses=replace(split.responses, benchmark_of={"logic": "suite", "elsewhere": "other"}))


def test_benchmarks_go_with_the_bank(tmp_path):
    """From the responses to the bank, its file, another pool, and back to responses for training again."""
    bank = QuestionBank.from_responses(told_split(12))
    bank = replace(bank, validation=QuestionBank.from_responses(told_split(8, first_id=12)))
    save_bank(bank, tmp_path)
    loaded = load_bank(tmp_path, LLMS)
    assert_equal(loaded, bank)
    for one in (loaded, loaded.of_pool(LLMS[:3], [0, 1, 2])):
        assert one.benchmark_of == one.validation.benchmark_of == {"logic": "suite"}
        assert one.benchmarks == {"suite": ("logic",), "poetry": ("poetry",)}
        assert one.benchmark_rows("suite").tolist() == [0, 2, 4, 6, 8, 10]
        for split in one.splits(EncoderId("offline", None)).values():
            assert split.responses.benchmarks == one.benchmarks


def test_benchmarks_that_do_not_fit_are_refused():
    """Of a category that is not there; of one category, two."""
    bank = QuestionBank.from_responses(told_split(12))
    with pytest.raises(ValueError, match="`benchmark_of` has `elsewhere`, expected some of the categories only"):
        replace(bank, benchmark_of={"elsewhere": "other"})
    other = replace(bank, benchmark_of={"logic": "another"})
    with pytest.raises(
        ValueError, match="category `logic` is of the benchmark `suite` in the questions and of `anoth"
    ):
        replace(bank, validation=other)


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("benchmark_of", {"elsewhere": "x"}, "`benchmark_of` has `elsewhere`"),
        ("benchmark_of", {"logic": 3}, "`benchmark_of` holds what are no names"),
        ("benchmark_of", [1], ""),
        ("trained_on", [81, 4], r"`trained_on` is \[81, 4\], of 80 questions"),
        ("trained_on", [3], ""),
    ],
)
def test_what_the_file_tells_of_benchmarks_and_training_is_checked(folder, name, value, match):
    """Categories and questions that it does not have, and values of other kinds."""
    with safe_open(folder / BANK_FILE, "np") as file:
        described = json.loads(file.metadata()["bank"]) | {name: value}
    save_file(load_file(folder / BANK_FILE), folder / BANK_FILE, metadata={"bank": json.dumps(described)})
    refused(folder, f"not a whole question bank .*{match}")


def test_no_text_is_stored(folder):
    """The file does not contain any question."""
    content = (folder / BANK_FILE).read_bytes()
    assert not [text for text in make_split(80).responses.questions if text.encode() in content]


def test_a_model_without_a_bank_leaves_no_file(model, folder):
    """Saved over another one, the folder loads as a bare network."""
    model.with_bank(None).save_pretrained(folder)
    assert not (folder / BANK_FILE).exists()
    assert EmbedLLM.from_pretrained(folder).bank is None


# --- a folder that does not fit ---


def test_the_bank_of_another_pool_is_refused(folder):
    """With as many LLMs of other names it would answer for the wrong ones."""
    split = make_split(80)
    save_bank(replace(QuestionBank.from_responses(split), llm_names=tuple(f"other/{name}" for name in LLMS)), folder)
    refused(folder, "a question bank of another pool of LLMs")


def changed(arrays: dict[str, np.ndarray], name: str, value: object) -> dict[str, np.ndarray]:
    """The arrays with the first number of one of them set."""
    array = arrays[name].copy()
    array.flat[0] = value
    return arrays | {name: array}


@pytest.mark.parametrize(
    "name", ["responses.data", "blend.weights", "item_parameters.abilities", "keys", "question_embeds", "metadata"]
)
def test_a_file_that_is_no_whole_bank_is_refused(folder, name):
    """A missing tensor or description is an error, not a guess."""
    path = folder / BANK_FILE
    arrays, metadata = load_file(path), safe_open(path, "np").metadata()
    arrays.pop(name, None)
    save_file(arrays, path, metadata=None if name == "metadata" else metadata)
    refused(folder, r"not a whole question bank \(.*\)")


@pytest.mark.parametrize("described", ["[" * 100_000, "[]", "{}", '{"llm_names": 3, "categories": [], "knn": null}'])
def test_a_description_that_is_none_is_refused(folder, described):
    """The JSON in the file's header, whatever it holds."""
    path = folder / BANK_FILE
    save_file(load_file(path), path, metadata={"bank": described})
    refused(folder, r"not a whole question bank \(.*\)")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("responses.indices", -1),
        ("responses.indices", len(LLMS)),
        ("responses.indptr", 1),
        ("responses.data", np.nan),
        ("responses.data", 2),
        ("category_indices", -2),
        ("category_indices", 99),
        ("question_embeds", np.inf),
        ("item_parameters.strategies", -1),
        ("item_parameters.intercepts", np.nan),
        ("blend.weights", np.nan),
    ],
)
def test_numbers_that_a_bank_cannot_hold_are_refused(folder, name, value):
    """Positions outside of what they count, responses that are none, numbers that are not finite."""
    path = folder / BANK_FILE
    metadata = safe_open(path, "np").metadata()
    save_file(changed(load_file(path), name, value), path, metadata=metadata)
    refused(folder, r"not a whole question bank \(.*\)")


def test_rows_that_do_not_ascend_are_refused(folder):
    """They would be read from other memory."""
    path = folder / BANK_FILE
    arrays, metadata = load_file(path), safe_open(path, "np").metadata()
    for indptr in (np.roll(arrays["responses.indptr"], 1), arrays["responses.indptr"][:-1]):
        save_file(arrays | {"responses.indptr": indptr}, path, metadata=metadata)
        refused(folder, r"not a whole question bank \(.*\)")


# --- the bank of a model ---


def test_only_the_library_sets_a_bank(model):
    """It cannot be assigned; `with_bank` gives a new model, and this one stays as it is."""
    before, embeds = model.bank, make_split(30, first_id=200).question_embeds
    forecast = model.predict_proba(embeds)
    with pytest.raises(AttributeError, match="bank"):
        model.bank = None
    bare = model.with_bank(None)
    assert bare is not model
    assert bare.bank is None
    np.testing.assert_allclose(bare.predict_proba(embeds), bare.network_proba(embeds), rtol=1e-6)
    assert model.bank is before
    np.testing.assert_array_equal(model.predict_proba(embeds), forecast)
    assert np.abs(forecast - model.network_proba(embeds)).max() > 0.01
    np.testing.assert_array_equal(bare.with_bank(before).predict_proba(embeds), forecast)


def test_a_bank_of_another_pool_or_width_does_not_enter_a_model(model):
    """Other names, another order, another text encoder: each is named."""
    split = make_split(12)
    with pytest.raises(ValueError, match=r"`bank` is of another pool of LLMs than the model \(`lab/poetry-c`\)"):
        model.with_bank(QuestionBank.from_responses(split.select(llms=LLMS[:5])))
    with pytest.raises(ValueError, match=r"another pool .*\(the same in another order\)"):
        model.with_bank(QuestionBank.from_responses(split.select(llms=LLMS[::-1])))
    narrow = EncodedResponses(split.responses, split.question_embeds[:, :5])
    with pytest.raises(ValueError, match="`bank` has text vectors of width 5, expected 8, those of `offline`"):
        model.with_bank(QuestionBank.from_responses(narrow))


def test_retraining_drops_the_bank(model, tmp_path):
    """It was fitted to other weights: the trained network predicts alone until it has a bank of its own."""
    again, split = model.with_bank(model.bank), make_split(80)
    args = EmbedLLMTrainingArguments(output_dir=str(tmp_path), num_train_epochs=1, disable_tqdm=True)
    again.predict_proba(split.question_embeds)
    NetworkTrainer(again, args, split).train()
    assert again.bank is None
    expected = again.network_proba(split.question_embeds)
    np.testing.assert_allclose(again.predict_proba(split.question_embeds), expected, rtol=1e-6)
