"""Faults of the Hub: every kind of `hub_kinds`, met while reading and while writing; was it survived, or told?

    python -m scripts.faults.hub --seed 0 > hub.md

A Hub on this machine fails in each way; the library's timeouts are cut to half a second, and its waits to nothing.
Read: a model, a data set and a text encoder, each with a cold cache and with one that holds an older commit. Written:
a model, an LLM that is added to a model, and a split of a data set. Survived means that the content is right; for a
write that it is there, once. Told means that one line names the repository and says what is wrong, that nothing was
changed, and that the same call works when the fault is gone. Everything else is lost, and so is a write that is told
to have failed although it is done.
"""

import argparse
import io
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tests.hub import HubServer, Repo
from tests.hub.clients import no_waiting

from .hub_kinds import KINDS, Kind, Trial

SECONDS = 0.5  # of every timeout
LONGEST = 30.0  # seconds; what takes longer has no end
LLMS = ("lab/one", "lab/two", "lab/three")


@dataclass(frozen=True)
class Subject:
    """What is read or written.

    Attributes:
        type (`str`): Of its repository.
        states (`Callable`): The files of its first commit, and those of its second, which the fault comes with.
        act (`Callable`): Reads it by its id and gives what can be compared, or writes it and gives the commit's id.
        written (`str`): Of a write: the title of its commit.
    """

    type: str
    states: Callable[[], tuple[dict[str, bytes], dict[str, bytes]]]
    act: Callable[[str], object]
    written: str = ""


def make_model(seed: int, llms: Sequence[str] = LLMS):
    """A small untrained model."""
    from embedllm_hf import EmbedLLM

    return EmbedLLM.from_encoder("offline", llm_names=llms, text_dim=8, seed=seed, embed_dim=4)


def model_files(seed: int) -> dict[str, bytes]:
    """What its folder holds."""
    with tempfile.TemporaryDirectory() as folder:
        make_model(seed).save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def make_responses(first: int):
    """A few responses."""
    import pandas as pd

    from embedllm_hf.data.long_table import REQUIRED_COLUMNS
    from embedllm_hf.data.responses import ResponseMatrix

    rows = [(f"Question {first + i}?", name, (i + j) % 2) for i in range(4) for j, name in enumerate(LLMS)]
    return ResponseMatrix.from_pandas(pd.DataFrame(rows, columns=list(REQUIRED_COLUMNS)), llm_names=LLMS)


