"""A share of a link's frames skips its delay and overtakes those before."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("link", "direction")
NEEDS = frozenset({"reorder"})


class Parameters(FaultParameters):
    """share: of the frames; a link without delay has nothing to skip."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.05


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("link_shape", target, {"reorder": parameters.share})]
