"""Kill every verb that writes, before each of its file changes and at random moments, and look at what is there.

python -m scripts.faults.kill                                        # all verbs, each file change, 200 moments each
python -m scripts.faults.kill --verbs "train,resume" --moments 20 --changes 30 --seed 1

A trial runs in a forked child that kills itself, or is killed. Then the output has to be exactly what it was before or
exactly what the work makes; doing it again has to make exactly that, a resumed training to the bit; and nothing that
was left in between may stay. Libraries are loaded once, in the parent, which computes nothing on several threads.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.hub import HubServer

if TYPE_CHECKING:
    from .kill_world import Verb, World

_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "socket.connect")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LONGEST = 300  # seconds of one run


@dataclass
class Tally:
    """What was found after the kills of one verb."""

    verb: str
    moments: int = 0
    old: int = 0
    new: int = 0
    lost: list[str] = field(default_factory=list)


# --- in the child ---


class Changes:
    """Counts this process's changes of files, by Python's audit events, and dies at one of them.

    A file that is opened to be written counts twice: before, and when it is there but empty; one that safetensors
    writes, too: before, and when half of it is there.
    """

    def __init__(self, die_at: int | None) -> None:
        self.count, self.die_at, self._is_busy = 0, die_at, False

    def watch(self) -> None:
        """Begin; there is no end to it."""
        import safetensors.numpy
        import safetensors.torch

        for module in (safetensors.numpy, safetensors.torch):
            module.serialize_file = self._around(module.serialize_file)
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._is_busy:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING and not str(path).startswith("/dev"):
                self._change(None)
                self._change(lambda: os.close(os.open(path, flags, 0o600)))
        elif event in _CHANGES or (event == "ctypes.dlsym" and "renameat2" in arguments):
            self._change(None)

    def _around(self, serialize: Callable[..., None]) -> Callable[..., None]:
        def write(tensors: Any, path: Any, **options: Any) -> None:
            def write_half() -> None:
                serialize(tensors, path, **options)
                os.truncate(path, Path(path).stat().st_size // 2)

            self._change(None)
            self._change(write_half)
            serialize(tensors, path, **options)

        return write

    def _change(self, last_act: Callable[[], Any] | None) -> None:
        self.count += 1
        if self.count == self.die_at:
            self._is_busy = True
            if last_act is not None:
                with contextlib.suppress(OSError):
                    last_act()
            os.kill(os.getpid(), signal.SIGKILL)


def _in_child(work: Callable[[Path], Any], trial: Path, die_at: int | None, report: int) -> None:
    """Do the work as a process of its own would, say how many changes it made, and end."""
    import huggingface_hub.constants

    code = 1
    try:
        sink = os.open(trial / "tmp" / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        sys.stdout = sys.stderr = os.fdopen(sink, "w", encoding="utf-8", buffering=1)
        huggingface_hub.constants.HF_HOME = str(trial / "home")
        tempfile.tempdir = str(trial / "tmp")
        time.perf_counter = lambda: 0.0  # reports hold how long training took
        changes = Changes(die_at)
        changes.watch()
        code = int(work(trial) or 0)
        os.write(report, f"{changes.count}".encode())
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


# --- in the parent ---


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (-9: killed), its changes of files, the seconds, and what it said last."""

    code: int
    changes: int
    seconds: float
    said: str


def run(
    work: Callable[[Path], Any], trial: Path, *, die_at: int | None = None, die_after: float | None = None
) -> Ended:
    """Do some work in a forked child, which dies at its `die_at`th change, or is killed after some seconds."""
    began = time.perf_counter()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _in_child(work, trial, die_at, writing)
    os.close(writing)
    deadline = began + (_LONGEST if die_after is None else die_after)
    while (status := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.perf_counter() >= deadline:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)
            break
        time.sleep(0.001)
    changes = os.read(reading, 20).decode()
    os.close(reading)
    said = trial / "tmp" / "said"
    last = said.read_text(errors="replace").strip().splitlines()[-1:] if said.exists() else []
    code = os.waitstatus_to_exitcode(status[1])
    return Ended(code, int(changes or 0), time.perf_counter() - began, "".join(last)[:300])


def left_behind(trial: Path) -> list[str]:
    """What the killed run has left that no later run has removed; the system clears its folder for temporary files."""
    found = [path.name for path in trial.rglob(".*") if not path.is_relative_to(trial / "tmp")]
    return found + [path.name for path in trial.glob("out/checkpoints/*") if path.name != "finished.json"]


