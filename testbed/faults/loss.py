"""A link loses a share of its frames, one by one or in bursts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("link", "direction")
NEEDS = frozenset({"loss"})


class Parameters(FaultParameters):
    """share: of the frames, on average. burst: mean frames lost in a row (Gilbert-Elliott); 0: each on its own."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.02
    burst: Annotated[float, Field(ge=0, le=1000)] = 0.0


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("link_shape", target, {"loss": parameters.share, "loss_burst": parameters.burst})]
