"""What every switch should hold, and in which order to bring it there: pure functions, no OpenFlow, no clock.

A *table* says {site: {MAC of a host: output port}}: one flow per switch and host. Going from an old table to a new
one, a switch may only be pointed at a neighbour that already knows the new way, or frames go round in circles. So
changes come in *rounds*, by the number of hops left to the host on the new path, nearest first: a frame that meets
a changed switch finds only changed switches from there on. What is to be removed is removed last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.topology.paths import next_hops

Table = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Change:
    """Frames to `mac` leave `site` by `port` from now on; port None: the flow goes."""

    site: str
    mac: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What os-ken must know of a run. topology on the wire's scale; ports: {site: {link: OpenFlow port}};
    macs: {host: MAC}; datapaths: {site: datapath id}; cookie marks our flows; detection_s: wire seconds from a port's
    change of state to the reaction."""

    topology: Topology
    ports: Mapping[str, Mapping[str, int]]
    macs: Mapping[str, str]
    datapaths: Mapping[str, int]
    cookie: int
    detection_s: float = 0.0

    def to_wire(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Plan:
        t = data["topology"]
        links = (Link(**{**k, "ab": Shape(**k["ab"]), "ba": Shape(**k["ba"])}) for k in t["links"])
        topology = Topology(
            t["name"],
            tuple(Site(**s) for s in t["sites"]),
            tuple(Host(**h) for h in t["nodes"]),
            tuple(Host(**h) for h in t["ingresses"]),
            tuple(links),
        )
        return cls(topology, *(data[k] for k in ("ports", "macs", "datapaths", "cookie", "detection_s")))


def table(plan: Plan, down: frozenset[str] = frozenset()) -> Table:
    """The flows of shortest-delay paths without the links `down`; a host that can't be reached is missing."""
    return {
        site: {plan.macs[host]: plan.ports[site][link] for host, link in hops.items()}
        for site, hops in next_hops(plan.topology, down).items()
    }


def unreachable(plan: Plan, down: frozenset[str]) -> list[str]:
    """Hosts that some switch can't reach without the links `down`, in the topology's order."""
    tables = next_hops(plan.topology, down).values()
    return [host for host in plan.macs if any(host not in hops for hops in tables)]


def rounds(plan: Plan, old: Table, new: Table) -> list[list[Change]]:
    """The changes from `old` to `new`, round by round; all of one round must be in force before the next begins."""
    ends = {
        (site, port): k.b if k.a == site else k.a
        for k in plan.topology.links
        for site, port in ((s, plan.ports[s][k.name]) for s in (k.a, k.b) if s in plan.ports)
    }
    by_depth: dict[int, list[Change]] = {}
    for site, flows in new.items():
        for mac, port in flows.items():
            if old.get(site, {}).get(mac) != port:
                by_depth.setdefault(_hops(site, mac, new, ends), []).append(Change(site, mac, port))
    gone = [Change(site, mac, None) for site, flows in old.items() for mac in flows if mac not in new.get(site, {})]
    return [by_depth[depth] for depth in sorted(by_depth)] + ([gone] if gone else [])


def _hops(site: str, mac: str, new: Table, ends: Mapping[tuple[str, int], str]) -> int:
    """Hops from `site` to the host by the new table."""
    count = 0
    while site in new:
        site = ends[site, new[site][mac]]
        count += 1
        if count > len(new):
            raise ValueError(f"the new paths to {mac} contain a loop at {site}: report this as a fault of next_hops")
    return count
