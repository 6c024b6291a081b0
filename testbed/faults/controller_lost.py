"""The switches lose their OpenFlow controller: paths stay as they are, links cut meanwhile are not led round."""

from __future__ import annotations

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("control",)
NEEDS = frozenset({"control"})


class Parameters(FaultParameters):
    """None."""


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("controller_lost", target, {})]
