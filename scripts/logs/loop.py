"""The loop of a few questions, a forecast and the next questions, with lm-evaluation-harness itself.

python -m scripts.logs.loop --lm_eval /path/to/lm_eval

Makes a task of its own and small random language models, runs the harness on them, collects the logs of three, trains,
asks `embedllm probe --command lm_eval` for questions to a fourth, runs that very command, places the LLM by its log
and forecasts its score on the whole task, which the harness then measures. Nothing is fetched. The harness is no
requirement of the project's own: `pip install lm_eval` somewhere.
"""

import argparse
import json
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

_N_QUESTIONS, _N_CHOSEN = 60, 12
_WORDS = ("north", "river", "copper", "seven", "window", "paper", "garden", "salt", "morning", "bridge")
_TASK = """task: word_choice
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: gold
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""


def make_task(folder: Path) -> Path:
    """Questions with two options each; the folder of the task."""
    chance, rows = random.Random(0), []
    for number in range(_N_QUESTIONS):
        asked, other = chance.sample(_WORDS, 2)
        length = chance.choice(("longer", "shorter"))
        question = f"Number {number}: which word is {length}, {asked} or {other}?"
        rows.append({"question": question, "choices": [f" {asked}", f" {other}"], "gold": chance.randrange(2)})
    data = folder / "questions.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "word_choice.yaml").write_text(_TASK.format(data=data))
    return folder


def make_model(folder: Path, seed: int) -> Path:
    """A random language model of a few thousand weights, which reads bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: number for number, sign in enumerate([*alphabet, "<|endoftext|>"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>")
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(vocabulary), n_positions=512, n_embd=16, n_layer=1, n_head=2, initializer_range=0.5,
        bos_token_id=len(vocabulary) - 1, eos_token_id=len(vocabulary) - 1,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def call(command: list[str], folder: Path) -> str:
    """Run a command in a folder, offline, and show it; what it printed."""
    print(f"$ {shlex.join(command)}", flush=True)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        raise SystemExit(f"the command ended with {done.returncode}")
    return done.stdout


def main() -> int:
    """Go round the loop once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lm_eval", default="lm_eval", help="the harness's command (default: lm_eval)")
    harness, ours = [parser.parse_args().lm_eval], [sys.executable, "-m", "embedllm_hf"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = ["--include_path", str(make_task(folder))]
        names = [f"models/{letter}" for letter in "abcd"]
        for seed, llm in enumerate(names):
            make_model(folder / llm, seed)
        asked = ["--tasks", "word_choice", "--log_samples", *tasks]
        for llm in names[:3]:
            call(
                [*harness, "--model", "hf", "--model_args", f"pretrained={llm}", *asked, "--output_path", "runs/pool"],
                folder,
            )
        print(call([*ours, "collect", "runs/pool", "--output_dir", "runs/data"], folder))
        train = ["train", "--dataset", "runs/data", "--encoder", "offline", "--output_dir", "runs/base"]
        call([*ours, *train, "--disable_tqdm"], folder)
        probe = ["probe", "--model", "runs/base", "--llm", names[3], "-n", str(_N_CHOSEN), "--dataset", "runs/data"]
        shown = call([*ours, *probe, "--strategy", "random", "--command", "lm_eval"], folder)
        (printed,) = re.findall(r"^lm_eval .*$", shown, re.M)
        call([*harness, *shlex.split(printed)[1:], *tasks], folder)
        onboard = ["onboard", "--model", "runs/base", "--llm", names[3], "--answers", "runs/new"]
        print(call([*ours, *onboard, "--output_dir", "runs/grown"], folder))
        forecast = ["forecast", "--model", "runs/grown", "--llm", names[3], "--benchmark", "word_choice"]
        print(call([*ours, *forecast], folder))
        whole = ["--model", "hf", "--model_args", f"pretrained={names[3]}", *asked, "--output_path", "runs/whole"]
        print(call([*harness, *whole], folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
