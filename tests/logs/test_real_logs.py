"""Genuine logs of each harness give the answers that were planted in them; skipped, loudly, where they are absent."""

import shutil

import pytest

from embedllm_hf import load_responses, load_splits, read_logs
from embedllm_hf.data.evaluation_logs import EvaluationLogs

pytestmark = pytest.mark.real_data
NAMES = ("alpha-large", "beta-small", "gamma-7b")


@pytest.fixture(scope="module")
def folder(data_folder):
    return data_folder("eval-logs")


def right(logs: EvaluationLogs, task: str) -> tuple[int, ...]:
    """How many answers of a task are right, by LLM in the order of their names, whatever is before these."""
    frame = logs.to_long().to_pandas()
    frame = frame[frame["category"] == task]
    short = frame["model_name"].astype(str).str.rpartition("/")[2]
    return tuple(int(frame.loc[short == name, "label"].sum()) for name in NAMES)


@pytest.mark.parametrize(
    ("where", "options", "arithmetic", "geography"),
    [
        ("lm_eval/pool", {}, (13, 8, 3), (13, 8, 2)),
        ("lm_eval/pool", {"metrics": {"pocket*": "exact_match,strict-match"}}, (11, 7, 2), (13, 8, 2)),
        ("inspect/pool", {}, (18, 12, 6), (18, 12, 5)),
        ("lighteval", {}, (13, 11, 5), (18, 12, 5)),
        ("promptfoo", {}, (18, 12, 6), None),
        ("every_eval_ever", {}, (13, 8, 3), (13, 8, 0)),  # geography of gamma was left out there
    ],
)
def test_each_harness_gives_the_planted_labels(folder, where, options, arithmetic, geography):
    """All of them, and the means of the rows are the harness's own."""
    logs = read_logs(folder / where, **options)
    assert right(logs, "pocket_arithmetic") == arithmetic
    if geography:
        assert right(logs, "small_geography") == geography
    assert logs.runs
    assert not any(counted.differs for counted in logs.runs)
    told = [counted.run.aggregates.get(counted.metric) for counted in logs.runs]
    assert where == "promptfoo" or None not in told


def test_evalscope_gives_grades_and_no_likeness(folder):
    """The choice is graded; Rouge says how alike two texts are, and the task is left out by name, with the remedy."""
    logs = read_logs(folder / "evalscope")
    assert right(logs, "general_mcq_small_geography") == (18, 12, 5)
    assert logs.llm_names == ["lab/alpha-large", "lab/beta-small", "other/gamma-7b"]  # the folder drops the first part
    ((what, why),) = logs.left_out
    assert what == "evalscope: general_qa_pocket_arithmetic"
    assert "Rouge-L-R" in why
    assert "--metric 'general_qa_pocket_arithmetic=...'" in why


@pytest.mark.parametrize(
    ("where", "n_questions", "means"),
    [
        ("version_0.4.2", 4, {"exact_match,flexible-extract": 0.5, "exact_match,strict-match": 0.25}),
        ("version_0.4.5", 4, {"exact_match,flexible-extract": 0.5, "exact_match,strict-match": 0.25}),
        ("chat_api_2shot", 4, {"exact_match,flexible-extract": 0.5, "exact_match,strict-match": 0.25}),
        ("chosen_questions", 3, {"exact_match,flexible-extract": 1.0, "exact_match,strict-match": 1.0}),
    ],
)
def test_older_and_other_forms_of_lm_eval(folder, where, n_questions, means):
    """An array without names of filters, blocks without names, chat messages: the same questions, the same means."""
    logs = read_logs(folder / "lm_eval" / where)
    (counted,) = logs.runs
    assert {
        str(counted.metric): counted.mean,
        **{str(metric): mean for metric, mean in counted.others.items()},
    } == means
    assert not counted.differs
    assert counted.run.llm in ("lab/beta-small", "lab/newcomer")
    pool = set(read_logs(folder / "lm_eval" / "pool").to_long()["prompt"].to_pylist())
    asked = set(logs.to_long()["prompt"].to_pylist())
    assert len(asked) == n_questions
    assert asked <= pool | set(read_logs(folder / "inspect" / "pool").to_long()["prompt"].to_pylist())
    assert counted.run.chosen == ("adaptive" if where == "chosen_questions" else "first")


