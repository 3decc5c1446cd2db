"""What the trials of `kill` start from: two data sets, two models, a tiny encoder, a Hub; and the verbs that write."""

from __future__ import annotations

import hashlib
import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedllm_hf import EmbedLLM
from embedllm_hf.cli import main
from tests.hub import HubServer
from tests.logs.made import QUESTIONS, lm_eval
from tests.pool import LLMS, make_frame
from tests.tiny_encoder import save_tiny_encoder

REPOSITORY = "user/pushed"
_SMALL = ["--num_train_epochs", "3", "--embed_dim", "4", "--disable_tqdm"]
_CHECKPOINTS = ["--save_checkpoints"]


@dataclass(frozen=True)
class Verb:
    """Something that writes, as a trial runs it in a folder of its own.

    Attributes:
        run, rerun (`Callable[[Path], Any]`): The work, and what a user does after it was killed; 0 or None is success.
        output (`str`): What is written, in the trial's folder.
        start (`str`): What is there before, in the world; empty for nothing.
        stages (`bool`): Whether a model without its report is a state in between, too.
        repeatable (`bool`): Whether the work can be done again where it is done.
        pushes (`bool`): Whether the output is the repository, not a file.
    """

    run: Callable[[Path], Any]
    rerun: Callable[[Path], Any]
    output: str = "out"
    start: str = ""
    stages: bool = False
    repeatable: bool = True
    pushes: bool = False


