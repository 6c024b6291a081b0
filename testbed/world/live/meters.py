"""What the machine and the links did while a run went on: utilisation, lateness, steal; and links before load."""

from __future__ import annotations

import random
from array import array
from collections.abc import Collection, Mapping
from typing import Any

from testbed.record.link_use import Readings, link_use
from testbed.topology.model import Link, Topology
from testbed.topology.paths import next_hops
from testbed.world.live import capabilities
from testbed.world.live.links.htb import ifb_of
from testbed.world.live.links.measure import Probe, measure
from testbed.world.live.names import address
from testbed.world.live.network import Network
from testbed.world.live.wiring import interface_of

MOST_MEASURED = 40  # links; more would keep a run waiting
MEASURE_S = 0.5  # real s of saturation per group of links that share nothing
PATIENT = 10.0  # dilation from which on it takes longer: who dilates that much has a slow machine
STEAL_BOUND = 0.10  # share of all CPU time taken by somebody outside
STILL_BOUND = 0.25  # real s in all that the relay stood still
LATE_BOUND = 0.010  # p99 of the relay's departure lateness, real s


class Meters:
    """Counters at every slot, so that the measured window (nominal s) can be cut out afterwards."""

    def __init__(self, network: Network, topology: Topology, window: tuple[float, float]) -> None:
        self.network, self.topology = network, topology
        self._read: Readings[array[int]] = Readings(window)  # by link, in the topology's order

    def begin(self) -> None:
        """At t = 0."""
        self._cpu = capabilities.cpu_times()
        self.network.lateness(anew=True)  # the links' measurement before load is over: its frames are not the run's
        self.tick(0.0)

    def tick(self, now: float) -> dict[str, float]:
        """Bytes of each link at nominal time now: the busier direction is kept, each direction "a->b" returned."""
        counted, ways = array("Q"), {}
        counters = self.network.counters()
        for k in self.topology.links:
            c = counters.get(k.name)
            counted.append(max(c.ab.bytes, c.ba.bytes) if c else 0)
            if c:
                ways[f"{k.a}->{k.b}"], ways[f"{k.b}->{k.a}"] = float(c.ab.bytes), float(c.ba.bytes)
        self._read.add(now, counted)
        return ways

    def use(self, dilate: float) -> dict[str, Any]:
        """Through the whole run (record.link_use), at nominal times."""
        links = self.topology.links
        carried = [counted for _, counted in self._read.kept]
        rates = [min(k.ab.rate, k.ba.rate) * dilate for k in links]
        return link_use([t for t, _ in self._read.kept], carried, [k.name for k in links], rates)

    def facts(self, dilate: float) -> dict[str, Any]:
        """link_utilisation (share of the configured rate, busier direction) and overload signals over the window.

        Empty when the run ended before t = 0.
        """
        if (window := self._read.window()) is None:
            return {}
        (t0, first), (t1, last) = window
        seconds = max((t1 - t0) * dilate, 1e-9)
        use = {}
        for k, before, after in zip(self.topology.links, first, last, strict=True):
            bits = 8 * (after - before)
            use[k.name] = bits / seconds / min(k.ab.rate, k.ba.rate)
        cpu = capabilities.cpu_times()
        idle, steal = cpu.idle - self._cpu.idle, cpu.steal - self._cpu.steal
        total = max(cpu.busy - self._cpu.busy + idle + steal, 1e-9)
        late = dict(self.network.lateness())
        overload: dict[str, Any] = {
            "cpu_idle": idle / total,
            "cpu_steal": steal / total,
            "relay_late_s_p99": late.get("p99"),
            "relay_late_s_max": late.get("max"),
            "relay_still_s": late.get("still"),
        }
        return {"link_utilisation": use, "overload": overload | {"doubts": doubts(overload)}}


