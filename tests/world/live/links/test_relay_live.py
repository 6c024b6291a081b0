"""The relay on real TAPs between real namespaces; counters and states by the kernel."""

from __future__ import annotations

import math
import os
import random
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import CannotRun, InputError
from testbed.topology.model import Shape
from testbed.world.live.links import kernel
from testbed.world.live.links.base import End, WireLink
from testbed.world.live.links.measure import measure
from testbed.world.live.links.relay import Relay

pytestmark = pytest.mark.live
Wires = Any
Numbered = Callable[..., list[tuple[int, float, float]]]
Until = Callable[..., bool]


def present(interface: str, netns: str | None = None) -> bool:
    return any(link["ifname"] == interface for link in kernel.ask(["ip", "-j", "link"], netns))


@pytest.mark.parametrize("delay", [0.0005, 0.002, 0.010, 0.050])
@pytest.mark.usefixtures("punctual")
def test_a_round_trip_takes_twice_the_delay(wires: Wires, delay: float) -> None:
    link = wires.link(Shape(50e6, delay))
    wires.join(Relay(), link)
    one, two = wires.pair(link)
    trips = []
    for _ in range(15):
        sent = time.monotonic()
        one.send(b"?")
        two.setblocking(True)
        two.send(two.recv(16))
        one.setblocking(True)
        one.recv(16)
        trips.append(time.monotonic() - sent)
    assert 2 * delay <= statistics.median(trips) <= 2 * delay + 0.0015


def test_rate_and_delay_are_measured_as_configured_in_both_directions(wires: Wires) -> None:
    slow, fast = wires.link(Shape(5e6, 0.005), Shape(2.5e6, 0.02)), wires.link(Shape(50e6, 0.002))
    relay = Relay()
    wires.join(relay, slow, fast)
    probes = [
        wires.probe(slow, 5e6),
        wires.probe(slow, 2.5e6, "ba"),
        wires.probe(fast, 50e6),
        wires.probe(fast, 50e6, "ba"),
    ]
    for probe, measured in zip(probes, measure(probes, 0.8), strict=True):
        assert measured.bps == pytest.approx(probe.rate_bps, rel=0.05)
        expected = 0.0125 if measured.link == slow.name else 0.002  # half of both ways
        assert measured.delay_s == pytest.approx(expected, abs=0.001)
    assert relay.lateness()["p50"] < 0.001
    assert relay.read_back(fast.name) == (Shape(50e6, 0.002, queue=625e3), Shape(50e6, 0.002, queue=625e3), True)


def test_loss_is_binomial_and_every_packet_is_accounted_for(wires: Wires, numbered: Numbered) -> None:
    link = wires.link(Shape(50e6, 0.001, loss=0.05), Shape(50e6))
    relay = Relay(seed=3)
    wires.join(relay, link)
    got = numbered(*wires.pair(link), 3000, 0.0002)
    flow = relay.counters(link.name).ab
    assert abs(flow.lost - 150) < 4 * math.sqrt(3000 * 0.05 * 0.95)
    assert (len(got), flow.packets, flow.dropped) == (3000 - flow.lost, 3000 - flow.lost, 0)


@pytest.mark.usefixtures("punctual")
def test_jitter_has_its_deviation(wires: Wires, numbered: Numbered) -> None:
    link = wires.link(Shape(50e6, 0.020, 0.002))
    wires.join(Relay(seed=1), link)
    lags = [received - sent for _, sent, received in numbered(*wires.pair(link), 150, 0.012)]
    assert statistics.stdev(lags) == pytest.approx(0.002, rel=0.25)
    assert statistics.median(lags) == pytest.approx(0.020, abs=0.001)


def test_jitter_reorders_nothing(wires: Wires, numbered: Numbered) -> None:
    link = wires.link(Shape(50e6, 0.020, 0.005))
    wires.join(Relay(), link)
    got = [index for index, _, _ in numbered(*wires.pair(link), 1000, 0.0005)]
    assert got == list(range(1000))


def test_twenty_changes_under_traffic_lose_nothing(wires: Wires, numbered: Numbered) -> None:
    link = wires.link(Shape(20e6, 0.010, queue=1e6))
    relay = Relay()
    wires.join(relay, link)

    def change(index: int) -> None:
        if index % 100 == 50:
            step = index // 100
            relay.change(link.name, "both", Shape((5 + step) * 1e6, 0.002 * (step % 7), 0.001 * (step % 2), queue=1e6))

    got = [index for index, _, _ in numbered(*wires.pair(link), 2000, 0.001, during=change)]
    assert got == list(range(2000))
    assert relay.counters(link.name).ab.dropped == 0
    assert relay.read_back(link.name)[0] == Shape(24e6, 0.002 * 5, 0.001, queue=1e6)


def test_a_link_goes_down_at_both_ends_drops_what_it_holds_and_comes_back(wires: Wires, numbered: Numbered) -> None:
    link = wires.link(Shape(20e6, 0.2))
    relay = Relay()
    wires.join(relay, link)
    one, two = wires.pair(link)
    for _ in range(5):
        one.send(b"held")
    relay.set_state(link.name, False)
    assert not kernel.operational(link.a.interface, link.a.netns)
    assert not kernel.operational(link.b.interface, link.b.netns)
    assert relay.read_back(link.name)[2] is False
    relay.set_state(link.name, True)
    assert relay.read_back(link.name)[2] is True
    assert relay.counters(link.name).ab.dropped == 5
    relay.change(link.name, "both", Shape(20e6, 0.001))
    assert len(numbered(one, two, 50, 0.001)) == 50, "addresses and neighbours have survived"


