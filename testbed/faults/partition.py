"""The network falls apart: trunks between groups of sites go down. Hosts keep their links.

shape, with the sites in order of their hops from the target (ties by name):
isolate: the target alone. halves: the nearer half, the target in it, and the rest. bridge: halves, but the target still
reaches both. ring: of all trunks only those between neighbours of the order are left (and last to first, where there).
"""

from __future__ import annotations

from typing import Literal

from testbed.faults.base import FaultParameters, Ground
from testbed.topology.model import Topology
from testbed.world.base import Disturbance

TARGETS = ("site",)
NEEDS = frozenset({"state"})  # of the links below


class Parameters(FaultParameters):
    """shape: how the sites are grouped, see above."""

    shape: Literal["isolate", "halves", "bridge", "ring"] = "isolate"


def links(topology: Topology, target: str, parameters: Parameters) -> list[str]:
    """The trunks that go down."""
    order = _order(topology, target)
    near = set(order[: (len(order) + 1) // 2])
    neighbours = {frozenset(pair) for pair in zip(order, [*order[1:], order[0]], strict=True)}

    def cut(a: str, b: str) -> bool:
        if parameters.shape == "isolate":
            return target in (a, b)
        if parameters.shape == "ring":
            return frozenset((a, b)) not in neighbours
        if parameters.shape == "bridge" and target in (a, b):
            return False
        return (a in near) != (b in near)

    return [k.name for k in topology.links if k.role == "trunk" and cut(k.a, k.b)]


def _order(topology: Topology, target: str) -> list[str]:
    """Sites by hops from the target."""
    beside: dict[str, set[str]] = {s.name: set() for s in topology.sites}
    for k in topology.links:
        if k.role == "trunk":
            beside[k.a].add(k.b)
            beside[k.b].add(k.a)
    out, seen = [target], {target}
    for site in out:
        fresh = sorted(beside[site] - seen)
        seen.update(fresh)
        out += fresh
    return out + sorted(set(beside) - seen)


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("link_state", k, {"up": False}) for k in links(ground.topology, target, parameters)]
