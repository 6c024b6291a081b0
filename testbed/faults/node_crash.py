"""A node crashes: its link is dead, all its services and what they held are gone; it returns empty."""

from __future__ import annotations

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("node",)
NEEDS = frozenset({"state"})  # of the node's own link


class Parameters(FaultParameters):
    """None."""


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("node_state", target, {"up": False})]
