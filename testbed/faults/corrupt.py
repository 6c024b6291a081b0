"""A share of a link's frames arrives with a flipped bit, and is thrown away by its receiver's checksum."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("link", "direction")
NEEDS = frozenset({"corrupt"})


class Parameters(FaultParameters):
    """share: of the frames."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.02


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("link_shape", target, {"corrupt": parameters.share})]
