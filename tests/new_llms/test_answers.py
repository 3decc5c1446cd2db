"""Files of answers: read with their line numbers, appended to, the same question found by id and by text."""

import json

import pytest

from embedllm_hf import EmbedLLM, load_responses
from embedllm_hf.new_llms.answers import append_answer, read_answers


def test_a_question_by_id_and_by_text_is_one_question(planted_model, tmp_path):
    """Given both ways with other grades, it contradicts itself; with the same grade it counts once."""
    bank = EmbedLLM.from_pretrained(planted_model).bank
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("prompt_id,label\n1_0,1\n", "line 2: `prompt_id` is '1_0', expected a whole number from 0 on"),
        ("prompt_id,label\n-11,1\n", "line 2: `prompt_id` is '-11', expected a whole number from 0 on"),
        ("prompt_id,label\ninf,1\n", "line 2: `prompt_id` is 'inf'"),
        (f"prompt_id,label\n{'9' * 5000},1\n", r"line 2: `prompt_id` is '9{59}\.\.\."),
        ("prompt_id,label\n1,0_1\n", "line 2: `label` is '0_1', expected a grade"),
        ("prompt_id,label\n1,1\n2,0", "ends within a line"),
        ("prompt_id,label\n1\n", "line 2: 1 cells, but the header has 2"),
        ("prompt,label\n17,1\n", "line 2: `prompt` is '17', a number. If that is an id, name it `prompt_id`"),
    ],
)
def test_cells_that_python_would_read_are_refused(tmp_path, content, message):
    """No underscore, no infinity, no cut number; and no id among the texts."""
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=rf"a\.csv.*{message}"):
        read_answers(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prompt_id": 1e999, "label": 1}', "`prompt_id` is inf"),
        (f'{{"prompt_id": 1, "label": 1{"0" * 400}}}', "`label` is 10"),
        ('{"prompt_id": true, "label": 1}', "`prompt_id` is True"),
        ('{"prompt_id": [1], "label": 1}', r"`prompt_id` is \[1\]"),
        ('{"prompt_id": 1, "label": null}', "`label` is None"),
        ('{"prompt": "bad \\ud83d text", "label": 1}', r"`prompt` is 'bad \\ud83d text', which is no Unicode"),
    ],
)
def test_values_of_json_are_refused_with_their_line(tmp_path, content, message):
    """Whatever their size and type; ids as text and as floats are ids."""
    (tmp_path / "a.jsonl").write_text(
        '{"prompt_id": "17", "label": 1}\n{"prompt_id": 18.0, "label": true}\n' + content
    )
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 3: {message}"):
        read_answers(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").write_text('{"prompt_id": "17", "label": 1}\n{"prompt_id": 18.0, "label": true}')
    assert read_answers(tmp_path / "a.jsonl") == {17: 1, 18: 1}


def test_forms_of_a_text_contradict_each_other(tmp_path):
    """Two grades of one question are found without a model, too."""
    (tmp_path / "a.csv").write_text("prompt,label\nWhy?,1\n Why? ,0\n")
    with pytest.raises(ValueError, match=r"line 3: the answer 0 to ' Why\? ' contradicts the answer 1 of line 2"):
        read_answers(tmp_path / "a.csv")
