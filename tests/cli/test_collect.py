"""`embedllm collect`, and logs where answers are taken: from logs to a forecast and to the harness's next command."""

import json
import shlex

import numpy as np
import pytest

from embedllm_hf import EmbedLLM, load_responses, load_splits
from embedllm_hf.data.sources import load_question_names
from embedllm_hf.logs.commands import COMMANDS, commands
from embedllm_hf.logs.inspect_ai import HARNESS as INSPECT
from embedllm_hf.logs.lm_eval import HARNESS as LM_EVAL
from tests.command_line import refused, run
from tests.logs.made import QUESTIONS, lm_eval

NEW = "lab/new"


@pytest.fixture
def law_log(tmp_path, planted_model):
    """A log of a new LLM that has half of forty questions of law right, which the planted model knows; its ids."""
    bank = EmbedLLM.from_pretrained(planted_model).bank
    texts = load_responses("planted", split="train")
    rows = np.flatnonzero(texts.categories == "law")[:40]
    scores = [float(place % 2) for place in range(40)]
    questions = texts.questions[rows].tolist()
    lm_eval(tmp_path / "log", llm=NEW, task="law", questions=questions, scores={"none": scores})
    assert (bank.rows_of_texts(questions) >= 0).all()
    return tmp_path / "log", texts.question_ids[rows].tolist()


def test_a_data_set_is_made_and_trained_on(capsys, tmp_path):
    """Three LLMs' logs: the report is printed, the folder is a data set, and so are the logs themselves."""
    chance = np.random.default_rng(0)
    questions = [f"{text} {number}" for text in QUESTIONS for number in range(12)]
    for llm in ("lab/one", "lab/two", "lab/three"):
        scores = {"none": chance.integers(0, 2, len(questions)).tolist()}
        lm_eval(tmp_path / "logs", llm=llm, questions=questions, scores=scores)
    code, out, err = run(capsys, "collect", tmp_path / "logs", "--output_dir", tmp_path / "data")
    assert code == 0, err
    assert out.count("exact_match") == 3
    assert "3 LLMs; saved to" in out
    data = load_splits(tmp_path / "data")
    assert data.llm_names == ("lab/one", "lab/three", "lab/two")
    for source in (tmp_path / "data", tmp_path / "logs"):
        options = ("--dataset", source, "--encoder", "offline", "--output_dir", tmp_path / "model", "--disable_tqdm")
        code, out, err = run(capsys, "train", *options, "--overwrite_output_dir")
        assert code == 0, err
        assert "x 3 LLMs" in out
    np.testing.assert_array_equal(load_splits(tmp_path / "logs").train.responses(), data.train.responses())


def test_a_collection_replaces_another_whole_and_nothing_else(capsys, tmp_path):
    """Splits of the old one that the new one lacks go, files of the user's stay, and tables of the user's are safe."""
    lm_eval(tmp_path / "many")
    lm_eval(tmp_path / "few", questions=QUESTIONS[:1])
    for logs in ("many", "few"):
        assert run(capsys, "collect", tmp_path / logs, "--output_dir", tmp_path / "data")[0] == 0
        (tmp_path / "data" / "notes.txt").write_text("mine")
    left = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert [name for name in left if not name.endswith(".parquet")] == ["collected.json", "notes.txt"]
    assert len(left) == 3
    own = tmp_path / "own"
    own.mkdir()
    (own / "train.csv").write_text("prompt,model_name,label\nWho?,a,1\n")
    refused(
        run(capsys, "collect", tmp_path / "few", "--output_dir", own), "tables that were not collected", "train.csv"
    )
    refused(run(capsys, "collect", tmp_path / "few", "--output_dir", own / "train.csv"), "is a file")
    assert [path.name for path in own.iterdir()] == ["train.csv"]


def test_options_reach_the_logs(capsys, tmp_path):
    """A metric by pattern, other names and benchmarks, columns, JSON."""
    lm_eval(tmp_path / "logs", scores={"strict-match": [0] * 10, "flexible-extract": [1] * 10})
    (tmp_path / "names.csv").write_text("name,new_name\nlab/one,lab/two\n")
    (tmp_path / "benchmarks.csv").write_text("task,benchmark\ncat_legs,cats\n")
    options = ("--metric", "cat*=exact_match,strict-match", "--rename", tmp_path / "names.csv", "--json")
    code, out, err = run(
        capsys, "collect", tmp_path / "logs", "--output_dir", tmp_path / "data", *options,
        "--benchmarks", tmp_path / "benchmarks.csv",
    )  # fmt: skip
    assert code == 0, err
    (found,) = json.loads(out)["runs"]
    assert (found["llm"], found["benchmark"], found["mean"]) == ("lab/two", "cats", 0)
    (tmp_path / "t.csv").write_text("q,ok\n" + "".join(f"{text},1\n" for text in QUESTIONS))
    columns = ("--columns", "prompt=q", "label=ok", "model_name==lab/three")
    assert run(capsys, "collect", tmp_path / "t.csv", "--output_dir", tmp_path / "d2", *columns)[0] == 0
    assert load_splits(tmp_path / "d2").llm_names == ("lab/three",)
    refused(run(capsys, "collect", tmp_path / "t.csv", "--output_dir", tmp_path / "d3"), "t.csv", "--columns prompt=")
    refused(run(capsys, "collect", tmp_path / "no", "--output_dir", tmp_path / "d3"), "no such file or folder")
    wrong = ("--columns", "prompt", "label=ok")
    refused(run(capsys, "collect", tmp_path / "t.csv", "--output_dir", tmp_path / "d3", *wrong), "--columns prompt")
    assert not (tmp_path / "d3").exists()


