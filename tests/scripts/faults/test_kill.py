"""The campaign of kills runs and finds nothing lost; and it finds a loss where there is one."""

import shutil
from pathlib import Path

from embedllm_hf._files import whole_file
from scripts.faults.kill import campaign, kill_verb, run
from scripts.faults.kill_world import Verb


def test_a_few_kills(tmp_path, hub):
    """At some changes and moments of a training and of a model that replaces another: old or new, and repeatable."""
    verbs = ("train", "onboard over another")
    found = list(campaign(tmp_path, hub, verbs=verbs, n_changes=2, n_moments=1, seed=1))
    assert [tally.verb for tally in found] == list(verbs)
    for tally in found:
        assert tally.lost == []
        assert (tally.moments, tally.old + tally.new) == (3, 3)


def in_place(trial: Path) -> None:
    (trial / "out").write_text("new")


def whole(trial: Path) -> None:
    with whole_file(trial / "out") as partial:
        partial.write_text("new")


class OneFile:
    """A world of one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, verb, trial: Path) -> None:
        shutil.rmtree(trial, ignore_errors=True)
        (trial / "tmp").mkdir(parents=True)
        (trial / "out").write_text("old")

    def state(self, verb, trial: Path) -> str:
        return (trial / "out").read_text()


def test_a_loss_is_found(tmp_path):
    """A file that is written in place is empty at one moment; one that is exchanged never is."""
    tallies = {}
    for work in (in_place, whole):
        verb = Verb(work, work)
        tallies[work] = kill_verb(OneFile(tmp_path / "world"), "write", verb, n_changes=0, n_moments=0, seed=0)
    assert (tallies[in_place].moments, len(tallies[in_place].lost)) == (2, 1)
    assert "neither the old nor the new" in tallies[in_place].lost[0]
    assert tallies[whole].lost == []
    assert tallies[whole].old > 2
    assert tallies[whole].new > 0


def test_a_child_says_how_it_ended(tmp_path):
    """Its exit code, its changes of files, and its last line."""
    (tmp_path / "tmp").mkdir()

    def fail(trial: Path) -> int:
        (trial / "made").mkdir()
        raise ValueError("why")

    assert run(in_place, tmp_path).code == 0
    assert run(in_place, tmp_path).changes == 2
    assert run(in_place, tmp_path, die_at=2).code == -9
    failed = run(fail, tmp_path)
    assert (failed.code, failed.said) == (1, "ValueError: why")
