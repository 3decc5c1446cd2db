"""What tells texts apart."""

import hashlib

import numpy as np
import pytest

from embedllm_hf.data.texts import check_at_hand, is_withheld, question_keys, text_id, text_key, withheld_texts


def test_forms_of_a_text_have_one_key_and_others_have_another():
    """Line ends, composed letters and outer white space do not tell texts apart; anything else does."""
    assert text_key("\u00e9\nb") == text_key(" e\u0301\r\nb\u00a0") == text_key("\u00e9\rb")
    keys = question_keys(["a b", "a  b", "A b", "a\u200bb"])
    assert keys.dtype == np.int64
    assert len(set(keys.tolist())) == 4


def test_ids_of_texts_are_positive_and_exact_in_any_language():
    """They are of the text alone, in every process, and a float holds them."""
    ids = [text_id(f"question {number}") for number in range(1000)]
    assert text_id("a ") == text_id("a") == 7128065739670391
    assert len(set(ids)) == 1000
    assert all(0 <= id_ == int(float(id_)) < 2**53 for id_ in ids)


def test_a_withheld_text_is_the_text_itself_where_texts_are_told_apart():
    """Its hash has the same key and the same id; what only looks like one is a text like others."""
    texts = ["What is 2 + 2?", "two\nlines"]
    withheld = withheld_texts(question_keys(texts))
    assert withheld[0] == "sha256:" + hashlib.sha256(texts[0].encode()).hexdigest()[:16]
    np.testing.assert_array_equal(question_keys(withheld), question_keys(texts))
    assert [text_id(text) for text in withheld] == [text_id(text) for text in texts]
    assert [is_withheld(text) for text in (*withheld, *texts, "sha256:12", "sha256:" + "g" * 16)] == [True] * 2 + [
        False
    ] * 4
    check_at_hand("x", texts)
    with pytest.raises(ValueError, match=r"`x\[1\]` is sha256:[0-9a-f]{16}: the data set withholds this text"):
        check_at_hand("x", [texts[0], withheld[1]])
