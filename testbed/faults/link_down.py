"""A link goes down in both directions: carrier lost at both ends, what was queued is lost."""

from __future__ import annotations

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("link",)
NEEDS = frozenset({"state"})


class Parameters(FaultParameters):
    """None."""


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("link_state", target, {"up": False})]
