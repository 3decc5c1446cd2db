"""`embedllm onboard`: what it prints and writes, and what bad input gets."""

import numpy as np
import pytest

from embedllm_hf import EmbedLLM
from tests.command_line import refused, run
from tests.placing import strong_in_law, write_answers

NEW = "new/llm"
LAW = strong_in_law()


def test_onboard_writes_a_model_with_the_llm(capsys, planted_model, tmp_path):
    """The new folder forecasts law far above the rest, keeps the others to the bit; the old folder stays."""
    answers, before = write_answers(tmp_path / "a.csv", LAW), sorted(path.name for path in planted_model.iterdir())
    options = ("--model", planted_model, "--llm", NEW, "--answers", answers, "--output_dir", tmp_path / "o")
    code, out, _ = run(capsys, "onboard", *options)
    assert code == 0
    assert f"placed {NEW} from 40 answers" in out
    scores = {line.split(":")[0]: float(line.split()[1].strip(",")) for line in out.splitlines() if "interval" in line}
    assert scores["law"] > max(scores["arithmetic"], scores["geography"])
    old, new = EmbedLLM.from_pretrained(planted_model), EmbedLLM.from_pretrained(tmp_path / "o")
    np.testing.assert_array_equal(new.llm_embeds[:-1], old.llm_embeds)
    assert new.config.llm_names[-1] == NEW
    assert sorted(path.name for path in planted_model.iterdir()) == before


def test_refine_adds_answers(capsys, planted_model, tmp_path):
    """Half the answers, then the other half with --refine, into the same folder: as all at once."""
    first, second = dict(list(LAW.items())[:20]), dict(list(LAW.items())[20:])
    target, whole = tmp_path / "o", tmp_path / "whole"
    for name, answers, model, output, more in (
        ("1.csv", first, planted_model, target, ()),
        ("2.csv", second, target, target, ("--refine", "--overwrite_output_dir")),
        ("3.csv", LAW, planted_model, whole, ()),
    ):
        file = write_answers(tmp_path / name, answers)
        options = ("--model", model, "--llm", NEW, "--answers", file, "--output_dir", output)
        assert run(capsys, "onboard", *options, *more)[0] == 0
    one, two = EmbedLLM.from_pretrained(target), EmbedLLM.from_pretrained(whole)
    np.testing.assert_array_equal(one.llm_embeds, two.llm_embeds)
    np.testing.assert_array_equal(one.bank.item_parameters.abilities, two.bank.item_parameters.abilities)


def test_no_answers_are_allowed_with_a_warning(capsys, planted_model, tmp_path, caplog):
    """A file with a header alone places the LLM in the middle, and says so."""
    answers = write_answers(tmp_path / "a.csv", {})
    options = ("--llm", NEW, "--answers", answers, "--output_dir", tmp_path / "o")
    assert run(capsys, "onboard", "--model", planted_model, *options)[0] == 0
    assert "has no answers" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.csv", "prompt_id,label\nID,1\nID,0\n", ("a.csv, line 3", "contradicts the answer 1 of line 2")),
        ("a.csv", "prompt_id,label\nID,1\n99999,0\n", ("a.csv, line 3: unknown question id `99999`",)),
        ("a.csv", "prompt_id,label\n1,1.5\n", ("a.csv, line 2: `label` is '1.5', expected a grade in [0, 1]",)),
        ("a.csv", "prompt_id,label\n1,\n", ("a.csv, line 2: `label` is ''",)),
        ("a.csv", "prompt_id,label\n1\n", ("a.csv, line 2: 1 cell",)),
        ("a.csv", "prompt_id,label\none,1\n", ("a.csv, line 2: `prompt_id` is 'one'",)),
        ("a.csv", "prompt_id,label\n,1\n", ("a.csv, line 2: has neither a `prompt_id` nor a `prompt`",)),
        ("a.csv", "question,grade\n1,1\n", ("a.csv, line 1: has columns `grade`, `question`, expected",)),
        ("a.csv", "question,grade\n", ("a.csv, line 1: has columns `grade`, `question`, expected",)),
        ("a.csv", b"prompt_id,label\n\xff,1\n", ("a.csv, line 2: not UTF-8",)),
        ("a.jsonl", '{"prompt_id": ID, "label": 1}\n[1]\n', ("a.jsonl, line 2: a JSON list, expected an object",)),
        ("a.jsonl", '{"prompt_id": 1\n', ("a.jsonl, line 1: not JSON",)),
        ("a.jsonl", '{"prompt_id": true, "label": 1}\n', ("a.jsonl, line 1: `prompt_id` is True",)),
        ("a.xlsx", "1,1\n", ("a.xlsx: a file of the kind `.xlsx` is not read here, expected .csv",)),
    ],
)
def test_bad_answers_get_one_line_and_nothing_is_written(capsys, planted_model, tmp_path, name, content, parts):
    """Each names the file and the line, with exit code 2."""
    path = tmp_path / name
    known_id = next(iter(LAW))
    path.write_bytes(content if isinstance(content, bytes) else content.replace("ID", str(known_id)).encode())
    options = ("--llm", NEW, "--answers", path, "--output_dir", tmp_path / "o")
    refused(run(capsys, "onboard", "--model", planted_model, *options), *parts)
    assert not (tmp_path / "o").exists()


def test_other_bad_input_is_refused(capsys, planted_model, tmp_path):
    """A missing file, a name of the pool, a full output folder, a model without the statistics."""
    answers = write_answers(tmp_path / "a.csv", LAW)
    onboard = ("onboard", "--llm", NEW, "--output_dir", tmp_path / "o", "--model", planted_model)
    refused(run(capsys, *onboard, "--answers", tmp_path / "none.csv"), "there is no file", "none.csv")
    taken = run(capsys, *onboard, "--answers", answers, "--llm", "planted/atlas-large")
    refused(taken, "the pool has an LLM `planted/atlas-large` already", "refine")
    refused(run(capsys, *onboard, "--answers", answers, "--output_dir", planted_model), "holds a model already")
    EmbedLLM.from_pretrained(planted_model).with_bank(None).save_pretrained(tmp_path / "bare")
    without = run(capsys, *onboard, "--answers", answers, "--model", tmp_path / "bare")
    refused(without, "the model has no question bank", "with_bank")
    assert not (tmp_path / "o").exists()
