"""`embedllm onboard` and `embedllm probe`: files of answers, what they print and write, and what bad input gets."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, load_responses
from embedllm_hf.item_response import fit_item_response
from embedllm_hf.new_llms.answers import append_answer, read_answers

from .command_line import refused, run

NEW = "new/llm"


@pytest.fixture(scope="module")
def folder(quickstart, tmp_path_factory) -> Path:
    """The quick start's model with its item-response model."""
    model = EmbedLLM.from_pretrained(quickstart)
    if model.item_response is None:
        model.item_response = fit_item_response(model)
    folder = tmp_path_factory.mktemp("ready") / "model"
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def strong_in_law() -> dict[int, float]:
    """Answers of an LLM that knows law and nothing else, to 40 known questions."""
    train = load_responses("planted", split="train")
    return {int(id_): float(train.categories[row] == "law") for row, id_ in enumerate(train.question_ids[:40])}


def write(path: Path, answers: dict[int, float]) -> Path:
    path.write_text("prompt_id,label\n" + "".join(f"{id_},{label:g}\n" for id_, label in answers.items()))
    return path


# --- onboard ---


def test_onboard_writes_a_model_with_the_llm(capsys, folder, strong_in_law, tmp_path):
    """The new folder forecasts law far above the rest, keeps the others to the bit; the old folder stays."""
    answers, before = write(tmp_path / "a.csv", strong_in_law), sorted(path.name for path in folder.iterdir())
    options = ("--model", folder, "--llm", NEW, "--answers", answers, "--output_dir", tmp_path / "o")
    code, out, _ = run(capsys, "onboard", *options)
    assert code == 0
    assert f"placed {NEW} from 40 answers" in out
    scores = {line.split(":")[0]: float(line.split()[1].strip(",")) for line in out.splitlines() if "interval" in line}
    assert scores["law"] > max(scores["arithmetic"], scores["geography"])
    old, new = EmbedLLM.from_pretrained(folder), EmbedLLM.from_pretrained(tmp_path / "o")
    np.testing.assert_array_equal(new.llm_embeds[:-1], old.llm_embeds)
    assert new.config.llm_names[-1] == NEW
    assert sorted(path.name for path in folder.iterdir()) == before


def test_refine_adds_answers(capsys, folder, strong_in_law, tmp_path):
    """Half the answers, then the other half with --refine, into the same folder: as all at once."""
    first, second = dict(list(strong_in_law.items())[:20]), dict(list(strong_in_law.items())[20:])
    target, whole = tmp_path / "o", tmp_path / "whole"
    for name, answers, model, output, more in (
        ("1.csv", first, folder, target, ()),
        ("2.csv", second, target, target, ("--refine", "--overwrite_output_dir")),
        ("3.csv", strong_in_law, folder, whole, ()),
    ):
        file = write(tmp_path / name, answers)
        options = ("--model", model, "--llm", NEW, "--answers", file, "--output_dir", output)
        assert run(capsys, "onboard", *options, *more)[0] == 0
    one, two = EmbedLLM.from_pretrained(target), EmbedLLM.from_pretrained(whole)
    np.testing.assert_array_equal(one.llm_embeds, two.llm_embeds)
    np.testing.assert_array_equal(one.item_response.abilities, two.item_response.abilities)


