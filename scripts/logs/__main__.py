"""Read a million rows of made-up logs of lm-eval, beside the JSON parser alone; time and memory.

python -m scripts.logs                     # 100 LLMs x 10,000 questions, 1.3 GB on the disk meanwhile
python -m scripts.logs --llms 10 --questions 1000

Each is measured in a process of its own, since memory that was taken once is not given back.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_TIME = "2026-03-04T05-06-07.123456"
_SHOT = (
    "Q: A farmer has seven fields and sows two of them in spring and three in autumn. How many lie fallow?\nA: 2\n\n"
)


def write(folder: Path, n_llms: int, n_questions: int) -> int:
    """The logs of some LLMs with a prompt of eight shots each; their size in bytes."""
    size = 0
    for llm in range(n_llms):
        inside = folder / f"lab__{llm}"
        inside.mkdir()
        content = {
            "results": {"made": {"exact_match,none": 0.5}},
            "configs": {"made": {"doc_to_text": "Q: {{question}}\nA:", "num_fewshot": 8}},
            "versions": {"made": 1}, "n-shot": {"made": 8}, "group_subtasks": {}, "model_name": f"lab/{llm}",
        }  # fmt: skip
        (inside / f"results_{_TIME}.json").write_text(json.dumps(content))
        with (inside / f"samples_made_{_TIME}.jsonl").open("w") as file:
            for number in range(n_questions):
                doc = {"question": f"What is {number} times {number + 7}, and who asks for it?", "answer": str(number)}
                digest = hashlib.sha256(json.dumps(doc, indent=2, ensure_ascii=False).encode()).hexdigest()
                given = {"gen_args_0": {"arg_0": f"{_SHOT * 8}Q: {doc['question']}\nA:", "arg_1": {"until": ["\n"]}}}
                row = {"doc_id": number, "doc": doc, "target": doc["answer"], "arguments": given, "resps": [["8"]],
                       "filtered_resps": ["8"], "filter": "none", "metrics": ["exact_match"], "doc_hash": digest,
                       "exact_match": float((number + llm) % 2)}  # fmt: skip
                size += file.write(json.dumps(row) + "\n")
    return size


def parse(folder: Path) -> int:
    """The JSON parser alone, line by line; the number of rows."""
    n_rows = 0
    for path in sorted(folder.rglob("*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                json.loads(line)
                n_rows += 1
    return n_rows


def collect(folder: Path) -> int:
    """What `embedllm collect` does up to the table; its number of rows."""
    from embedllm_hf import read_logs

    return len(read_logs(folder).to_long())


def measured(what: str, folder: Path) -> dict[str, float]:
    """Seconds of a processor and memory of one of the two, in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "scripts.logs", "--run", what, "--folder", str(folder)],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return json.loads(done.stdout)


def run(what: str, folder: Path) -> None:
    """Measure one of the two here, and print it as JSON."""
    started = time.process_time()
    n_rows = {"parse": parse, "collect": collect}[what](folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": n_rows, "seconds": time.process_time() - started, "megabytes": peak}))


def main() -> int:
    """Write the logs, measure both, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llms", type=int, default=100, help="default: 100")
    parser.add_argument("--questions", type=int, default=10_000, help="default: 10,000")
    parser.add_argument("--run", choices=("parse", "collect"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.run, options.folder)
        return 0
    with tempfile.TemporaryDirectory() as name:
        size = write(Path(name), options.llms, options.questions)
        alone, ours = (measured(what, Path(name)) for what in ("parse", "collect"))
    print(
        f"{ours['rows']:,} rows, {size / 1e6:,.0f} MB: {ours['seconds']:.1f} s of CPU, the parser alone "
        f"{alone['seconds']:.1f} s ({ours['seconds'] / alone['seconds']:.2f}), {ours['megabytes']:,.0f} MB at most"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
