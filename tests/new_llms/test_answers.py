"""Files of answers: read with their line numbers, appended to, the same question found by id and by text."""

import json

import pytest

from embedllm_hf import EmbedLLM, load_responses
from embedllm_hf.new_llms.answers import append_answer, read_answers


def test_a_question_by_id_and_by_text_is_one_question(quickstart, tmp_path):
    """Given both ways with other grades, it contradicts itself; with the same grade it counts once."""
    bank = EmbedLLM.from_pretrained(quickstart).bank
    text = str(load_responses("planted", split="train").questions[0])
    rows = [{"prompt_id": int(bank.question_ids[0]), "label": 1}, {"prompt": text, "label": 1}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_answers(path, bank) == {int(bank.question_ids[0]): 1}
    path.write_text("".join(json.dumps({**row, "label": position}) + "\n" for position, row in enumerate(rows)))
    with pytest.raises(ValueError, match=r"line 2: the answer 1 to .* contradicts the answer 0 of line 1"):
        read_answers(path, bank)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_answers_are_appended_and_read_back(tmp_path, name):
    """A new file is made, an old one grows, also one whose last line has no end."""
    path = tmp_path / name
    append_answer(path, 7, 1.0)
    path.write_text(path.read_text().rstrip("\n"))
    append_answer(path, 9, 0.25)
    assert read_answers(path) == {7: 1, 9: 0.25}


def test_a_file_with_other_columns_keeps_them(tmp_path):
    """Rows are added under the header that is there; one without `prompt_id` is refused."""
    path = tmp_path / "a.csv"
    path.write_text('note,prompt_id,prompt,label\nfirst,3,"Two\nlines, then?",1\n')
    append_answer(path, 5, 0.0)
    assert path.read_text().endswith('",1\n,5,,0\n')
    assert read_answers(path) == {3: 1, 5: 0}
    path.write_text("prompt,label\n")
    with pytest.raises(
        ValueError, match="has columns `label`, `prompt`, to add answers it needs `prompt_id` and `label`"
    ):
        append_answer(path, 5, 0.0)
