"""A link delivers a share of its frames twice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("link", "direction")
NEEDS = frozenset({"duplicate"})


class Parameters(FaultParameters):
    """share: of the frames."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.05


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("link_shape", target, {"duplicate": parameters.share})]
