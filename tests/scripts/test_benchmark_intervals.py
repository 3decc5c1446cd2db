"""The measure of the intervals of a pool's scores: on a made-up pool, and on real responses what the page promises."""

import numpy as np
import pytest

from scripts.benchmark_intervals import load, main, measured, rows_of
from tests.pool import make_split


def test_a_made_up_pool_is_measured():
    """Both kinds of members; intervals about the known questions miss what those about the whole hold."""
    records = list(measured(make_split(240, hidden=0.05), 2, 0))
    assert {record.sparse for record in records} == {False, True}
    assert {record.group for record in records} == {(0, fold, name) for fold in (0, 1) for name in ("logic", "poetry")}
    whole = [record for record in records if not record.sparse]
    known, full, _ = np.mean([record.held for record in whole], axis=0)
    assert known < 0.7 < full
    for record in records:
        known_width, whole_width, width = record.widths
        assert 0 <= known_width <= 1.01 * whole_width <= 1.02 * width <= 1.02
    rows = rows_of("made-up", 2, records)
    assert [row[2:4] for row in rows] == [["all its answers", "benchmark"], ["10% of its answers", "benchmark"]]


@pytest.mark.real_data
def test_nine_of_ten_scores_are_held(data_folder):
    """On real responses 85 to 95% of the whole scores lie inside, of the benchmark and of categories.

    Few do where the interval is about the known questions, and all of these have been answered.
    """
    records = list(measured(load(data_folder("kor-bench"), 300), 5, 0))
    for sparse in (False, True):
        known, whole, held_out = np.mean([record.held for record in records if record.sparse == sparse], axis=0)
        assert 0.85 <= whole <= 0.95
        assert 0.85 <= held_out <= 0.95
        assert sparse or known < 0.1


@pytest.mark.real_data
@pytest.mark.slow
def test_the_command_prints_the_table(data_folder, capsys):
    """A row for each kind of member and target."""
    assert main(["--data", str(data_folder("kor-bench")), "--n_folds", "2", "--max_llms", "20"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 4


def test_without_a_model_those_who_answered_all_are_measured_alone():
    """As with a model, but for those who have not, and for the sparse ones, of which there are none."""
    whole = make_split(240, hidden=0.0)
    alone, with_model = (list(measured(whole, 2, 0, all_answered=flag)) for flag in (True, False))
    assert len(alone) == 2 * 2 * 6
    assert not any(record.sparse for record in alone)
    found = {(record.group, record.held) for record in alone}
    assert {(record.group, record.held) for record in with_model if not record.sparse} <= found
    assert not list(measured(make_split(240, hidden=0.5), 2, 0, all_answered=True))