def test_no_answers_are_allowed_with_a_warning(capsys, folder, tmp_path, caplog):
    """A file with a header alone places the LLM in the middle, and says so."""
    answers = write(tmp_path / "a.csv", {})
    options = ("--llm", NEW, "--answers", answers, "--output_dir", tmp_path / "o")
    assert run(capsys, "onboard", "--model", folder, *options)[0] == 0
    assert "has no answers" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.csv", "prompt_id,label\nID,1\nID,0\n", ("a.csv, line 3", "contradicts the answer 1 of line 2")),
        ("a.csv", "prompt_id,label\nID,1\n99999,0\n", ("a.csv, line 3: unknown `prompt_id` 99999",)),
        ("a.csv", "prompt_id,label\n1,1.5\n", ("a.csv, line 2: `label` is '1.5', expected a grade in [0, 1]",)),
        ("a.csv", "prompt_id,label\n1,\n", ("a.csv, line 2: `label` is ''",)),
        ("a.csv", "prompt_id,label\none,1\n", ("a.csv, line 2: `prompt_id` is 'one'",)),
        ("a.csv", "prompt_id,label\n,1\n", ("a.csv, line 2: has neither a `prompt_id` nor a `prompt`",)),
        ("a.csv", "question,grade\n1,1\n", ("a.csv, line 1: has columns question, grade, expected",)),
        ("a.csv", b"prompt_id,label\n\xff,1\n", ("a.csv: not UTF-8",)),
        ("a.jsonl", '{"prompt_id": ID, "label": 1}\n[1]\n', ("a.jsonl, line 2: a JSON list, expected an object",)),
        ("a.jsonl", '{"prompt_id": 1\n', ("a.jsonl, line 1: not JSON",)),
        ("a.jsonl", '{"prompt_id": true, "label": 1}\n', ("a.jsonl, line 1: `prompt_id` is True",)),
        ("a.xlsx", "1,1\n", ("a.xlsx: is of no form that is read, expected .csv or .jsonl",)),
    ],
)
def test_bad_answers_get_one_line_and_nothing_is_written(
    capsys, folder, strong_in_law, tmp_path, name, content, parts
):
    """Each names the file and the line, with exit code 2."""
    path = tmp_path / name
    known_id = next(iter(strong_in_law))
    path.write_bytes(content if isinstance(content, bytes) else content.replace("ID", str(known_id)).encode())
    options = ("--llm", NEW, "--answers", path, "--output_dir", tmp_path / "o")
    refused(run(capsys, "onboard", "--model", folder, *options), *parts)
    assert not (tmp_path / "o").exists()


