"""Nothing new is heard: no view reaches a sender and no instance reports; routing and policy go by what they knew."""

from __future__ import annotations

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("control",)
NEEDS = frozenset({"views"})


class Parameters(FaultParameters):
    """None."""


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("stale_view", target, {})]
