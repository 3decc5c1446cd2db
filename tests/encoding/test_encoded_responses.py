"""Responses and text vectors in one object: they stay together, and no boundary mixes encoders."""

from dataclasses import replace

import numpy as np
import pytest

from embedllm_hf import EmbedLLMTrainingArguments, EncodedResponses, QuestionEncoder, ResponseMatrix
from embedllm_hf.configuration_embedllm import EncoderId
from embedllm_hf.encoding.embeddings_file import save_embeddings
from embedllm_hf.encoding.encoded_responses import encode_responses
from embedllm_hf.training.network_trainer import NetworkTrainer
from tests.pool import LLMS, TEXT_DIM, make_embeds, make_frame, make_split, new_model

OTHER = EncoderId("user/other")


@pytest.fixture(scope="module")
def split() -> EncodedResponses:
    return make_split(20)


def assert_together(encoded: EncodedResponses) -> None:
    """Every row has the vector that its question's id makes."""
    ids = encoded.responses.question_ids
    assert encoded.question_embeds.shape == (len(ids), TEXT_DIM)
    if len(ids):
        np.testing.assert_array_equal(encoded.question_embeds, make_embeds(ids))


def test_vectors_are_one_a_question(split):
    """Fewer or more, or numbers in place of vectors, are refused with both shapes."""
    assert split.text_dim == TEXT_DIM
    for vectors in (split.question_embeds[:-1], split.question_embeds[0], np.zeros((21, TEXT_DIM))):
        with pytest.raises(ValueError, match=r"`question_embeds` has shape \(.*\), expected \(20, text_dim\)"):
            EncodedResponses(split.responses, vectors)


@pytest.mark.parametrize("rows", [[7, 3, 12], np.arange(20) % 3 == 0, [], None])
def test_a_selection_keeps_rows_and_vectors_together(split, rows):
    """By position, by mask, none or all, for some LLMs; and again from the selection, whose ids are in any order."""
    some = replace(split, encoder=OTHER).select(rows, llms=LLMS[2::-1])
    ids = np.arange(20)[slice(None) if rows is None else np.asarray(rows, None if len(rows) else int)]
    np.testing.assert_array_equal(some.responses.question_ids, ids)
    assert some.responses.llm_names == LLMS[2::-1]
    assert some.encoder == OTHER
    assert_together(some)
    assert_together(some.select(np.arange(len(ids))[::-1]))


def test_parts_are_joined_by_id():
    """Whatever the order of the parts, rows and vectors are by ascending id, and the encoder stays."""
    parts = [replace(make_split(6, first_id=first), encoder=OTHER) for first in (12, 0, 6)]
    joined = EncodedResponses.concat(parts)
    np.testing.assert_array_equal(joined.responses.question_ids, np.arange(18))
    np.testing.assert_array_equal(joined.responses.responses()[12:], parts[0].responses.responses())
    assert_together(joined)
    assert joined.encoder == OTHER


def test_parts_of_different_encoders_are_not_joined():
    """By name or by width; vectors that one has made oneself fit any."""
    one, two = make_split(6), make_split(6, first_id=6)
    assert EncodedResponses.concat([one, replace(two, encoder=OTHER)]).encoder == OTHER
    narrow = replace(two, question_embeds=two.question_embeds[:, :5])
    for parts in ([replace(one, encoder=EncoderId("user/one")), replace(two, encoder=OTHER)], [one, narrow]):
        with pytest.raises(ValueError, match=r"`parts` have text vectors of different encoders \(`.*`, `.*`\)"):
            EncodedResponses.concat(parts)
    with pytest.raises(ValueError, match="`parts` is empty"):
        EncodedResponses.concat([])


def test_other_responses_take_over_the_vectors(split):
    """Those of the same questions, or of some; a question that has no vector here is refused."""
    frame = make_frame(20, seed=3)
    other = ResponseMatrix.from_pandas(frame[frame["prompt_id"].isin([4, 9])], llm_names=LLMS)
    taken = replace(split, encoder=OTHER).with_responses(other)
    assert (taken.responses, taken.encoder) == (other, OTHER)
    assert_together(taken)
    with pytest.raises(ValueError, match="`responses` has 2 questions that have no text vector here, `prompt_id` 20"):
        split.with_responses(make_split(22).responses)


def test_vectors_of_another_encoder_are_refused_where_they_are_used(split, tmp_path):
    """Read from a file they keep its encoder's name: neither encoding for a model nor training takes other ones."""
    save_embeddings(tmp_path / "v.safetensors", split.question_embeds, split.responses.question_ids, OTHER)
    encoded = EncodedResponses.from_file(split.responses, tmp_path / "v.safetensors")
    assert encoded.encoder == OTHER
    with pytest.raises(ValueError, match=r"of the encoder `user/other`, expected `.*MiniLM-L6-v2`.*--encoder user/o"):
        encode_responses(encoded, QuestionEncoder("offline"))
    model, args = new_model(), EmbedLLMTrainingArguments(output_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"`train` has text vectors of width 8 from `user/other`, expected .*MiniLM"):
        NetworkTrainer(model, args, encoded)
    with pytest.raises(ValueError, match="`validation` has text vectors of width 8 from `user/other`"):
        NetworkTrainer(model, args, split, encoded)


def test_what_has_vectors_is_not_encoded_again(split):
    """Vectors of the encoder, or of none that is named, pass as they are; responses alone are encoded."""
    encoder = QuestionEncoder("offline")
    for encoded in (split, replace(split, encoder=EncoderId("sentence-transformers/all-MiniLM-L6-v2", "r1"))):
        assert encode_responses(encoded, encoder) is encoded
    responses = split.responses.select([0, 1])
    encoded = encode_responses(responses, encoder)
    assert encoded.responses is responses
    assert encoded.encoder == EncoderId("offline")
    np.testing.assert_array_equal(encoded.question_embeds, encoder.encode(list(responses.questions)))
