"""A node restarts: it is away for the fault's length, and comes back by itself with the services it had, begun anew.

As `node_crash`, but what served there when it went starts again when it is back, empty, with its start-up time.
"""

from __future__ import annotations

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("node",)
NEEDS = frozenset({"state", "restart"})  # state: of the node's own link


class Parameters(FaultParameters):
    """None."""


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("node_state", target, {"up": False, "again": True})]