def data_files(first: int) -> dict[str, bytes]:
    """A data set with one split."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(make_responses(first).to_long(), sink, store_schema=False)
    return {"train.parquet": sink.getvalue()}


def encoder_files(seed: int) -> dict[str, bytes]:
    """Files as a text encoder has them."""
    return {"modules.json": b"[%d]" % seed, "1_Pooling/config.json": b"{}", "model.safetensors": bytes([seed]) * 999}


def read_model(repo_id: str) -> object:
    """The vectors of a model."""
    from embedllm_hf import EmbedLLM

    return EmbedLLM.from_pretrained(repo_id).llm_embeds.tolist()


def read_data(repo_id: str) -> object:
    """The questions of a data set."""
    from embedllm_hf import load_responses

    return load_responses(repo_id, split="train").questions.tolist()


def read_encoder(repo_id: str) -> object:
    """The files of a text encoder, fetched as `QuestionEncoder` does."""
    from embedllm_hf.hub.client import fetch_snapshot

    snapshot = fetch_snapshot(repo_id, lambda files: [name for name in files if name != ".gitattributes"])
    return {name: (snapshot.folder / name).read_bytes() for name in encoder_files(0)}


def write_model(repo_id: str) -> object:
    """Push another model over the one that is there."""
    return make_model(2).push_to_hub(repo_id).oid


def write_llm(repo_id: str) -> object:
    """Add an LLM to the model that is there."""
    grown = make_model(1).with_llm("lab/new", [0.5, 0.5, 0.5, 0.5])
    return grown.push_llm_to_hub("lab/new", repo_id).oid


def write_data(repo_id: str) -> object:
    """Add a split."""
    return make_responses(50).push_to_hub(repo_id, split="test").rpartition("/")[2]


READS = {
    "model": Subject("model", lambda: (model_files(0), model_files(1)), read_model),
    "data set": Subject("dataset", lambda: (data_files(0), data_files(9)), read_data),
    "encoder": Subject("model", lambda: (encoder_files(0), encoder_files(1)), read_encoder),
}
WRITES = {
    "model": Subject("model", lambda: (model_files(0), model_files(1)), write_model, "Upload EmbedLLM"),
    "LLM": Subject("model", lambda: (model_files(0), model_files(1)), write_llm, "Add lab/new"),
    "data set": Subject("dataset", lambda: (data_files(0), data_files(9)), write_data, "Add the test split"),
}


class Campaign:
    """A Hub and another host, and what was made for the trials on them."""

    def __init__(self, hub: HubServer, other: HubServer) -> None:
        self.hub, self.other, self.count = hub, other, 0
        self._states: dict[Subject, tuple[dict[str, bytes], dict[str, bytes]]] = {}
        self._right: dict[Subject, list[object]] = {}

    def states(self, subject: Subject) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """The files of a subject's two commits."""
        if subject not in self._states:
            self._states[subject] = subject.states()
        return self._states[subject]

    def right(self, subject: Subject) -> list[object]:
        """What reading gives for the first and the second commit."""
        if subject not in self._right:
            made = [self.make(subject, files).id for files in self.states(subject)]
            self._right[subject] = [subject.act(repo_id) for repo_id in made]
        return self._right[subject]

    def make(self, subject: Subject, files: dict[str, bytes]) -> Repo:
        """A repository of its own."""
        self.count += 1
        return self.hub.create_repo(f"user/trial-{os.getpid()}-{self.count}", files, type=subject.type)

    def prepare(self, subject: Subject, *, warm: bool) -> Trial:
        """A repository with two commits, the first of them in the cache if it is `warm`."""
        first, second = self.states(subject)
        self.hub.store.objects.clear()  # what was uploaded in another trial would not be again
        repo = self.make(subject, first)
        if warm:
            subject.act(repo.id)
        repo.commit(second, "second")
        return Trial(self.hub, repo, self.other)

    @contextmanager
    def failing(self, kind: Kind, trial: Trial, on: str) -> Iterator[None]:
        """The fault, while the block runs."""
        with ExitStack() as stack:
            ordered = kind.order(trial, on)
            if isinstance(ordered, AbstractContextManager):
                stack.enter_context(ordered)
            try:
                yield
            finally:
                self.hub.faults.clear()
                self.other.faults.clear()

    def read(self, kind: Kind, subject: Subject, *, warm: bool) -> str:
        """Read under a fault: "survived", "told", or why it is lost."""
        right = self.right(subject)
        trial = self.prepare(subject, warm=warm)
        with self.failing(kind, trial, kind.read):
            outcome, said = attempt(subject.act, trial.repo.id)
        if said is not None:
            return f"LOST: it is in the cache ({said})" if warm and kind.cached else judged(kind, trial, said)
        if kind.says is not None and not (warm and kind.cached):
            return "LOST: not refused"
        return "survived" if outcome in right[0 if warm else 1 :] else "LOST: wrong content"

    def write(self, kind: Kind, subject: Subject) -> str:
        """Write under a fault: "survived", "told", or why it is lost."""
        trial = self.prepare(subject, warm=False)
        repo_id = trial.repo.id
        with self.failing(kind, trial, kind.write):
            outcome, said = attempt(subject.act, repo_id)
        made = commits(trial.repo, subject.written)
        if said is None:
            if kind.says is not None:
                return "LOST: not refused"
            return "survived" if made == [outcome] else f"LOST: {len(made)} commits, said to be {outcome}"
        if made and "may be there or not" not in said:
            return f"LOST: done, but told it failed ({said})"
        if (trial.repo.type, trial.repo.id) in self.hub.store.repos:
            outcome, again = attempt(subject.act, repo_id)
            if again is not None or commits(trial.repo, subject.written) != [outcome]:
                return f"LOST: cannot be repeated ({again})"
        return judged(kind, trial, said)


