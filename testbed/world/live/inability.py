"""What the live world can't do, said before anything starts. Imports no Docker, no Mininet."""

from __future__ import annotations

from testbed.scenario.model import Scenario
from testbed.topology.model import Topology

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
    return out
