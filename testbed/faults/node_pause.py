"""A node stands still: its services are frozen, their sockets stay open; they go on where they were."""

from __future__ import annotations

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("node",)
NEEDS = frozenset({"pause"})


class Parameters(FaultParameters):
    """None."""


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("node_pause", target, {})]
