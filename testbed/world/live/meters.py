"""What the machine and the links did while a run went on: utilisation, lateness, steal; and links before load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.topology.model import Topology
from testbed.world.live import capabilities
from testbed.world.live.links.htb import ifb_of
from testbed.world.live.links.measure import Probe, measure
from testbed.world.live.names import address
from testbed.world.live.network import Network
from testbed.world.live.wiring import interface_of

STEAL_BOUND = 0.10  # share of all CPU time taken by somebody outside
LATE_BOUND = 0.010  # p99 of the relay's departure lateness, real s


class Meters:
    """Counters at every slot, so that the measured window can be cut out afterwards."""

    def __init__(self, network: Network, topology: Topology) -> None:
        self.network, self.topology = network, topology
        self._ticks: list[tuple[float, dict[str, int]]] = []

    def begin(self) -> None:
        """At t = 0."""
        self._cpu = capabilities.cpu_times()
        self.tick(0.0)

    def tick(self, now: float) -> None:
        """Bytes of each link, the busier direction, at nominal time now."""
        counted = {}
        for name, c in self.network.counters().items():
            counted[name] = max(c.ab.bytes, c.ba.bytes)
        self._ticks.append((now, counted))

    def facts(self, start: float, end: float, dilate: float) -> dict[str, Any]:
        """link_utilisation (share of the configured rate, busier direction) and overload signals over the window.

        Empty when the run ended before t = 0.
        """
        if not self._ticks:
            return {}
        inside = [t for t in self._ticks if start - 0.5 <= t[0] <= end + 0.5] or self._ticks
        (t0, first), (t1, last) = inside[0], inside[-1]
        seconds = max((t1 - t0) * dilate, 1e-9)
        use = {}
        for k in self.topology.links:
            bits = 8 * (last.get(k.name, 0) - first.get(k.name, 0))
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
        }
        return {"link_utilisation": use, "overload": overload | {"doubts": doubts(overload)}}


def doubts(overload: Mapping[str, Any]) -> list[str]:
    """Why the overload signals make a run unknown."""
    out = []
    steal, late = overload.get("cpu_steal") or 0.0, overload.get("relay_late_s_p99") or 0.0
    if steal > STEAL_BOUND:
        out.append(f"{steal:.0%} of the CPU time was stolen by somebody outside this machine")
    if late > LATE_BOUND:
        out.append(f"links were late: p99 {late * 1e3:.1f} ms, bound {LATE_BOUND * 1e3:.0f} ms; dilate more")
    return out


def measure_links(network: Network, topology: Topology) -> list[dict[str, Any]]:
    """Every link on its own before load: bandwidth at the receiving interface, delay from idle round trips.

    A node's or gateway's link is probed from a node at the same site, a trunk from a node at one end to one at the
    other; delays of the links before and after it are subtracted. The bandwidth of a link faster than the way to it
    is null: one sender can't fill it.
    """
    hosts = [*topology.nodes, *topology.ingresses]
    index = {h.name: i for i, h in enumerate(hosts)}
    own = {h.name: next(k for k in topology.links if k.role != "trunk" and h.name in (k.a, k.b)) for h in hosts}
    backends, probes, hidden = network.backends_by_link(), [], set()
    for k in topology.links:
        pair = _pair(k.name, topology)
        if pair is None:
            continue
        a, b = pair
        along = {own[a].name: own[a], own[b].name: own[b]}
        along.pop(k.name, None)
        extra = sum(x.ab.delay for x in along.values())
        slowest = min(min(x.ab.rate, x.ba.rate) for x in (k, *along.values()))
        if slowest < min(k.ab.rate, k.ba.rate):
            hidden.add(k.name)  # the link is faster than the way to it: only its delay can be measured
        counted = interface_of(b)  # htb shapes what a pod receives behind its interface
        if backends[own[b].name] == "htb":
            counted = ifb_of(counted)
        spaces = network.namespaces[a], network.namespaces[b]
        probes.append(Probe(k.name, *spaces, address(index[a]), address(index[b]), counted, slowest, extra))
    measured = {m.link: m for m in measure(probes, seconds=0.5)}
    return [
        {
            "name": k.name,
            "configured_bps": k.ab.rate,
            "measured_bps": measured[k.name].bps if k.name in measured and k.name not in hidden else None,
            "configured_delay_s": k.ab.delay,
            "measured_delay_s": measured[k.name].delay_s if k.name in measured else None,
        }
        for k in topology.links
    ]


def _pair(name: str, topology: Topology) -> tuple[str, str] | None:
    """Two hosts whose traffic crosses this link and as little else as possible."""
    k = topology.link(name)
    at: dict[str, list[str]] = {}
    for h in (*topology.nodes, *topology.ingresses):
        at.setdefault(h.site, []).append(h.name)
    if k.role == "trunk":
        ends = at.get(k.a, []), at.get(k.b, [])
        return (ends[0][0], ends[1][0]) if all(ends) else None
    host = k.a if k.a in {h for hs in at.values() for h in hs} else k.b
    site = k.b if host == k.a else k.a
    others = [h for h in at[site] if h != host]
    return (others[0], host) if others else None
