"""The OpenFlow controller is slow: it reacts to links that go down or come up so much later."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.units import Seconds
from testbed.world.base import Disturbance

TARGETS = ("control",)
NEEDS = frozenset({"reaction"})


class Parameters(FaultParameters):
    """delay: beyond the detection time, nominal s; above 0 and at most 60 s."""

    delay: Annotated[Seconds, Field(gt=0, le=60)] = 2.0


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("controller_slow", target, {"delay": parameters.delay})]
