"""What every backend that delays must do, on real interfaces; counters by the kernel.

netem runs where the kernel has it; elsewhere its half is skipped, naming the capability.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from testbed.topology.model import Shape
from testbed.world.live import capabilities
from testbed.world.live.links import choice, kernel
from testbed.world.live.links.base import LinkBackend, alike
from testbed.world.live.links.measure import measure

pytestmark = pytest.mark.live
Wires = Any
Numbered = Callable[..., list[tuple[int, float, float]]]

FULL = Shape(
    20e6, 0.02, 0.002, 0.1, 200e3, jitter_law="pareto", loss_burst=4, loss_bad=0.8, loss_good=0.01, duplicate=0.02,
    reorder=0.05, corrupt=0.01,
)  # fmt: skip
PLAIN = Shape(10e6, 0.005, queue=100e3)


@pytest.fixture(params=["netem", "relay"])
def backend(request: pytest.FixtureRequest) -> LinkBackend:
    if request.param not in choice.offered(capabilities.features()):
        pytest.skip(f"capability: {', '.join(sorted(choice.OFFERS[request.param].requires))}")
    return choice.make(request.param, 7, "shaketable.run=sktest")


def test_every_field_is_read_back_and_every_change(wires: Wires, backend: LinkBackend) -> None:
    link = wires.link(FULL, PLAIN)
    wires.join(backend, link)
    found = backend.read_back(link.name)
    assert found[2]
    assert alike(found[0], FULL), found[0]
    assert alike(found[1], PLAIN), found[1]
    for shape in (PLAIN, replace(FULL, jitter_law="uniform", loss_burst=0.0), replace(PLAIN, delay=0.0), FULL):
        backend.change(link.name, "both", shape)
        found = backend.read_back(link.name)
        assert alike(found[0], shape), found[0]
        assert alike(found[1], shape), found[1]


def test_rate_and_delay_in_both_directions(wires: Wires, backend: LinkBackend) -> None:
    link = wires.link(Shape(5e6, 0.005), Shape(2.5e6, 0.02))
    wires.join(backend, link)
    probes = [wires.probe(link, 5e6), wires.probe(link, 2.5e6, "ba")]
    for probe, measured in zip(probes, measure(probes, 0.8), strict=True):
        assert measured.bps == pytest.approx(probe.rate_bps, rel=0.05)
        assert measured.delay_s == pytest.approx(0.0125, abs=0.002)


def test_twenty_changes_under_traffic_lose_and_reorder_nothing(
    wires: Wires, numbered: Numbered, backend: LinkBackend
) -> None:
    link = wires.link(Shape(20e6, 0.010, queue=1e6))
    wires.join(backend, link)

    def change(index: int) -> None:
        if index % 100 == 50:
            step = index // 100
            shape = Shape((5 + step) * 1e6, 0.002 * (step % 7), 0.001 * (step % 2), queue=1e6)
            backend.change(link.name, "both", shape)

    got = [index for index, _, _ in numbered(*wires.pair(link), 2000, 0.001, during=change)]
    assert got == list(range(2000))
    assert backend.counters(link.name).ab.dropped == 0


@pytest.mark.parametrize("burst", [0.0, 5.0])
def test_loss_has_its_mean_and_its_bursts(wires: Wires, numbered: Numbered, backend: LinkBackend, burst: float) -> None:
    """Bounds at 99.9 %: a chain's losses vary more than a coin's, by (1 + ρ)/(1 − ρ) with ρ = 1 − p − r."""
    link = wires.link(Shape(50e6, 0.001, loss=0.1, loss_burst=burst), Shape(50e6))
    wires.join(backend, link)
    number = 4000
    got = {index for index, _, _ in numbered(*wires.pair(link), number, 0.0002)}
    lost = [index not in got for index in range(number)]
    rho = 1 - sum(link.ab.chain()) if burst else 0.0
    deviation = math.sqrt(number * 0.1 * 0.9 * (1 + rho) / (1 - rho))
    assert abs(sum(lost) - 0.1 * number) < 3.3 * deviation
    runs: list[int] = []
    length = 0
    for one in [*lost, False]:
        if one:
            length += 1
        elif length:
            runs.append(length)
            length = 0
    expected = burst or 1 / 0.9
    assert statistics.mean(runs) == pytest.approx(expected, rel=3.3 / math.sqrt(len(runs)))
    assert abs(backend.counters(link.name).ab.lost - sum(lost)) <= 2, "frames besides ours: neighbour discovery"


def test_duplicates_reordered_and_corrupted_frames_arrive_as_often_as_asked(
    wires: Wires, numbered: Numbered, backend: LinkBackend
) -> None:
    """Bounds at 99.9 % of a binomial. A datagram with a flipped bit fails its checksum and is thrown away."""
    number, share = 3000, 0.05
    bound = 3.3 * math.sqrt(number * share * (1 - share))
    link = wires.link(Shape(50e6, 0.001), Shape(50e6))
    wires.join(backend, link)
    pair = wires.pair(link)

    backend.change(link.name, "ab", Shape(50e6, 0.001, duplicate=share))
    got = [index for index, _, _ in numbered(*pair, number, 0.0002, most=2 * number)]
    assert abs(len(got) - number - share * number) < bound
    assert set(got) == set(range(number))

    backend.change(link.name, "ab", Shape(50e6, 0.004, reorder=share))
    got = [index for index, _, _ in numbered(*pair, number, 0.001)]
    assert sorted(got) == list(range(number))
    overtaking = sum(a > b for a, b in itertools.pairwise(got))
    assert 0 < overtaking <= share * number + bound

    backend.change(link.name, "ab", Shape(50e6, 0.001, corrupt=share))
    got = [index for index, _, _ in numbered(*pair, number, 0.0002)]
    assert abs(number - len(got) - share * number) < bound


def test_a_link_goes_down_at_both_ends_and_comes_back(wires: Wires, numbered: Numbered, backend: LinkBackend) -> None:
    link = wires.link(PLAIN)
    wires.join(backend, link)
    backend.set_state(link.name, False)
    assert not kernel.operational(link.a.interface, link.a.netns)
    assert not kernel.operational(link.b.interface, link.b.netns)
    backend.set_state(link.name, True)
    assert backend.read_back(link.name)[2]
    assert len(numbered(*wires.pair(link), 50, 0.001)) == 50


def test_a_track_is_followed_and_a_change_scales_it(wires: Wires, backend: LinkBackend) -> None:
    link = wires.link(Shape(8e6, 0.001))
    wires.join(backend, link)
    backend.play(link.name, "both", [0.0, 3600.0], [4e6, 1e6], time.monotonic())
    deadline = time.monotonic() + 5
    while backend.read_back(link.name)[0].rate != pytest.approx(4e6) and time.monotonic() < deadline:
        time.sleep(0.01)
    backend.change(link.name, "ab", Shape(4e6, 0.001))
    while backend.read_back(link.name)[0].rate != pytest.approx(2e6) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [s.rate for s in backend.read_back(link.name)[:2]] == [pytest.approx(2e6), pytest.approx(4e6)]


def test_nothing_is_left(wires: Wires, backend: LinkBackend) -> None:
    before = {link["ifname"] for link in kernel.ask(["ip", "-j", "link"])}
    link = wires.link(PLAIN)
    wires.join(backend, link)
    backend.close()
    backend.close()
    assert {link["ifname"] for link in kernel.ask(["ip", "-j", "link"])} <= before
    assert not any(one["ifname"] == link.a.interface for one in kernel.ask(["ip", "-j", "link"], link.a.netns))
