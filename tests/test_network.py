"""The network: both forward forms agree, files round-trip to the bit, loading is strict."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

from embedllm_hf import EmbedLLM, EmbedLLMConfig
from embedllm_hf.bank.question_bank import KnownQuestions

from .pool import LLMS, TEXT_DIM, make_split


def make_model(**config) -> EmbedLLM:
    torch.manual_seed(0)
    model = EmbedLLM(EmbedLLMConfig(llm_names=LLMS, text_dim=TEXT_DIM, embed_dim=4, encoder_name="offline", **config))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def saved(tmp_path):
    """A folder with a saved model."""
    make_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("llm_bias", [False, True])
@pytest.mark.parametrize("question_bias", [False, True])
def test_pairs_and_all_llms_agree(llm_bias, question_bias):
    """Scoring pair by pair gives what one matrix product over all LLMs gives."""
    model = make_model(llm_bias=llm_bias, question_bias=question_bias)
    embeds = torch.randn(5, TEXT_DIM)
    questions, llms = torch.meshgrid(torch.arange(5), torch.arange(len(LLMS)), indexing="ij")
    pairs = model(embeds[questions.ravel()], llms.ravel())
    assert pairs.logits.shape == (5 * len(LLMS), 2)
    torch.testing.assert_close(pairs.log_odds.view(5, -1), model(embeds).log_odds)


def test_paper_form_is_the_published_formula():
    """The preset has 232 dimensions, no biases, noise 0.05, and logits W (p * (A x + c)) + b, here in plain NumPy."""
    config = EmbedLLMConfig.paper(llm_names=LLMS, text_dim=TEXT_DIM)
    assert (config.embed_dim, config.llm_bias, config.question_bias, config.noise_std) == (232, False, False, 0.05)
    model = EmbedLLM(config).eval()
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    embeds = np.random.default_rng(0).normal(size=(3, TEXT_DIM)).astype(np.float32)
    projected = embeds @ weights["question_proj.weight"].T + weights["question_proj.bias"]
    joint = weights["llm_embedding.weight"][[0, 4, 2]] * projected
    logits = joint @ weights["classifier.weight"].T + weights["classifier.bias"]
    output = model(torch.tensor(embeds), torch.tensor([0, 4, 2]))
    np.testing.assert_allclose(output.logits.detach().numpy(), logits, rtol=1e-5, atol=1e-6)


def test_loss_is_the_papers_cross_entropy():
    """The loss over questions x all LLMs equals two-class cross-entropy over the observed pairs."""
    model, split = make_model(), make_split(12)
    labels = torch.tensor(split.responses.responses(fill=0.0))
    weights = torch.tensor(split.responses.weights())
    embeds = torch.tensor(split.question_embeds)
    loss = model(embeds, labels=labels, label_weights=weights).loss
    questions, llms = torch.nonzero(weights, as_tuple=True)
    pairs = model(embeds[questions], llms)
    expected = torch.nn.functional.cross_entropy(pairs.logits, labels[questions, llms].long())
    torch.testing.assert_close(loss, expected)


def test_missing_responses_have_no_gradient():
    """A response that was never observed moves nothing, whatever stands in its place."""
    model, split = make_model(), make_split(12)
    weights = torch.tensor(split.responses.weights())
    gradients = []
    for filler in (0.0, 1.0):
        model.zero_grad()
        labels = torch.tensor(split.responses.responses(fill=filler))
        model(torch.tensor(split.question_embeds), labels=labels, label_weights=weights).loss.backward()
        gradients.append(model.llm_embedding.weight.grad.clone())
    assert torch.equal(*gradients)


def test_noise_is_for_training_only():
    """In training two passes differ; in evaluation, and in `predict_proba` in any mode, they do not."""
    model, embeds = make_model(noise_std=0.5), torch.randn(4, TEXT_DIM)
    model.train()
    assert not torch.equal(model(embeds).log_odds, model(embeds).log_odds)
    in_training = model.predict_proba(embeds)
    model.eval()
    assert torch.equal(model(embeds).log_odds, model(embeds).log_odds)
    np.testing.assert_array_equal(in_training, model.predict_proba(embeds))


def test_save_and_load_is_exact(saved):
    """Every weight and every prediction comes back to the bit, also through AutoModel and AutoConfig."""
    model, embeds = make_model(), torch.randn(4, TEXT_DIM)
    for loaded in (EmbedLLM.from_pretrained(saved), AutoModel.from_pretrained(saved)):
        assert isinstance(loaded, EmbedLLM)
        assert not loaded.training
        for name, value in model.state_dict().items():
            assert torch.equal(value, loaded.state_dict()[name]), name
        np.testing.assert_array_equal(model.predict_proba(embeds), loaded.predict_proba(embeds))
    config = AutoConfig.from_pretrained(saved)
    assert isinstance(config, EmbedLLMConfig)
    assert (config.llm_names, config.encoder_name) == (list(LLMS), "offline")


def test_known_questions_travel_with_the_model(tmp_path):
    """They are saved beside the weights, and come back equal."""
    model, split = make_model(), make_split(10)
    model.known_questions = KnownQuestions.from_responses(split.responses, split.question_embeds)
    model.save_pretrained(tmp_path / "model")
    loaded = EmbedLLM.from_pretrained(tmp_path / "model").known_questions
    for name, value in vars(model.known_questions).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_weights_that_do_not_fit_are_refused(saved, change):
    """A missing, an unexpected and a misshapen weight each raise, naming the weight."""
    weights = load_file(saved / "model.safetensors")
    name = "question_proj.bias"
    if change == "missing":
        del weights[name]
    elif change == "unexpected":
        name = "surplus.weight"
        weights[name] = torch.zeros(2)
    else:
        weights[name] = torch.zeros(9)
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=name if change != "shape" else "do not fit"):
        EmbedLLM.from_pretrained(saved)


@pytest.mark.parametrize("file", ["model.safetensors", KnownQuestions.FILE])
def test_a_truncated_file_is_refused(tmp_path, file):
    """Half a file is an error that names the folder or the file, not a model."""
    model, split = make_model(), make_split(10)
    model.known_questions = KnownQuestions.from_responses(split.responses, split.question_embeds)
    model.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"model.*(cannot be read|not a whole file)"):
        EmbedLLM.from_pretrained(tmp_path / "model")


def test_a_folder_without_weights_is_refused(saved):
    """A config without weights is no model."""
    (saved / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        EmbedLLM.from_pretrained(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embed_dim": 0}, "`embed_dim` is 0"),
        ({"text_dim": -1}, "`text_dim` is -1"),
        ({"noise_std": -0.1}, "`noise_std` is -0.1"),
        ({"llm_names": ["a", "b", "a"]}, "`a` stands there more than once"),
    ],
)
def test_config_is_checked(change, message):
    """A configuration that cannot be built says which field is wrong."""
    with pytest.raises(ValueError, match=message):
        EmbedLLMConfig(**change)


def test_config_has_defaults_and_pins_the_papers_encoder():
    """`EmbedLLMConfig()` builds; the default encoder is the paper's at a commit."""
    config = EmbedLLMConfig()
    assert config.encoder_name == "sentence-transformers/all-mpnet-base-v2"
    assert len(config.encoder_revision) == 40
    assert EmbedLLMConfig(encoder_name="offline").encoder_revision is None


