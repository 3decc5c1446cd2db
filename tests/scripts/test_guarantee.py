"""The measure of the promise: on a made-up pool, and what counts as broken."""

import numpy as np

from embedllm_hf.evaluation.guarantee import KeptGuarantee
from scripts.guarantee import HEADER, is_clearly_broken, measured, rows_of
from tests.pool import make_split


def test_a_made_up_pool_is_measured():
    """Twelve promises a division; a row for each, with as many cells as the header has."""
    records = [record for seed in (0, 1) for record in measured(make_split(300), seed)]
    assert len(records) == 24
    rows = rows_of("made-up", records)
    assert {len(row) for row in rows} == {len(HEADER)}
    validated, strict = rows[0], rows[1]
    assert [validated[:4], strict[3]] == [["made-up", "most probable", "0.7", "validated"], "strict"]
    assert float(validated[4].split()[0]) >= float(strict[4].split()[0])
    assert validated[6:8] == ["-", "0/2"]


def test_a_promise_is_clearly_broken_beyond_the_noise_of_the_test():
    """Of 100 questions, 80% were promised: 79 right answers may be chance, 60 are not."""
    truth = np.ones((100, 2))
    kept = KeptGuarantee(0.8, 0.5, False, 1.0, 0.79, 0.7, 0.9)
    assert not is_clearly_broken(kept, truth)
    assert is_clearly_broken(KeptGuarantee(0.8, 0.5, False, 1.0, 0.6, 0.5, 0.7), truth)
    assert not is_clearly_broken(KeptGuarantee(0.8, None, False, 0.0), truth)
