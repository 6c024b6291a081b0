"""The direct door to the engine: queues against Lindley's recursion, transfers against their closed forms."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from testbed.world.twin.stations import Station, Wire, simulate

ENGINE = "reference"


def lindley(arrivals, services, workers):
    """Starts of a first-come-first-served queue: the k-th service begins when it has come and a worker is free."""
    free = [0.0] * workers
    out = []
    for at, service in zip(arrivals, services, strict=True):
        start = max(at, heapq.heappop(free))
        heapq.heappush(free, start + service)
        out.append(start)
    return np.array(out)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_tandem_is_lindleys_recursion(workers):
    rng = np.random.default_rng(5)
    arrivals = np.cumsum(rng.exponential(1.0, 2000))
    services = rng.exponential(0.8 * workers, (2000, 2))
    times = simulate(arrivals, [Station("a", workers), Station("b", workers)], services, engine=ENGINE)
    first = lindley(arrivals, services[:, 0], workers)
    np.testing.assert_allclose(times.started[:, 0], first, rtol=0, atol=1e-9)
    left = first + services[:, 0]
    order = np.argsort(left, kind="stable")
    second = lindley(left[order], services[order, 1], workers)
    np.testing.assert_allclose(times.started[order, 1], second, rtol=0, atol=1e-9)


PATH = (Wire(8e6, 0.010), Wire(16e6, 0.020), Wire(4e6, 0.005))  # 1, 2 and 0.5 MB/s


def test_an_idle_path_takes_delays_bottleneck_and_a_packet_on_each_other_link():
    times = simulate([0.0], [Station("a", wires=PATH, bytes=1e6)], [[0.0]], packet=1000, engine=ENGINE)
    assert times.arrived[0, 0] == pytest.approx(0.035 + 1e6 / 0.5e6 + 1000 / 1e6 + 1000 / 2e6)


def test_store_and_forward_takes_the_whole_message_on_every_link():
    times = simulate([0.0], [Station("a", wires=PATH, bytes=1e6)], [[0.0]], network="store", engine=ENGINE)
    assert times.arrived[0, 0] == pytest.approx(0.035 + 1e6 / 1e6 + 1e6 / 2e6 + 1e6 / 0.5e6)


def test_messages_share_a_link_first_in_first_out():
    times = simulate(
        [0.0, 0.25], [Station("a", workers=2, wires=(Wire(8e6, 0.1),), bytes=1e6)], [[0.0], [0.0]], engine=ENGINE
    )
    np.testing.assert_allclose(times.arrived[:, 0], [1.1, 2.1])
