"""Small logs in the forms that harnesses write, about questions of our own."""

import hashlib
import json
from pathlib import Path

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
            digest = hashlib.sha256(json.dumps(doc, indent=2, ensure_ascii=False).encode()).hexdigest()
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
