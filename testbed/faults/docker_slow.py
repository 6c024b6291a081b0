"""Every Docker call of the run takes longer: what the policy orders comes late."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.units import Seconds
from testbed.world.base import Disturbance

TARGETS = ("control",)
NEEDS = frozenset({"docker"})


class Parameters(FaultParameters):
    """delay: before each call, nominal s; above 0 and at most 30 s."""

    delay: Annotated[Seconds, Field(gt=0, le=30)] = 1.0


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("docker_slow", target, {"delay": parameters.delay})]
