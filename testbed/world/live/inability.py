"""What the live world can't do, said before anything starts. Imports no Docker, no Mininet."""

from __future__ import annotations

import os

from testbed.scenario.model import Scenario
from testbed.scenario.targets import selected
from testbed.topology.model import Topology
from testbed.world.live.links import choice
from testbed.world.live.links.base import End, WireLink

TUN = "/dev/net/tun"
MOST_HOSTS = 200  # addresses, static neighbours and 2 cores: what was tried ends far below


def cannot(scenario: Scenario, topology: Topology) -> list[str]:
    """One sentence per inability; empty when it can run."""
    out = []
    hosts = len(topology.nodes) + len(topology.ingresses)
    if hosts > MOST_HOSTS:
        out.append(f"{hosts} hosts: at most {MOST_HOSTS} containers' namespaces are wired on one machine")
    if scenario.run.steering == "switch":
        out.append("run.steering 'switch': services are reached by the sender's choice only; use 'sender'")
    names = [h.name for h in (*topology.nodes, *topology.ingresses)] + [s.name for s in topology.sites]
    taken = sorted({n for n in names if names.count(n) > 1})
    if taken:
        out.append(f"names used for more than one host or site: {', '.join(taken)}")
    slow = [
        k.name for k in topology.links if min(k.ab.rate, k.ba.rate) / scenario.run.dilate / scenario.run.shrink < 1e5
    ]
    if slow:
        out.append(f"links below 100 kbit/s on the wire ({', '.join(slow[:5])}): use less --shrink or --dilate")
    return out + _links(scenario, topology)


def _links(scenario: Scenario, topology: Topology) -> list[str]:
    """Links that no backend would take. Nothing is tried here, so all but the TAP device is taken to be there."""
    features = {name: True for offer in choice.OFFERS.values() for name in offer.requires} | {
        "tun": os.path.exists(TUN)
    }
    replayed = {
        link.name
        for spec in scenario.bandwidth
        if spec.law == "trace" and not str(spec.file).lower().endswith(".csv")
        for link, _ in selected(topology, spec.links)
    }
    out = []
    for k in topology.links:
        a, b = (End("", None if any(s.name == end for s in topology.sites) else "pod") for end in (k.a, k.b))
        wire = WireLink(k.name, a, b, k.ab, k.ba)
        why = choice.refusals(wire, {"trace"} if k.name in replayed else (), features)
        if len(why) == len(choice.OFFERS):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in why.items())
            out.append(f"link {k.name}: {reasons}; try `modprobe tun`")
    return out
