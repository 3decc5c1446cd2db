"""The network: its ways of scoring agree, its loss is the paper's, its weights are loaded strictly."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from embedllm_hf import EmbedLLMConfig
from embedllm_hf.configuration_embedllm import PAPER_FORM
from embedllm_hf.network import EmbedLLMNetwork
from tests.pool import LLMS, TEXT_DIM, make_split, randomised


def make_network(llm_names=LLMS, **config) -> EmbedLLMNetwork:
    settings = {"text_dim": TEXT_DIM, "embed_dim": 4, "encoder_name": "offline", **config}
    return randomised(EmbedLLMNetwork, EmbedLLMConfig(llm_names=llm_names, **settings))


@pytest.fixture
def saved(tmp_path):
    """A folder with a saved network."""
    make_network().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


# --- scoring ---


def test_the_logits_are_the_published_formula():
    """In the paper's form: W (p * (A x + c)) + b of the right class less that of the wrong one, in plain NumPy."""
    network = make_network(**PAPER_FORM)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    embeds = np.random.default_rng(0).normal(size=(3, TEXT_DIM)).astype(np.float32)
    projected = embeds @ weights["question_proj.weight"].T + weights["question_proj.bias"]
    joint = weights["llm_embedding.weight"][[0, 4, 2]] * projected
    wrong, right = (joint @ weights["classifier.weight"].T + weights["classifier.bias"]).T
    output = network(torch.tensor(embeds), torch.tensor([0, 4, 2]))
    np.testing.assert_allclose(output.logits.detach().numpy(), right - wrong, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n_llms", [1, 6, 300])
@pytest.mark.parametrize("llm_bias", [False, True])
@pytest.mark.parametrize("question_bias", [False, True])
def test_all_ways_of_scoring_agree(n_llms, llm_bias, question_bias, monkeypatch):
    """One product of folded weights, the network's two, pair by pair, and the forward pass in both forms."""
    names = [f"lab/{index}" for index in range(n_llms)]
    network = make_network(names, llm_bias=llm_bias, question_bias=question_bias)
    embeds = np.random.default_rng(0).normal(size=(50, TEXT_DIM)).astype(np.float32)
    scored = []
    for pays in (True, False):
        monkeypatch.setattr(EmbedLLMNetwork, "_folding_pays", lambda self, n, pays=pays: pays)
        scored.append(network.network_logits(embeds))
    questions, llms = np.divmod(np.arange(50 * n_llms), n_llms)
    scored.append(network.pair_logits(embeds, questions, llms.astype(np.int32)).reshape(50, n_llms))
    with torch.no_grad():
        scored.append(network(torch.tensor(embeds)).logits.numpy())
        pairs = network(torch.tensor(embeds[questions]), torch.tensor(llms)).logits
    for other in (*scored[1:], pairs.view(50, n_llms).numpy()):
        np.testing.assert_allclose(other, scored[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(network.network_proba(embeds), 1 / (1 + np.exp(-scored[0])), atol=1e-5)


def test_folding_is_for_many_questions_only():
    """The folded weights are made where their making pays, not for a single question."""
    network = EmbedLLMNetwork(EmbedLLMConfig(llm_names=[f"lab/{index}" for index in range(112)], embed_dim=232))
    assert not network._folding_pays(1)
    assert network._folding_pays(100_000)


def test_predictions_in_chunks_equal_one_product(monkeypatch):
    """Scoring in chunks that do not divide the questions changes nothing; no question gives no row."""
    network, embeds = make_network(), torch.randn(23, TEXT_DIM)
    whole = network.network_proba(embeds)
    monkeypatch.setattr("embedllm_hf.network._SCORING_ROWS", 5)
    np.testing.assert_allclose(network.network_proba(embeds), whole, rtol=1e-6)
    assert network.network_proba(embeds[:0]).shape == (0, len(LLMS))


def test_noise_is_for_training_only():
    """In training two passes differ; in evaluation, and in `network_proba` in any mode, they do not."""
    network, embeds = make_network(noise_std=0.5), torch.randn(4, TEXT_DIM)
    network.train()
    assert not torch.equal(network(embeds).logits, network(embeds).logits)
    in_training = network.network_proba(embeds)
    network.eval()
    assert torch.equal(network(embeds).logits, network(embeds).logits)
    np.testing.assert_array_equal(in_training, network.network_proba(embeds))


def test_wrong_width_names_the_encoder():
    """Text vectors of another width are refused with both widths and the encoder."""
    with pytest.raises(ValueError, match=r"\(3, 5\).*\(n_questions, 8\).*`offline`"):
        make_network().network_proba(np.zeros((3, 5), np.float32))


# --- the loss ---


def test_loss_is_the_papers_cross_entropy():
    """The loss over questions x all LLMs is the mean log loss over the observed pairs."""
    network, split = make_network(), make_split(12)
    truth = split.responses.responses()
    embeds, weights = torch.tensor(split.question_embeds), torch.tensor(split.responses.weights())
    loss = network(embeds, labels=torch.tensor(np.nan_to_num(truth)), label_weights=weights).loss
    probabilities = network.network_proba(split.question_embeds).astype(float)
    of_truth = np.where(truth == 1, probabilities, 1 - probabilities)[~np.isnan(truth)]
    assert loss.item() == pytest.approx(-np.log(of_truth).mean(), rel=1e-5)


def test_missing_responses_have_no_gradient():
    """A response that was never observed moves nothing, whatever stands in its place."""
    network, split = make_network(), make_split(12)
    weights = torch.tensor(split.responses.weights())
    gradients = []
    for filler in (0.0, 1.0):
        network.zero_grad()
        labels = torch.tensor(split.responses.responses(fill=filler))
        network(torch.tensor(split.question_embeds), labels=labels, label_weights=weights).loss.backward()
        gradients.append(network.llm_embedding.weight.grad.clone())
    assert torch.equal(*gradients)


# --- the pool ---


def test_llm_embeds_is_a_copy():
    """Writing into what `llm_embeds` gave leaves the network as it was."""
    network = make_network()
    network.llm_embeds[:] = 0
    assert network.llm_embeds.any()


def test_unknown_llm_gets_close_names():
    """The error for an unknown LLM offers the nearest names of the pool."""
    with pytest.raises(KeyError, match="did you mean `lab/logic-a`"):
        make_network().llm_index("lab/logic-A1")


# --- files ---


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
    with pytest.raises(ValueError, match=f"do not fit `config.json`.*{name}"):
        EmbedLLMNetwork.from_pretrained(saved)


def test_a_truncated_file_is_refused(saved):
    """Half a file is an error that names the folder, not a network."""
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="model: the weights cannot be read"):
        EmbedLLMNetwork.from_pretrained(saved)


def test_a_folder_without_weights_is_refused(saved):
    """A configuration without weights is no network."""
    (saved / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors.*Fetch or train"):
        EmbedLLMNetwork.from_pretrained(saved)