def test_wrong_width_names_the_encoder():
    """Text vectors of another width are refused with both widths and the encoder."""
    with pytest.raises(ValueError, match=r"\(3, 5\).*\(n_questions, 8\).*`offline`"):
        make_model().predict_proba(np.zeros((3, 5), np.float32))


def test_predictions_in_chunks_equal_one_product(monkeypatch):
    """Scoring in chunks that do not divide the questions changes nothing; no question gives no row."""
    model, embeds = make_model(), torch.randn(23, TEXT_DIM)
    whole = model.predict_proba(embeds)
    monkeypatch.setattr("embedllm_hf.network._SCORING_ROWS", 5)
    np.testing.assert_allclose(model.predict_proba(embeds), whole, rtol=1e-6)
    assert model.predict_proba(embeds[:0]).shape == (0, len(LLMS))


def test_llm_embeds_is_a_copy():
    """Writing into what `llm_embeds` gave leaves the model as it was."""
    model = make_model()
    model.llm_embeds[:] = 0
    assert model.llm_embeds.any()


def test_unknown_llm_gets_close_names():
    """The error for an unknown LLM offers the nearest names of the pool."""
    with pytest.raises(KeyError, match="did you mean `lab/logic-a`"):
        make_model().llm_index("lab/logic-A1")


def test_config_file_is_readable(saved):
    """config.json holds the names and the encoder, and nothing of the training."""
    config = json.loads((saved / "config.json").read_text())
    assert config["llm_names"] == list(LLMS)
    assert config["model_type"] == "embedllm"
    assert not {"learning_rate", "num_train_epochs", "output_dir"} & set(config)


@pytest.mark.parametrize("n_llms", [1, 6, 300])
@pytest.mark.parametrize("biases", [False, True])
def test_folded_weights_score_what_the_network_scores(n_llms, biases, monkeypatch):
    """One product of folded weights, the network's two, and pair by pair give the same probabilities."""
    torch.manual_seed(1)
    names = [f"lab/{index}" for index in range(n_llms)]
    config = EmbedLLMConfig(llm_names=names, text_dim=TEXT_DIM, embed_dim=4, llm_bias=biases, question_bias=biases)
    model = EmbedLLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    embeds = np.random.default_rng(0).normal(size=(50, TEXT_DIM)).astype(np.float32)
    scored = []
    for pays in (True, False):
        monkeypatch.setattr(EmbedLLM, "_folding_pays", lambda self, n, pays=pays: pays)
        scored.append(model.predict_proba(embeds))
    np.testing.assert_allclose(*scored, rtol=2e-5, atol=1e-6)
    questions, llms = np.divmod(np.arange(50 * n_llms), n_llms)
    pairs = model.predict_pairs(embeds, questions, llms.astype(np.int32)).reshape(50, n_llms)
    np.testing.assert_allclose(pairs, scored[1], rtol=2e-5, atol=1e-6)


def test_folding_is_for_many_questions_only():
    """The folded weights are made where their making pays, not for a single question."""
    model = EmbedLLM(EmbedLLMConfig(llm_names=[f"lab/{index}" for index in range(112)], embed_dim=232))
    assert not model._folding_pays(1)
    assert model._folding_pays(100_000)
