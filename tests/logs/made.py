"""Small logs in the forms that harnesses write, about questions of our own."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TIME = "2026-03-04T05-06-07.123456"
QUESTIONS = [f"How many legs have {n} cats?" for n in range(2, 12)]


def lm_eval(
    folder: Path,
    *,
    llm: str = "lab/one",
    task: str = "cat_legs",
    scores: dict[str, list] | None = None,
    metric: str = "exact_match",
    time: str = TIME,
    questions: list[str] = QUESTIONS,
    results: dict | None = None,
    **config: object,
) -> Path:
    """A run of lm-eval 0.4.13: `scores` has a list of grades for each filter; the file of answers."""
    scores = {"none": [1.0] * len(questions)} if scores is None else scores
    folder = folder / llm.replace("/", "__")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for filter_, graded in scores.items():
        for index, (question, score) in enumerate(zip(questions, graded, strict=False)):
            doc = {"question": question, "answer": "8"}
            digest = hashlib.sha256(
                json.dumps(doc, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")
            ).hexdigest()
            given = {"gen_args_0": {"arg_0": f"Q: How many eyes has a dog?\nA: 2\n\nQ: {question}\nA:"}}
            rows.append({"doc_id": index, "doc": doc, "target": "8", "arguments": given, "resps": [["8"]],
                         "filtered_resps": ["8"], "filter": filter_, "metrics": [metric], "doc_hash": digest,
                         metric: score})  # fmt: skip
    path = folder / f"samples_{task}_{time}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    numbers = {name: [score for score in graded if isinstance(score, int | float)] for name, graded in scores.items()}
    means = {f"{metric},{name}": sum(found) / len(found) for name, found in numbers.items() if found}
    content = {
        "results": {task: {"alias": task, **means}},
        "group_subtasks": {},
        "configs": {task: {"task": task, "doc_to_text": "Q: {{question}}\nA:", "num_fewshot": 1, **config}},
        "versions": {task: 1.0},
        "n-shot": {task: 1},
        "higher_is_better": {task: {metric: True}},
        "config": {"model": "hf", "model_args": {"pretrained": llm}, "limit": None},
        "model_name": llm,
        **(results or {}),
    }
    (folder / f"results_{time}.json").write_text(json.dumps(content))
    return path


def lighteval(folder: Path, *, llm: str = "lab/one", old: bool = False) -> Path:
    """Details of lighteval 0.13, or of 0.6, where each cell is the text of a Python value."""
    inside = folder / "details" / llm / TIME
    inside.mkdir(parents=True)
    path = inside / f"details_{'community|cat_legs|0' if old else 'cat_legs|0'}_{TIME}.parquet"
    rows = []
    for place, question in enumerate(QUESTIONS):
        query, score = f"Question: {question}\nAnswer:", place % 2
        if old:
            rows.append({"example": query, "choices": "['8']", "metrics": f"{{'em': {score}, 'f1': 0.5}}"})
        else:
            doc = {"query": query, "choices": ["8"], "id": str(place)}
            rows.append({"doc": doc, "metric": {"em": score, "f1": 0.5}, "model_response": {"text": ["8"]}})
    pq.write_table(pa.Table.from_pylist(rows), path)
    results = folder / "results" / llm
    results.mkdir(parents=True)
    content = {"config_general": {"model_name": llm}, "results": {path.stem[8:-27]: {"em": 0.5, "f1": 0.5}}}
    (results / f"results_{TIME}.json").write_text(json.dumps(content))
    return path


def promptfoo(folder: Path) -> Path:
    """A file of two providers, of which the second fails at the last question."""
    folder.mkdir(parents=True)
    rows = []
    for place, question in enumerate(QUESTIONS):
        for name in ("lab/one", "lab/two"):
            failed = name == "lab/two" and place == len(QUESTIONS) - 1
            rows.append({
                "vars": {"question": question}, "prompt": {"raw": f"Hi! {question}"}, "testIdx": place,
                "provider": {"id": f"openai:chat:{name}", "label": ""}, "success": place % 2 == 0 and not failed,
                "score": 0.5, "namedScores": {"short": 1}, "latencyMs": 100, "cost": 0.25,
                "failureReason": 2 if failed else 0, "testCase": {"metadata": {"benchmark": "cat_legs"}},
                "response": None if failed else {"output": "8", "tokenUsage": {"prompt": 5, "completion": 1}},
            })  # fmt: skip
    content = {
        "evalId": "x",
        "results": {"version": 3, "timestamp": "2026-03-04T05:06:07Z", "prompts": [], "results": rows},
    }
    path = folder / "results.json"
    path.write_text(json.dumps({**content, "config": {}}, indent=1))
    return path


def every_eval_ever(folder: Path) -> Path:
    """Samples, of which one was not measured though a score stands there, and their aggregate."""
    folder.mkdir(parents=True)
    path, result = folder / "abc_samples.jsonl", "exact_match:none"
    rows = [
        {
            "schema_version": "0.3.0", "model_id": "lab/one", "evaluation_name": "cat_legs/none",
            "sample_id": str(place), "evaluation_result_id": None if place == 9 else result,
            "input": {"raw": f"Q: {question}\nA:", "choices": None},
            "evaluation": {"score": float(place % 2), "is_correct": bool(place % 2)}, "error": None,
            "token_usage": {"input_tokens": 5, "output_tokens": 1}, "performance": {"latency_ms": 100},
        }
        for place, question in enumerate(QUESTIONS)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    about = {
        "evaluation_result_id": result, "source_data": {"dataset_name": "cat_legs"},
        "metric_config": {"lower_is_better": False}, "score_details": {"score": 4 / 9},
    }  # fmt: skip
    (folder / "abc.json").write_text(json.dumps({"schema_version": "0.3.0", "evaluation_results": [about]}))
    return path


def evalscope(folder: Path) -> Path:
    """Reviews of an LLM, with two answers to each question, of which the first of all ended with an error."""
    inside = folder / "reviews" / "one"
    inside.mkdir(parents=True)
    rows = []
    for place, question in enumerate(QUESTIONS):
        for repeat in range(2):
            status = "error" if (place, repeat) == (0, 0) else "success"
            score = {"value": {"acc": float(place % 2), "Rouge-1-R": 0.3}, "main_score_name": "acc", "status": status}
            used = {"input_tokens": 5, "output_tokens": 1, "latency": 0.1}
            messages = [
                {"role": "user", "content": f"Answer shortly.\nQuestion: {question}"},
                {"role": "assistant", "content": "8", "model": "lab/one", "perf_metrics": used},
            ]
            sample = {"score": score, "sample_id": place, "group_id": place, "generation_index": repeat}
            rows.append({"index": place, "messages": messages, "sample_score": sample})
    path = inside / "cat_legs_default.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def llm_router_bench(folder: Path) -> Path:
    """Records of an LLM with their cost."""
    inside = folder / "results" / "bench" / "cat_legs" / "test" / "one"
    inside.mkdir(parents=True)
    path = inside / "cat_legs-test-one-20260304_050607.json"
    records = [
        {"index": place, "origin_query": question, "prompt": f"Hi! {question}", "score": float(place % 2),
         "cost": 0.25, "prompt_tokens": 5, "completion_tokens": 1}
        for place, question in enumerate(QUESTIONS)
    ]  # fmt: skip
    path.write_text(json.dumps({"performance": 0.5, "model_name": "lab/one", "records": records}))
    return path