def doubts(overload: Mapping[str, Any]) -> list[str]:
    """Why the overload signals make a run unknown."""
    out = []
    steal, late = overload.get("cpu_steal") or 0.0, overload.get("relay_late_s_p99") or 0.0
    if steal > STEAL_BOUND:
        out.append(f"{steal:.0%} of the CPU time was stolen by somebody outside this machine")
    if (still := overload.get("relay_still_s") or 0.0) > STILL_BOUND:
        out.append(f"the link relay stood still for {still:.1f} s in all: nothing passed any link meanwhile")
    if late > LATE_BOUND:
        out.append(f"links were late: p99 {late * 1e3:.1f} ms, bound {LATE_BOUND * 1e3:.0f} ms; dilate more")
    return out


def measure_links(network: Network, topology: Topology, dilate: float = 1.0) -> list[dict[str, Any]]:
    """Every link on its own before load, above MOST_MEASURED a sample of so many by the run's seed.

    Bandwidth at the receiving interface while saturated, delay from idle round trips. A node's or gateway's link is
    probed from a host at the same site, a trunk from a host at one end to one at the other, where that is the way
    frames go; delays of the links before and after it are subtracted. Links that share none with each other run at
    the same time. The bandwidth of a link faster than the way to it is null: one sender can't fill it.
    """
    names = [k.name for k in topology.links]
    if len(names) > MOST_MEASURED:
        names = random.Random(f"{network.seed}/measured links").sample(names, MOST_MEASURED)
    probes, hidden = _probes(network, topology, set(names))
    measured = {m.link: m for m in measure(probes, MEASURE_S * max(1.0, dilate / PATIENT))}
    return [
        {
            "name": k.name,
            "configured_bps": k.ab.rate,
            "measured_bps": measured[k.name].bps if k.name in measured and k.name not in hidden else None,
            "configured_delay_s": k.ab.delay,
            "measured_delay_s": measured[k.name].delay_s if k.name in measured else None,
            "configured_loss": k.ab.loss,
        }
        for k in topology.links
    ]


def _probes(network: Network, topology: Topology, wanted: Collection[str]) -> tuple[list[Probe], set[str]]:
    """A probe for each of these links that can have one, and those of which only the delay will be known."""
    hosts = [*topology.nodes, *topology.ingresses]
    index = {h.name: i for i, h in enumerate(hosts)}
    own = {h.name: next(k for k in topology.links if k.role != "trunk" and h.name in (k.a, k.b)) for h in hosts}
    backends, hops = network.backends_by_link(), next_hops(topology)
    probes, hidden = [], set()
    for k in topology.links:
        pair = _pair(k, topology, hops) if k.name in wanted else None
        if pair is None:
            continue
        a, b = pair
        along = {own[a].name: own[a], own[b].name: own[b], k.name: k}
        slowest = min(min(x.ab.rate, x.ba.rate) for x in along.values())
        if slowest < min(k.ab.rate, k.ba.rate):
            hidden.add(k.name)
        extra = sum(x.ab.delay for x in along.values()) - k.ab.delay
        counted = interface_of(b)
        if backends[own[b].name] == "htb":  # it shapes what a pod receives behind its interface
            counted = ifb_of(counted)
        spaces = network.namespaces[a], network.namespaces[b]
        ends = address(index[a]), address(index[b])
        probes.append(Probe(k.name, *spaces, *ends, counted, slowest, extra, along=tuple(along)))
    return probes, hidden


def _pair(k: Link, topology: Topology, hops: Mapping[str, Mapping[str, str]]) -> tuple[str, str] | None:
    """Two hosts whose traffic crosses this link and as little else as possible; None: nobody's does, both ways."""
    at: dict[str, list[str]] = {}
    for h in (*topology.nodes, *topology.ingresses):
        at.setdefault(h.site, []).append(h.name)
    if k.role == "trunk":
        ends = at.get(k.a, []), at.get(k.b, [])
        if not all(ends):
            return None
        a, b = ends[0][0], ends[1][0]
        return (a, b) if hops[k.a][b] == k.name == hops[k.b][a] else None
    host = k.a if k.a in {h for hs in at.values() for h in hs} else k.b
    site = k.b if host == k.a else k.a
    others = [h for h in at[site] if h != host]
    return (others[0], host) if others else None
