"""The relay's arithmetic against closed forms and brute force: no clock, no root."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.topology.model import Shape
from testbed.world.live.links.base import queue_bytes
from testbed.world.live.links.mahimahi import Opportunities
from testbed.world.live.links.shaper import NEVER, Pipe

RATE = 8e6  # bit/s: 1 byte per µs
FAR = 1e6  # s, after everything


def departures(pipe: Pipe, until: float = FAR) -> list[float]:
    return [planned for planned, _ in pipe.due(until)]


def test_an_idle_link_takes_transmission_time_and_delay() -> None:
    pipe = Pipe(Shape(RATE, delay=0.02), "x")
    assert pipe.offer(5.0, bytes(1000))
    assert pipe.next_at() == pytest.approx(5.0 + 1000 * 8 / RATE + 0.02)
    assert pipe.due(5.0209) == []
    assert len(pipe.due(pipe.next_at())) == 1
    assert (pipe.packets, pipe.bytes, pipe.next_at()) == (1, 1000, NEVER)


def test_frames_of_a_burst_leave_one_transmission_time_apart() -> None:
    pipe = Pipe(Shape(RATE, delay=0.01), "x")
    for _ in range(20):
        assert pipe.offer(1.0, bytes(500))
    expected = [1.0 + 0.01 + (k + 1) * 500 * 8 / RATE for k in range(20)]
    assert departures(pipe) == pytest.approx(expected)


@pytest.mark.parametrize(("limit", "accepted"), [(10_000, 10), (10_999, 10), (11_000, 11), (500, 1)])
def test_the_queue_drops_at_the_tail(limit: int, accepted: int) -> None:
    pipe = Pipe(Shape(RATE, queue=limit), "x")
    taken = [pipe.offer(0.0, bytes(1000)) for _ in range(30)]
    assert taken == [True] * accepted + [False] * (30 - accepted)
    assert pipe.dropped == 30 - accepted
    assert pipe.offer(0.001, bytes(1000)), "one transmission time later there is room for one more"


def test_the_default_queue_is_60_kb_or_100_ms() -> None:
    assert queue_bytes(Shape(1e6)) == 60e3
    assert queue_bytes(Shape(80e6)) == 1e6
    assert queue_bytes(Shape(80e6, queue=5.0)) == 5.0


@given(
    gaps=st.lists(st.floats(0, 0.01), min_size=1, max_size=40),
    sizes=st.lists(st.integers(60, 1514), min_size=40, max_size=40),
    steps=st.lists(st.tuples(st.floats(1e-4, 0.05), st.floats(1e5, 1e8)), min_size=1, max_size=8),
)
@settings(deadline=None)
def test_a_fluctuating_rate_sends_exactly_the_integral_of_the_rate(
    gaps: list[float], sizes: list[int], steps: list[tuple[float, float]]
) -> None:
    """Brute force: the finish of a frame is where the integral of r from its start reaches its bits."""
    times = [sum(g for g, _ in steps[: k + 1]) for k in range(len(steps))]
    rates = [r for _, r in steps]
    pipe = Pipe(Shape(RATE, delay=0.003, queue=1e9), "x")
    pipe.play(0.0, times, rates, origin=0.0)
    edges, pieces = [0.0, *times, math.inf], [RATE, *rates]

    def finish(start: float, bits: float) -> float:
        for left, right, rate in zip(edges, edges[1:], pieces, strict=False):
            if right <= start:
                continue
            span = right - max(left, start)
            if bits <= span * rate:
                return max(left, start) + bits / rate
            bits -= span * rate
        raise AssertionError("the last piece is endless")

    now, free, expected, seen = 0.0, 0.0, [], []
    for gap, size in zip(gaps, sizes, strict=False):
        now += gap
        seen += departures(pipe, now)
        pipe.offer(now, bytes(size))
        free = finish(max(free, now), size * 8)
        expected.append(free + 0.003)
    assert seen + departures(pipe) == pytest.approx(expected, abs=1e-9)


@given(changes=st.lists(st.tuples(st.floats(1e5, 1e8), st.floats(0, 0.05), st.floats(0, 0.01)), max_size=15))
@settings(deadline=None)
def test_changes_lose_nothing_and_keep_the_order(changes: list[tuple[float, float, float]]) -> None:
    pipe = Pipe(Shape(RATE, delay=0.01, queue=1e9), "x")
    gone: list[tuple[float, bytes]] = []
    for index in range(200):
        now = index * 0.001
        gone += pipe.due(now)
        pipe.offer(now, index.to_bytes(2, "big") * 100)
        if index % 12 == 0 and index // 12 < len(changes):
            rate, delay, jitter = changes[index // 12]
            pipe.change(now, Shape(rate, delay, jitter, queue=1e9))
    gone += pipe.due(FAR)
    assert [int.from_bytes(frame[:2], "big") for _, frame in gone] == list(range(200))
    assert [at for at, _ in gone] == sorted(at for at, _ in gone)
    assert pipe.dropped == 0


def test_a_slower_rate_stretches_only_what_is_not_yet_sent() -> None:
    pipe = Pipe(Shape(RATE), "x")
    for _ in range(4):
        pipe.offer(0.0, bytes(1000))  # finish at 1, 2, 3, 4 ms
    pipe.change(0.0025, Shape(RATE / 10))  # half of the third is left: 5 ms at the new rate
    assert departures(pipe) == pytest.approx([0.001, 0.002, 0.0075, 0.0175])


def test_jitter_has_its_deviation_and_never_reorders() -> None:
    pipe = Pipe(Shape(RATE, delay=0.02, jitter=0.002), "7/x/ab")
    lags = []
    for index in range(4000):
        pipe.offer(index * 0.1, bytes(100))
        lags.append(departures(pipe, FAR)[0] - index * 0.1 - 100 * 8 / RATE)
    assert statistics.mean(lags) == pytest.approx(0.02, abs=4 * 0.002 / math.sqrt(4000))
    assert statistics.stdev(lags) == pytest.approx(0.002, rel=4 / math.sqrt(8000))
    for index in range(1000):
        pipe.offer(400 + index * 1e-4, bytes(100))
    close = departures(pipe)
    assert close == sorted(close)


def test_jitter_never_makes_a_frame_arrive_before_it_is_sent() -> None:
    pipe = Pipe(Shape(RATE, delay=0.001, jitter=0.01), "x")
    for index in range(300):
        pipe.offer(index * 1.0, bytes(100))
        assert departures(pipe)[0] >= index + 100 * 8 / RATE


def test_loss_is_binomial_seeded_and_independent_of_jitter() -> None:
    def lost(seed: str, jitter: float) -> list[int]:
        pipe = Pipe(Shape(RATE, delay=1.0, jitter=jitter, loss=0.05), seed)
        missing = []
        for index in range(20_000):
            before = pipe.lost
            pipe.offer(index * 0.01, bytes(60))
            pipe.due(index * 0.01)
            if pipe.lost > before:
                missing.append(index)
        return missing

    first = lost("1/l/ab", 0.0)
    assert abs(len(first) - 1000) < 4 * math.sqrt(20_000 * 0.05 * 0.95)
    assert lost("1/l/ab", 0.5) == first
    assert lost("1/l/ba", 0.0) != first


def test_a_lost_frame_has_used_the_link() -> None:
    pipe = Pipe(Shape(RATE, loss=1.0), "x")
    pipe.offer(0.0, bytes(1000))
    pipe.change(0.0, Shape(RATE))
    pipe.offer(0.0, bytes(1000))
    assert departures(pipe) == pytest.approx([0.002])


def test_a_link_that_goes_down_drops_what_it_holds() -> None:
    pipe = Pipe(Shape(RATE, delay=0.1), "x")
    for _ in range(5):
        pipe.offer(0.0, bytes(1000))
    assert pipe.flush() == 5
    assert (pipe.dropped, pipe.next_at()) == (5, NEVER)
    pipe.offer(1.0, bytes(1000))
    assert departures(pipe) == pytest.approx([1.101])


def test_a_change_scales_a_playing_track_by_the_created_rate() -> None:
    pipe = Pipe(Shape(RATE), "x")
    pipe.play(0.0, [0.0, 10.0], [4e6, 2e6], origin=0.0)
    pipe.change(1.0, Shape(RATE * 0.3))
    assert pipe.rate_in_force() == pytest.approx(1.2e6)
    pipe.advance(10.0)
    assert pipe.rate_in_force() == pytest.approx(0.6e6)
    pipe.change(11.0, Shape(RATE))
    assert pipe.rate_in_force() == pytest.approx(2e6)


@given(
    times=st.lists(st.integers(0, 60), min_size=1, max_size=30).map(sorted).filter(lambda t: t[-1] > 0),
    gaps=st.lists(st.floats(0, 0.03), min_size=1, max_size=40),
    sizes=st.lists(st.integers(60, 1514), min_size=40, max_size=40),
    quota=st.sampled_from([30.0, 777.0, 1500.0, 5000.0]),
)
@settings(deadline=None)
def test_a_trace_sends_as_a_walk_over_its_opportunities_does(
    times: list[int], gaps: list[float], sizes: list[int], quota: float
) -> None:
    """Brute force: visit every opportunity in order; each gives its bytes to the frames waiting then, in order."""
    period = times[-1] / 1000
    pipe = Pipe(Shape(RATE, queue=1e9), "x")
    # half a microsecond after the millisecond, so that no arrival and no opportunity are at the same instant
    pipe.play_trace(0.0, Opportunities([t / 1000 for t in times], period), quota, origin=5e-7)
    arrivals, now = [], 0.0
    for gap, size in zip(gaps, sizes, strict=False):
        now += round(gap, 4) + 1e-6
        arrivals.append((now, size))
        pipe.offer(now, bytes(size))
    waiting = [[at, float(size)] for at, size in arrivals]
    expected, lap = [], 0
    while waiting:
        for t in times:
            instant, budget = 5e-7 + lap * period + t / 1000, quota
            while waiting and waiting[0][0] < instant and budget > 0:
                taken = min(budget, waiting[0][1])
                budget, waiting[0][1] = budget - taken, waiting[0][1] - taken
                if waiting[0][1] == 0:
                    waiting.pop(0)
                    expected.append(instant)
        lap += 1
    assert departures(pipe) == pytest.approx(expected, abs=1e-9)


def test_a_trace_begins_at_its_origin_and_a_factor_scales_its_bytes() -> None:
    pipe = Pipe(Shape(RATE), "x")
    pipe.play_trace(0.0, Opportunities([0.001], 0.001), 1500.0, origin=10.0)
    pipe.offer(1.0, bytes(1000))
    assert departures(pipe, 2.0) == pytest.approx([1.001]), "before the origin the shape's own rate"
    pipe.offer(10.0, bytes(1500))
    pipe.offer(10.0, bytes(1500))
    assert departures(pipe, 11.0) == pytest.approx([10.001, 10.002])
    assert pipe.rate_in_force() == pytest.approx(12e6)
    pipe.change(20.0, Shape(RATE / 2))
    assert pipe.rate_in_force() == pytest.approx(6e6)
    pipe.offer(20.0005, bytes(1500))
    assert departures(pipe) == pytest.approx([20.002])
