"""A link keeps only a share of its bandwidth, on top of its own fluctuation."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("link", "direction")
NEEDS = frozenset({"rate"})


class Parameters(FaultParameters):
    """keep: share of the bandwidth that is left, (0, 1)."""

    keep: Annotated[float, Field(gt=0, lt=1)] = 0.3


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("link_shape", target, {"rate_factor": parameters.keep})]