def commits(repo: Repo, title: str) -> list[str]:
    """The commits of a title, newest first."""
    return [commit.oid for commit in repo.history() if commit.title == title]


def attempt(act: Callable[[str], object], repo_id: str) -> tuple[object, str | None]:
    """What a call gives, and what it says if it fails."""
    from embedllm_hf._errors import UserError

    start, outcome, said = time.monotonic(), None, None
    try:
        outcome = act(repo_id)
    except UserError as error:
        said = str(error)
    except Exception as error:  # to be counted, whatever it is
        said = f"TRACEBACK {type(error).__name__}: {error}"
    if time.monotonic() - start > LONGEST:
        said = f"NO END: {said}"
    return outcome, said


def judged(kind: Kind, trial: Trial, said: str) -> str:
    """Whether what is said of a failure is one true line."""
    true = kind.says is not None and re.search(kind.says, said) and trial.repo.id in said
    return "told" if true and "\n" not in said and not said.startswith(("TRACEBACK", "NO END")) else f"LOST: {said}"


@contextmanager
def without_pictures() -> Iterator[None]:
    """As if matplotlib were not installed."""
    there = sys.modules.get("matplotlib")
    sys.modules["matplotlib"] = None
    try:
        yield
    finally:
        del sys.modules["matplotlib"]
        if there is not None:
            sys.modules["matplotlib"] = there


@contextmanager
def impatient(seconds: float = SECONDS) -> Iterator[None]:
    """Short timeouts, no waiting, and no pictures in the cards, which take most of the time."""
    from huggingface_hub import constants

    from embedllm_hf.hub import requests

    with ExitStack() as stack:
        for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
            stack.enter_context(patch.object(constants, name, seconds))
        for name in ("UPLOAD_SECONDS", "WHOLE_ANSWER_SECONDS"):
            stack.enter_context(patch.object(requests, name, seconds))
        stack.enter_context(no_waiting())
        stack.enter_context(without_pictures())
        yield


def run(campaign: Campaign, kinds: Sequence[Kind]) -> list[list[str]]:
    """A row for each kind: its name, what became of the reads, and of the writes."""
    rows = []
    for kind in kinds:
        read, written = [], []
        if kind.read is not None:
            read = [campaign.read(kind, subject, warm=warm) for subject in READS.values() for warm in (False, True)]
        if kind.write is not None:
            written = [campaign.write(kind, subject) for subject in WRITES.values()]
        rows.append([kind.name, summary(read), summary(written)])
        print(*rows[-1], sep=" | ", file=sys.stderr)
    return rows


def summary(outcomes: Sequence[str]) -> str:
    """Outcomes, counted."""
    counts = {outcome: outcomes.count(outcome) for outcome in dict.fromkeys(outcomes)}
    return ", ".join(f"{outcome} {count}" for outcome, count in counts.items()) or "-"


def main(argv: Sequence[str] | None = None) -> int:
    """Run all kinds in an order of chance, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the order of the kinds")
    parser.add_argument("--only", metavar="TEXT", default="", help="only the kinds with this in their names")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as home, HubServer() as hub, HubServer() as other:
        os.environ.update(hub.env(home))  # before a client is imported
        kinds = [kind for kind in KINDS if options.only in kind.name]
        random.Random(options.seed).shuffle(kinds)
        with impatient():
            rows = run(Campaign(hub, other), kinds)
        lost = sum("LOST" in cell for row in rows for cell in row)
        leaked = [request for request in other.requests if request.with_token]
    print("| kind | read | write |\n| --- | --- | --- |")
    for row in sorted(rows):
        print("|", " | ".join(cell.replace("|", "\\|") for cell in row), "|")
    print(f"\n{len(rows)} kinds, {lost} lost; tokens sent to another host: {len(leaked)}.")
    return 1 if lost or leaked else 0


if __name__ == "__main__":
    sys.exit(main())
