"""Dips whose depth and length are known because they were made."""

import numpy as np
import pytest

from testbed.record.dips import Disturbed, dip


def run(*low, rate=100, end=60.0, applied=20.0, reverted=25.0, share=0.5):
    """Tasks every 1/rate s; within each (from, to) of `low` only every other is on time (share 0.5) or none (0)."""
    at = np.arange(0, end, 1 / rate)
    on_time = np.ones(len(at))
    for a, b in low:
        inside = np.flatnonzero((a <= at) & (at < b))
        on_time[inside[:: 2 if share else 1]] = 0
    return Disturbed(at, on_time, applied, reverted, end)


def test_nothing_happened():
    found = dip([run()])
    assert (found.base, found.depth, found.recovery) == (1.0, 0.0, 0.0)


def test_a_hole_is_as_deep_and_as_long_as_it_is():
    found = dip([run((20.0, 26.0))])
    assert found.depth == pytest.approx(0.5)
    assert found.recovery == pytest.approx(6.0, abs=0.25), "the first window with nothing of the hole in it"
    assert found.tasks == 200


def test_it_is_measured_against_what_was_before():
    found = dip([run((0.0, 30.0))])
    assert found.base == pytest.approx(0.5) and found.depth == pytest.approx(0.0, abs=0.01) and found.recovery == 0.0


def test_what_comes_back_late_is_not_back_before():
    found = dip([run((21.0, 22.0), (30.0, 33.0))])
    assert found.recovery == pytest.approx(13.0, abs=0.3)


def test_a_run_that_ends_low_never_recovered():
    assert dip([run((20.0, 60.0))]).recovery is None


def test_depth_looks_until_five_seconds_after_the_end():
    assert dip([run((33.0, 36.0), share=0)]).depth == 0.0
    assert dip([run((31.0, 36.0), share=0)]).depth == pytest.approx(0.5, abs=0.01)


def test_runs_are_pooled_by_their_own_time_of_application():
    later = run((30.0, 36.0), applied=30.0, reverted=35.0)
    found = dip([run((20.0, 26.0)), later])
    assert found.depth == pytest.approx(0.5) and found.tasks == 400
    assert dip([run((20.0, 26.0)), run()]).depth == pytest.approx(0.25)


def test_without_tasks_before_or_after_there_is_nothing_to_say():
    empty = np.empty(0)
    assert dip([Disturbed(empty, empty, 20.0, 25.0, 60.0)]) is None
    assert dip([run(applied=0.0)]) is None
    assert dip([run(applied=59.0)]) is None
