"""An instance of a service hangs: alive, its sockets open, and it does nothing until it goes on where it was."""

from __future__ import annotations

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("service",)
NEEDS = frozenset({"pause"})


class Parameters(FaultParameters):
    """all: of its instances; else the first by name."""

    all: bool = False


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("service_pause", target, {"all": parameters.all})]