class World:
    """A folder with everything that trials read.

    Args:
        folder (`Path`): Where it is made.
        hub (`HubServer`): For pushes.
    """

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.folder, self.hub = folder, hub
        for name, start in (("data", 0), ("other", 200)):
            (folder / name).mkdir(parents=True)
            for split, first, n in (("train", 0, 60), ("validation", 60, 20), ("test", 80, 20)):
                frame = make_frame(n, first_id=start + first, seed=start + first)
                frame.to_csv(folder / name / f"{split}.csv", index=False, lineterminator="\n")
        save_tiny_encoder(folder)
        rows = [f"{question},{question % 2}" for question in range(20)]
        (folder / "answers.csv").write_text("\n".join(["prompt_id,label", *rows]) + "\n")
        (folder / "costs.csv").write_text(
            "\n".join(["llm,cost", *(f"{llm},{cost}" for cost, llm in enumerate(LLMS, 1))]) + "\n"
        )

    def train(self, output: Path, *options: str, data: str = "data") -> int:
        """`embedllm train` on one of the data sets."""
        source = ["--dataset", str(self.folder / data), "--encoder", str(self.folder / "encoder")]
        return main(["train", *source, "--output_dir", str(output), *_SMALL, *options])

    def make_models(self) -> None:
        """The models that are read, and that are written over; in a process that may use threads."""
        assert self.train(self.folder / "model") == 0
        assert self.train(self.folder / "another", data="other") == 0
        assert self.verb("embed --dataset {other} --encoder {encoder} --output {world}/old.safetensors", Path()) == 0
        assert self.verb("distill --model {another} --dataset {other} --output_dir {world}/static", Path()) == 0
        (self.folder / "report.json").write_text('{"old": 1}\n')
        lm_eval(self.folder / "logs")
        lm_eval(self.folder / "other_logs", llm="lab/two", questions=[f"{text} Now." for text in QUESTIONS[:4]])
        assert self.verb("collect {world}/other_logs --output_dir {world}/collected", Path()) == 0

    def warm_up(self) -> None:
        """Import in this process what each trial would import anew, and draw the first picture of it."""
        for module in (
            "training.trainer",
            "new_llms.onboarding",
            "new_llms.adding",
            "encoding.distill",
            "evaluation.cost_report",
        ):
            importlib.import_module(f"embedllm_hf.{module}")
        EmbedLLM.from_pretrained(self.folder / "model").save_pretrained(self.folder / "warm")

    def verb(self, line: str, trial: Path, *options: str) -> int:
        """A command line with the world's folders filled in."""
        names = {name: self.folder / name for name in ("data", "other", "encoder", "model", "another")}
        files = {name.split(".")[0]: self.folder / name for name in ("answers.csv", "costs.csv")}
        words = [word.format(world=self.folder, out=trial / "out", **names, **files) for word in line.split()]
        return main([*words, *options])

    def verbs(self) -> dict[str, Verb]:
        """All verbs by the name that the table gives them."""

        def training(*options: str, data: str = "data", **more: Any) -> Verb:
            again = ("--resume_from_checkpoint", "--overwrite_output_dir")
            return Verb(
                lambda trial: self.train(trial / "out", *_CHECKPOINTS, *options, data=data),
                lambda trial: self.train(trial / "out", *_CHECKPOINTS, *options, *again, data=data),
                stages=True,
                **more,
            )

        def writing(line: str, *again: str, **more: Any) -> Verb:
            return Verb(lambda trial: self.verb(line, trial), lambda trial: self.verb(line, trial, *again), **more)

        text = ("--train_encoder", "--encoder_epochs", "1", "--encoder_block_size", "16", "--encoder_save_steps", "2")
        onboard = "onboard --llm new/llm --answers {answers} --output_dir {out} --model "
        over = "--overwrite_output_dir"
        distill = "distill --model {model} --dataset {data} --output_dir {out} --overwrite_output_dir"
        embed = "embed --dataset {data} --encoder {encoder} --output {out}"
        return {
            "train": training(),
            "train over another": training(over, start="another"),
            "train with encoder": training(*text),
            "resume": training("--resume_from_checkpoint", over, start="cut"),
            "embed": writing(embed),
            "embed over another": writing(embed, start="old.safetensors"),
            "onboard": writing(onboard + "{model}", over),
            "onboard over another": writing(f"{onboard} {{model}} {over}", start="another"),
            "onboard into its own": writing(f"{onboard} {{out}} {over}", start="model", repeatable=False),
            "distill": writing(distill),
            "distill over another": writing(distill, start="static"),
            "save_pretrained over another": Verb(self._save, self._save, start="another"),
            "evaluate": writing("evaluate --model {model} --dataset {data} --output {out}", start="report.json"),
            "curve": writing(
                "curve --model {model} --dataset {data} --costs {costs} --output {out}", start="report.json"
            ),
            "collect": writing("collect {world}/logs --output_dir {out}"),
            "collect over another": writing("collect {world}/logs --output_dir {out}", start="collected"),
            "add over another": writing(
                f"add --model {{model}} --answers {{other}} --output_dir {{out}} {over}", start="another"
            ),
            "push over another": Verb(self._push, self._push, pushes=True),
        }

    def _save(self, trial: Path) -> None:
        EmbedLLM.from_pretrained(self.folder / "model").save_pretrained(trial / "out")

    def _push(self, trial: Path) -> None:
        EmbedLLM.from_pretrained(self.folder / "model").push_to_hub(REPOSITORY)

    def begin(self, verb: Verb, trial: Path) -> None:
        """Make a trial's folder as the verb finds it, with a cache of text vectors of its own."""
        shutil.rmtree(trial, ignore_errors=True)
        (trial / "tmp").mkdir(parents=True)
        shutil.copytree(self.folder / "home", trial / "home")
        if verb.pushes:
            self.hub.reset()
            files = {path.name: path.read_bytes() for path in (self.folder / "another").iterdir() if path.is_file()}
            self.hub.create_repo(REPOSITORY, files)
        elif verb.start:
            start = self.folder / verb.start
            (shutil.copytree if start.is_dir() else shutil.copy)(start, trial / verb.output)

    def state(self, verb: Verb, trial: Path) -> str:
        """What stands in the verb's output: one digest over the names and contents of its files; "" for nothing."""
        if verb.pushes:
            repository = self.hub.repo(REPOSITORY)
            return _digest({name: repository.read(name) for name in repository.files()})
        output = trial / verb.output
        paths = [output] if output.is_file() else [path for path in output.rglob("*") if path.is_file()]
        files = {str(path.relative_to(trial)): path.read_bytes() for path in paths if "checkpoints" not in path.parts}
        return _digest(files)


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest() if files else ""
