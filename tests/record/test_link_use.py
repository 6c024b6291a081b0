"""Readings of counters through a run however long: few stay, and those of the measured window are the right ones."""

import numpy as np
import pytest

from testbed.record.link_use import MOST, Readings, link_use


def read(times, window):
    out: Readings[tuple[float, ...]] = Readings(window)
    for t in times:
        out.add(t, (125.0 * t,))
    return out


@pytest.mark.parametrize("seconds", [10, 2 * MOST - 1, 3600, 40_000])
def test_a_long_run_keeps_no_more_readings_than_a_short_one_shows(seconds):
    times = [0.25 * k for k in range(4 * seconds + 1)]
    found = read(times, (5.0, seconds - 1.0))
    assert len(found.kept) <= 2 * MOST
    if len(times) <= 2 * MOST:
        assert [t for t, _ in found.kept] == times
    else:
        assert len(found.kept) > MOST
    steps = np.diff([t for t, _ in found.kept])
    assert np.ptp(steps) == 0 and found.kept[0][0] == 0.0 and found.kept[-1][0] >= seconds - steps[0]
    shown = link_use([t for t, _ in found.kept], [r for _, r in found.kept], ["a"], [1000.0])
    assert 5 < len(shown["at_s"]) <= MOST and shown["share"]["a"] == pytest.approx([1.0] * len(shown["at_s"]))


@pytest.mark.parametrize("window", [(30.0, 60.0), (100.2, 2999.9), (0.0, 3600.0), (5000.0, 6000.0)])
def test_the_window_is_that_of_all_readings(window):
    times = [float(t) for t in np.sort(np.random.default_rng(1).uniform(0, 3600, 9000))]
    inside = [t for t in times if window[0] - 0.5 <= t <= window[1] + 0.5] or times
    first, last = read(times, window).window()
    assert (first[0], last[0]) == (inside[0], inside[-1])


def test_one_reading_is_a_window_and_none_is_not():
    assert read([], (0.0, 1.0)).window() is None
    first, last = read([0.25], (0.0, 1.0)).window()
    assert first == last == (0.25, (31.25,))
