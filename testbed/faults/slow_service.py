"""Services begun from now on take longer: of one service everywhere, or of all services on one node."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("service", "node")
NEEDS = frozenset({"pace"})


class Parameters(FaultParameters):
    """factor: on service times."""

    factor: Annotated[float, Field(gt=0, le=1000)] = 3.0


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("pace", target, {"factor": parameters.factor})]
