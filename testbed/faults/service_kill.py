"""An instance of a service is killed; the run sees it at once and the policy may replace it."""

from __future__ import annotations

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("service",)
NEEDS = frozenset({"kill"})


class Parameters(FaultParameters):
    """all: of its instances; else the first by name."""

    all: bool = False


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("kill", target, {"all": parameters.all})]
