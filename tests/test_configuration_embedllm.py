"""Which text encoder vectors are from, in files and in comparisons; and the sizes of a model."""

import json

import pytest
from transformers import AutoConfig

from embedllm_hf import EmbedLLMConfig
from embedllm_hf.configuration_embedllm import EncoderId

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("encoder", "label"),
    [
        (EncoderId("user/encoder", "r1"), "user/encoder"),
        (EncoderId("offline"), MINILM),
        (EncoderId("offline", digest=DIGEST), f"{MINILM}+0123456789ab"),
        (EncoderId("user/c++", digest=DIGEST), "user/c+++0123456789ab"),
        (EncoderId("user/c+0123456789"), "user/c+0123456789"),  # no digest: it has ten digits
    ],
)
def test_a_label_reads_back_as_the_same_encoder(encoder, label):
    """The Hub id, with the beginning of the digest of trained weights; a file's revision is not kept."""
    assert encoder.label == label
    parsed = EncoderId.parse(label)
    assert parsed.is_same(encoder)
    assert encoder.is_same(parsed)
    assert (parsed.name, parsed.revision) == (encoder.published, None)
    assert (parsed.digest is None) == (encoder.digest is None)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (EncoderId("user/one"), EncoderId("user/two"), False),
        (EncoderId("user/one", "r1"), EncoderId("user/one", "r2"), False),
        (EncoderId("user/one", "r1"), EncoderId("user/one", "r1"), True),
        (EncoderId("user/one", "r1"), EncoderId("user/one"), True),  # a revision that is not known is not compared
        (EncoderId("offline"), EncoderId(MINILM, "r1"), True),  # in another wrapping
        (EncoderId("user/one"), EncoderId("user/one", digest=DIGEST), False),
        (EncoderId("user/one", digest=DIGEST), EncoderId("user/one", digest=DIGEST[:12]), True),
        (EncoderId("user/one", digest=DIGEST), EncoderId("user/one", digest=DIGEST[::-1]), False),
    ],
)
def test_which_encoders_are_the_same(one, other, same):
    """Name, known revision and trained weights count, in either order."""
    assert one.is_same(other) is other.is_same(one) is same


def test_a_configuration_names_its_encoder():
    """With revision and trained weights, and in messages with both."""
    config = EmbedLLMConfig(encoder_name="user/one", encoder_revision="r" * 40, encoder_digest=DIGEST)
    assert config.encoder == EncoderId("user/one", "r" * 40, DIGEST)
    assert str(config.encoder) == f"user/one+0123456789ab at {'r' * 12}"
    assert str(EncoderId("user/one")) == "user/one"


# --- sizes and names ---


def test_it_has_defaults_and_pins_the_papers_encoder():
    """`EmbedLLMConfig()` builds; the default encoder is the paper's at a commit, and no other has one."""
    config = EmbedLLMConfig()
    assert config.encoder_name == "sentence-transformers/all-mpnet-base-v2"
    assert len(config.encoder_revision) == 40
    assert EmbedLLMConfig(encoder_name="offline").encoder_revision is None


def test_the_papers_form():
    """232 dimensions, no biases, noise of 0.05; more fields can be given."""
    config = EmbedLLMConfig.paper(llm_names=["a", "b"])
    assert (config.embed_dim, config.llm_bias, config.question_bias, config.noise_std) == (232, False, False, 0.05)
    assert (config.n_llms, EmbedLLMConfig.paper(embed_dim=4).embed_dim) == (2, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embed_dim": 0}, "`embed_dim` is 0"),
        ({"text_dim": -1}, "`text_dim` is -1"),
        ({"noise_std": -0.1}, "`noise_std` is -0.1"),
        ({"llm_names": ["a", "b", "a"]}, "`a` stands there more than once"),
    ],
)
def test_sizes_are_checked(change, message):
    """A configuration that cannot be built says which field is wrong."""
    with pytest.raises(ValueError, match=message):
        EmbedLLMConfig(**change)


def test_the_file_is_readable(tmp_path):
    """`config.json` holds names and encoder, nothing of the training, and AutoConfig reads it."""
    EmbedLLMConfig(llm_names=["a/one", "b/two"], encoder_name="offline").save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["llm_names"], written["model_type"]) == (["a/one", "b/two"], "embedllm")
    assert not {"learning_rate", "num_train_epochs", "output_dir"} & set(written)
    read = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(read, EmbedLLMConfig)
    assert (read.llm_names, read.encoder_name) == (["a/one", "b/two"], "offline")
