"""What tells texts apart."""

import numpy as np

from embedllm_hf.data.texts import question_keys, text_id, text_key


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
