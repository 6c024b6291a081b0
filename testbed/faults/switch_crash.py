"""A switch dies: every link at it is dead in both directions, and what it held is lost."""

from __future__ import annotations

from testbed.faults.base import FaultParameters, Ground
from testbed.topology.model import Topology
from testbed.world.base import Disturbance

TARGETS = ("site",)
NEEDS = frozenset({"state"})  # of the links below


class Parameters(FaultParameters):
    """None."""


def links(topology: Topology, target: str, parameters: Parameters) -> list[str]:
    """All that are plugged into it."""
    return [k.name for k in topology.links if target in (k.a, k.b)]


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("link_state", k, {"up": False}) for k in links(ground.topology, target, parameters)]
