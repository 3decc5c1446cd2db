"""`EncoderId`: which text encoder vectors are from, in files and in comparisons."""

import pytest

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
    config = EmbedLLMConfig(encoder_name="user/one", encoder_revision="r" * 40, trained_encoder=DIGEST)
    assert config.encoder == EncoderId("user/one", "r" * 40, DIGEST)
    assert str(config.encoder) == f"user/one+0123456789ab at {'r' * 12}"
    assert str(EncoderId("user/one")) == "user/one"
