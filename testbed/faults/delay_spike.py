"""A link's propagation delay grows; what is under way keeps its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.units import Seconds
from testbed.world.base import Disturbance

TARGETS = ("link", "direction")
NEEDS = frozenset({"delay"})


class Parameters(FaultParameters):
    """add: more delay in each direction aimed at, above 0 and at most 10 s."""

    add: Annotated[Seconds, Field(gt=0, le=10)] = 0.05


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("link_shape", target, {"delay_add": parameters.add})]
