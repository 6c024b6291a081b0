"""The policy is told wrong service times: of one service, or of all. What happens and what is measured stay."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbed.faults.base import FaultParameters, Ground
from testbed.world.base import Disturbance

TARGETS = ("control", "service")
NEEDS: frozenset[str] = frozenset()


class Parameters(FaultParameters):
    """factor: on the service times in the model that the policy decides by, 0.05 to 20."""

    factor: Annotated[float, Field(ge=0.05, le=20)] = 3.0


def apply(ground: Ground, target: str, parameters: Parameters) -> list[Disturbance]:
    return [ground.disturb("profile", target, {"factor": parameters.factor})]
