"""Rate-only links on real veth pairs: what tc reads back, what counters say."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from testbed.errors import CannotRun
from testbed.topology.model import Shape
from testbed.world.live.links import kernel
from testbed.world.live.links.base import End, WireLink
from testbed.world.live.links.htb import Htb, ifb_of
from testbed.world.live.links.measure import measure

pytestmark = pytest.mark.live
Wires = Any
Numbered = Callable[..., list[tuple[int, float, float]]]
Until = Callable[..., bool]


def present(interface: str, netns: str | None = None) -> bool:
    return any(link["ifname"] == interface for link in kernel.ask(["ip", "-j", "link"], netns))


def test_read_back_is_what_was_configured(wires: Wires) -> None:
    htb = Htb()
    one = wires.link(Shape(5e6), Shape(123.456e6, queue=40e3))
    two = wires.link(Shape(800e3, queue=30e3))
    wires.join(htb, one, two)
    assert htb.read_back(one.name) == (Shape(5e6, queue=62_500.0), Shape(123.456e6, queue=40e3), True)
    assert htb.read_back(two.name) == (Shape(800e3, queue=30e3), Shape(800e3, queue=30e3), True)
    htb.change(one.name, "ba", Shape(7e6))
    assert htb.read_back(one.name)[:2] == (Shape(5e6, queue=62_500.0), Shape(7e6, queue=87_500.0))


def test_the_rate_holds_in_both_directions_at_layer_2(wires: Wires) -> None:
    htb = Htb()
    slow, fast = wires.link(Shape(5e6)), wires.link(Shape(50e6))
    wires.join(htb, slow, fast)
    probes = [
        wires.probe(link, rate, direction) for link, rate in ((slow, 5e6), (fast, 50e6)) for direction in ("ab", "ba")
    ]
    for probe, measured in zip(probes, measure(probes, 0.8), strict=True):
        assert measured.bps == pytest.approx(probe.rate_bps, rel=0.05)
        assert measured.delay_s is not None
        assert measured.delay_s < 0.001


def test_twenty_changes_under_traffic_lose_nothing(wires: Wires, numbered: Numbered) -> None:
    htb = Htb()
    link = wires.link(Shape(20e6, queue=1e6))
    wires.join(htb, link)

    def change(index: int) -> None:
        if index % 100 == 50:
            htb.change(link.name, "both", Shape((5 + index // 100) * 1e6, queue=1e6))

    got = [index for index, _, _ in numbered(*wires.pair(link), 2000, 0.001, during=change)]
    assert got == list(range(2000))
    flow = htb.counters(link.name).ab
    assert flow.dropped == 0
    assert flow.packets >= 2000
    assert flow.bytes >= 2000 * 142


def test_a_full_queue_drops_and_is_counted(wires: Wires, numbered: Numbered) -> None:
    htb = Htb()
    link = wires.link(Shape(1e6, queue=20e3), Shape(1e6, queue=20e3))
    wires.join(htb, link)
    one, two = wires.pair(link)
    got = numbered(two, one, 100, 0.0, size=1000)  # toward the pod
    assert len(got) == 100 - htb.counters(link.name).ba.dropped
    assert 15 <= len(got) <= 25


def test_a_link_goes_down_at_both_ends_and_comes_back(wires: Wires, numbered: Numbered) -> None:
    htb = Htb()
    link = wires.link(Shape(20e6))
    wires.join(htb, link)
    htb.set_state(link.name, False)
    assert not kernel.operational(link.a.interface, link.a.netns)
    assert not kernel.operational(link.b.interface, link.b.netns)
    assert htb.read_back(link.name)[2] is False
    htb.set_state(link.name, True)
    assert htb.read_back(link.name) == (Shape(20e6, queue=250e3), Shape(20e6, queue=250e3), True)


def test_a_track_is_followed_and_a_change_scales_it(wires: Wires, until: Until) -> None:
    htb = Htb()
    link = wires.link(Shape(8e6, queue=60e3))
    wires.join(htb, link)
    htb.play(link.name, "both", [0.0, 0.3, 0.6], [4e6, 2e6, 6e6], time.monotonic())
    for rate in (4e6, 2e6, 6e6):
        assert until(lambda rate=rate: htb.read_back(link.name)[:2] == (Shape(rate, queue=60e3),) * 2)
    htb.change(link.name, "ba", Shape(4e6, queue=60e3))
    assert until(lambda: htb.read_back(link.name)[1].rate == 3e6)
    assert htb.read_back(link.name)[0].rate == 6e6


def test_a_switch_port_carries_no_queue_and_everything_goes_by_name(wires: Wires) -> None:
    link = WireLink("l", End("sktest-hp", wires.a), End("sktest-hs"), Shape(5e6), Shape(5e6))
    htb = Htb(alias="shaketable.run=sktest")
    htb.create([link])
    try:
        port = kernel.ask(["ip", "-j", "link", "show", "dev", "sktest-hs"])[0]
        assert (port["qdisc"], port["ifalias"], port["mtu"]) == ("noqueue", "shaketable.run=sktest", 1500)
        for interface, netns in (("sktest-hs", None), ("sktest-hp", wires.a)):
            assert "tx-checksumming: off" in kernel.run(["ethtool", "-k", interface], netns)
    finally:
        htb.close()
    assert not present("sktest-hs")
    assert not present("sktest-hp", wires.a)
    assert not present(ifb_of("sktest-hp"), wires.a)
    htb.close()


def test_a_name_that_is_taken_is_said_and_neither_made_nor_removed(wires: Wires) -> None:
    """The interface of somebody else survives our failure."""
    kernel.run(["ip", "link", "add", "sktest-y", "type", "ifb"], wires.b)
    good = WireLink("good", End("sktest-x", wires.a), End("sktest-w", wires.b), Shape(1e6), Shape(1e6))
    taken = WireLink("taken", End("sktest-z", wires.a), End("sktest-y", wires.b), Shape(1e6), Shape(1e6))
    with pytest.raises(CannotRun, match="sktest-y exists already"):
        Htb().create([good, taken])
    assert present("sktest-y", wires.b)
    assert not any(present(name, wires.a) for name in ("sktest-x", "sktest-z"))


def test_a_failure_half_way_leaves_nothing(wires: Wires) -> None:
    good = WireLink("good", End("sktest-x", wires.a), End("sktest-w", wires.b), Shape(1e6), Shape(1e6))
    bad = WireLink("bad", End("sktest-z", wires.a), End("sktest-v", wires.b), Shape(1e6, queue=1e30), Shape(1e6))
    with pytest.raises(CannotRun, match="limit"):
        Htb().create([good, bad])
    assert not any(present(name, wires.a) for name in ("sktest-x", "sktest-z", ifb_of("sktest-x")))
    assert not any(present(name, wires.b) for name in ("sktest-w", "sktest-v"))


def test_a_change_is_what_tc_would_have_written(wires: Wires) -> None:
    """Changes go by netlink, without a program; the kernel must hold the same as after tc's own words."""
    backend = Htb()
    one = wires.link(Shape(50e6))
    wires.join(backend, one)
    shaper = backend._laid[one.name].shapers["ab"]
    netns, device = shaper.netns, shaper.interface

    def held() -> str:
        return "".join(kernel.run(["tc", what, "show", "dev", device], netns) for what in ("class", "qdisc"))

    for shape in (Shape(7e6), Shape(800e3, queue=30e3), Shape(123.456e6), Shape(40e9)):
        kernel.run(["tc", "-batch", "-"], netns, "\n".join(Htb.alter_rate(device, shape)) + "\n")
        by_tc = held()
        backend.change(one.name, "both", Shape(1e6))
        assert held() != by_tc
        backend.change(one.name, "both", shape)
        assert held() == by_tc