def test_a_new_llm_is_placed_by_its_log(capsys, planted_model, law_log, tmp_path):
    """The log names it; its questions are found by their text; forecast does the same without saving."""
    log, ids = law_log
    code, out, err = run(
        capsys, "onboard", "--model", planted_model, "--answers", log, "--output_dir", tmp_path / "grown"
    )
    assert code == 0
    assert f"placed {NEW} from 40 answers" in out
    assert "law: 40 answers, 40 of known questions (40 by `doc_to_text`); exact_match: 0.500, 0.500 as" in err
    grown = EmbedLLM.from_pretrained(tmp_path / "grown")
    answers = grown.bank.responses_of(grown.llm_index(NEW))
    assert np.flatnonzero(~np.isnan(answers)).tolist() == sorted(grown.bank.rows_of_ids(ids).tolist())
    saved = run(capsys, "forecast", "--model", tmp_path / "grown", "--llm", NEW, "--benchmark", "law")
    at_once = run(capsys, "forecast", "--model", planted_model, "--answers", log, "--benchmark", "law")
    assert saved[0] == at_once[0] == 0
    assert saved[1] == at_once[1]
    refused(run(capsys, "forecast", "--model", planted_model, "--benchmark", "law"), "--llm is missing")


def test_the_other_verbs_take_logs(capsys, planted_model, law_log, tmp_path):
    """Evaluate measures all questions of a log, add puts its LLM into the pool, drift compares with the recorded."""
    log, ids = law_log
    for llm in ("planted/abacus-large", "planted/scribe-small"):
        lm_eval(tmp_path / "unseen", llm=llm, scores={"none": [1, 0] * 5})
    code, out, err = run(capsys, "evaluate", "--model", planted_model, "--dataset", tmp_path / "unseen")
    assert code == 0, err
    assert out.startswith("unseen all: 10 questions x 8 LLMs, 20 responses")
    options = ("--model", planted_model, "--answers", log, "--output_dir", tmp_path / "added")
    code, out, err = run(capsys, "add", *options)
    assert code == 0, err
    added = EmbedLLM.from_pretrained(tmp_path / "added")
    answers = added.bank.responses_of(added.llm_index(NEW))
    assert np.flatnonzero(~np.isnan(answers)).tolist() == sorted(added.bank.rows_of_ids(ids).tolist())
    bank = EmbedLLM.from_pretrained(planted_model).bank
    texts = load_responses("planted", split="train")
    asked = np.flatnonzero(texts.categories == "law")[:40]
    old = bank.responses_of(bank.llm_names.index("planted/abacus-large"))[bank.rows_of_ids(texts.question_ids[asked])]
    scores = {"none": [float(right) for right in old]}
    questions = texts.questions[asked].tolist()
    lm_eval(tmp_path / "again", llm="planted/abacus-large", task="law", questions=questions, scores=scores)
    code, out, err = run(capsys, "drift", "--model", planted_model, "--answers", tmp_path / "again", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert (report["llm"], report["changed"]) == ("planted/abacus-large", False)


def test_a_log_of_several_llms_needs_a_name(capsys, planted_model, law_log, tmp_path):
    """Which are there is said; a name that is not among them is refused."""
    log, _ = law_log
    lm_eval(log, llm="lab/other", task="law")
    options = ("onboard", "--model", planted_model, "--answers", log, "--output_dir", tmp_path / "grown")
    refused(run(capsys, *options), "`lab/new`, `lab/other`", "--llm")
    refused(run(capsys, *options, "--llm", "lab/third"), "no answers of lab/third")
    assert run(capsys, *options, "--llm", NEW)[0] == 0


def test_unknown_questions_are_told(capsys, planted_model, tmp_path):
    """With one of them, so that one sees what is around it."""
    lm_eval(tmp_path / "log", llm=NEW)
    options = ("--model", planted_model, "--answers", tmp_path / "log", "--output_dir", tmp_path / "grown")
    code, _, err = run(capsys, "onboard", *options)
    assert code == 0
    assert "cat_legs: 10 answers, 0 of known questions" in err
    assert "most of its questions are not known to the model" in err
    assert repr(QUESTIONS[0]) in err


def test_the_harness_is_told_which_questions_to_ask(capsys, planted_model, law_log):
    """The printed call names the very questions, by the ids of the log that --dataset has."""
    log, ids = law_log
    place = {question: index for index, question in enumerate(ids)}
    options = (
        "probe",
        "--model",
        planted_model,
        "--llm",
        "lab/next",
        "-n",
        400,
        "--benchmark",
        "law",
        "--dataset",
        log,
    )
    refused(run(capsys, *options, "--command", "lm_eval"), "has no id of lm_eval, but none", "embedllm collect")
    bank = EmbedLLM.from_pretrained(planted_model).bank
    law = bank.question_ids[bank.benchmark_rows("law")].tolist()
    others = [f"{question},1" for question in law if question not in place]
    answers = log.parent / "others.csv"
    answers.write_text("prompt_id,label\n" + "\n".join(others) + "\n")  # so that only those of the log are left
    options = ("probe", "--model", planted_model, "--llm", "lab/next", "-n", 5, "--benchmark", "law", "--dataset", log)
    code, out, err = run(capsys, *options, "--answers", answers, "--command", "lm_eval")
    assert code == 0, err
    chosen = [int(line.split("\t")[0]) for line in out.splitlines() if line.endswith("?") or "\tlaw" in line]
    call = shlex.split(out.splitlines()[-1])
    assert call[:5] == ["lm_eval", "--model", "hf", "--model_args", "pretrained=lab/next"]
    assert json.loads(call[call.index("--samples") + 1]) == {"law": sorted(place[question] for question in chosen)}
    refused(run(capsys, *options[:-2], "--command", "lm_eval"), "--command needs --dataset")


def test_calls_of_each_harness():
    """One for all tasks, or one a task; the names are those that the readers write."""
    assert COMMANDS == {"lm_eval": LM_EVAL, "inspect": INSPECT}
    sources = [["lm-eval:a:3", "inspect:x:q 1"], ["inspect:x:q2"], ["inspect:y:7"]]
    assert commands("inspect", sources, "openai/lab") == [
        "inspect eval x --model openai/lab --sample-id 'q 1,q2'",
        "inspect eval y --model openai/lab --sample-id 7",
    ]
    with pytest.raises(ValueError, match="question 2 of those to ask has no id of lm_eval, but `inspect:x:q2`"):
        commands("lm_eval", sources, "lab")


def test_chosen_questions_are_adaptive_answers(capsys, planted_model, law_log, tmp_path):
    """A log of questions that were named one by one sets the strategy, on which the intervals depend."""
    log, _ = law_log
    chosen = {"n-samples": {"law": {"original": 400, "effective": 40}}}
    texts = load_responses("planted", split="train")
    questions = texts.questions[np.flatnonzero(texts.categories == "law")[:40]].tolist()
    lm_eval(tmp_path / "adaptive", llm=NEW, task="law", questions=questions, results=chosen,
            scores={"none": [float(place % 2) for place in range(40)]})  # fmt: skip
    found = {}
    for source in (log, tmp_path / "adaptive"):
        options = (
            "--model",
            planted_model,
            "--answers",
            source,
            "--output_dir",
            tmp_path / "o",
            "--overwrite_output_dir",
        )
        assert run(capsys, "onboard", *options)[0] == 0
        grown = EmbedLLM.from_pretrained(tmp_path / "o")
        found[source.name] = int(grown.bank.item_parameters.strategies[grown.llm_index(NEW)])
    assert found["log"] != found["adaptive"]


def test_a_data_set_of_logs_is_pushed_without_the_logs(capsys, hub, tmp_path):
    """Tables, order and card; the names of the questions go along, so that a command can be made from the Hub."""
    lm_eval(tmp_path / "logs")
    options = ("--output_dir", tmp_path / "data", "--push_to_hub", "user/collected")
    code, out, err = run(capsys, "collect", tmp_path / "logs", *options)
    assert code == 0, err
    assert "pushed: " in out
    files = set(hub.repo("user/collected", "dataset").files())
    assert not any("samples" in name or "collected" in name for name in files)
    names = load_question_names("user/collected")
    assert sorted(name for found in names.values() for name in found) == [f"lm-eval:cat_legs:{n}" for n in range(10)]
    assert load_splits("user/collected").llm_names == ("lab/one",)


def test_details_on_the_hub_are_collected(capsys, hub, tmp_path):
    """As the harness pushes them: a folder an LLM in a data set."""
    path = lm_eval(tmp_path / "logs")
    files = {f"lab__one/{found.name}": found.read_bytes() for found in path.parent.iterdir()}
    hub.create_repo("user/lm-eval-results", {**files, "README.md": b"# details"}, type="dataset")
    code, out, err = run(capsys, "collect", "user/lm-eval-results", "--output_dir", tmp_path / "data")
    assert code == 0, err
    assert "lab/one" in out
    assert sum(split.n_questions for _, split in load_splits(tmp_path / "data").items()) == 10