def test_a_question_by_id_and_by_text_is_one_question(folder, tmp_path):
    """Given both ways with other grades, it contradicts itself; with the same grade it counts once."""
    known = EmbedLLM.from_pretrained(folder).known_questions
    text = str(load_responses("planted", split="train").questions[0])
    rows = [{"prompt_id": int(known.question_ids[0]), "label": 1}, {"prompt": text, "label": 1}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_answers(path, known) == {int(known.question_ids[0]): 1}
    path.write_text("".join(json.dumps({**row, "label": position}) + "\n" for position, row in enumerate(rows)))
    with pytest.raises(ValueError, match=r"line 2: the answer 1 to .* contradicts the answer 0 of line 1"):
        read_answers(path, known)


def test_other_bad_input_is_refused(capsys, folder, quickstart, strong_in_law, tmp_path):
    """A missing file, a name of the pool, a full output folder, a model without the statistics."""
    answers = write(tmp_path / "a.csv", strong_in_law)
    onboard = ("onboard", "--llm", NEW, "--output_dir", tmp_path / "o", "--model", folder)
    refused(run(capsys, *onboard, "--answers", tmp_path / "none.csv"), "there is no file", "none.csv")
    taken = run(capsys, *onboard, "--answers", answers, "--llm", "planted/atlas-large")
    refused(taken, "the pool has an LLM `planted/atlas-large` already", "refine")
    refused(run(capsys, *onboard, "--answers", answers, "--output_dir", folder), "holds a model already")
    bare = EmbedLLM.from_pretrained(quickstart)
    bare.item_response = None
    bare.save_pretrained(tmp_path / "bare")
    without = run(capsys, *onboard, "--answers", answers, "--model", tmp_path / "bare")
    refused(without, "model.item_response = fit_item_response(model)")
    assert not (tmp_path / "o").exists()


# --- probe ---


def test_probe_lists_questions_with_their_texts(capsys, folder, tmp_path):
    """Ids of the benchmark with their texts, none that was answered; as JSON the fields of the plan."""
    options = ("probe", "--model", folder, "--llm", NEW, "--benchmark", "law", "-n", 4)
    code, out, _ = run(capsys, *options, "--dataset", "planted")
    assert code == 0
    train = load_responses("planted", split="train")
    text_of = dict(zip(train.question_ids.tolist(), train.questions.tolist(), strict=True))
    asked = [line.split("\t") for line in out.splitlines() if "\t" in line]
    assert len(asked) == 4
    assert all(benchmark == "law" and text_of[int(id_)][:100] == text for id_, benchmark, text in asked)
    answers = write(tmp_path / "a.csv", {int(id_): 1 for id_, _, _ in asked})
    code, out, _ = run(capsys, *options, "--answers", answers, "--json")
    plan = json.loads(out)
    assert plan["n_answers"] == 4
    assert plan["expected_width"] < plan["width"]
    assert not {int(id_) for id_, _, _ in asked} & set(plan["question_ids"])


def test_probe_stops_when_the_score_is_known(capsys, folder):
    """An interval narrower than asked for needs no more questions."""
    options = ("probe", "--model", folder, "--llm", "planted/atlas-large", "--benchmark", "law")
    code, out, _ = run(capsys, *options, "--until_width", 0.9)
    assert code == 0
    assert "no more questions are needed" in out
    assert "\t" not in out


def test_probe_tells_which_of_two_is_better(capsys, folder, strong_in_law, tmp_path):
    """Against an LLM of the pool and against a new one with answers of its own; a clear case needs no questions."""
    options = ("probe", "--model", folder, "--llm", NEW, "--benchmark", "law", "-n", 3)
    code, out, _ = run(capsys, *options, "--against", "planted/atlas-large")
    assert code == 0
    assert "minus planted/atlas-large: " in out
    assert out.rstrip().splitlines()[-1].startswith("with these 3 the interval's width becomes about")
    good = write(tmp_path / "good.csv", strong_in_law)
    bad = write(tmp_path / "bad.csv", {id_: 1 - grade for id_, grade in strong_in_law.items()})
    two = ("--against", "other/llm", "--answers", good, "--against_answers", bad, "--strategy", "random")
    code, out, _ = run(capsys, *options, *two)
    assert f": {NEW} is better" in out
    assert "no more questions are needed" in out
    code, out, _ = run(capsys, *options, *two, "--json")
    assert json.loads(out)["lead"]["decided"] is True
    refused(run(capsys, *options, "--against", "planted/atlas"), "unknown LLM `planted/atlas`", "planted/atlas-large")
    refused(run(capsys, *options, "--against", NEW), "is to be compared with itself")


def ask(capsys, monkeypatch, folder: Path, answers: Path, typed: str, n: int = 50) -> str:
    """What the interactive loop prints when this is typed."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    options = ("--model", folder, "--llm", NEW, "--answers", answers, "--dataset", "planted", "-n", n)
    code, out, _ = run(capsys, "probe", *options, "--benchmark", "law", "--interactive")
    assert code == 0
    return out


def test_the_interactive_loop_goes_on_from_its_file(capsys, monkeypatch, folder, tmp_path):
    """Each answer is in the file at once; after a break the same questions follow as without one."""
    whole, parts = tmp_path / "whole.csv", tmp_path / "parts.csv"
    out = ask(capsys, monkeypatch, folder, whole, "y\nn\nwhat\n0.5\ny\nq\n")
    assert out.count("Question ") == 5
    assert "4 answers in" in out
    ask(capsys, monkeypatch, folder, parts, "y\nn\n")  # the input ends, as when the terminal is closed
    assert len(read_answers(parts)) == 2
    ask(capsys, monkeypatch, folder, parts, "0.5\ny\nq\n")
    assert parts.read_text() == whole.read_text()
    assert list(read_answers(whole).values()) == [1, 0, 0.5, 1]
    assert ask(capsys, monkeypatch, folder, parts, "y\n" * 9, n=3).count("Question ") == 3


def test_probe_refuses_bad_input(capsys, folder, tmp_path):
    """The interactive loop needs a file and texts; a width, a benchmark, a count that cannot be."""
    probe = ("probe", "--model", folder, "--llm", NEW)
    refused(run(capsys, *probe, "--interactive"), "--interactive needs --answers", "--dataset")
    refused(run(capsys, *probe, "--until_width", 2), "--until_width is 2, expected a width in (0, 1)")
    refused(run(capsys, *probe, "--benchmark", "lawn"), "unknown benchmark `lawn`", "`law`")
    refused(run(capsys, *probe, "-n", 0), "`n` is 0, expected 1 or more")
    refused(run(capsys, *probe, "--answers", tmp_path / "none.csv"), "there is no file")


# --- files of answers ---


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
    with pytest.raises(ValueError, match="has columns prompt, label, to add answers it needs `prompt_id` and `label`"):
        append_answer(path, 5, 0.0)
