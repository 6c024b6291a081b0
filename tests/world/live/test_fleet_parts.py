"""Parts of the live world that need no machine: darkness of a service, what a link should carry, whom to probe."""

from dataclasses import replace
from types import SimpleNamespace as Plain

import pytest

from testbed.topology.build import build
from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.topology.paths import next_hops
from testbed.world.base import Track
from testbed.world.darkness import Darkness
from testbed.world.live.inability import cannot
from testbed.world.live.link_rates import LinkRates
from testbed.world.live.meters import _pair, doubts


def topology() -> Topology:
    sites = (Site("s1", "west"), Site("s2", "east"))
    nodes = (Host("n1", "s1", "west", "big"), Host("n2", "s2", "east", "big"), Host("n3", "s2", "east", "big"))
    links = [Link("s1--s2", "s1", "s2", Shape(8e8, 0.01), Shape(8e8, 0.01))]
    links += [Link(f"{n.name}--{n.site}", n.name, n.site, Shape(1e9), Shape(1e9), "node") for n in nodes]
    links.append(Link("gw1--s1", "gw1", "s1", Shape(1e9), Shape(1e9), "gateway"))
    return Topology("t", sites, nodes, (Host("gw1", "s1", "west"),), tuple(links))


def test_a_service_is_dark_while_nothing_can_be_routed_to():
    dark = Darkness({"a", "b"})
    dark.seen({"a", "b"}, 0.0)
    dark.seen({"b"}, 2.0)
    dark.seen({"a", "b"}, 3.5)
    dark.seen(set(), 9.0)
    assert dark.within("a", 0.0, 8.0) == pytest.approx(1.5)
    assert dark.within("a", 3.0, 10.0) == pytest.approx(0.5 + 1.0)
    assert dark.within("b", 0.0, 9.0) == 0.0


class Backend:
    """What is asked of a backend when a link is reshaped."""

    def read_back(self, link):
        return Shape(1e9), Shape(1e9), True

    def change(self, link, way, shape):
        assert link == "s1--s2" and shape.rate == pytest.approx(0.25 * 8e8)


def rates(*tracks: Track, now: float = 0.0) -> LinkRates:
    run = Plain(dilate=2.0, shrink=50.0)
    bed = Plain(topology=topology(), tracks=tracks, scenario=Plain(run=run))
    return LinkRates(bed, topology(), lambda: now)


def test_what_a_link_should_carry():
    track = Track("s1--s2", (0.0, 5.0), (8e8, 4e8))
    assert rates(track, now=4.9).nominal() == {"s1--s2": 8e8}
    late = rates(track, now=5.0)
    assert late.on_wire(late.link("s2--s1")) == [4e6, 4e6]
    for way in ("s1->s2", "s2->s1"):
        late.disturb(Backend(), way, "fault", {"rate_factor": 0.25})
    assert late.nominal() == {"s1--s2": 1e8}
    assert late.on_wire(late.link("s1--s2")) == [1e6, 1e6]
    one_way = rates(Track("s2->s1", (0.0,), (2e8,)))
    assert one_way.on_wire(one_way.link("s1--s2")) == [8e6, 2e6]
    assert (one_way.direction("s2->s1"), one_way.direction("s1->s2"), one_way.direction("s1--s2")) == (
        "ba",
        "ab",
        "both",
    )


def test_every_link_is_probed_between_hosts_that_cross_it_and_little_else():
    t = topology()
    hops = next_hops(t)
    assert _pair(t.link("s1--s2"), t, hops) == ("n1", "n2")
    assert _pair(t.link("n2--s2"), t, hops) == ("n3", "n2")
    assert _pair(t.link("n1--s1"), t, hops) == ("gw1", "n1")


def test_a_trunk_that_no_path_uses_is_not_measured_by_another():
    """s1--s3 takes longer than the way over s2: frames between s1 and s3 never cross it."""
    t = build({"generator": "ring", "sites": 3, "trunks": {"delay": "1 ms"}}, ["small"], 1)
    slow = replace(t.link("s1--s3") if any(k.name == "s1--s3" for k in t.links) else t.link("s3--s1"))
    other = replace(slow, ab=replace(slow.ab, delay=0.1), ba=replace(slow.ba, delay=0.1))
    changed = replace(t, links=tuple(other if k.name == slow.name else k for k in t.links))
    assert _pair(slow, t, next_hops(t)) is not None
    assert _pair(other, changed, next_hops(changed)) is None


def test_overload_is_named_past_its_bound_and_only_there():
    assert doubts({"cpu_steal": 0.01, "relay_late_s_p99": 0.001}) == []
    assert doubts({"cpu_steal": None, "relay_late_s_p99": None}) == []
    assert len(doubts({"cpu_steal": 0.5, "relay_late_s_p99": 0.5})) == 2


def test_what_the_live_world_cannot_do_is_said_beforehand():
    run = Plain(steering="sender", dilate=1.0, shrink=1.0)
    assert cannot(Plain(run=run, bandwidth=()), topology()) == []
    strange = Plain(run=Plain(steering="switch", dilate=100.0, shrink=100.0), bandwidth=())
    found = cannot(strange, topology())
    assert len(found) == 2 and "steering" in found[0] and "100 kbit/s" in found[1]