def kill_verb(world: World, name: str, verb: Verb, *, n_changes: int, n_moments: int, seed: int) -> Tally:
    """Kill one verb at some of its changes (0: at each) and at random moments, and check what is there each time."""
    trial, tally = world.folder.parent / "trial", Tally(name)
    world.begin(verb, trial)
    before = world.state(verb, trial)
    whole = run(verb.run, trial)
    after = world.state(verb, trial)
    if whole.code != 0 or after == before:
        tally.lost.append(f"does not work at all: {whole.said}")
        return tally
    draw = random.Random(f"{seed} {name}")
    changes = list(range(1, whole.changes + 1))
    if n_changes and n_changes < len(changes):
        changes = sorted(draw.sample(changes, n_changes))
    kills: list[dict[str, Any]] = [{"die_at": change} for change in changes]
    kills += [{"die_after": draw.uniform(0, whole.seconds)} for _ in range(n_moments)]
    for kill in kills:
        world.begin(verb, trial)
        run(verb.run, trial, **kill)
        tally.moments += 1
        _look(world, verb, trial, tally, (before, after), str(kill))
    shutil.rmtree(trial)
    return tally


def _look(world: World, verb: Verb, trial: Path, tally: Tally, states: tuple[str, str], kill: str) -> None:
    """Count what one kill has left: the old state or the new, from which the work can be done."""
    before, after = states
    found = world.state(verb, trial)
    if found != before and found != after and not (verb.stages and run(_load, trial).code == 0):
        tally.lost.append(f"{kill}: neither the old nor the new")
        return
    if verb.repeatable or found == before:
        again = run(verb.rerun, trial)
        if again.code != 0 or world.state(verb, trial) != after:
            tally.lost.append(f"{kill}: done again, exit code {again.code}, {again.said or 'another result'}")
            return
        if left := left_behind(trial):
            tally.lost.append(f"{kill}: left behind {', '.join(left)}")
            return
    tally.old += found == before
    tally.new += found != before


def _load(trial: Path) -> None:
    from embedllm_hf import EmbedLLM

    EmbedLLM.from_pretrained(trial / "out")


@contextlib.contextmanager
def made_world(folder: Path, hub: HubServer) -> Iterator[World]:
    """The world, its models made in a child."""
    import torch

    from .kill_world import World

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a process that has computed on more cannot be forked
    try:
        world = World(folder / "world", hub)
        (world.folder / "tmp").mkdir()
        made = run(lambda _: world.make_models(), world.folder)
        assert made.code == 0, made.said
        world.warm_up()
        yield world
    finally:
        torch.set_num_threads(threads)


def _cut_a_training(world: World) -> None:
    """A training that was killed when it had written two checkpoints, for `resume`."""
    verb, trial = world.verbs()["train"], world.folder.parent / "trial"
    for change in range(20, 200, 4):
        world.begin(verb, trial)
        run(verb.run, trial, die_at=change)
        if list(trial.glob("out/checkpoints/*-000002.safetensors")):
            (trial / "out").rename(world.folder / "cut")
            return
    raise AssertionError("no training was cut")


def campaign(
    folder: Path, hub: HubServer, *, verbs: Sequence[str] = (), n_changes: int = 0, n_moments: int = 200, seed: int = 0
) -> Iterator[Tally]:
    """Kill some verbs (none given: all of them).

    Args:
        folder (`Path`): For what is made.
        hub (`HubServer`): That the client talks to.
        verbs (`Sequence[str]`): Of `World.verbs`.
        n_changes, n_moments (`int`): Kills a verb, see `kill_verb`.
        seed (`int`): Of what is drawn.
    """
    with made_world(folder, hub) as world:
        for name, verb in world.verbs().items():
            if verb.start == "cut" and (not verbs or name in verbs):
                _cut_a_training(world)
            if not verbs or name in verbs:
                yield kill_verb(world, name, verb, n_changes=n_changes, n_moments=n_moments, seed=seed)


def row(tally: Tally) -> str:
    """A verb's row of the table."""
    return f"| {tally.verb} | {tally.moments} | {tally.old} | {tally.new} | {len(tally.lost)} |"


def main() -> int:
    """Print the table, and what was lost; 1 if anything was."""
    parser = argparse.ArgumentParser("python -m scripts.faults.kill", description=__doc__.splitlines()[0])
    parser.add_argument("--verbs", default="", help="some verbs of the table, with commas between (default: all)")
    parser.add_argument("--changes", type=int, default=0, help="file changes a verb, drawn; 0: each of them (default)")
    parser.add_argument("--moments", type=int, default=200, help="random moments a verb (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    options = parser.parse_args()
    verbs = [name.strip() for name in options.verbs.split(",") if name.strip()]
    print("| verb | moments | old | new | lost |\n| --- | --- | --- | --- | --- |")
    lost, rows = [], 0
    with tempfile.TemporaryDirectory() as folder, HubServer() as hub:
        os.environ.update(hub.env(home=f"{folder}/home"), OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
        counts = {"n_changes": options.changes, "n_moments": options.moments, "seed": options.seed}
        for tally in campaign(Path(folder), hub, verbs=verbs, **counts):
            print(row(tally), flush=True)
            rows += 1
            lost += [f"{tally.verb}: {what}" for what in tally.lost]
    print("".join(f"\nlost: {what}" for what in lost), file=sys.stderr)
    return int(rows == 0 or bool(lost))


if __name__ == "__main__":
    raise SystemExit(main())