def test_a_log_beside_no_folder_of_its_llm(folder):
    """`--output_path run.json`: the results of the same time name the LLM; three repeats have one score."""
    logs = read_logs(folder / "lm_eval" / "hf_chat_template")
    assert logs.llm_names == ["tiny"]
    assert sorted({counted.run.task for counted in logs.runs}) == ["pocket_arithmetic_x3", "small_geography_2shot"]
    assert all("im_start" not in text for text in logs.to_long()["prompt"].to_pylist())


def test_a_question_has_one_text_whoever_asked_it(folder):
    """The same forty questions through lm-eval, Inspect and lighteval, and twenty through promptfoo."""
    forty = {
        where: set(read_logs(folder / where).to_long()["prompt"].to_pylist())
        for where in ("inspect/pool", "lighteval")
    }
    assert forty["inspect/pool"] == forty["lighteval"]
    assert len(forty["inspect/pool"]) == 40
    for where, n in (("lm_eval/pool", 30), ("promptfoo", 20), ("every_eval_ever", 30)):
        texts = set(read_logs(folder / where).to_long()["prompt"].to_pylist())
        assert len(texts) == n
        assert texts <= forty["lighteval"]


def test_inspects_edge_cases(folder):
    """Two epochs are two answers of a question, a failed sample is missing, partly right is a half."""
    (log,) = (folder / "inspect" / "edge_cases").glob("*.eval")
    logs = read_logs(log)
    (counted,) = logs.runs
    assert counted.run.not_scored == {"an error": 1}
    table = logs.to_long().to_pandas()
    assert sorted(table["label_count"]) == [1, 2, 2, 2, 2, 2]
    assert counted.mean == pytest.approx(0.5)
    assert 0.5 in set(table["label"])
    assert not any(text.startswith(("user:", "[Chat")) for text in table["prompt"])
    (as_json,) = (folder / "inspect" / "edge_cases").glob("*.json")
    assert read_logs(as_json).to_long().equals(logs.to_long())


def test_a_folder_that_mixes_them(folder):
    """All at once: names are shown as they are and asked about, and nothing is joined unasked."""
    logs = read_logs([folder / name for name in ("lm_eval/pool", "inspect/pool", "promptfoo")])
    assert len(logs.llm_names) == 9
    assert len(logs.names_to_ask) == 3
    assert "`lab/beta-small` and `openai/lab/beta-small` and `openai:chat:lab/beta-small`" in logs.summary()
    table = [{"name": name, "new_name": f"lab/{name.rpartition('/')[2]}"} for name in logs.llm_names]
    joined = read_logs(
        [folder / name for name in ("lm_eval/pool", "inspect/pool", "promptfoo")],
        rename={row["name"]: row["new_name"] for row in table},
    )
    assert joined.llm_names == [f"lab/{name}" for name in NAMES]
    assert joined.names_to_ask == []
    assert len(joined.to_long()) == 120  # a question counts once for each, by its latest answer


def test_what_is_no_log_of_answers_is_passed_over(folder, tmp_path):
    """The whole folder, with configurations and questions in it, and logs of a harness that is not read."""
    logs = read_logs(folder)
    assert {counted.run.harness for counted in logs.runs} == {
        *("lm-eval", "inspect", "lighteval", "promptfoo", "every-eval-ever", "evalscope"),
    }
    shutil.copytree(folder / "openai_evals", tmp_path / "openai_evals")
    with pytest.raises(ValueError, match=r"no log of lm-evaluation-harness, Inspect AI.*--columns prompt="):
        read_logs(tmp_path)


def test_logs_are_a_data_set(folder):
    """A folder of logs is split by question, a file of them is whole under `all`."""
    splits = load_splits(folder / "inspect" / "pool")
    assert sum(split.n_questions for _, split in splits.items()) == 40
    assert len(splits.llm_names) == 3
    assert load_responses(folder / "promptfoo" / "results.json", split="all").n_observed == 60