@pytest.mark.usefixtures("punctual")
def test_a_trace_is_replayed_opportunity_by_opportunity(wires: Wires, tmp_path: Path) -> None:
    draw = random.Random(5)
    counts = [draw.randrange(5, 40) for _ in range(10)]
    # opportunities keep 10 ms from the ends of their bin, so that a late departure stays in its bin
    times = sorted(100 * k + draw.randrange(10, 90) for k, n in enumerate(counts) for _ in range(n))
    file = tmp_path / "made.down"
    file.write_text("".join(f"{t}\n" for t in [*times, 1000]))
    link = wires.link(Shape(50e6, queue=2e6))
    relay = Relay()
    wires.join(relay, link)
    one, two = wires.pair(link)
    origin = time.monotonic() + 0.1
    relay.play_trace(link.name, "ab", str(file), 1500, 1.0, origin)
    time.sleep(origin - time.monotonic())
    for _ in times:
        one.send(bytes(1500 - 42))  # 1500 bytes at layer 2
    seen = [0] * 10
    two.setblocking(True)
    two.settimeout(2)
    for _ in times:
        two.recv(2048)
        seen[int((time.monotonic() - origin) * 10)] += 1
    assert seen == counts


def test_a_track_is_followed_and_a_change_scales_it(wires: Wires) -> None:
    link = wires.link(Shape(8e6))
    relay = Relay()
    wires.join(relay, link)
    relay.play(link.name, "both", [0.0, 3600.0], [4e6, 1e6], time.monotonic())
    assert relay.read_back(link.name)[0].rate == pytest.approx(4e6)
    assert measure([wires.probe(link, 4e6)], 0.8)[0].bps == pytest.approx(4e6, rel=0.05)
    relay.change(link.name, "ab", Shape(4e6))
    assert relay.read_back(link.name)[0].rate == pytest.approx(2e6)
    assert relay.read_back(link.name)[1].rate == pytest.approx(4e6)


def test_a_saturated_link_costs_the_others_nothing(wires: Wires, numbered: Numbered) -> None:
    full, other = wires.link(Shape(1e6, 0.005)), wires.link(Shape(10e6, 0.005))
    relay = Relay()
    wires.join(relay, full, other)
    blaster, _ = wires.pair(full)

    def flood(index: int) -> None:
        for _ in range(8):
            blaster.send(bytes(1400))

    got = numbered(*wires.pair(other), 250, 0.004, during=flood)
    assert len(got) == 250
    assert relay.counters(full.name).ab.dropped > 1000
    assert relay.counters(other.name).ab.dropped == 0


def test_a_killed_relay_leaves_no_interface(wires: Wires, until: Until) -> None:
    link = WireLink("l0", End("sktest-kill-a", wires.a), End("sktest-kill-b"), Shape(1e6), Shape(1e6))
    relay = Relay(alias="shaketable.run=sktest")
    relay.create([link])
    try:
        assert present("sktest-kill-b")
        assert present("sktest-kill-a", wires.a)
        assert kernel.ask(["ip", "-j", "link", "show", "dev", "sktest-kill-b"])[0]["ifalias"] == "shaketable.run=sktest"
        os.kill(relay.pid, signal.SIGKILL)
        assert until(lambda: not present("sktest-kill-b") and not present("sktest-kill-a", wires.a))
        with pytest.raises(CannotRun, match=f"process {relay.pid}"):
            relay.counters("l0")
    finally:
        relay.close()
        relay.close()


OWNER = """
import sys, time
from testbed.topology.model import Shape
from testbed.world.live.links.base import End, WireLink
from testbed.world.live.links.relay import Relay
relay = Relay()
relay.create([WireLink("l0", End("sktest-own-a"), End("sktest-own-b"), Shape(1e6), Shape(1e6))])
print("made", flush=True)
time.sleep(60)
"""


def test_an_owner_that_is_killed_takes_its_relay_along(until: Until) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, cwd=Path(__file__).parents[4])
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"made\n"
    assert present("sktest-own-a")
    owner.kill()
    owner.wait()
    assert until(lambda: not present("sktest-own-a") and not present("sktest-own-b"))


def test_an_owner_that_goes_without_its_answer_is_no_failure(capfd: pytest.CaptureFixture[str]) -> None:
    """Interrupted between command and answer: the kernel then resets the connection, where else it would end it."""
    relay = Relay()
    relay._socket.sendall(b'{"do": "lateness", "anew": false}\n')
    assert select.select([relay._socket], [], [], 30.0)[0], "the answer is here, and nobody takes it"
    relay.close()
    assert relay._process.returncode == 0 and capfd.readouterr().err == ""


def test_a_name_that_is_taken_is_said_and_nothing_is_left_half_made(wires: Wires) -> None:
    relay = Relay()
    wires.backends.append(relay)
    good = WireLink("good", End("sktest-x", wires.a), End("sktest-y", wires.b), Shape(1e6), Shape(1e6))
    taken = WireLink("taken", End("sktest-z", wires.a), End("sktest-y", wires.b), Shape(1e6), Shape(1e6))
    with pytest.raises(CannotRun, match=r"link taken: .*sktest-y exists already"):
        relay.create([good, taken])
    assert not any(present(name, wires.a) for name in ("sktest-x", "sktest-z"))
    assert not present("sktest-y", wires.b)


def test_a_garbage_trace_is_an_input_error_and_an_unknown_link_says_so(wires: Wires, tmp_path: Path) -> None:
    relay = Relay()
    wires.backends.append(relay)
    file = tmp_path / "bad"
    file.write_text("1\nx\n")
    with pytest.raises(InputError, match="bad:2"):
        relay.play_trace("l0", "ab", str(file), 1500, 1.0, 0.0)
    with pytest.raises(CannotRun, match="'l9'"):
        relay.change("l9", "ab", Shape(1e6))
